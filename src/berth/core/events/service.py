"""The verbs of the events noun."""

from collections.abc import Mapping

from berth.base import ids
from berth.base.db import Tx
from berth.core.events import store
from berth.core.events.model import Actor, Event

_NOTHING: Mapping[str, object] = {}


def record(
    tx: Tx,
    by: Actor,
    event_type: str,
    *,
    subject: str,
    sequence: int | None = None,
    data: Mapping[str, object] = _NOTHING,
) -> None:
    """Remembers that `event_type` happened to `subject`.

    A subject that counts its own changes passes `sequence`; for the others the next number is looked up.
    `data` holds plain JSON values and never a secret.
    """
    store.insert(
        tx,
        event_id=ids.new(tx.now),
        project=by.project,
        event_type=event_type,
        subject=subject,
        sequence=store.next_sequence(tx, subject) if sequence is None else sequence,
        actor=by.key_id,
        address=by.address,
        request_id=by.request_id,
        data=data,
    )


def list_for(tx: Tx, by: Actor, subject: str, *, after_sequence: int = 0, limit: int = 100) -> list[Event]:
    """What happened to `subject`, oldest first."""
    return store.list_for(tx, by.project, subject, after_sequence=after_sequence, limit=limit)

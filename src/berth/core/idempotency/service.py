"""The verbs of idempotency.

The record is written in the transaction of the work it answers for, so there is no state between: either both
are there and a retry gets the same answer, or neither is and a retry does the work. Refusals are not kept: who is
refused for lack of credit tops up and tries again with the same key.
"""

from dataclasses import dataclass

from berth.base.clock import after
from berth.base.db import Tx
from berth.core.errors import Conflict
from berth.core.events import Actor
from berth.core.idempotency import store

RETENTION_S = 24 * 3600
TWINS_WITHIN_S = 60
BODY_LIMIT = 64 * 1024
_BATCH = 500


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    body: str


def find(tx: Tx, by: Actor, key: str, fingerprint: str) -> Answer | None:
    """The answer given before, or None. Raises Conflict when the key was used for another request."""
    row = store.find(tx, by.project, by.lineage, key)
    if row is None:
        return None
    if row[0] != fingerprint:
        raise Conflict(
            "idempotency_key_reused", "This Idempotency-Key was used before with a different request."
        )
    return Answer(row[1], row[2])


def remember(
    tx: Tx,
    by: Actor,
    key: str,
    fingerprint: str,
    answer: Answer,
    *,
    retention_s: int = RETENTION_S,
    lives: str | None = None,
    is_minted: bool = False,
) -> None:
    """Keeps `answer` for `retention_s` seconds, and no shorter than until `unpin(lives)`.

    `is_minted` tells that the client makes up a key for each attempt, so that its twins have to be looked for.
    Raises Conflict if another request under the key got there first.
    """
    _check_size(answer.body)
    if not store.upsert(
        tx,
        by.project,
        by.lineage,
        key,
        fingerprint=fingerprint,
        status=answer.status,
        body=answer.body,
        kept_until=after(tx.now, seconds=retention_s),
        subject=lives,
        is_minted=is_minted,
    ):
        raise Conflict(
            "idempotency_in_flight",
            "A request with this Idempotency-Key is being processed.",
            retry_after_s=1,
        )


def amend(tx: Tx, by: Actor, key: str, fingerprint: str, answer: Answer) -> None:
    """Replaces what was kept for a request by what followed its commit; its time runs on."""
    _check_size(answer.body)
    store.amend(
        tx, by.project, by.lineage, key, fingerprint=fingerprint, status=answer.status, body=answer.body
    )


def forget(tx: Tx, by: Actor, key: str, fingerprint: str) -> None:
    """What followed the commit was a refusal, and refusals are not kept: a retry does the work."""
    store.delete(tx, by.project, by.lineage, key, fingerprint=fingerprint)


def unpin(tx: Tx, subject: str) -> None:
    """`subject` is gone: answers about it are kept no longer than others."""
    store.unpin(tx, subject)


def twin(tx: Tx, by: Actor, fingerprint: str) -> str | None:
    """What the same request made less than a minute ago under another minted key, if that still lives."""
    since = after(tx.now, seconds=-TWINS_WITHIN_S)
    return store.find_minted(tx, by.project, by.lineage, fingerprint, since=since)


def forget_expired(tx: Tx) -> int:
    """Deletes a batch of records past their time; returns how many."""
    return store.delete_expired(tx, limit=_BATCH)


def _check_size(body: str) -> None:
    if len(body) > BODY_LIMIT:
        raise AssertionError("an answer that may be replayed is larger than any answer should be")

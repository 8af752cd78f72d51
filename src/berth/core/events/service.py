"""The verbs of the events noun."""

from collections.abc import Mapping
from dataclasses import replace

from berth.base import ids
from berth.base.db import Tx
from berth.core.events import catalogue, store
from berth.core.events.model import Actor, Event, Subscription

DELIVERIES = "deliveries"
"""What is signalled when somebody is to be told of an event."""
_NOTHING: Mapping[str, object] = {}
_TURNS = 100
"""How often a number is looked up that another transaction takes meanwhile: each waits for that one's commit."""


def record(
    tx: Tx,
    by: Actor,
    event_type: str,
    *,
    subject: str,
    sequence: int | None = None,
    data: Mapping[str, object] = _NOTHING,
) -> None:
    """Remembers that `event_type` happened to `subject`, and that its subscribers are to be told.

    A subject that counts its own changes passes `sequence`; for the others the next number is looked up.
    `data` is flat, holds plain JSON values and never a secret: it is what subscribers are told.
    """
    event = _insert(tx, by, event_type, subject, sequence, data)
    if event_type in catalogue.CATALOGUE and event_type != catalogue.TEST:
        for subscription in store.subscriptions(tx, by.project):
            if catalogue.matches(subscription.patterns, event_type):
                _tell(tx, event, subscription)


def record_test(
    tx: Tx, by: Actor, subscription: Subscription, data: Mapping[str, object], *, as_type: str
) -> str:
    """Remembers a test that one subscriber alone is told of, as if it were an event `as_type`; the delivery's id."""
    event = _insert(tx, by, catalogue.TEST, subscription.subscriber, None, data)
    return _tell(tx, event, subscription, as_type=as_type, is_test=True)


def subscribe(tx: Tx, project: str, subscription: Subscription) -> None:
    """From now on `subscription.subscriber` is told of what its patterns stand for; replaces what it had."""
    store.upsert_subscription(tx, project, subscription)


def unsubscribe(tx: Tx, project: str, subscriber: str) -> None:
    """It is told of nothing any more."""
    store.delete_subscription(tx, project, subscriber)


def list_for(tx: Tx, by: Actor, subject: str, *, after_sequence: int = 0, limit: int = 100) -> list[Event]:
    """What happened to `subject`, oldest first."""
    return store.list_for(tx, by.project, subject, after_sequence=after_sequence, limit=limit)


def find(tx: Tx, subject: str, sequence: int) -> Event | None:
    """One event, whosever it is."""
    return store.find(tx, subject, sequence)


def find_latest(tx: Tx, subject: str, event_type: str) -> Event | None:
    """The last of its type that happened to `subject`, whosever it is."""
    return store.find_latest(tx, subject, event_type)


def _insert(
    tx: Tx, by: Actor, event_type: str, subject: str, sequence: int | None, data: Mapping[str, object]
) -> store.Recorded:
    event = store.Recorded(
        id=ids.new(tx.now), project=by.project, type=event_type, subject=subject, sequence=sequence or 0
    )
    if sequence is not None:
        store.insert(tx, by, event, data)
        return event
    for _ in range(_TURNS):
        event = replace(event, sequence=store.next_sequence(tx, subject))
        if store.insert_if_free(tx, by, event, data):
            return event
    raise RuntimeError(f"{subject}: others took {_TURNS} numbers in a row")


def _tell(
    tx: Tx,
    event: store.Recorded,
    subscription: Subscription,
    *,
    as_type: str | None = None,
    is_test: bool = False,
) -> str:
    """One delivery: to be made, or skipped because the subscriber is not active."""
    delivery_id = ids.new(tx.now)
    is_sent = subscription.is_active or is_test
    store.insert_delivery(
        tx, delivery_id, event, subscription, as_type=as_type or event.type, is_sent=is_sent, is_test=is_test
    )
    if is_sent:
        tx.signal(DELIVERIES)
    return delivery_id

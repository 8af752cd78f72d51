"""Statements of the events noun."""

import json
from collections.abc import Mapping
from dataclasses import dataclass

from berth.base.clock import Instant
from berth.base.db import Row, Tx
from berth.core.events.model import Actor, Event, Search, Subscription

_SUBSCRIBERS = 100
_encode = json.JSONEncoder(separators=(",", ":")).encode
_EVENT = "seq, id, project_id, type, subject, sequence, actor, data, created_at, address, request_id"


def _event(row: Row) -> Event:
    return Event(*(*row[:7], json.loads(row[7]), *row[8:]))


@dataclass(frozen=True, slots=True)
class Recorded:
    """What identifies an event that is being written."""

    id: str
    project: str
    type: str
    subject: str
    sequence: int


_INSERT = (
    "INSERT INTO events (id, project_id, type, subject, sequence, actor, address, request_id, data,"
    " created_at) VALUES (:id, :project, :type, :subject, :sequence, :actor, :address, :request_id, :data,"
    " :now)"
)


def insert(tx: Tx, by: Actor, event: Recorded, data: Mapping[str, object]) -> None:
    tx.run(_INSERT, **_values(tx, by, event, data))


def insert_if_free(tx: Tx, by: Actor, event: Recorded, data: Mapping[str, object]) -> bool:
    """False when another transaction gave that number of the subject to an event of its own."""
    statement = f"{_INSERT} ON CONFLICT (subject, sequence) DO NOTHING"
    return tx.run(statement, **_values(tx, by, event, data)) == 1


def _values(tx: Tx, by: Actor, event: Recorded, data: Mapping[str, object]) -> dict[str, object]:
    return {
        "id": event.id,
        "project": event.project,
        "type": event.type,
        "subject": event.subject,
        "sequence": event.sequence,
        "actor": by.key_id,
        "address": by.address,
        "request_id": by.request_id,
        "data": _encode(data) if data else "{}",
        "now": tx.now,
    }


def next_sequence(tx: Tx, subject: str) -> int:
    row = tx.one("SELECT MAX(sequence) FROM events WHERE subject = :subject", subject=subject)
    return 1 + (row[0] or 0 if row else 0)


def list_for(tx: Tx, project: str, subject: str, *, after_sequence: int, limit: int) -> list[Event]:
    rows = tx.all(
        f"SELECT {_EVENT} FROM events WHERE subject = :subject AND project_id = :project"
        " AND sequence > :after ORDER BY sequence LIMIT :limit",
        subject=subject,
        project=project,
        after=after_sequence,
        limit=limit,
    )
    return [_event(row) for row in rows]


def find_latest(tx: Tx, subject: str, event_type: str) -> Event | None:
    row = tx.one(
        f"SELECT {_EVENT} FROM events WHERE subject = :subject AND type = :type"
        " ORDER BY sequence DESC LIMIT 1",
        subject=subject,
        type=event_type,
    )
    return None if row is None else _event(row)


def find(tx: Tx, subject: str, sequence: int) -> Event | None:
    row = tx.one(
        f"SELECT {_EVENT} FROM events WHERE subject = :subject AND sequence = :sequence",
        subject=subject,
        sequence=sequence,
    )
    return None if row is None else _event(row)


def subscriptions(tx: Tx, project: str) -> list[Subscription]:
    rows = tx.all(
        "SELECT subscriber, lane, patterns, is_active FROM event_subscriptions WHERE project_id = :project"
        " LIMIT :limit",
        project=project,
        limit=_SUBSCRIBERS,
    )
    return [Subscription(row[0], row[1], frozenset(row[2].split(" ")), bool(row[3])) for row in rows]


def upsert_subscription(tx: Tx, project: str, subscription: Subscription) -> None:
    tx.run(
        "INSERT INTO event_subscriptions (project_id, subscriber, lane, patterns, is_active)"
        " VALUES (:project, :subscriber, :lane, :patterns, :is_active)"
        " ON CONFLICT (project_id, subscriber) DO UPDATE SET patterns = excluded.patterns,"
        " is_active = excluded.is_active",
        project=project,
        subscriber=subscription.subscriber,
        lane=subscription.lane,
        patterns=" ".join(sorted(subscription.patterns)),
        is_active=int(subscription.is_active),
    )


def delete_subscription(tx: Tx, project: str, subscriber: str) -> None:
    tx.run(
        "DELETE FROM event_subscriptions WHERE project_id = :project AND subscriber = :subscriber",
        project=project,
        subscriber=subscriber,
    )


def insert_delivery(
    tx: Tx,
    delivery_id: str,
    event: Recorded,
    subscription: Subscription,
    *,
    as_type: str,
    is_sent: bool,
    is_test: bool,
) -> None:
    """The row as it begins; what becomes of it is the subscriber's noun's business."""
    tx.run(
        "INSERT INTO deliveries (id, project_id, webhook_id, event_id, event_type, subject, sequence, is_test,"
        " status, lane, stage, created_at) VALUES (:id, :project, :subscriber, :event_id, :type, :subject,"
        " :sequence, :is_test, :status, :lane, :stage, :now)",
        id=delivery_id,
        project=event.project,
        subscriber=subscription.subscriber,
        event_id=event.id,
        type=as_type,
        subject=event.subject,
        sequence=event.sequence,
        is_test=int(is_test),
        status="pending" if is_sent else "skipped",
        lane=subscription.lane,
        stage="ready" if is_sent else "done",
        now=tx.now,
    )


def next_seq(tx: Tx) -> int:
    row = tx.one("SELECT MAX(seq) FROM events")
    return 1 + (row[0] or 0 if row else 0)


def recorded_at(tx: Tx, seq: int) -> Instant | None:
    """When the first event from `seq` on was recorded."""
    row = tx.one("SELECT created_at FROM events WHERE seq >= :seq ORDER BY seq LIMIT 1", seq=seq)
    return None if row is None else Instant(row[0])


def search(tx: Tx, wanted: Search, *, from_seq: int, before_seq: int, limit: int) -> list[Event]:
    """Newest first."""
    conditions = ["seq >= :from_seq", "seq < :before_seq"]
    values: dict[str, object] = {"from_seq": from_seq, "before_seq": before_seq, "limit": limit}
    for condition, name, value in (
        ("project_id = :project", "project", wanted.project),
        ("actor = :actor", "actor", wanted.actor),
        ("subject = :subject", "subject", wanted.subject),
        ("created_at >= :since", "since", wanted.since),
        ("created_at < :until", "until", wanted.until),
    ):
        if value is not None:
            conditions.append(condition)
            values[name] = value
    if wanted.type is not None:
        is_family = wanted.type.endswith("*")
        conditions.append("substr(type, 1, :length) = :type" if is_family else "type = :type")
        values["type"] = wanted.type.removesuffix("*")
        if is_family:
            values["length"] = len(wanted.type) - 1
    rows = tx.all(
        f"SELECT {_EVENT} FROM events WHERE {' AND '.join(conditions)} ORDER BY seq DESC LIMIT :limit",
        **values,
    )
    return [_event(row) for row in rows]

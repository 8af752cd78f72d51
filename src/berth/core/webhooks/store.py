"""Statements of the webhooks noun.

A delivery's `stage` says where it stands: `ready` in its webhook's lane, `leased` to a sender, `waiting` for its
next attempt, or `done`. The row itself is written by the events noun, with the event.
"""

import json

from berth.base import ids
from berth.base.clock import Instant
from berth.base.db import Row, Tx
from berth.base.paging import After
from berth.core.webhooks.model import (
    Attempt,
    Delivery,
    DeliveryStatus,
    Filter,
    Outcome,
    SealedSecret,
    Webhook,
)

_COLUMNS = (
    "id, project_id, url, name, description, events, secrets, is_active, disabled_reason, disabled_at,"
    " throttled_until, failing_since, counted_since, created_by, created_at, updated_at, deleted_at"
)
_DELIVERY = (
    "id, webhook_id, event_id, event_type, is_test, status, attempts, last_status_code, stage, due_at,"
    " created_at, seq"
)
EVERY_LANE = 1_000_000
# From each lane to the next by one look into the index, however many deliveries wait in it.
_LANES = (
    "WITH RECURSIVE lanes(lane, place) AS ("
    " SELECT MIN(lane), 1 FROM deliveries WHERE stage = 'ready' AND lane > :after"
    " UNION ALL SELECT (SELECT MIN(d.lane) FROM deliveries d WHERE d.stage = 'ready' AND d.lane > lanes.lane),"
    " lanes.place + 1 FROM lanes WHERE lanes.lane IS NOT NULL AND lanes.place < :walked"
    "), heads AS (SELECT lane, (SELECT d.webhook_id FROM deliveries d WHERE d.stage = 'ready'"
    " AND d.lane = lanes.lane ORDER BY d.seq LIMIT 1) AS webhook_id FROM lanes WHERE lane IS NOT NULL)"
)


def insert(tx: Tx, webhook: Webhook) -> None:
    tx.run(
        f"INSERT INTO webhooks ({_COLUMNS}) VALUES (:id, :project, :url, :name, :description, :events,"
        " :secrets, :is_active, :disabled_reason, :disabled_at, :throttled_until, :failing_since,"
        " :counted_since, :created_by, :created_at, :updated_at, :deleted_at)",
        project=webhook.project,
        created_by=webhook.created_by,
        created_at=webhook.created_at,
        **_values(webhook),
    )


def update(tx: Tx, webhook: Webhook) -> None:
    tx.run(
        "UPDATE webhooks SET url = :url, name = :name, description = :description, events = :events,"
        " secrets = :secrets, is_active = :is_active, disabled_reason = :disabled_reason,"
        " disabled_at = :disabled_at, throttled_until = :throttled_until, failing_since = :failing_since,"
        " counted_since = :counted_since, updated_at = :updated_at, deleted_at = :deleted_at WHERE id = :id",
        **_values(webhook),
    )


def find(tx: Tx, project: str, webhook_id: str, *, lock: bool = False) -> Webhook | None:
    """One of the project that was not deleted."""
    row = tx.one(
        f"SELECT {_COLUMNS} FROM webhooks WHERE id = :id AND project_id = :project AND deleted_at IS NULL"
        + (tx.for_update if lock else ""),
        id=webhook_id,
        project=project,
    )
    return None if row is None else _webhook(row)


def find_any(tx: Tx, webhook_id: str, *, lock: str = "") -> Webhook | None:
    """Whosever it is, deleted too. `lock` is one of the transaction's own."""
    row = tx.one(f"SELECT {_COLUMNS} FROM webhooks WHERE id = :id{lock}", id=webhook_id)
    return None if row is None else _webhook(row)


def list_all(tx: Tx, project: str, *, limit: int) -> list[Webhook]:
    """Oldest first."""
    rows = tx.all(
        f"SELECT {_COLUMNS} FROM webhooks WHERE project_id = :project AND deleted_at IS NULL"
        " ORDER BY created_at, id LIMIT :limit",
        project=project,
        limit=limit,
    )
    return [_webhook(row) for row in rows]


def deleted_before(tx: Tx, before: Instant, *, limit: int) -> list[str]:
    rows = tx.all(
        "SELECT id FROM webhooks WHERE deleted_at < :before ORDER BY deleted_at LIMIT :limit",
        before=before,
        limit=limit,
    )
    return [row[0] for row in rows]


def remove(tx: Tx, webhook_id: str) -> None:
    tx.run("DELETE FROM webhooks WHERE id = :id", id=webhook_id)


def _values(webhook: Webhook) -> dict[str, object]:
    return {
        "id": webhook.id,
        "url": webhook.url,
        "name": webhook.name,
        "description": webhook.description,
        "events": " ".join(webhook.events),
        "secrets": json.dumps([[secret.sealed, secret.until] for secret in webhook.secrets]),
        "is_active": int(webhook.is_active),
        "disabled_reason": webhook.disabled_reason,
        "disabled_at": webhook.disabled_at,
        "throttled_until": webhook.throttled_until,
        "failing_since": webhook.failing_since,
        "counted_since": webhook.counted_since,
        "updated_at": webhook.updated_at,
        "deleted_at": webhook.deleted_at,
    }


def _webhook(row: Row) -> Webhook:
    return Webhook(
        *(
            *row[:5],
            tuple(row[5].split(" ")),
            tuple(SealedSecret(*pair) for pair in json.loads(row[6])),
            bool(row[7]),
            *row[8:],
        )
    )


# The queue.


def wake_due(tx: Tx, *, limit: int) -> int:
    """What waited long enough, and what a sender took and never brought back, is ready again."""
    return tx.run(
        "UPDATE deliveries SET stage = 'ready', due_at = NULL, lease_token = lease_token + 1 WHERE seq IN"
        " (SELECT seq FROM deliveries WHERE due_at IS NOT NULL AND due_at <= :now ORDER BY due_at"
        f" LIMIT :limit{tx.skip_locked})",
        now=tx.now,
        limit=limit,
    )


def open_lanes(
    tx: Tx, *, after: str, most: int, limit: int, walked: int = EVERY_LANE
) -> list[tuple[str, str]]:
    """Lanes behind `after` that may be taken from now, each with its webhook.

    Fewer than `most` of it are being sent, or none while its webhook fails. Looks at `walked` lanes and no more.
    """
    rows = tx.all(
        f"{_LANES} SELECT heads.lane, heads.webhook_id FROM heads JOIN webhooks w ON w.id = heads.webhook_id"
        " WHERE (w.throttled_until <= :now OR heads.lane >= '9')"
        " AND (SELECT COUNT(*) FROM deliveries l WHERE l.stage = 'leased' AND l.lane = heads.lane)"
        " < CASE WHEN w.failing_since IS NULL OR heads.lane >= '9' THEN :most ELSE 1 END"
        " LIMIT :limit",
        after=after,
        walked=walked,
        now=tx.now,
        most=most,
        limit=limit,
    )
    return [(row[0], row[1]) for row in rows]


def unthrottled_at(tx: Tx) -> Instant | None:
    """When the first webhook that wants to be left alone, and has something waiting, no longer does."""
    row = tx.one(
        f"{_LANES} SELECT MIN(w.throttled_until) FROM heads JOIN webhooks w ON w.id = heads.webhook_id"
        " WHERE w.throttled_until > :now",
        after="",
        walked=EVERY_LANE,
        now=tx.now,
    )
    return None if row is None or row[0] is None else Instant(row[0])


def first_due_at(tx: Tx) -> Instant | None:
    row = tx.one("SELECT due_at FROM deliveries WHERE due_at IS NOT NULL ORDER BY due_at LIMIT 1")
    return None if row is None else Instant(row[0])


def head(tx: Tx, lane: str, *, most: int) -> Row | None:
    """The first of a lane, locked, unless `most` of it are being sent:
    id, subject, sequence, event_type, is_test, payload, attempts, round_attempts, lease_token.
    """
    return tx.one(
        "SELECT id, subject, sequence, event_type, is_test, payload, attempts, round_attempts, lease_token"
        " FROM deliveries WHERE stage = 'ready' AND lane = :lane"
        " AND (SELECT COUNT(*) FROM deliveries l WHERE l.stage = 'leased' AND l.lane = :lane) < :most"
        f" ORDER BY seq LIMIT 1{tx.skip_locked}",
        lane=lane,
        most=most,
    )


def lease(tx: Tx, delivery_id: str, *, token: int, until: Instant, payload: str) -> None:
    tx.run(
        "UPDATE deliveries SET stage = 'leased', due_at = :until, lease_token = :token, payload = :payload,"
        " attempts = attempts + 1, round_attempts = round_attempts + 1 WHERE id = :id",
        id=delivery_id,
        token=token,
        until=until,
        payload=payload,
    )


def skip_lane(tx: Tx, lane: str, *, limit: int) -> int:
    """Nobody is told what waits there: the webhook is not active any more."""
    return tx.run(
        "UPDATE deliveries SET stage = 'done', status = 'skipped' WHERE seq IN (SELECT seq FROM deliveries"
        f" WHERE stage = 'ready' AND lane = :lane ORDER BY seq LIMIT :limit{tx.skip_locked})",
        lane=lane,
        limit=limit,
    )


def drop_waiting(tx: Tx, webhook_id: str, *, limit: int) -> int:
    """What is not being sent at this moment never will be."""
    return tx.run(
        "UPDATE deliveries SET stage = 'done', status = 'skipped', due_at = NULL WHERE seq IN (SELECT seq"
        " FROM deliveries WHERE webhook_id = :webhook AND status = 'pending' AND stage IN ('ready', 'waiting')"
        f" AND is_test = 0 LIMIT :limit{tx.skip_locked})",
        webhook=webhook_id,
        limit=limit,
    )


def end_lease(
    tx: Tx,
    delivery_id: str,
    token: int,
    *,
    status: DeliveryStatus,
    next_attempt_at: Instant | None,
    status_code: int | None,
) -> bool:
    """False when the lease was lost."""
    return (
        tx.run(
            "UPDATE deliveries SET status = :status, stage = :stage, due_at = :next_attempt_at,"
            " last_status_code = :status_code WHERE id = :id AND stage = 'leased' AND lease_token = :token",
            id=delivery_id,
            token=token,
            status=status.value,
            stage="done" if next_attempt_at is None else "waiting",
            next_attempt_at=next_attempt_at,
            status_code=status_code,
        )
        == 1
    )


def abandon(tx: Tx, delivery_id: str) -> None:
    """It cannot be sent at all."""
    tx.run(
        "UPDATE deliveries SET status = 'failed', stage = 'done', attempts = attempts + 1 WHERE id = :id",
        id=delivery_id,
    )


def give_back(tx: Tx, delivery_id: str, token: int) -> None:
    tx.run(
        "UPDATE deliveries SET stage = 'ready', due_at = NULL, lease_token = lease_token + 1"
        " WHERE id = :id AND stage = 'leased' AND lease_token = :token",
        id=delivery_id,
        token=token,
    )


def release_leases(tx: Tx) -> None:
    tx.run(
        "UPDATE deliveries SET stage = 'ready', due_at = NULL, lease_token = lease_token + 1"
        " WHERE stage = 'leased'"
    )


def insert_attempt(tx: Tx, delivery_id: str, n: int, at: Instant, outcome: Outcome) -> None:
    tx.run(
        "INSERT INTO delivery_attempts (delivery_id, n, at, status_code, latency_ms, error, response_excerpt)"
        " VALUES (:id, :n, :at, :status_code, :latency_ms, :error, :excerpt)",
        id=delivery_id,
        n=n,
        at=at,
        status_code=outcome.status_code,
        latency_ms=outcome.latency_ms,
        error=outcome.error,
        excerpt=outcome.response_excerpt,
    )


def requeue(tx: Tx, delivery_id: str, *, restart: bool) -> None:
    tx.run(
        "UPDATE deliveries SET stage = 'ready', status = 'pending', due_at = NULL,"
        " round_attempts = CASE WHEN :restart = 1 THEN 0 ELSE round_attempts END WHERE id = :id",
        id=delivery_id,
        restart=int(restart),
    )


def requeue_many(
    tx: Tx, webhook_id: str, statuses: tuple[str, str], *, since: Instant, until: Instant, limit: int
) -> int:
    """The oldest first; returns how many."""
    return tx.run(
        "UPDATE deliveries SET stage = 'ready', status = 'pending', round_attempts = 0 WHERE seq IN"
        " (SELECT seq FROM deliveries WHERE webhook_id = :webhook AND status IN (:first, :second)"
        " AND created_at >= :since AND created_at < :until AND is_test = 0"
        " ORDER BY created_at, seq LIMIT :limit)",
        webhook=webhook_id,
        first=statuses[0],
        second=statuses[1],
        since=since,
        until=until,
        limit=limit,
    )


# The log.


def find_delivery(
    tx: Tx, webhook_id: str, delivery_id: str, *, lock: bool = False
) -> tuple[Delivery, str | None] | None:
    """With its payload."""
    row = tx.one(
        f"SELECT {_DELIVERY}, payload FROM deliveries WHERE id = :id AND webhook_id = :webhook"
        + (tx.for_update if lock else ""),
        id=delivery_id,
        webhook=webhook_id,
    )
    return None if row is None else (_delivery(row), row[-1])


def list_deliveries(
    tx: Tx,
    webhook_id: str,
    wanted: Filter,
    *,
    after: After | None,
    limit: int,
) -> list[Delivery]:
    """Newest first."""
    conditions, values = _filters(wanted)
    if after is not None:
        conditions += " AND (created_at, seq) < (:after_time, :after_seq)"
        values |= {"after_time": after.time, "after_seq": int(after.id)}
    rows = tx.all(
        f"SELECT {_DELIVERY} FROM deliveries WHERE webhook_id = :webhook{conditions}"
        " ORDER BY created_at DESC, seq DESC LIMIT :limit",
        webhook=webhook_id,
        limit=limit,
        **values,
    )
    return [_delivery(row) for row in rows]


def count_deliveries(tx: Tx, webhook_id: str, wanted: Filter, *, most: int) -> int:
    """How many there are, counted no further than `most`."""
    conditions, values = _filters(wanted)
    row = tx.one(
        "SELECT COUNT(*) FROM (SELECT 1 FROM deliveries WHERE webhook_id = :webhook"
        f"{conditions} LIMIT :most) AS counted",
        webhook=webhook_id,
        most=most,
        **values,
    )
    return 0 if row is None else row[0]


def attempts(tx: Tx, delivery_id: str, *, limit: int) -> list[Attempt]:
    """The latest `limit`, oldest first."""
    rows = tx.all(
        "SELECT n, at, status_code, latency_ms, error, response_excerpt FROM delivery_attempts"
        " WHERE delivery_id = :id ORDER BY n DESC LIMIT :limit",
        id=delivery_id,
        limit=limit,
    )
    return [Attempt(*row) for row in reversed(rows)]


def old_deliveries(tx: Tx, before: Instant, *, limit: int) -> list[str]:
    """Ids of what was written before and is done with. Ids are in the order of time."""
    rows = tx.all(
        "SELECT id FROM deliveries WHERE id < :bound AND stage = 'done' ORDER BY id LIMIT :limit",
        bound=ids.lowest(before),
        limit=limit,
    )
    return [row[0] for row in rows]


def deliveries_of(tx: Tx, webhook_id: str, *, limit: int) -> list[str]:
    rows = tx.all(
        "SELECT id FROM deliveries WHERE webhook_id = :webhook LIMIT :limit", webhook=webhook_id, limit=limit
    )
    return [row[0] for row in rows]


def delete_deliveries(tx: Tx, delivery_ids: list[str]) -> None:
    rows = [{"id": delivery_id} for delivery_id in delivery_ids]
    tx.run_many("DELETE FROM delivery_attempts WHERE delivery_id = :id", rows)
    tx.run_many("DELETE FROM deliveries WHERE id = :id", rows)


def _filters(wanted: Filter) -> tuple[str, dict[str, object]]:
    given: dict[str, object] = {
        "status": None if wanted.status is None else wanted.status.value,
        "event_type": wanted.event_type,
        "since": wanted.since,
        "until": wanted.until,
    }
    conditions = "".join(f" AND {_CONDITIONS[name]}" for name, value in given.items() if value is not None)
    return conditions, {name: value for name, value in given.items() if value is not None}


_CONDITIONS = {
    "status": "status = :status",
    "event_type": "event_type = :event_type",
    "since": "created_at >= :since",
    "until": "created_at < :until",
}


def _delivery(row: Row) -> Delivery:
    status, stage = DeliveryStatus(row[5]), row[8]
    return Delivery(
        id=row[0],
        webhook_id=row[1],
        event_id=row[2],
        event_type=row[3],
        is_test=bool(row[4]),
        status=status,
        attempts=row[6],
        last_status_code=row[7],
        is_in_flight=stage == "leased",
        next_attempt_at=row[9] if stage == "waiting" else row[10] if stage == "ready" else None,
        created_at=row[10],
        seq=row[11],
    )

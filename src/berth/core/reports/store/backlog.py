"""Statements over what waits and stands now, in all nouns at once. Each stops counting where more would tell nothing."""

from berth.base.clock import Instant
from berth.base.db import Row, Tx

MOST = 10_000
_MOST_INSTANCES = 100_000


def instances_by_status(tx: Tx) -> list[Row]:
    """(provider, status, how many) of those that are not deleted."""
    return tx.all(
        "SELECT provider, status, COUNT(*) FROM (SELECT provider, status FROM instances"
        f" WHERE status <> 'deleted' LIMIT {_MOST_INSTANCES}) AS counted GROUP BY provider, status"
        " ORDER BY provider, status"
    )


def instances_due(tx: Tx) -> int:
    return _count(tx, "instances WHERE due_at IS NOT NULL AND due_at <= :now", now=tx.now)


def late_endings(tx: Tx, since: Instant) -> int:
    """Whose end was asked for before `since` and is not confirmed."""
    return _count(
        tx,
        "instances WHERE status <> 'deleted' AND wanted = 'deleted' AND status_changed_at <= :since",
        since=since,
    )


def deliveries_by_stage(tx: Tx) -> list[tuple[str, int]]:
    return [
        ("ready", _count(tx, "deliveries WHERE stage = 'ready'")),
        ("leased", _count(tx, "deliveries WHERE stage = 'leased'")),
        ("waiting", _count(tx, "deliveries WHERE due_at IS NOT NULL AND stage = 'waiting'")),
    ]


def notices_waiting(tx: Tx) -> int:
    return _count(tx, "notices WHERE due_at IS NOT NULL")


def waitlist_entries(tx: Tx) -> int:
    return _count(tx, "waitlist_entries WHERE due_at IS NOT NULL")


def balances(tx: Tx) -> Row:
    """(sum of balances, sum of what is held, how many accounts owe), over all accounts, in micro-dollars."""
    row = tx.one(
        "SELECT CAST(COALESCE(SUM(balance_micros), 0) AS BIGINT), CAST(COALESCE(SUM(held_micros), 0) AS BIGINT),"
        " COUNT(CASE WHEN balance_micros < 0 THEN 1 END) FROM accounts"
    )
    assert row is not None
    return row


def _count(tx: Tx, what: str, **values: int) -> int:
    row = tx.one(f"SELECT COUNT(*) FROM (SELECT 1 FROM {what} LIMIT {MOST}) AS counted", **values)
    return 0 if row is None else int(row[0])

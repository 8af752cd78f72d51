"""Statements over what providers have that no row accounts for."""

from berth.base.clock import Instant
from berth.base.db import Row, Tx
from berth.base.money import Micros
from berth.core.instances.model import Orphan

_COLUMNS = "provider, handle, instance_id, first_seen_at, began_at, cost_micros_per_hour"
_MOST = 10_000


def upsert_orphan(
    tx: Tx, provider: str, handle: str, instance_id: str, *, began_at: Instant, cost_per_hour: int | None
) -> Orphan:
    """The orphan as first seen, with its price of now. One that was destroyed and is back starts anew."""
    row = tx.one(
        f"INSERT INTO orphans ({_COLUMNS}) VALUES (:provider, :handle, :id, :now, :began_at, :cost)"
        " ON CONFLICT (provider, handle) DO UPDATE SET destroyed_at = NULL,"
        " first_seen_at = CASE WHEN orphans.destroyed_at IS NULL THEN orphans.first_seen_at"
        " ELSE excluded.first_seen_at END,"
        " destroy_failures = CASE WHEN orphans.destroyed_at IS NULL THEN orphans.destroy_failures ELSE 0 END,"
        " began_at = CASE WHEN orphans.destroyed_at IS NULL AND orphans.began_at IS NOT NULL"
        " AND orphans.began_at < excluded.began_at THEN orphans.began_at ELSE excluded.began_at END,"
        " cost_micros_per_hour = COALESCE(excluded.cost_micros_per_hour, orphans.cost_micros_per_hour)"
        f" RETURNING {_COLUMNS}",
        provider=provider,
        handle=handle,
        id=instance_id,
        now=tx.now,
        began_at=began_at,
        cost=cost_per_hour,
    )
    assert row is not None
    return _orphan(row, tx.now)


def end_orphan(tx: Tx, orphan: Orphan, cost: Micros) -> None:
    tx.run(
        "UPDATE orphans SET destroyed_at = :now, cost_micros = cost_micros + :cost"
        " WHERE provider = :provider AND handle = :handle",
        now=tx.now,
        cost=cost,
        provider=orphan.provider,
        handle=orphan.handle,
    )


def count_orphan_failure(tx: Tx, orphan: Orphan) -> int:
    row = tx.one(
        "UPDATE orphans SET destroy_failures = destroy_failures + 1"
        " WHERE provider = :provider AND handle = :handle RETURNING destroy_failures",
        provider=orphan.provider,
        handle=orphan.handle,
    )
    return 0 if row is None else int(row[0])


def standing_orphans(tx: Tx, provider: str | None = None) -> list[Orphan]:
    """Those that are there as far as is known."""
    condition = "" if provider is None else " AND provider = :provider"
    rows = tx.all(
        f"SELECT {_COLUMNS} FROM orphans WHERE destroyed_at IS NULL{condition} LIMIT {_MOST}",
        **({} if provider is None else {"provider": provider}),
    )
    return [_orphan(row, tx.now) for row in rows]


def last_listed(tx: Tx, provider: str) -> Instant | None:
    row = tx.one("SELECT listed_at FROM providers WHERE name = :name", name=provider)
    return None if row is None or row[0] is None else Instant(row[0])


def _orphan(row: Row, now: Instant) -> Orphan:
    began_at = row[3] if row[4] is None else row[4]
    cost = None if row[5] is None else Micros(row[5])
    return Orphan(row[0], row[1], row[2], Instant(row[3]), Instant(began_at), cost, is_new=row[3] == now)

"""Statements over what ends instances by themselves. Most instances have no row here."""

from collections.abc import Mapping

from berth.base.clock import Instant
from berth.base.db import Row, Tx
from berth.base.money import Micros
from berth.core.instances.model import AutoDelete, Reservation

_RESERVATION = "instance_id, ends_at, max_spend_micros, idle_s, idle_since, stops_at"


def _reservation(row: Row) -> Reservation:
    wanted = AutoDelete(row[1], None if row[2] is None else Micros(row[2]), row[3])
    return Reservation(row[0], wanted, row[4], row[5])


def find_reservation(tx: Tx, instance_id: str) -> Reservation | None:
    row = tx.one(f"SELECT {_RESERVATION} FROM reservations WHERE instance_id = :id", id=instance_id)
    return None if row is None else _reservation(row)


def put_reservation(tx: Tx, instance_id: str, wanted: AutoDelete) -> None:
    """Replaces what was asked for. It is to be looked at, at once."""
    tx.run(
        "INSERT INTO reservations (instance_id, ends_at, max_spend_micros, idle_s, next_at)"
        " VALUES (:id, :ends_at, :max_spend, :idle_s, :now) ON CONFLICT (instance_id) DO UPDATE SET"
        " ends_at = excluded.ends_at, max_spend_micros = excluded.max_spend_micros, idle_s = excluded.idle_s,"
        " stops_at = NULL, next_at = excluded.next_at",
        id=instance_id,
        ends_at=wanted.at,
        max_spend=wanted.max_spend,
        idle_s=wanted.idle_s,
        now=tx.now,
    )


def delete_reservation(tx: Tx, instance_id: str) -> None:
    tx.run("DELETE FROM reservations WHERE instance_id = :id", id=instance_id)


def plan_reservation(tx: Tx, instance_id: str, *, next_at: Instant | None, stops_at: Instant | None) -> None:
    """When it is to be looked at next, and which end was announced."""
    tx.run(
        "UPDATE reservations SET next_at = :next_at, stops_at = :stops_at WHERE instance_id = :id",
        id=instance_id,
        next_at=next_at,
        stops_at=stops_at,
    )


def wake_reservation(tx: Tx, instance_id: str) -> None:
    """It began to run: its bill grows from now on, and it has not been idle yet."""
    tx.run(
        "UPDATE reservations SET next_at = :now, idle_since = NULL WHERE instance_id = :id",
        id=instance_id,
        now=tx.now,
    )


def set_idle(tx: Tx, instance_id: str, since: Instant | None) -> None:
    tx.run(
        "UPDATE reservations SET idle_since = :since, next_at = :now WHERE instance_id = :id",
        id=instance_id,
        since=since,
        now=tx.now,
    )


def due_reservations(tx: Tx, *, limit: int) -> list[str]:
    rows = tx.all(
        "SELECT instance_id FROM reservations WHERE next_at <= :now ORDER BY next_at LIMIT :limit",
        now=tx.now,
        limit=limit,
    )
    return [row[0] for row in rows]


def next_reservation(tx: Tx) -> Instant | None:
    row = tx.one("SELECT next_at FROM reservations WHERE next_at IS NOT NULL ORDER BY next_at LIMIT 1")
    return None if row is None else Instant(row[0])


def watched(
    tx: Tx, provider: str, *, first_id: str, last_id: str, limit: int
) -> Mapping[str, Instant | None]:
    """Since when those running at `provider` that end when idle have been so, by id; between two ids, both included."""
    rows = tx.all(
        "SELECT i.id, r.idle_since FROM instances i JOIN reservations r ON r.instance_id = i.id"
        " WHERE i.provider = :provider AND i.id >= :first AND i.id <= :last AND i.status <> 'deleted'"
        " AND i.status = 'running' AND r.idle_s IS NOT NULL ORDER BY i.id LIMIT :limit",
        provider=provider,
        first=first_id,
        last=last_id,
        limit=limit,
    )
    return {row[0]: row[1] for row in rows}

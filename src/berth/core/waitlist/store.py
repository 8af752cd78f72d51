"""Statements of the waitlist. An entry for any location has the location ''."""

import json
from collections.abc import Collection, Mapping
from dataclasses import asdict
from enum import StrEnum
from typing import Any

from berth.base.clock import Instant
from berth.base.db import Row, Tx
from berth.core.catalog import ANYWHERE
from berth.core.instances import AutoDelete, Contract, Extension, OrderSpec
from berth.core.volumes import Fate, NewVolume
from berth.core.waitlist.model import Entry, Obstacle, Status

_COLUMNS = (
    "id",
    "project_id",
    "created_by",
    "ticket",
    "instance_type",
    "location",
    "is_auto",
    "config",
    "max_price_micros_per_hour",
    "status",
    "blocked_reason",
    "blocked_at",
    "blocked_balance_micros",
    "is_owed",
    "granted_location",
    "notified_count",
    "notified_at",
    "claim_expires_at",
    "rest_until",
    "look_at",
    "instance_id",
    "attempts",
    "last_error",
    "remind_at",
    "expires_at",
    "created_at",
    "updated_at",
    "sequence",
)
_ENTRY = ", ".join(_COLUMNS)
_WRITTEN = (*_COLUMNS, "due_at")
_UPDATED = ", ".join(f"{column} = excluded.{column}" for column in _WRITTEN if column != "id")
_UPSERT = (
    f"INSERT INTO waitlist_entries ({', '.join(_WRITTEN)}) VALUES ({', '.join(':' + name for name in _WRITTEN)})"
    f" ON CONFLICT (id) DO UPDATE SET {_UPDATED}"
)
_ACTIVE = "status IN ('waiting', 'notified', 'deploying')"
_PASSED_OVER = "status = 'waiting' AND blocked_reason IN ('price_above_max', 'image_unavailable')"
_IN_TURN = "status = 'waiting' AND blocked_reason IS NULL"
_KINDS: Mapping[str, type[StrEnum]] = {
    "fate": Fate,
    "eviction_fate": Fate,
    "os_volume_eviction_fate": Fate,
    "contract": Contract,
    "extension": Extension,
}
COUNTED = 10_000
"""How far a position is counted."""


def _entry(row: Row) -> Entry:
    return Entry(
        *(
            *row[:5],
            row[5] or None,
            bool(row[6]),
            None if row[7] is None else _config(row[7]),
            row[8],
            Status(row[9]),
            None if row[10] is None else Obstacle(row[10]),
            *row[11:13],
            bool(row[13]),
            *row[14:],
        )
    )


def _config(text: str) -> OrderSpec:
    """Entries from before orders had a member take its default."""
    kept = json.loads(text)
    ending = kept.pop("auto_delete", None)
    new = tuple(NewVolume(**_with_kinds(each)) for each in kept.pop("volumes", ()))
    ends = None if ending is None else AutoDelete(**ending)
    return OrderSpec(**_with_kinds(kept), volumes=new, auto_delete=ends)


def _with_kinds(kept: Mapping[str, Any]) -> dict[str, Any]:
    """Members that are one of a few words, as such."""
    return {
        member: _KINDS[member](value) if member in _KINDS and value is not None else value
        for member, value in kept.items()
    }


def write(tx: Tx, entry: Entry, due_at: Instant | None) -> None:
    """A new entry, or all of a known one."""
    tx.run(
        _UPSERT,
        id=entry.id,
        project_id=entry.project,
        created_by=entry.created_by,
        ticket=entry.ticket,
        instance_type=entry.instance_type,
        location=entry.location or ANYWHERE,
        is_auto=int(entry.is_auto),
        config=None if entry.config is None else json.dumps(asdict(entry.config)),
        max_price_micros_per_hour=entry.max_price,
        status=entry.status.value,
        blocked_reason=None if entry.blocked_reason is None else entry.blocked_reason.value,
        blocked_at=entry.blocked_at,
        blocked_balance_micros=entry.blocked_balance,
        is_owed=int(entry.is_owed),
        granted_location=entry.granted_location,
        notified_count=entry.notified_count,
        notified_at=entry.notified_at,
        claim_expires_at=entry.claim_expires_at,
        rest_until=entry.rest_until,
        look_at=entry.look_at,
        instance_id=entry.instance_id,
        attempts=entry.attempts,
        last_error=entry.last_error,
        remind_at=entry.remind_at,
        expires_at=entry.expires_at,
        created_at=entry.created_at,
        updated_at=entry.updated_at,
        sequence=entry.sequence,
        due_at=due_at,
    )


def new_ticket(tx: Tx, entry_id: str) -> int:
    """Higher than every ticket before."""
    row = tx.one("INSERT INTO waitlist_tickets (entry_id) VALUES (:entry) RETURNING ticket", entry=entry_id)
    assert row is not None
    ticket: int = row[0]
    return ticket


def find(tx: Tx, entry_id: str, *, project: str | None = None, lock: bool = False) -> Entry | None:
    """Without `project` whoever's it is: for loops only."""
    condition = "" if project is None else " AND project_id = :project"
    row = tx.one(
        f"SELECT {_ENTRY} FROM waitlist_entries WHERE id = :id{condition}" + (tx.for_update if lock else ""),
        id=entry_id,
        **({} if project is None else {"project": project}),
    )
    return None if row is None else _entry(row)


def list_entries(tx: Tx, project: str, *, statuses: Collection[Status], limit: int) -> list[Entry]:
    """Newest first."""
    names = {f"status_{number}": status.value for number, status in enumerate(sorted(statuses))}
    rows = tx.all(
        f"SELECT {_ENTRY} FROM waitlist_entries WHERE project_id = :project"
        f" AND status IN ({', '.join(':' + name for name in names)})"
        " ORDER BY created_at DESC, id DESC LIMIT :limit",
        project=project,
        limit=limit,
        **names,
    )
    return [_entry(row) for row in rows]


def active(tx: Tx, project: str, *, instance_type: str | None = None, limit: int) -> list[Entry]:
    """In the order of their tickets."""
    condition = "" if instance_type is None else " AND instance_type = :type"
    rows = tx.all(
        f"SELECT {_ENTRY} FROM waitlist_entries WHERE project_id = :project AND {_ACTIVE}{condition}"
        " ORDER BY ticket LIMIT :limit",
        project=project,
        limit=limit,
        **({} if instance_type is None else {"type": instance_type}),
    )
    return [_entry(row) for row in rows]


def in_turn(tx: Tx, instance_type: str, location: str, *, after_ticket: int, limit: int) -> list[Entry]:
    """Who wait for a unit there, or anywhere, and nothing is in their way, by ticket; those who rest included."""
    found = []
    # A statement for each of the two lines: each reads no more than it returns, off the index.
    for line in (location, ANYWHERE):
        found += tx.all(
            f"SELECT {_ENTRY} FROM waitlist_entries WHERE {_IN_TURN} AND instance_type = :type"
            " AND location = :location AND ticket > :after ORDER BY ticket LIMIT :limit",
            type=instance_type,
            location=line,
            after=after_ticket,
            limit=limit,
        )
    return sorted((_entry(row) for row in found), key=lambda entry: entry.ticket)[:limit]


def count_ahead(tx: Tx, instance_type: str, location: str, ticket: int) -> int:
    """How many in one line have a lower ticket; those passed over do not count."""
    row = tx.one(
        f"SELECT COUNT(*) FROM (SELECT 1 FROM waitlist_entries WHERE {_IN_TURN} AND instance_type = :type"
        " AND location = :location AND ticket < :ticket LIMIT :most) AS ahead",
        type=instance_type,
        location=location,
        ticket=ticket,
        most=COUNTED,
    )
    return 0 if row is None else row[0]


def granted(tx: Tx, instance_type: str, location: str) -> dict[str, int]:
    """Units there that are being given out, by project."""
    rows = tx.all(
        "SELECT project_id, COUNT(*) FROM waitlist_entries WHERE status IN ('notified', 'deploying')"
        " AND instance_type = :type AND granted_location = :location"
        " AND (status = 'deploying' OR claim_expires_at IS NOT NULL) GROUP BY project_id LIMIT 10000",
        type=instance_type,
        location=location,
    )
    return {row[0]: row[1] for row in rows}


def count_told(tx: Tx, instance_type: str, location: str) -> int:
    """Who were told of a unit there that is kept for nobody."""
    row = tx.one(
        "SELECT COUNT(*) FROM waitlist_entries WHERE status IN ('notified', 'deploying') AND status = 'notified'"
        " AND instance_type = :type AND granted_location = :location AND claim_expires_at IS NULL",
        type=instance_type,
        location=location,
    )
    return 0 if row is None else row[0]


def passed_over(tx: Tx, instance_type: str, location: str, *, not_since: Instant, limit: int) -> list[str]:
    """The first whose obstacle depends on what is free, and who were not looked at since then."""
    rows = tx.all(
        f"SELECT id FROM waitlist_entries WHERE {_PASSED_OVER} AND instance_type = :type"
        " AND location IN (:location, :anywhere) AND updated_at <= :not_since ORDER BY ticket LIMIT :limit",
        type=instance_type,
        location=location,
        anywhere=ANYWHERE,
        not_since=not_since,
        limit=limit,
    )
    return [row[0] for row in rows]


def due(tx: Tx, *, limit: int) -> list[str]:
    rows = tx.all(
        "SELECT id FROM waitlist_entries WHERE due_at <= :now ORDER BY due_at LIMIT :limit",
        now=tx.now,
        limit=limit,
    )
    return [row[0] for row in rows]


def next_due(tx: Tx) -> Instant | None:
    row = tx.one("SELECT due_at FROM waitlist_entries WHERE due_at IS NOT NULL ORDER BY due_at LIMIT 1")
    return None if row is None else Instant(row[0])


def wake_credited(tx: Tx) -> int:
    """Makes due what lacked credit and whose account has more now."""
    return tx.run(
        "UPDATE waitlist_entries SET look_at = :now, due_at = :now WHERE blocked_balance_micros IS NOT NULL"
        " AND due_at + 0 > :now AND EXISTS (SELECT 1 FROM accounts a WHERE a.id = waitlist_entries.project_id"
        " AND a.balance_micros > waitlist_entries.blocked_balance_micros)",
        now=tx.now,
    )


def has_credited(tx: Tx) -> bool:
    """Whether `wake_credited` would find anything."""
    # The sum keeps SQLite from going by the time, which nearly all of a long line matches, instead of by the block.
    row = tx.one(
        "SELECT 1 FROM waitlist_entries e JOIN accounts a ON a.id = e.project_id"
        " AND a.balance_micros > e.blocked_balance_micros"
        " WHERE e.blocked_balance_micros IS NOT NULL AND e.due_at + 0 > :now LIMIT 1",
        now=tx.now,
    )
    return row is not None


def note_deployment(tx: Tx, key: str, entry_id: str, instance_id: str) -> None:
    """Fails on a key that was used: one entry never has two deployments of one attempt."""
    tx.run(
        "INSERT INTO waitlist_deployments (key, entry_id, instance_id, created_at)"
        " VALUES (:key, :entry, :instance, :now)",
        key=key,
        entry=entry_id,
        instance=instance_id,
        now=tx.now,
    )


def real_lines(tx: Tx) -> list[Row]:
    """(type, location, length, owed, reserved) as the entries say."""
    return tx.all(
        "SELECT instance_type, location, CAST(SUM(length) AS BIGINT), CAST(SUM(owed) AS BIGINT),"
        " CAST(SUM(reserved) AS BIGINT) FROM (SELECT instance_type, location, 1 AS length, is_owed AS owed,"
        " 0 AS reserved FROM waitlist_entries WHERE status IN ('waiting', 'notified') UNION ALL"
        " SELECT instance_type, granted_location, 0, 0, 1 FROM waitlist_entries WHERE status = 'notified'"
        " AND claim_expires_at IS NOT NULL) AS standing GROUP BY instance_type, location"
        " ORDER BY instance_type, location LIMIT 1000000"
    )

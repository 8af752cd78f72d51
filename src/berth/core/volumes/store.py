"""Statements of the volumes noun. Attachments are written only under the lock of their volume's row."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from functools import lru_cache

from berth.base import leases
from berth.base.clock import Instant, after
from berth.base.db import Row, Tx
from berth.base.paging import After
from berth.core.volumes.model import (
    Attachment,
    Fate,
    Filter,
    Link,
    Origin,
    Orphan,
    Status,
    Volume,
    Wanted,
)

_COLUMNS = (
    "id",
    "project_id",
    "created_by",
    "name",
    "type",
    "location",
    "provider",
    "size_gb",
    "wanted_size_gb",
    "is_shared",
    "max_attachments",
    "attaches_live",
    "price_micros_per_gb_month",
    "cost_micros_per_gb_month",
    "os_of",
    "born_with",
    "on_instance_delete",
    "handle",
    "status",
    "wanted",
    "status_reason",
    "created_at",
    "updated_at",
    "deleted_at",
    "purge_at",
    "gone_at",
    "create_sent_at",
    "missing_since",
    "sequence",
    "due_at",
    "lease_token",
    "attempt",
    "is_bootable",
    "image_id",
    "image_slug",
    "os_name",
    "ssh_user",
    "on_eviction",
    "cloning_from",
)
_VOLUME = ", ".join(_COLUMNS)
_ATTACHMENT = "volume_id, instance_id, mount_name, state, created_at, mount_path"
_INSERT = f"INSERT INTO volumes ({_VOLUME}) VALUES ({', '.join(':' + column for column in _COLUMNS)})"
_FIXED = {"id", "project_id", "created_by", "created_at"}
_UPDATE = "UPDATE volumes SET " + ", ".join(f"{name} = :{name}" for name in _COLUMNS if name not in _FIXED)
_ATTACHED = "('attaching', 'attached')"


def _volume(row: Row, attachments: Sequence[Attachment] = ()) -> Volume:
    return Volume(
        *(
            *row[:9],
            bool(row[9]),
            row[10],
            bool(row[11]),
            *row[12:16],
            Fate(row[16]),
            row[17],
            Status(row[18]),
            Wanted(row[19]),
            *row[20:32],
            bool(row[32]),
            None if row[33] is None else Origin(*row[33:37]),
            Fate(row[37]),
            row[38],
            tuple(attachments),
        )
    )


def _attachment(row: Row) -> Attachment:
    return Attachment(*(*row[:3], Link(row[3]), *row[4:]))


def _values(volume: Volume) -> dict[str, object]:
    origin = volume.origin
    return {
        "id": volume.id,
        "project_id": volume.project,
        "created_by": volume.created_by,
        "name": volume.name,
        "type": volume.type,
        "location": volume.location,
        "provider": volume.provider,
        "size_gb": volume.size_gb,
        "wanted_size_gb": volume.wanted_size_gb,
        "is_shared": int(volume.is_shared),
        "max_attachments": volume.max_attachments,
        "attaches_live": int(volume.attaches_live),
        "price_micros_per_gb_month": volume.price_micros_per_gb_month,
        "cost_micros_per_gb_month": volume.cost_micros_per_gb_month,
        "os_of": volume.os_of,
        "born_with": volume.born_with,
        "on_instance_delete": volume.fate.value,
        "handle": volume.handle,
        "status": volume.status.value,
        "wanted": volume.wanted.value,
        "status_reason": volume.status_reason,
        "created_at": volume.created_at,
        "updated_at": volume.updated_at,
        "deleted_at": volume.deleted_at,
        "purge_at": volume.purge_at,
        "gone_at": volume.gone_at,
        "create_sent_at": volume.create_sent_at,
        "missing_since": volume.missing_since,
        "sequence": volume.sequence,
        "due_at": volume.due_at,
        "lease_token": volume.lease_token,
        "attempt": volume.attempt,
        "is_bootable": int(volume.is_bootable),
        "image_id": None if origin is None else origin.image_id,
        "image_slug": None if origin is None else origin.image_slug,
        "os_name": None if origin is None else origin.os_name,
        "ssh_user": None if origin is None else origin.ssh_user,
        "on_eviction": volume.eviction_fate.value,
        "cloning_from": volume.cloning_from,
    }


def insert(tx: Tx, volume: Volume) -> None:
    tx.run(_INSERT, **_values(volume))
    for attachment in volume.attachments:
        insert_attachment(tx, attachment)


def save(tx: Tx, volume: Volume, *, keep_lease: bool = False) -> None:
    """Writes the row, attachments apart. The lease ends, unless the step under way goes on."""
    ending = "" if keep_lease else ", lease_expires_at = 0"
    values = {name: value for name, value in _values(volume).items() if name not in _FIXED}
    tx.run(f"{_UPDATE}{ending} WHERE id = :id", id=volume.id, **values)


def insert_attachment(tx: Tx, attachment: Attachment) -> None:
    tx.run(
        f"INSERT INTO attachments ({_ATTACHMENT}) VALUES"
        " (:volume, :instance, :mount_name, :state, :created_at, :mount_path)",
        volume=attachment.volume_id,
        instance=attachment.instance_id,
        mount_name=attachment.mount_name,
        state=attachment.link.value,
        created_at=attachment.created_at,
        mount_path=attachment.mount_path,
    )


def set_link(tx: Tx, attachment: Attachment) -> None:
    tx.run(
        "UPDATE attachments SET state = :state WHERE volume_id = :volume AND instance_id = :instance",
        state=attachment.link.value,
        volume=attachment.volume_id,
        instance=attachment.instance_id,
    )


def delete_attachment(tx: Tx, attachment: Attachment) -> None:
    tx.run(
        "DELETE FROM attachments WHERE volume_id = :volume AND instance_id = :instance",
        volume=attachment.volume_id,
        instance=attachment.instance_id,
    )


def find(tx: Tx, project: str, volume_id: str, *, lock: bool = False) -> Volume | None:
    row = tx.one(
        f"SELECT {_VOLUME} FROM volumes WHERE id = :id AND project_id = :project"
        + (tx.for_update if lock else ""),
        id=volume_id,
        project=project,
    )
    return None if row is None else _whole(tx, row)


def find_any(tx: Tx, volume_id: str, *, lock: bool = True) -> Volume | None:
    """Whoever's it is: for loops only."""
    suffix = tx.for_update if lock else ""
    row = tx.one(f"SELECT {_VOLUME} FROM volumes WHERE id = :id" + suffix, id=volume_id)
    return None if row is None else _whole(tx, row)


def of_instance(tx: Tx, instance_id: str, *, lock: bool = False) -> list[Volume]:
    """The data volumes attached to it, or about to be or to leave, by id: always locked in one order."""
    rows = tx.all(
        f"SELECT {_VOLUME} FROM volumes WHERE id IN (SELECT volume_id FROM attachments"
        " WHERE instance_id = :instance) ORDER BY id LIMIT 1000" + (tx.for_update if lock else ""),
        instance=instance_id,
    )
    return _all_whole(tx, rows)


def born_with(tx: Tx, instance_id: str) -> list[Volume]:
    """The volumes ordered with an instance that has not run yet, locked."""
    rows = tx.all(
        f"SELECT {_VOLUME} FROM volumes WHERE born_with = :instance ORDER BY id LIMIT 1000" + tx.for_update,
        instance=instance_id,
    )
    return _all_whole(tx, rows)


def os_of(tx: Tx, instance_id: str, *, lock: bool = False) -> Volume | None:
    """The boot disk of an instance, or of one that took it along when it ended."""
    suffix = tx.for_update if lock else ""
    row = tx.one(f"SELECT {_VOLUME} FROM volumes WHERE os_of = :instance" + suffix, instance=instance_id)
    return None if row is None else _volume(row)


def set_os_status(tx: Tx, instance_id: str, status: Status) -> None:
    """Boot disks come and go with their instance."""
    tx.run(
        "UPDATE volumes SET status = :status, updated_at = :now WHERE os_of = :instance AND status <> 'deleted'",
        status=status.value,
        instance=instance_id,
        now=tx.now,
    )


def set_os_handle(tx: Tx, instance_id: str, handle: str) -> None:
    tx.run(
        "UPDATE volumes SET handle = :handle WHERE os_of = :instance AND status <> 'deleted'"
        " AND (handle IS NULL OR handle <> :handle)",
        instance=instance_id,
        handle=handle,
    )


def move_os(tx: Tx, instance_id: str, provider: str, location: str) -> None:
    """It is made anew elsewhere: nothing of it is known to exist."""
    tx.run(
        "UPDATE volumes SET provider = :provider, location = :location, handle = NULL"
        " WHERE os_of = :instance AND status <> 'deleted'",
        instance=instance_id,
        provider=provider,
        location=location,
    )


def by_handle(tx: Tx, provider: str, handle: str) -> Volume | None:
    """The volume that exists, or is to exist, under this handle."""
    row = tx.one(
        f"SELECT {_VOLUME} FROM volumes WHERE provider = :provider AND handle = :handle AND gone_at IS NULL"
        " ORDER BY id LIMIT 1",
        provider=provider,
        handle=handle,
    )
    return None if row is None else _volume(row)


def copies_of(tx: Tx, volume_ids: Collection[str]) -> list[str]:
    """The volumes that are being made as copies of one of these."""
    names = {f"id_{number}": volume_id for number, volume_id in enumerate(sorted(volume_ids))}
    rows = tx.all(
        f"SELECT id FROM volumes WHERE cloning_from IN ({_listed(names)}) AND gone_at IS NULL"
        " AND wanted = 'kept' ORDER BY id LIMIT 100",
        **names,
    )
    return [row[0] for row in rows]


def end_os(tx: Tx, instance_id: str) -> None:
    tx.run(
        "UPDATE volumes SET status = 'deleted', wanted = 'purged', updated_at = :now, deleted_at = :now,"
        " purge_at = :now, gone_at = :now WHERE os_of = :instance AND status <> 'deleted'",
        instance=instance_id,
        now=tx.now,
    )


def used(tx: Tx, project: str) -> tuple[int, int]:
    """How many data volumes a project has, and how many GB in all; those in the trash count."""
    row = tx.one(
        "SELECT COUNT(*), CAST(COALESCE(SUM(wanted_size_gb), 0) AS BIGINT) FROM volumes"
        " WHERE project_id = :project AND gone_at IS NULL AND os_of IS NULL",
        project=project,
    )
    return (0, 0) if row is None else (row[0], row[1])


def mount_names(tx: Tx, instance_id: str) -> set[str]:
    rows = tx.all(
        "SELECT mount_name FROM attachments WHERE instance_id = :instance LIMIT 1000", instance=instance_id
    )
    return {row[0] for row in rows}


def mount_paths(tx: Tx, instance_id: str) -> set[str]:
    rows = tx.all(
        "SELECT mount_path FROM attachments WHERE instance_id = :instance AND mount_path IS NOT NULL LIMIT 1000",
        instance=instance_id,
    )
    return {row[0] for row in rows}


def page(tx: Tx, project: str, wanted: Filter, *, after_row: After | None, limit: int) -> list[Volume]:
    """Newest first."""
    conditions, values = _conditions(project, wanted)
    if after_row is not None:
        conditions += " AND (created_at, id) < (:after_time, :after_id)"
        values |= {"after_time": after_row.time, "after_id": after_row.id}
    rows = tx.all(
        f"SELECT {_VOLUME} FROM volumes WHERE {conditions} ORDER BY created_at DESC, id DESC LIMIT :limit",
        **values,
        limit=limit,
    )
    return _all_whole(tx, rows)


def total(tx: Tx, project: str, wanted: Filter) -> int:
    conditions, values = _conditions(project, wanted)
    row = tx.one(f"SELECT COUNT(*) FROM volumes WHERE {conditions}", **values)
    return 0 if row is None else row[0]


def live_of(tx: Tx, project: str, *, after_id: str, limit: int) -> list[Volume]:
    """Data volumes that are not deleted, by id."""
    rows = tx.all(
        f"SELECT {_VOLUME} FROM volumes WHERE project_id = :project AND status <> 'deleted' AND os_of IS NULL"
        " AND id > :after ORDER BY id LIMIT :limit",
        project=project,
        after=after_id,
        limit=limit,
    )
    return _all_whole(tx, rows)


def lease_due(tx: Tx, *, limit: int, seconds: int, providers: Collection[str]) -> list[Volume]:
    """Takes what is due and nobody works on. A holder that dies leaves its rows due again when the lease ends."""
    until = after(tx.now, seconds=seconds)
    names = {f"provider_{number}": name for number, name in enumerate(sorted(providers))}
    rows = tx.all(
        # Materialized: PostgreSQL may otherwise run a locking subselect more than once, past its limit.
        "WITH due AS MATERIALIZED (SELECT id FROM volumes WHERE due_at <= :now AND lease_expires_at <= :now"
        f" AND provider IN ({_listed(names)}) ORDER BY due_at LIMIT :limit{tx.skip_locked})"
        " UPDATE volumes SET lease_token = lease_token + 1, lease_expires_at = :until, due_at = :until,"
        f" attempt = attempt + 1 WHERE id IN (SELECT id FROM due) RETURNING {_VOLUME}",
        now=tx.now,
        until=until,
        limit=limit,
        **names,
    )
    return _all_whole(tx, rows)


def renew_lease(tx: Tx, id_: str, token: int, *, until: Instant) -> bool:
    return leases.renew_row(tx, "volumes", id_, token, until=until)


def give_back(tx: Tx, id_: str, token: int) -> None:
    leases.give_back_row(tx, "volumes", id_, token)


def release_leases(tx: Tx) -> None:
    tx.run(
        "UPDATE volumes SET lease_expires_at = 0, lease_token = lease_token + 1, due_at = :now"
        " WHERE due_at IS NOT NULL AND lease_expires_at > :now",
        now=tx.now,
    )


def next_due(tx: Tx, *, providers: Collection[str]) -> Instant | None:
    """When somebody can take a row next: one that is held is not due before its lease ends."""
    names = {f"provider_{number}": name for number, name in enumerate(sorted(providers))}
    row = tx.one(
        "SELECT MIN(CASE WHEN lease_expires_at > due_at THEN lease_expires_at ELSE due_at END)"
        f" FROM volumes WHERE due_at IS NOT NULL AND provider IN ({_listed(names)})",
        **names,
    )
    return None if row is None or row[0] is None else Instant(row[0])


def at_provider(tx: Tx, provider: str, *, after_id: str, limit: int) -> list[Volume]:
    """Data volumes that are, or may be, at `provider`, by id."""
    rows = tx.all(
        f"SELECT {_VOLUME} FROM volumes WHERE provider = :provider AND id > :after AND gone_at IS NULL"
        " AND os_of IS NULL AND handle IS NOT NULL ORDER BY id LIMIT :limit",
        provider=provider,
        after=after_id,
        limit=limit,
    )
    return _all_whole(tx, rows)


def mark_listed(tx: Tx, provider: str) -> Instant | None:
    """Notes a complete listing now; returns when the one before was."""
    row = tx.one("SELECT volumes_listed_at FROM providers WHERE name = :name" + tx.for_update, name=provider)
    tx.run(
        "INSERT INTO providers (name, volumes_listed_at) VALUES (:name, :now)"
        " ON CONFLICT (name) DO UPDATE SET volumes_listed_at = excluded.volumes_listed_at",
        name=provider,
        now=tx.now,
    )
    return None if row is None or row[0] is None else Instant(row[0])


def upsert_orphan(tx: Tx, provider: str, handle: str, volume_id: str) -> tuple[Orphan, bool]:
    """The orphan as first seen, and whether that is now. One that was destroyed and is back starts anew."""
    row = tx.one(
        "INSERT INTO orphan_volumes (provider, handle, volume_id, first_seen_at)"
        " VALUES (:provider, :handle, :id, :now)"
        " ON CONFLICT (provider, handle) DO UPDATE SET destroyed_at = NULL, first_seen_at = CASE"
        " WHEN orphan_volumes.destroyed_at IS NULL THEN orphan_volumes.first_seen_at"
        " ELSE excluded.first_seen_at END RETURNING first_seen_at",
        provider=provider,
        handle=handle,
        id=volume_id,
        now=tx.now,
    )
    first_seen_at = tx.now if row is None else Instant(row[0])
    return Orphan(provider, handle, volume_id, first_seen_at), first_seen_at == tx.now


def end_orphan(tx: Tx, orphan: Orphan) -> None:
    tx.run(
        "UPDATE orphan_volumes SET destroyed_at = :now WHERE provider = :provider AND handle = :handle",
        now=tx.now,
        provider=orphan.provider,
        handle=orphan.handle,
    )


def _conditions(project: str, wanted: Filter) -> tuple[str, dict[str, object]]:
    conditions = ["project_id = :project"]
    values: dict[str, object] = {"project": project}
    if wanted.statuses is None:
        conditions.append("status <> 'deleted'")
    else:
        names = {f"status_{number}": status.value for number, status in enumerate(sorted(wanted.statuses))}
        conditions.append(f"status IN ({_listed(names)})")
        values |= names
    if wanted.location is not None:
        conditions.append("location = :location")
        values["location"] = wanted.location
    if wanted.type is not None:
        conditions.append("type = :type")
        values["type"] = wanted.type
    if wanted.is_attached is not None:
        conditions.append(f"status {'' if wanted.is_attached else 'NOT '}IN {_ATTACHED}")
    if wanted.instance_id is not None:
        conditions.append(
            "(os_of = :instance OR id IN (SELECT volume_id FROM attachments WHERE instance_id = :instance))"
        )
        values["instance"] = wanted.instance_id
    return " AND ".join(conditions), values


def _whole(tx: Tx, row: Row) -> Volume:
    return _all_whole(tx, [row])[0]


def _all_whole(tx: Tx, rows: Sequence[Row]) -> list[Volume]:
    """Volumes with their attachments, in the order they were attached in."""
    found = [_volume(row) for row in rows]
    # A boot disk has none, and most of what a page shows may be boot disks.
    names = {f"id_{number}": volume.id for number, volume in enumerate(found) if volume.os_of is None}
    if not names:
        return found
    by_volume: dict[str, list[Attachment]] = {}
    for row in tx.all(_attachments_of(tuple(names)), **names):
        by_volume.setdefault(row[0], []).append(_attachment(row))
    return [replace(volume, attachments=tuple(by_volume.get(volume.id, ()))) for volume in found]


@lru_cache(256)
def _attachments_of(names: tuple[str, ...]) -> str:
    return (
        f"SELECT {_ATTACHMENT} FROM attachments WHERE volume_id IN ({_listed(names)})"
        " ORDER BY created_at, instance_id LIMIT 10000"
    )


def _listed(names: Iterable[str]) -> str:
    """The parameters of these names, for IN. None at all is a list that nothing is in."""
    return ", ".join(":" + name for name in names) or "NULL"

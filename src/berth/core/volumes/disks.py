"""Boot disks: one for each instance, which pays for it. It ends with its instance or stays as a volume of its own.

The caller holds the lock on the instance's row, or is just making it. What is to become of a disk is on its row
(`fate`) from when the end is asked for, so that whoever carries the end out, and after any crash, does the same.
"""

from dataclasses import replace

from berth.base import ids
from berth.base.db import Tx
from berth.core import billing, catalog
from berth.core.errors import Conflict, NotFound
from berth.core.events import Actor
from berth.core.volumes import store
from berth.core.volumes.model import Fate, NewVolume, Origin, Status, Volume, Wanted
from berth.core.volumes.service import check_not_copied, start_storage
from berth.core.volumes.writing import write


def add_os_volume(
    tx: Tx, by: Actor, instance_id: str, spec: NewVolume, location: str, provider: str, origin: Origin
) -> None:
    """One statement: it is part of every order."""
    store.insert(
        tx,
        Volume(
            id=ids.new(tx.now),
            project=by.project,
            created_by=by.key_id,
            name=spec.name,
            type=spec.type,
            location=location,
            provider=provider,
            size_gb=spec.size_gb,
            wanted_size_gb=spec.size_gb,
            is_shared=False,
            max_attachments=1,
            attaches_live=False,
            price_micros_per_gb_month=0,
            cost_micros_per_gb_month=0,
            os_of=instance_id,
            born_with=None,
            fate=Fate.PURGE,
            handle=None,
            status=Status.ORDERED,
            wanted=Wanted.KEPT,
            status_reason=None,
            created_at=tx.now,
            updated_at=tx.now,
            deleted_at=None,
            purge_at=None,
            gone_at=None,
            create_sent_at=None,
            missing_since=None,
            sequence=1,
            due_at=None,
            lease_token=0,
            attempt=0,
            is_bootable=True,
            origin=origin,
            eviction_fate=spec.eviction_fate,
        ),
    )


def find_bootable(tx: Tx, by: Actor, volume_id: str) -> Volume | None:
    """The project's volume that an order names in the place of an image; None when it has none of that id.

    Raises NotFound for one that nothing boots from.
    """
    found = store.find(tx, by.project, volume_id) if ids.is_id(volume_id) else None
    if found is not None and (found.origin is None or found.status is Status.DELETED):
        raise os_volume_not_found()
    return found


def check_bootable(tx: Tx, volume: Volume) -> None:
    """Raises Conflict for one that is not free to boot from. It is locked."""
    if volume.status is not Status.DETACHED or volume.wanted_size_gb > volume.size_gb:
        raise Conflict(
            "in_use",
            f"The volume {volume.name} is {volume.status.value}: a deployment boots from a detached one.",
            status=volume.status.value,
        )
    check_not_copied(tx, volume)


def board_disk(tx: Tx, by: Actor, volume: Volume, instance_id: str) -> None:
    """A new instance boots from it: it is paid for with that, and unharmed should that come to nothing."""
    billing.finish_storage(tx, volume.project, volume.id, tx.now)
    boarded = replace(
        volume, os_of=instance_id, status=Status.ATTACHING, fate=Fate.DETACH, status_reason=None
    )
    write(tx, by, boarded, "volume.attach_wanted", instance_id=instance_id)


def disk_seen(tx: Tx, instance_id: str, handle: str) -> None:
    """The provider's id of an instance's boot disk, as it says now."""
    store.set_os_handle(tx, instance_id, handle)


def disk_moved(tx: Tx, instance_id: str, provider: str, location: str) -> None:
    """The instance is made anew at `provider`, and its new boot disk with it."""
    store.move_os(tx, instance_id, provider, location)


def os_volume_is_there(tx: Tx, instance_id: str) -> None:
    store.set_os_status(tx, instance_id, Status.ATTACHED)


def keeps_disk(tx: Tx, instance_id: str) -> bool:
    """Whether the boot disk is to stay when the instance is destroyed now."""
    disk = store.os_of(tx, instance_id)
    return disk is not None and disk.fate is not Fate.PURGE and disk.handle is not None


def decide(tx: Tx, instance_id: str, fate: Fate | None, *, may_refuse: bool = False) -> None:
    """What becomes of the boot disk once its instance is gone; None: what an eviction does to it.

    One that cannot be kept ends with its instance, or, with `may_refuse`, is Conflict `not_supported` for a detach.
    """
    disk = store.os_of(tx, instance_id, lock=True)
    if disk is None or disk.status is Status.DELETED:
        return
    chosen = disk.eviction_fate if fate is None else fate
    kept = None if chosen is Fate.PURGE else _priced(tx, disk)
    if kept is None and chosen is Fate.DETACH and may_refuse:
        raise Conflict("not_supported", "The boot disk cannot be kept where this deployment is.")
    decided = replace(disk, fate=Fate.PURGE) if kept is None else replace(kept, fate=chosen)
    if decided != disk:
        store.save(tx, decided, keep_lease=True)


def hold_disk(tx: Tx, instance_id: str) -> None:
    """Locks it until the commit."""
    store.os_of(tx, instance_id, lock=True)


def free_disk(tx: Tx, by: Actor, instance_id: str) -> None:
    """The instance is gone, or never was: its boot disk went with it, or is a volume of its own from now on."""
    disk = store.os_of(tx, instance_id, lock=True)
    if disk is None or disk.status is Status.DELETED:
        return
    if disk.fate is Fate.PURGE or disk.handle is None:
        store.end_os(tx, instance_id)
        return
    wanted = Wanted.TRASHED if disk.fate is Fate.TRASH else Wanted.KEPT
    freed = replace(
        disk,
        os_of=None,
        fate=Fate.PURGE,
        wanted=wanted,
        wanted_size_gb=disk.size_gb,
        # From now on it is looked for in listings, as what was just made is.
        create_sent_at=tx.now,
        missing_since=None,
    )
    if wanted is Wanted.KEPT:
        start_storage(tx, freed)
    event = "volume.detached" if wanted is Wanted.KEPT else "volume.deleted"
    write(tx, by, freed, event, instance_id=instance_id)


def is_kept_disk(tx: Tx, provider: str, handle: str) -> bool:
    """Whether what the provider calls `handle` is a volume that somebody has."""
    return store.by_handle(tx, provider, handle) is not None


def os_volume_not_found() -> NotFound:
    return NotFound("os_volume_not_found", "Operating system or volume not found")


def _priced(tx: Tx, disk: Volume) -> Volume | None:
    """The disk with what it costs on its own; None where it cannot be kept, or nobody says what that costs."""
    if disk.handle is None or not catalog.abilities(tx, disk.provider).keeps_disks:
        return None
    if disk.price_micros_per_gb_month:
        return disk
    for sold in catalog.sold_volume_types(tx, disk.type, disk.location):
        if sold.provider == disk.provider:
            return replace(
                disk,
                price_micros_per_gb_month=sold.price_micros_per_gb_month,
                cost_micros_per_gb_month=sold.cost_micros_per_gb_month,
            )
    return None

"""What instances do with volumes: order them, boot with them, run with them, and leave them behind.

The caller holds the lock on the instance's row, or is just making it; volumes are locked after it, by id.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from berth.base.db import Tx
from berth.core import billing, catalog
from berth.core.catalog import VolumeType
from berth.core.driver import Mount
from berth.core.errors import Conflict
from berth.core.events import Actor
from berth.core.volumes import states, store
from berth.core.volumes.disks import board_disk, check_bootable
from berth.core.volumes.model import (
    Attachment,
    Fate,
    Link,
    NewVolume,
    Status,
    Volume,
    Wanted,
)
from berth.core.volumes.reasons import sentence_of
from berth.core.volumes.service import (
    VOLUMES_PER_INSTANCE,
    check_attachable,
    check_new,
    check_not_copied,
    check_path,
    check_size,
    distinct_name,
    drafted,
    invalid,
    mismatch,
    reserve,
    start_storage,
)
from berth.core.volumes.writing import attachment_to, insert, link, unlink, write


@dataclass(frozen=True, slots=True)
class Cargo:
    """The volumes of an order, looked up: new ones by where each is sold, and those that exist, locked."""

    specs: Sequence[NewVolume] = ()
    sold: Sequence[Sequence[VolumeType]] = ()
    existing: Sequence[Volume] = ()
    disk: Volume | None = None
    """What the instance boots from, in the place of a new boot disk."""
    paths: Mapping[str, str] = field(default_factory=dict)
    """Where those that exist are mounted, by their id; not named: at `/mnt/<name>`."""

    def fits(self, provider: str) -> bool:
        """Whether an instance at `provider` can have them all."""
        there = self.existing if self.disk is None else (*self.existing, self.disk)
        return all(volume.provider == provider for volume in there) and all(
            any(each.provider == provider for each in sold) for sold in self.sold
        )


@dataclass(frozen=True, slots=True)
class Luggage:
    """What an instance is to boot with, and whether it can."""

    mounts: Sequence[Mount]
    is_waiting: bool
    """Some volume does not exist yet."""
    is_lost: bool
    """Some volume cannot be had."""
    reason: str | None = None
    """Why, as a sentence."""


NOTHING = Cargo()


def look_up(
    tx: Tx,
    by: Actor,
    specs: Sequence[NewVolume],
    existing_ids: Sequence[str],
    location: str,
    *,
    disk_id: str | None = None,
    paths: Mapping[str, str] | None = None,
) -> Cargo:
    """Checks and locks what an order names; `disk_id` is what it boots from, `paths` where existing ones are mounted.

    Raises Invalid naming the member, Conflict (in_use, invalid_state, quota).
    """
    if not specs and not existing_ids and disk_id is None:
        return NOTHING
    by.may("volumes:write")
    if len(specs) + len(set(existing_ids)) > VOLUMES_PER_INSTANCE:
        raise Conflict(
            "quota", f"A deployment has at most {VOLUMES_PER_INSTANCE} volumes beside its boot disk."
        )
    sold = [_sold(tx, spec, location, number) for number, spec in enumerate(specs)]
    if specs:
        reserve(tx, by, specs)
    paths = {volume_id: path for volume_id, path in (paths or {}).items() if volume_id in existing_ids}
    _check_paths([spec.mount_path for spec in specs], list(paths.values()))
    existing, disk = _take(tx, by, existing_ids, location, disk_id)
    return Cargo(tuple(specs), sold, existing, disk, paths)


def board(tx: Tx, by: Actor, cargo: Cargo, instance_id: str, provider: str) -> Sequence[str]:
    """Gives a new instance its volumes, new ones made where it is. Returns their ids in the order they were named."""
    taken: set[str] = set()
    boarded = []
    for spec, sold in zip(cargo.specs, cargo.sold, strict=True):
        offered = next(each for each in sold if each.provider == provider)
        volume = replace(drafted(tx, by, spec, offered), born_with=instance_id)
        ticket = _ticket(tx, volume, instance_id, taken, spec.mount_path)
        volume = replace(volume, attachments=(ticket,))
        boarded.append(insert(tx, by, volume).id)
    for volume in cargo.existing:
        ticket = _ticket(tx, volume, instance_id, taken, cargo.paths.get(volume.id))
        store.insert_attachment(tx, ticket)
        changed = replace(volume, attachments=(*volume.attachments, ticket), status_reason=None)
        write(tx, by, changed, "volume.attach_wanted", instance_id=instance_id)
        boarded.append(volume.id)
    if cargo.disk is not None:
        board_disk(tx, by, cargo.disk, instance_id)
    return tuple(boarded)


def luggage(tx: Tx, instance_id: str, volume_ids: Sequence[str]) -> Luggage:
    """How far the volumes are that an instance is to boot with."""
    here = {volume.id: volume for volume in store.of_instance(tx, instance_id)}
    lost = [volume_id for volume_id in volume_ids if volume_id not in here]
    if lost:
        gone = store.find_any(tx, lost[0], lock=False)
        reason = None if gone is None else gone.status_reason
        return Luggage(
            (), is_waiting=False, is_lost=True, reason=None if reason is None else sentence_of(reason)
        )
    if any(volume.handle is None for volume in here.values()):
        return Luggage((), is_waiting=True, is_lost=False)
    return Luggage(mounts(tx, instance_id), is_waiting=False, is_lost=False)


def mounts(tx: Tx, instance_id: str) -> Sequence[Mount]:
    """The volumes that exist of those that an instance is to have, for its provider."""
    return [
        Mount(volume.handle, attachment.mount_name, attachment.mount_path)
        for volume in store.of_instance(tx, instance_id)
        if volume.handle is not None
        and (attachment := attachment_to(volume, instance_id)) is not None
        and attachment.link not in states.ENDING
    ]


def are_moving(tx: Tx, instance_id: str) -> bool:
    """Whether some volume is still to be attached or detached that can be only while the instance is off."""
    return any(
        not volume.attaches_live
        and (attachment := attachment_to(volume, instance_id)) is not None
        and attachment.link in {Link.ATTACHING, Link.DETACHING}
        for volume in store.of_instance(tx, instance_id)
    )


def arrived(tx: Tx, by: Actor, instance_id: str) -> None:
    """The instance runs for the first time: it has its volumes, and those ordered with it cost from now on."""
    for volume in store.of_instance(tx, instance_id, lock=True):
        attachment = attachment_to(volume, instance_id)
        if attachment is None or attachment.link is not Link.BOOT:
            continue
        changed = link(tx, volume, instance_id, Link.ATTACHED)
        if changed.born_with == instance_id:
            changed = replace(changed, born_with=None)
            start_storage(tx, changed)
        write(tx, by, changed, "volume.attached", instance_id=instance_id)


def hold(tx: Tx, instance_id: str) -> None:
    """Locks an instance's volumes until the commit, those ordered with it that it lost included."""
    store.of_instance(tx, instance_id, lock=True)
    store.born_with(tx, instance_id)


def leave(
    tx: Tx,
    by: Actor,
    instance_id: str,
    doomed: frozenset[str] | None = frozenset(),
    *,
    keeps_all: bool = False,
    is_permanent: bool = False,
    is_eviction: bool = False,
) -> None:
    """The instance ends, and its end detaches its volumes.

    Those ordered with it that it never ran with go with it, at no charge. Of the others `doomed` (None: all) go to
    the trash, or for good with `is_permanent`, and the rest by what is set for each, for its own end or for an
    eviction; one that other instances have too is always kept, and with `keeps_all` everything is.
    """
    named = Fate.PURGE if is_permanent else Fate.TRASH
    for volume in store.of_instance(tx, instance_id, lock=True):
        own = volume.eviction_fate if is_eviction else volume.fate
        fate = named if doomed is None or volume.id in doomed else own
        if keeps_all or len(volume.attachments) > 1:
            fate = Fate.DETACH
        changed = _ending(tx, link(tx, volume, instance_id, Link.LEAVING), instance_id, fate)
        if changed != volume:
            write(tx, by, changed, "volume.detach_wanted", instance_id=instance_id)


def left(tx: Tx, by: Actor, instance_id: str) -> None:
    """The instance is gone, or never was: nothing is attached to it any more."""
    for volume in store.of_instance(tx, instance_id, lock=True):
        changed = unlink(tx, volume, instance_id)
        if volume.born_with == instance_id:
            changed = replace(changed, wanted=Wanted.PURGED)
        is_deleted = changed.wanted is not Wanted.KEPT and not changed.attachments
        was_attached = volume.status is Status.ATTACHED
        event = (
            "volume.deleted" if is_deleted else "volume.detached" if was_attached else "volume.attach_failed"
        )
        write(tx, by, changed, event, instance_id=instance_id)


def move(tx: Tx, by: Actor, instance_id: str, provider: str) -> Sequence[str]:
    """The instance is placed at another provider before it ran: its new volumes are made there instead.

    Returns the ids of all its volumes. Only for one without volumes that existed before.
    """
    old = store.born_with(tx, instance_id)
    cargo = Cargo(
        [_as_ordered(volume, instance_id) for volume in old],
        [catalog.sold_volume_types(tx, volume.type, volume.location) for volume in old],
    )
    for volume in old:
        left_behind = replace(unlink(tx, volume, instance_id), born_with=None, wanted=Wanted.PURGED)
        write(tx, by, left_behind, "volume.deleted", instance_id=instance_id)
    return board(tx, by, cargo, instance_id, provider)


def can_move(tx: Tx, instance_id: str, volume_ids: Sequence[str], provider: str) -> bool:
    """Whether an instance that has not run can have all its volumes at another provider.

    Not if one existed before; new ones have to be sold there, for no more than they were ordered at.
    """
    new = store.born_with(tx, instance_id)
    return set(volume_ids) <= {volume.id for volume in new} and all(
        any(
            sold.provider == provider and sold.cost_micros_per_gb_month <= volume.price_micros_per_gb_month
            for sold in catalog.sold_volume_types(tx, volume.type, volume.location)
        )
        for volume in new
    )


def _sold(tx: Tx, spec: NewVolume, location: str, number: int) -> Sequence[VolumeType]:
    field = f"volumes[{number}]."
    check_new(spec, field)
    sold = catalog.sold_volume_types(tx, spec.type, location)
    if not sold:
        raise invalid(f"{field}type", f"{spec.type!r} is not offered in {location}.")
    roomy = [each for each in sold if each.min_size_gb <= spec.size_gb <= each.max_size_gb]
    if not roomy:
        check_size(spec.size_gb, sold[0], f"{field}size")
    return roomy


def _as_ordered(volume: Volume, instance_id: str) -> NewVolume:
    attachment = attachment_to(volume, instance_id)
    return NewVolume(
        volume.name,
        volume.wanted_size_gb,
        volume.type,
        volume.fate,
        volume.eviction_fate,
        None if attachment is None else attachment.mount_path,
    )


def _check_paths(new: Sequence[str | None], existing: Sequence[str]) -> None:
    for path in existing:
        check_path(path)
    named = [path for path in (*new, *existing) if path is not None]
    if len(set(named)) < len(named):
        raise invalid("mount_path", "two volumes of a deployment cannot be mounted at one place.")


def _take(
    tx: Tx, by: Actor, wanted: Sequence[str], location: str, disk_id: str | None
) -> tuple[Sequence[Volume], Volume | None]:
    """The volumes that exist, in the order asked for, each once, and the boot disk. Locked by id, as everywhere."""
    locked: dict[str, Volume] = {}
    for volume_id in sorted({*wanted, *(() if disk_id is None else (disk_id,))}):
        found = store.find(tx, by.project, volume_id, lock=True)
        if found is None:
            raise invalid("existing_volumes", f"unknown volume {volume_id}.")
        locked[volume_id] = found
    disk = None if disk_id is None else locked.pop(disk_id)
    if disk is not None:
        if disk.location != location:
            raise mismatch("image", disk.location)
        if disk.id in wanted:
            raise invalid("existing_volumes", "a deployment cannot boot from a volume and mount it too.")
        check_bootable(tx, disk)
    for volume in locked.values():
        if volume.location != location:
            raise mismatch("existing_volumes", volume.location)
        check_attachable(volume)
        check_not_copied(tx, volume)
        if len(volume.attachments) >= volume.max_attachments:
            raise Conflict("in_use", f"The volume {volume.name} is attached; detach it first.")
    together = [*locked.values(), *(() if disk is None else (disk,))]
    if len({volume.provider for volume in together}) > 1:
        raise mismatch("existing_volumes", location)
    return [locked[volume_id] for volume_id in dict.fromkeys(wanted)], disk


def _ticket(tx: Tx, volume: Volume, instance_id: str, taken: set[str], mount_path: str | None) -> Attachment:
    name = distinct_name(volume, taken)
    taken.add(name)
    return Attachment(volume.id, instance_id, name, Link.BOOT, tx.now, mount_path)


def _ending(tx: Tx, volume: Volume, instance_id: str, fate: Fate) -> Volume:
    wanted = volume.wanted
    if volume.born_with == instance_id:
        wanted = Wanted.PURGED
    elif wanted is Wanted.KEPT and fate is not Fate.DETACH:
        wanted = Wanted.TRASHED if fate is Fate.TRASH else Wanted.PURGED
        billing.finish_storage(tx, volume.project, volume.id, tx.now)
    return replace(volume, wanted=wanted)

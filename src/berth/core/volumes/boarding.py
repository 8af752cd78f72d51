"""What instances do with volumes: order them, boot with them, run with them, and leave them behind.

The caller holds the lock on the instance's row, or is just making it; volumes are locked after it, by id.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from berth.base import ids
from berth.base.db import Tx
from berth.core import billing, catalog
from berth.core.catalog import VolumeType
from berth.core.driver import Mount
from berth.core.errors import Conflict
from berth.core.events import Actor
from berth.core.volumes import states, store
from berth.core.volumes.model import (
    Action,
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
    check_new,
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

    def fits(self, provider: str) -> bool:
        """Whether an instance at `provider` can have them all."""
        return all(volume.provider == provider for volume in self.existing) and all(
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
    tx: Tx, by: Actor, specs: Sequence[NewVolume], existing_ids: Sequence[str], location: str
) -> Cargo:
    """Checks and locks what an order names. Raises Invalid naming the member, Conflict (in_use, invalid_state, quota)."""
    if not specs and not existing_ids:
        return NOTHING
    by.may("volumes:write")
    if len(specs) + len(set(existing_ids)) > VOLUMES_PER_INSTANCE:
        raise Conflict(
            "quota", f"A deployment has at most {VOLUMES_PER_INSTANCE} volumes beside its boot disk."
        )
    sold = [_sold(tx, spec, location, number) for number, spec in enumerate(specs)]
    if specs:
        reserve(tx, by, specs)
    return Cargo(tuple(specs), sold, _take(tx, by, existing_ids, location))


def board(tx: Tx, by: Actor, cargo: Cargo, instance_id: str, provider: str) -> Sequence[str]:
    """Gives a new instance its volumes, new ones made where it is. Returns their ids in the order they were named."""
    taken: set[str] = set()
    boarded = []
    for spec, sold in zip(cargo.specs, cargo.sold, strict=True):
        offered = next(each for each in sold if each.provider == provider)
        volume = replace(drafted(tx, by, spec, offered), born_with=instance_id)
        volume = replace(volume, attachments=(_ticket(tx, volume, instance_id, taken),))
        boarded.append(insert(tx, by, volume).id)
    for volume in cargo.existing:
        ticket = _ticket(tx, volume, instance_id, taken)
        store.insert_attachment(tx, ticket)
        changed = replace(volume, attachments=(*volume.attachments, ticket), status_reason=None)
        write(tx, by, changed, "volume.attach_wanted", instance_id=instance_id)
        boarded.append(volume.id)
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
        Mount(volume.handle, attachment.mount_name)
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
) -> None:
    """The instance ends, and its end detaches its volumes.

    Those ordered with it that it never ran with go with it, at no charge. Of the others `doomed` (None: all) go to
    the trash, and the rest by what is set for each; one that other instances have too is always kept, and with
    `keeps_all` everything is.
    """
    for volume in store.of_instance(tx, instance_id, lock=True):
        fate = Fate.TRASH if doomed is None or volume.id in doomed else volume.fate
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
        [NewVolume(volume.name, volume.wanted_size_gb, volume.type, volume.fate) for volume in old],
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


# Boot disks: one for each instance, which brings it, pays for it and takes it along.


def add_os_volume(tx: Tx, by: Actor, instance_id: str, spec: NewVolume, location: str, provider: str) -> None:
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
        ),
    )


def os_volume_is_there(tx: Tx, instance_id: str) -> None:
    store.set_os_status(tx, instance_id, Status.ATTACHED)


def end_os_volume(tx: Tx, instance_id: str) -> None:
    store.end_os(tx, instance_id)


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


def _take(tx: Tx, by: Actor, wanted: Sequence[str], location: str) -> Sequence[Volume]:
    """The volumes that exist, in the order asked for, each once. Locked by id, as everywhere."""
    locked: dict[str, Volume] = {}
    for volume_id in sorted(set(wanted)):
        found = store.find(tx, by.project, volume_id, lock=True)
        if found is None:
            raise invalid("existing_volumes", f"unknown volume {volume_id}.")
        locked[volume_id] = found
    for volume in locked.values():
        if volume.location != location:
            raise mismatch("existing_volumes", volume.location)
        states.check(volume, Action.ATTACH)
        if len(volume.attachments) >= volume.max_attachments:
            raise Conflict("in_use", f"The volume {volume.name} is attached; detach it first.")
    if len({volume.provider for volume in locked.values()}) > 1:
        raise mismatch("existing_volumes", location)
    return [locked[volume_id] for volume_id in dict.fromkeys(wanted)]


def _ticket(tx: Tx, volume: Volume, instance_id: str, taken: set[str]) -> Attachment:
    name = distinct_name(volume, taken)
    taken.add(name)
    return Attachment(volume.id, instance_id, name, Link.BOOT, tx.now)


def _ending(tx: Tx, volume: Volume, instance_id: str, fate: Fate) -> Volume:
    wanted = volume.wanted
    if volume.born_with == instance_id:
        wanted = Wanted.PURGED
    elif wanted is Wanted.KEPT and fate is not Fate.DETACH:
        wanted = Wanted.TRASHED if fate is Fate.TRASH else Wanted.PURGED
        billing.finish_storage(tx, volume.project, volume.id, tx.now)
    return replace(volume, wanted=wanted)

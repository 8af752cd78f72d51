"""Volumes as instances have them: what a customer asks for that concerns both, and what becomes of it.

An instance's row is locked before those of its volumes. It names the data volumes that it has or is to have, so
that a list of instances need not look them up.
"""

from collections.abc import Collection, Sequence
from dataclasses import replace

from berth.base.clock import Instant
from berth.base.db import Tx
from berth.core import volumes
from berth.core.driver import Mount, Sighting
from berth.core.errors import Conflict, Invalid
from berth.core.events import Actor
from berth.core.instances import guards, states, store
from berth.core.instances.model import Instance, Status, Wanted
from berth.core.volumes import Fate, Host, Link, Luggage, NewVolume, Volume

_ENDING = frozenset({Link.DETACHING, Link.LEAVING})


def create_volume(
    tx: Tx, by: Actor, spec: NewVolume, location: str, instance_ids: Sequence[str] = ()
) -> Volume:
    """A new volume, attached to `instance_ids` once it exists. Raises as `volumes.create`, and Conflict `invalid_state`."""
    by.may("volumes:write")
    hosts = {
        instance_id: _lock(tx, by, instance_id, "instance_id") for instance_id in sorted(set(instance_ids))
    }
    wanted = [_host(hosts[instance_id]) for instance_id in dict.fromkeys(instance_ids)]
    volume = volumes.create(tx, by, spec, location, wanted)
    for instance in hosts.values():
        _sync(tx, instance)
    return volume


def attach_volume(
    tx: Tx, by: Actor, volume_id: str, instance_id: str, *, mount_path: str | None = None
) -> Volume:
    """Mounted at `mount_path`, or at `/mnt/<name>`. Raises NotFound for the volume, Invalid (invalid_field, location_mismatch), Conflict (invalid_state, in_use, quota)."""
    by.may("volumes:write")
    volumes.get(tx, by, volume_id)
    instance = _lock(tx, by, instance_id, "deployment_id")
    volume = volumes.attach(tx, by, volume_id, _host(instance), mount_path=mount_path)
    _sync(tx, instance)
    return volume


def detach_volume(tx: Tx, by: Actor, volume_id: str, instance_id: str | None = None) -> Volume:
    """Without `instance_id` from the one that has it. Raises as `attach_volume`; detaching what is not attached changes nothing."""
    by.may("volumes:write")
    volume = volumes.get(tx, by, volume_id)
    if volume.is_boot_disk:
        raise Conflict(
            "invalid_state", "The boot disk of a deployment stays with it.", status=volume.status.value
        )
    if instance_id is None:
        instance_id = _only_host(volume)
        if instance_id is None:
            return volume
    instance = _lock(tx, by, instance_id, "deployment_id")
    attachment = volumes.attachment_to(volume, instance_id)
    if attachment is None:
        raise Invalid(
            "invalid_field", "deployment_id: the volume is not attached to it.", field="deployment_id"
        )
    if attachment.link in _ENDING:
        return volume
    if instance.status not in states.STANDING:
        raise Conflict(
            "invalid_state",
            f"The deployment is {instance.status.value}.",
            deployment_status=instance.status.value,
        )
    volume = volumes.detach(tx, by, volume_id, _host(instance))
    _sync(tx, instance)
    return volume


def clone_volume(
    tx: Tx,
    by: Actor,
    volume_id: str,
    *,
    name: str | None = None,
    type: str | None = None,  # noqa: A002 - as customers call it
) -> Volume:
    """A copy of a volume, of an instance's boot disk too. Raises as `volumes.clone`."""
    by.may("volumes:write")
    source = volumes.get(tx, by, volume_id)
    hosts = [
        _lock(tx, by, instance_id, "id", may_be_member=True) for instance_id in sorted(source.instance_ids)
    ]
    return volumes.clone(
        tx, by, volume_id, name=name, type=type, hosts=[_host(instance) for instance in hosts]
    )


def check_start(tx: Tx, instance: Instance) -> None:
    """Raises Conflict while what it would write to is being copied."""
    disk = volumes.os_volume_of(tx, instance.id)
    mine = (*instance.volume_ids, *(() if disk is None else (disk.id,)))
    if volumes.is_copied_from(tx, mine):
        raise Conflict(
            "invalid_state",
            "A volume of the deployment is being copied; start it once that is done.",
            deployment_status=instance.status.value,
        )


def volume_not_created(tx: Tx, leased: Volume, *, reason: str) -> Volume | None:
    """As `volumes.cannot_create`: what it was to be attached to goes without it, or, yet to boot, fails for it."""
    return _settle(tx, leased, volumes.cannot_create(tx, _locked(tx, leased), reason=reason))


def volume_not_attached(tx: Tx, leased: Volume, instance_id: str, *, reason: str) -> Volume | None:
    """As `volumes.not_attached`."""
    return _settle(tx, leased, volumes.not_attached(tx, _locked(tx, leased), instance_id, reason=reason))


def volume_not_detached(tx: Tx, leased: Volume, instance_id: str, *, reason: str) -> Volume | None:
    """As `volumes.not_detached`."""
    return _settle(tx, leased, volumes.not_detached(tx, _locked(tx, leased), instance_id, reason=reason))


def volume_lost(tx: Tx, volume: Volume, *, seen_at: Instant) -> None:
    """As `volumes.lost`."""
    _settle(tx, volume, volumes.lost(tx, _locked(tx, volume), seen_at=seen_at))


def volumes_kept(tx: Tx, instance: Instance) -> Sequence[Volume]:
    """What goes on costing when `instance` is off or deleted: its data volumes that are not to end with it."""
    if not instance.volume_ids:
        return ()
    return [
        volume
        for volume in volumes.of_instance(tx, instance.id)
        if volume.wanted is volumes.Wanted.KEPT and volume.born_with is None
    ]


# What the verbs of instances do about volumes, under the lock of the instance's row.


def disk_of(tx: Tx, instance: Instance) -> Volume | None:
    """Its boot disk, as long as it has one."""
    disk = volumes.os_volume_of(tx, instance.id)
    return None if disk is None or disk.status is volumes.Status.DELETED else disk


def disk_seen(tx: Tx, instance: Instance, sighting: Sighting) -> None:
    """Its provider says which disk it boots from."""
    if sighting.disk_handle is not None:
        volumes.disk_seen(tx, instance.id, sighting.disk_handle)


def keeps_disk(tx: Tx, instance: Instance) -> bool:
    """Whether its boot disk is to stay when it is destroyed now."""
    return volumes.keeps_disk(tx, instance.id)


def fate_of_itself(instance: Instance) -> Fate:
    """What becomes of its boot disk when it ends by itself: what it brought ends, what was a volume before is kept."""
    return Fate.PURGE if instance.boot_volume_id is None else Fate.DETACH


def decide_disk(tx: Tx, instance: Instance, fate: Fate, *, is_eviction: bool, by_owner: bool) -> None:
    """What becomes of its boot disk; one that it was to boot from and never did is left as it was.

    Raises Conflict `not_supported` when its owner wants one detached that cannot be kept.
    """
    if instance.first_running_at is not None:
        volumes.decide(
            tx, instance.id, None if is_eviction else fate, may_refuse=by_owner and not is_eviction
        )


def luggage(tx: Tx, instance: Instance) -> Luggage:
    """What it is to boot with, and whether it can."""
    return volumes.luggage(tx, instance.id, instance.volume_ids)


def awaits_volumes(tx: Tx, instance: Instance) -> bool:
    """Whether it has to stay off for now: what its owner asked of its volumes is not done yet, and cannot be once it runs."""
    return volumes.are_moving(tx, instance.id)


def mounts(tx: Tx, instance: Instance) -> Sequence[Mount]:
    return volumes.mounts(tx, instance.id) if instance.volume_ids else ()


def doomed(tx: Tx, instance: Instance, wanted: Collection[str] | None) -> frozenset[str] | None:
    """The volumes to be deleted with an instance; None is all. Raises Invalid for one that it does not have."""
    if wanted is None:
        return None
    unknown = set(wanted) - set(instance.volume_ids)
    if unknown:
        disk = volumes.os_volume_of(tx, instance.id)
        unknown -= set() if disk is None else {disk.id}
    if unknown:
        raise Invalid(
            "invalid_field",
            "delete_volumes: not attached to this deployment: " + ", ".join(sorted(unknown)) + ".",
            field="delete_volumes",
        )
    return frozenset(wanted)


def leave(
    tx: Tx,
    by: Actor,
    instance: Instance,
    *,
    ending: frozenset[str] | None = frozenset(),
    keeps_all: bool = False,
    is_permanent: bool = False,
    is_eviction: bool = False,
) -> None:
    """It ends: so do its attachments, once it is gone, and the volumes that are to end with it.

    With `is_permanent` those of `ending` end for good; with `is_eviction` the others by what is set for that.
    """
    # Also where the row names none: what is being detached is on none any more, and must not hang on it for ever.
    volumes.leave(
        tx,
        by,
        instance.id,
        ending,
        keeps_all=keeps_all,
        is_permanent=is_permanent,
        is_eviction=is_eviction,
    )


def arrived(tx: Tx, by: Actor, instance: Instance) -> None:
    """It runs for the first time, and its volumes with it."""
    volumes.os_volume_is_there(tx, instance.id)
    if instance.volume_ids:
        volumes.arrived(tx, by, instance.id)


def hold(tx: Tx, instance: Instance) -> None:
    """Locks its volumes, before anything that is locked after them."""
    if instance.volume_ids:
        volumes.hold(tx, instance.id)


def left(tx: Tx, by: Actor, instance: Instance) -> Instance:
    """It is gone: nothing is attached to it any more. The row is still to be written, and its disk to be freed."""
    volumes.left(tx, by, instance.id)
    volumes.hold_disk(tx, instance.id)
    return replace(instance, volume_ids=())


def free_disk(tx: Tx, by: Actor, instance: Instance) -> None:
    """It is gone: its boot disk went with it or is on its own, and paid for, from now on. Once its unit is free."""
    volumes.free_disk(tx, by, instance.id)


def failed(tx: Tx, by: Actor, instance: Instance) -> Instance:
    """It will never run: new volumes end at no charge, those that existed are free again, all at once."""
    if instance.may_exist:
        leave(tx, by, instance, keeps_all=True)
        return instance
    return left(tx, by, instance)


def can_be_at(tx: Tx, instance: Instance, provider: str) -> bool:
    """Whether an instance that has not run could have its volumes at `provider`."""
    if provider == instance.provider:
        return True
    if instance.boot_volume_id is not None:
        return False
    if not instance.volume_ids:
        return True
    return volumes.can_move(tx, instance.id, instance.volume_ids, provider)


def placed(tx: Tx, by: Actor, instance: Instance, provider: str, location: str | None = None) -> Instance:
    """It goes to an offer of `provider` instead, and to `location` if one is given. The row is still to be written."""
    if instance.boot_volume_id is None:
        volumes.disk_moved(tx, instance.id, provider, location or instance.location)
    if not instance.volume_ids or provider == instance.provider:
        return instance
    return replace(instance, volume_ids=volumes.move(tx, by, instance.id, provider))


def _settle(tx: Tx, before: Volume, after: Volume | None) -> Volume | None:
    if after is not None:
        for instance_id in sorted(before.instance_ids):
            instance = store.find_any(tx, instance_id)
            if instance is not None and instance.status in states.STANDING:
                _sync(tx, instance)
    return after


def _locked(tx: Tx, volume: Volume) -> Volume:
    """The same volume, once the rows of its instances are locked."""
    for instance_id in sorted(volume.instance_ids):
        store.find_any(tx, instance_id)
    return volume


def _sync(tx: Tx, instance: Instance) -> None:
    """Writes which volumes a standing instance has, or is to have."""
    ids = tuple(
        volume.id
        for volume in volumes.of_instance(tx, instance.id)
        if any(link.instance_id == instance.id and link.link not in _ENDING for link in volume.attachments)
    )
    if ids != tuple(instance.volume_ids):
        store.update(tx, instance.id, volume_ids=store.json_list(ids), updated_at=tx.now)


def _only_host(volume: Volume) -> str | None:
    if len(volume.attachments) > 1:
        raise Invalid(
            "missing_field",
            "deployment_id is required: the volume is attached to several deployments.",
            field="deployment_id",
        )
    return volume.attachments[0].instance_id if volume.attachments else None


def _host(instance: Instance) -> Host:
    """Raises Conflict for what is coming or going."""
    if instance.status not in states.STANDING:
        raise Conflict(
            "invalid_state",
            f"The deployment is {instance.status.value}: volumes are attached once it runs, or with its order.",
            deployment_status=instance.status.value,
        )
    is_on = instance.status is Status.RUNNING or instance.wanted is Wanted.RUNNING
    return Host(instance.id, instance.location, instance.provider, is_on=is_on)


def _lock(tx: Tx, by: Actor, instance_id: str, field: str, *, may_be_member: bool = False) -> Instance:
    found = store.find(tx, by.project, instance_id, lock=True)
    if found is None:
        raise Invalid("invalid_field", f"{field}: unknown deployment.", field=field)
    if not may_be_member:
        guards.check_alone(found)
    return found

"""Volumes as instances have them: what a customer asks for that concerns both, and what becomes of it.

An instance's row is locked before those of its volumes. It names the data volumes that it has or is to have, so
that a list of instances need not look them up.
"""

from collections.abc import Collection, Sequence
from dataclasses import replace

from berth.base.clock import Instant
from berth.base.db import Tx
from berth.core import volumes
from berth.core.driver import Mount
from berth.core.errors import Conflict, Invalid
from berth.core.events import Actor
from berth.core.instances import states, store
from berth.core.instances.model import Instance, Status, Wanted
from berth.core.volumes import Host, Link, Luggage, NewVolume, Volume

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


def attach_volume(tx: Tx, by: Actor, volume_id: str, instance_id: str) -> Volume:
    """Raises NotFound for the volume, Invalid (invalid_field, location_mismatch), Conflict (invalid_state, in_use, quota)."""
    by.may("volumes:write")
    volumes.get(tx, by, volume_id)
    instance = _lock(tx, by, instance_id, "deployment_id")
    volume = volumes.attach(tx, by, volume_id, _host(instance))
    _sync(tx, instance)
    return volume


def detach_volume(tx: Tx, by: Actor, volume_id: str, instance_id: str | None = None) -> Volume:
    """Without `instance_id` from the one that has it. Raises as `attach_volume`; detaching what is not attached changes nothing."""
    by.may("volumes:write")
    volume = volumes.get(tx, by, volume_id)
    if volume.is_os_volume:
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


def luggage(tx: Tx, instance: Instance) -> Luggage:
    """What it is to boot with, and whether it can."""
    return volumes.luggage(tx, instance.id, instance.volume_ids)


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
) -> None:
    """It ends: so do its attachments, once it is gone, and the volumes that are to end with it."""
    # Also where the row names none: what is being detached is on none any more, and must not hang on it for ever.
    volumes.leave(tx, by, instance.id, ending, keeps_all=keeps_all)


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
    """It is gone: nothing is attached to it, and its boot disk went with it. The row is still to be written."""
    volumes.end_os_volume(tx, instance.id)
    volumes.left(tx, by, instance.id)
    return replace(instance, volume_ids=())


def failed(tx: Tx, by: Actor, instance: Instance) -> Instance:
    """It will never run: new volumes end at no charge, those that existed are free again, all at once."""
    if instance.may_exist:
        leave(tx, by, instance, keeps_all=True)
        return instance
    return left(tx, by, instance)


def can_be_at(tx: Tx, instance: Instance, provider: str) -> bool:
    """Whether an instance that has not run could have its volumes at `provider`."""
    if not instance.volume_ids or provider == instance.provider:
        return True
    return volumes.can_move(tx, instance.id, instance.volume_ids, provider)


def placed(tx: Tx, by: Actor, instance: Instance, provider: str) -> Instance:
    """It goes to an offer of `provider` instead. The row is still to be written."""
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


def _lock(tx: Tx, by: Actor, instance_id: str, field: str) -> Instance:
    found = store.find(tx, by.project, instance_id, lock=True)
    if found is None:
        raise Invalid("invalid_field", f"{field}: unknown deployment.", field=field)
    return found

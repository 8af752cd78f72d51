"""Volumes: core's values in this API's words, and back."""

from collections.abc import Sequence

from berth.core import volumes
from berth.core.instances import Instance
from berth.core.volumes import Action, NewVolume, Status, Volume, Wanted
from berth.faces.verda import words
from berth.faces.verda.volumes import wire
from berth.faces.verda.wire import Tag

MONTH_HOURS = 730
_PSEUDO_PATH = "volume-"
_STATUSES: dict[Status, wire.VolumeStatus] = {
    Status.ORDERED: "ordered",
    Status.ATTACHING: "attaching",
    Status.ATTACHED: "attached",
    Status.DETACHED: "detached",
    Status.DELETED: "deleted",
    Status.CLONING: "cloning",
}
_UNDER_WAY: dict[Action, wire.VolumeStatus] = {Action.DETACH: "detaching", Action.DELETE: "deleting"}


def new_volume(request: wire.NewVolumeRequest) -> NewVolume:
    return NewVolume(request.name, words.size_gb(request.size), request.type)


def hosts(instance_id: str | None, instance_ids: Sequence[str] | None) -> list[str]:
    """The instances that a request names in either way, as they were sent, each once."""
    named = [*([] if instance_id is None else [instance_id]), *(instance_ids or ())]
    return list(dict.fromkeys(each for each in named if each))


def status_of(volume: Volume) -> wire.VolumeStatus:
    if volume.cloning_from is not None and volume.wanted is Wanted.PURGED:
        return "canceled" if volume.status is Status.DELETED else "canceling"
    pending = volumes.pending(volume)
    if pending in _UNDER_WAY and volume.status is not Status.DELETED:
        return _UNDER_WAY[pending]
    return _STATUSES[volume.status]


def seen_as(wanted: wire.VolumeStatus) -> frozenset[Status]:
    """The statuses of core that may be shown as `wanted`."""
    if wanted in {*_UNDER_WAY.values(), "canceling"}:
        return frozenset(_STATUSES) - {Status.DELETED}
    if wanted == "canceled":
        return frozenset({Status.DELETED})
    return frozenset(seen for seen, shown in _STATUSES.items() if shown == wanted)


def volume(
    made: Volume, hosts: Sequence[tuple[Instance, wire.Host]], tags: Sequence[Tag] = ()
) -> wire.Volume | wire.DeletedVolume:
    """`hosts` are the instances that have it, as they are and as they are shown."""
    keys = hosts[0][0].ssh_key_ids if made.is_os_volume and hosts else ()
    shared_members = {
        "id": words.shown(made.id),
        "instance_id": hosts[0][1].id if hosts else None,
        "instances": [shown for _, shown in hosts],
        "name": made.name,
        "created_at": words.time(made.created_at),
        "status": status_of(made),
        "size": made.size_gb,
        "is_os_volume": made.is_os_volume,
        "target": _target(made, hosts),
        "type": made.type,
        "location": made.location,
        "ssh_key_ids": words.shown_all(keys),
        "contract": "PAY_AS_YOU_GO",
        "hourly_cost": words.price(_hourly(made.price_micros_per_month)),
        "tags": list(tags),
        "monthly_price": words.price(made.price_micros_per_month),
    }
    if made.status is Status.DELETED:
        return wire.DeletedVolume(
            **shared_members,  # type: ignore[arg-type]
            deleted_at=words.time(made.deleted_at or made.updated_at),
            is_permanently_deleted=made.is_permanently_deleted,
        )
    path = _path(made) if made.is_shared else None
    return wire.Volume(
        **shared_members,  # type: ignore[arg-type]
        pseudo_path=None if path is None else _PSEUDO_PATH + words.shown(made.id)[-8:],
        create_directory_command=None if path is None else f"mkdir -p {path}",
        # The instance has it mounted from the moment that it is attached: what is left to do is nothing.
        mount_command=None if path is None else f"test -d {path}",
        filesystem_to_fstab_command=None if path is None else f"test -d {path}",
        long_term=None,
    )


def _path(made: Volume) -> str:
    """Where instances find it."""
    return made.attachments[0].path if made.attachments else f"/mnt/{made.name}"


def _target(made: Volume, hosts: Sequence[tuple[Instance, wire.Host]]) -> str | None:
    """The device that a virtual host gives it: the boot disk comes first, then the others in their order."""
    if not hosts or made.is_shared:
        return None
    if made.is_os_volume:
        return "vda"
    others = hosts[0][0].volume_ids
    return f"vd{chr(ord('b') + others.index(made.id))}" if made.id in others else None


def _hourly(micros_per_month: int) -> int:
    """To the micro-dollar, rounded half up; bills are worked out from the price of the month."""
    return (micros_per_month * 2 + MONTH_HOURS) // (2 * MONTH_HOURS)

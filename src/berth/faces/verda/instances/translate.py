"""Instances: core's values in this API's words, and back."""

from collections.abc import Collection, Sequence
from uuid import uuid4

import msgspec

from berth.base import ids
from berth.base.clock import Instant, after
from berth.core import instances
from berth.core.instances import Action, Contract, Extension, Instance, OrderSpec, Version
from berth.core.instances import Status as Seen
from berth.core.instances.model import OS_VOLUME_NAME
from berth.core.volumes import Fate, NewVolume
from berth.faces.verda import envelope, hardware, words
from berth.faces.verda.instances import wire
from berth.faces.verda.wire import Status, Tag

OS_VOLUME = "OS-NVMe-"
STATUSES: dict[Seen, Status] = {
    Seen.ORDERED: "provisioning",
    Seen.PROVISIONING: "provisioning",
    Seen.RUNNING: "running",
    Seen.OFFLINE: "offline",
    Seen.ERROR: "error",
    Seen.FAILED_NO_CAPACITY: "no_capacity",
    Seen.DELETING: "deleting",
    Seen.DELETED: "discontinued",
}
_CONTRACTS: dict[Contract, wire.Contract] = {
    Contract.PAY_AS_YOU_GO: "PAY_AS_YOU_GO",
    Contract.LONG_TERM: "LONG_TERM",
    Contract.SPOT: "SPOT",
}
_FATES: dict[wire.OnSpotDiscontinue | None, Fate] = {
    None: Fate.DETACH,
    "keep_detached": Fate.DETACH,
    "move_to_trash": Fate.TRASH,
    "delete_permanently": Fate.PURGE,
}
_LISTED_LIMIT = 50_000
"""About 1 KB each."""
_listed: dict[Version, msgspec.Raw] = {}


def order(request: wire.DeployRequest, image: str, *, boots_from_disk: bool) -> OrderSpec:
    """`image` is the one that is meant, as core knows it. With `boots_from_disk` the image is a volume that there is. Raises Invalid naming the member."""
    disk = request.os_volume
    if disk is not None:
        disk_name = disk.name
    else:
        disk_name = OS_VOLUME_NAME if boots_from_disk else OS_VOLUME + uuid4().hex[:8]
    return OrderSpec(
        instance_type=request.instance_type,
        image=image,
        hostname=request.hostname,
        ssh_key_ids=[words.in_body(each, "ssh_key_ids") for each in words.listed(request.ssh_key_ids)],
        location=request.location_code,
        description=request.description,
        os_volume_name=disk_name,
        os_volume_eviction_fate=_FATES[None if disk is None else disk.on_spot_discontinue],
        os_volume_gb=None if disk is None else words.size_gb(disk.size, "os_volume.size"),
        volumes=[
            NewVolume(
                each.name,
                words.size_gb(each.size, f"volumes[{number}].size"),
                each.type,
                eviction_fate=_FATES[each.on_spot_discontinue],
            )
            for number, each in enumerate(request.volumes or ())
        ],
        existing_volumes=[
            words.in_body(each, "existing_volumes") for each in words.listed(request.existing_volumes)
        ],
        startup_script_id=None
        if not request.startup_script_id
        else words.in_body(request.startup_script_id, "startup_script_id"),
        is_spot=bool(request.is_spot),
        contract=None if request.contract is None else Contract(request.contract.lower()),
        long_term_period=request.long_term_period or None,
        extension=Extension(request.extension_settings or "auto_renew"),
    )


def status_of(made: Instance, now: Instant, shown_provisioning_s: int) -> Status:
    """What is ordered was accepted, which this API calls provisioning; and that lasts a while, however soon it runs.

    Clients create, look once, and take what they see for the beginning. What starts again is called that too: there
    is one that takes `offline` for the end of its wait.
    """
    if instances.pending(made) is Action.START:
        return "provisioning"
    if made.status is Seen.RUNNING and now < after(made.created_at, seconds=shown_provisioning_s):
        return "provisioning"
    return STATUSES[made.status]


def seen_as(wanted: Status) -> Collection[Seen]:
    """The statuses of core that may be shown as `wanted`."""
    found = {seen for seen, shown in STATUSES.items() if shown == wanted}
    return found | {Seen.RUNNING, Seen.OFFLINE} if wanted == "provisioning" else found


def instance(made: Instance, os_volume_id: str | None, status: Status, tags: Sequence[Tag]) -> wire.Instance:
    specs = made.specs
    is_there = made.status in instances.STANDING and status != "provisioning"
    gpu_name = f"{specs.gpu_model} {specs.gpu_vram_gb}GB"
    return wire.Instance(
        id=words.shown(made.id),
        ip=made.ip if is_there else None,
        status=status,
        created_at=words.time(made.created_at),
        cpu=hardware.cpu(specs.vcpu_count),
        gpu=hardware.gpu(specs.gpu_count, gpu_name),
        gpu_memory=hardware.gpu_memory(specs.gpu_count * specs.gpu_vram_gb),
        memory=hardware.memory(specs.ram_gb),
        storage=hardware.storage(),
        ssh_port=made.ssh_port if is_there else None,
        ssh_user=made.ssh_user,
        hostname=made.hostname,
        description=made.description,
        location=made.location,
        price_per_hour=words.price(made.price),
        is_spot=made.is_spot,
        instance_type=made.instance_type,
        image=ids.to_uuid(made.image) if ids.is_id(made.image) else made.image,
        os_name=made.os_name,
        startup_script_id=None if made.startup_script_id is None else words.shown(made.startup_script_id),
        ssh_key_ids=words.shown_all(made.ssh_key_ids),
        os_volume_id=None if os_volume_id is None else words.shown(os_volume_id),
        jupyter_token=None,
        contract=_CONTRACTS[made.contract],
        pricing="FIXED_PRICE",
        volume_ids=words.shown_all([*([] if os_volume_id is None else [os_volume_id]), *made.volume_ids]),
        tags=list(tags),
    )


def doomed(request: wire.InstanceActionRequest) -> Sequence[str] | None:
    """The core ids of the volumes to be deleted with an instance; None where that is not said. Raises Invalid."""
    if request.volume_ids is None:
        return None
    return [words.in_body(each, "volume_ids", "volume id") for each in words.listed(request.volume_ids)]


def known_instance(version: Version) -> msgspec.Raw | None:
    """What an instance of this version looks like in a list, if it was shown lately."""
    return _listed.get(version)


def listed_instance(version: Version, shown: wire.Instance) -> msgspec.Raw:
    """As JSON, kept for as long as nothing that can be seen of it changes: lists are asked for again and again."""
    raw = msgspec.Raw(envelope.render(shown))
    if len(_listed) >= _LISTED_LIMIT:
        _listed.clear()
    _listed[version] = raw
    return raw

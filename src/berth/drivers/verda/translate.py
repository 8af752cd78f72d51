"""What Verda says, in the words of the driver port. Pure; unknown and missing members are tolerated."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any

from berth.base import ids
from berth.core.driver import (
    Hardware,
    Label,
    Mount,
    Place,
    Power,
    ProviderImage,
    ProviderOffer,
    ProviderVolumeType,
    Sighting,
    VolumeSighting,
)
from berth.drivers.verda.names import Disk, disk_of

Json = Mapping[str, Any]

SSH_USER = "root"
SSH_PORT = 22
MAKING = frozenset({"ordered", "creating", "cloning", "restoring"})
UNDER_WAY = MAKING | {"detaching"}
"""Statuses of volumes that no instance can have yet."""
GONE = frozenset({"discontinued", "deleted", "notfound"})
_MICROS = 1_000_000
_MIN_OS_VOLUME_GB = 50
_BOOT_TIMEOUT_S = 900
_BIG_BOOT_TIMEOUT_S = 1800
"""Eight GPUs can take twenty-five minutes."""
_BIG_GPUS = 8
_POWERS = {
    **dict.fromkeys(("new", "ordered", "pending", "validating", "provisioning", "restoring"), Power.CREATING),
    "running": Power.RUNNING,
    "offline": Power.STOPPED,
    "deleting": Power.DELETING,
    **dict.fromkeys(("error", "installation_failed", "no_capacity"), Power.FAILED),
}
_REASONS = {
    "no_capacity": "The provider had no capacity left.",
    "installation_failed": "The provider could not install the instance.",
    "error": "The provider says that the instance failed.",
}


def rows(answer: object) -> Sequence[Json]:
    """The objects of a list, or of what holds a single one."""
    if isinstance(answer, Mapping):
        return (answer,)
    return [each for each in answer if isinstance(each, Mapping)] if isinstance(answer, list) else ()


def micros(amount: object) -> int | None:
    """Dollars, as a string or a number, in whole micro-dollars, rounded up; None for what is no amount."""
    if isinstance(amount, bool) or not isinstance(amount, str | int | float | Decimal):
        return None
    try:
        exact = Decimal(str(amount)) * _MICROS
    except InvalidOperation:
        return None
    if not exact.is_finite() or exact < 0:
        return None
    return int(exact.to_integral_value(rounding="ROUND_CEILING"))


def balance_micros(answer: object) -> int | None:
    """What the account has left, less than nothing included; None where that is not said in dollars."""
    row = answer if isinstance(answer, Mapping) else {}
    amount = row.get("amount")
    if isinstance(amount, bool) or not isinstance(amount, str | int | float) or row.get("currency") != "usd":
        return None
    try:
        exact = Decimal(str(amount)) * _MICROS
    except InvalidOperation:
        return None
    return int(exact.to_integral_value(rounding="ROUND_FLOOR")) if exact.is_finite() else None


def places(locations: object) -> dict[str, Place]:
    return {
        code: Place(code, str(row.get("name") or code), str(row.get("country_code") or "ZZ"))
        for row in rows(locations)
        if (code := text(row, "code"))
    }


def availability(answer: object) -> dict[str, frozenset[str]]:
    """Which types can be had, by the code of the location."""
    found = {}
    for row in rows(answer):
        kinds = row.get("availabilities")
        if isinstance(kinds, list):
            found[text(row, "location_code")] = frozenset(str(kind) for kind in kinds)
    return found


def offers(
    types: object,
    where: Mapping[str, Place],
    available: Mapping[str, Collection[str]],
    spot: Mapping[str, Collection[str]],
    *,
    units: int,
) -> list[ProviderOffer]:
    """Every type in every place: which of them exist where is only said of those that can be had."""
    made = []
    for row in rows(types):
        hardware, cost = _hardware(row), micros(row.get("price_per_hour"))
        if hardware is None or not cost:
            continue
        spot_cost = micros(row.get("spot_price"))
        for code, place in where.items():
            has_spot = hardware.name in spot.get(code, ())
            made.append(
                ProviderOffer(
                    provider_offer_id=offer_id(hardware.name, code),
                    hardware=hardware,
                    place=place,
                    cost_micros_per_hour=cost,
                    price_micros_per_hour=None,
                    free_units=units if hardware.name in available.get(code, ()) else 0,
                    spot_cost_micros_per_hour=spot_cost or None,
                    spot_free_units=units if has_spot and spot_cost else 0,
                )
            )
    return made


def offer_id(type_name: str, location: str) -> str:
    return f"{type_name}@{location}"


def _hardware(row: Json) -> Hardware | None:
    name = text(row, "instance_type")
    gpu, cpu, memory = _part(row, "gpu"), _part(row, "cpu"), _part(row, "memory")
    count = _whole(gpu.get("number_of_gpus"))
    vcpus, ram = _whole(cpu.get("number_of_cores")), _whole(memory.get("size_in_gigabytes"))
    if not name or not vcpus or not ram:
        return None
    total_vram = _whole(_part(row, "gpu_memory").get("size_in_gigabytes"))
    best_for = row.get("best_for")
    return Hardware(
        name=name,
        gpu_model=(text(row, "model") or "GPU") if count else None,
        gpu_count=count,
        gpu_vram_gb=total_vram // count if count else 0,
        vcpu_count=vcpus,
        ram_gb=ram,
        storage_gb=0,
        description=text(row, "description"),
        manufacturer=text(row, "manufacturer"),
        gpu_name=text(row, "name") if count else "",
        p2p=text(row, "p2p") or None,
        best_for=tuple(str(each) for each in best_for) if isinstance(best_for, list) else (),
        deploy_warning=text(row, "deploy_warning") or None,
        boot_timeout_s=_BIG_BOOT_TIMEOUT_S if count >= _BIG_GPUS else _BOOT_TIMEOUT_S,
    )


def images(listed: object, types: object) -> list[ProviderImage]:
    """The images, each with the GPU models on all of whose types it boots; CPU types take only what boots everywhere."""
    supports: dict[str, list[frozenset[str]]] = {}
    for row in rows(types):
        hardware, supported = _hardware(row), row.get("supported_os")
        if hardware is not None and isinstance(supported, list):
            model = hardware.gpu_model or ""
            supports.setdefault(model, []).append(frozenset(str(slug) for slug in supported))
    return [
        ProviderImage(
            slug=slug,
            name=text(row, "name") or slug,
            category=text(row, "category") or "other",
            os_name=text(row, "name") or slug,
            ssh_user=SSH_USER,
            details=tuple(str(each) for each in row.get("details") or ()),
            is_default=row.get("is_default") is True,
            is_cluster=row.get("is_cluster") is True,
            has_docker="docker" in slug,
            min_os_volume_gb=_MIN_OS_VOLUME_GB,
            gpu_models=_models(slug, supports),
            known_id=ids.of_uuid(text(row, "id")),
        )
        for row in rows(listed)
        if (slug := text(row, "image_type"))
    ]


def _models(slug: str, supports: Mapping[str, Sequence[frozenset[str]]]) -> Sequence[str] | None:
    booted = [model for model, kinds in supports.items() if all(slug in kind for kind in kinds)]
    if not supports or len(booted) == len(supports):
        return None
    return tuple(sorted(model for model in booted if model))


def volume_types(listed: object, where: Iterable[Place]) -> list[ProviderVolumeType]:
    found = []
    for row in rows(listed):
        name, cost = text(row, "type"), micros(_part(row, "price").get("price_per_month_per_gb"))
        if not name or cost is None:
            continue
        is_shared = row.get("is_shared_fs") is True
        found += [
            ProviderVolumeType(
                name=name,
                place=place,
                cost_micros_per_gb_month=cost,
                price_micros_per_gb_month=None,
                is_shared=is_shared,
                max_attachments=16 if is_shared else 1,
                attaches_live=False,
                iops=text(row, "iops"),
                burst_bandwidth_mb_s=_whole(row.get("burst_bandwidth")),
                continuous_bandwidth_mb_s=_whole(row.get("continuous_bandwidth")),
                internal_network_speed_mb_s=_whole(row.get("internal_network_speed")),
                throughput_gbps=_whole(row.get("throughput_gbps")),
            )
            for place in where
        ]
    return found


def label_of(instance: Json) -> Label | None:
    return Label.parse(text(instance, "description"))


def is_there(instance: Json) -> bool:
    return text(instance, "status") not in GONE


def sighting(instance: Json, handle: str) -> Sighting | None:
    """The instance as its provider describes it; None for a status that says nothing."""
    status = text(instance, "status")
    power = _POWERS.get(status)
    if power is None:
        return None
    return Sighting(
        label=label_of(instance),
        handle=handle,
        power=power,
        ip=text(instance, "ip") or None,
        ssh_port=_whole(instance.get("ssh_port")) or SSH_PORT,
        ssh_user=SSH_USER,
        reason=_REASONS.get(status),
        disk_handle=text(instance, "os_volume_id") or None,
    )


def released(volume: Json, handle: str) -> Sighting | None:
    """What is left of an instance whose machine was given away: its boot disk, detached. None for any other volume."""
    found = disk_of(text(volume, "name"))
    if found is None or found.disk is not Disk.MACHINE or text(volume, "status") != "detached":
        return None
    return Sighting(found.label, handle, Power.STOPPED, disk_handle=text(volume, "id"))


def volume_sighting(volume: Json) -> VolumeSighting | None:
    """A volume of ours that is one for our customers too: a boot disk only once it outlived its instance."""
    name, status = text(volume, "name"), text(volume, "status")
    disk = disk_of(name)
    if disk is not None and disk.disk is Disk.MACHINE:
        return None
    if status in {"deleted", "deleting", "canceled", "canceling"} or volume.get("deleted_at"):
        return None
    attached = [text(each, "id") for each in rows(volume.get("instances"))]
    first = text(volume, "instance_id")
    return VolumeSighting(
        label=Label.parse(name) if disk is None else disk.own,
        handle=text(volume, "id"),
        size_gb=size_gb(volume),
        attached_to=frozenset(filter(None, [*attached, first])),
        is_ready=status not in MAKING,
    )


def size_gb(volume: Json) -> int:
    return _whole(volume.get("size"))


def order_body(
    *,
    label: Label,
    type_name: str,
    image: str,
    hostname: str,
    location: str,
    key_ids: Sequence[str],
    script_id: str | None,
    mounts: Sequence[Mount],
    is_spot: bool,
    os_volume: Json | None,
) -> dict[str, Any]:
    """The body of a deploy. A boot from a volume must not name an `os_volume`."""
    body: dict[str, Any] = {
        "instance_type": type_name,
        "image": image,
        "hostname": hostname,
        "description": str(label),
        "location_code": location,
        "ssh_key_ids": list(key_ids),
        "existing_volumes": [mount.volume_handle for mount in mounts],
        "is_spot": is_spot,
        "contract": "SPOT" if is_spot else "PAY_AS_YOU_GO",
        "pricing": "FIXED_PRICE",
    }
    if script_id is not None:
        body["startup_script_id"] = script_id
    if os_volume is not None:
        body["os_volume"] = os_volume
    return body


def text(row: Json, member: str) -> str:
    """A member that is text; empty for anything else."""
    value = row.get(member)
    return value if isinstance(value, str) else ""


def _part(row: Json, member: str) -> Json:
    value = row.get(member)
    return value if isinstance(value, Mapping) else {}


def _whole(value: object) -> int:
    """A number that may come as text or with a point; 0 for anything else."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return 0
    try:
        return int(Decimal(str(value)))
    except (InvalidOperation, ValueError, OverflowError):
        return 0

"""What Incus says, in the words of the driver port, and the other way round. Pure; unknown members are tolerated."""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from berth.base.clock import Instant
from berth.core.driver import (
    CreateOrder,
    Hardware,
    Label,
    Mount,
    Power,
    ProviderImage,
    ProviderOffer,
    ProviderVolumeType,
    Sighting,
    VolumeSighting,
)
from berth.drivers.incus import moves, names
from berth.drivers.incus.config import ImageSold, IncusConfig, TypeSold
from berth.drivers.incus.rooms import Card, Grant, Room, Use

Json = Mapping[str, Any]

SSH_PORT = 22
STANDALONE = "none"
"""What a server that is no cluster's calls its own location."""
_NEVER = "1970-01-01"
_MIB = 1024 * 1024
_GIB = 1024 * _MIB
_PROCESSES_PER_VCPU = 2048
_MIN_VOLUME_GB = 1
_MAX_VOLUME_GB = 10_240
_POWERS = {
    "Running": Power.RUNNING,
    "Ready": Power.RUNNING,
    "Stopped": Power.STOPPED,
    "Starting": Power.CREATING,
    "Started": Power.RUNNING,
    "Stopping": Power.STOPPING,
    "Aborting": Power.STOPPING,
    "Freezing": Power.RUNNING,
    "Frozen": Power.RUNNING,
    "Thawed": Power.RUNNING,
}
_SIZE = re.compile(r"([0-9]+)([A-Za-z]*)")
_UNITS = {
    "": 1, "B": 1, "kB": 1000, "MB": 1000**2, "GB": 1000**3, "TB": 1000**4,
    "KiB": 1024, "MiB": _MIB, "GiB": _GIB, "TiB": 1024 * _GIB,
}  # fmt: skip


def offer_id(type_name: str, location: str) -> str:
    return f"{type_name}@{location}"


def hardware(sold: TypeSold) -> Hardware:
    return Hardware(
        name=sold.name,
        gpu_model=sold.gpu_model if sold.gpu_count else None,
        gpu_count=sold.gpu_count,
        gpu_vram_gb=sold.gpu_vram_gb if sold.gpu_count else 0,
        vcpu_count=sold.vcpu_count,
        ram_gb=sold.ram_gb,
        storage_gb=sold.disk_gb,
        description=sold.description,
        gpu_name=(sold.gpu_name or sold.gpu_model or "") if sold.gpu_count else "",
        boot_timeout_s=sold.boot_timeout_s,
    )


def offers(config: IncusConfig, free: Mapping[str, int], places: Collection[Any]) -> list[ProviderOffer]:
    """Every type in every place, what is sold out included; `free` is by `provider_offer_id`."""
    return [
        ProviderOffer(
            provider_offer_id=offer_id(sold.name, place.code),
            hardware=hardware(sold),
            place=place,
            cost_micros_per_hour=0,
            price_micros_per_hour=sold.price_micros_per_hour,
            free_units=free.get(offer_id(sold.name, place.code), 0),
            spot_price_micros_per_hour=sold.spot_price_micros_per_hour,
        )
        for place in places
        for sold in config.types
    ]


def image(sold: ImageSold) -> ProviderImage:
    return ProviderImage(
        slug=sold.alias,
        name=sold.name,
        category=sold.category,
        os_name=sold.os_name,
        os_version=sold.os_version,
        ssh_user=sold.ssh_user,
        is_default=sold.is_default,
        cuda_version=sold.cuda_version,
        has_docker=sold.has_docker,
        min_os_volume_gb=sold.min_disk_gb,
        gpu_models=sold.gpu_models,
    )


def volume_types(config: IncusConfig, places: Iterable[Any]) -> list[ProviderVolumeType]:
    return [
        ProviderVolumeType(
            name=config.volume_type,
            place=place,
            cost_micros_per_gb_month=0,
            price_micros_per_gb_month=config.volume_micros_per_gb_month,
            min_size_gb=_MIN_VOLUME_GB,
            max_size_gb=_MAX_VOLUME_GB,
            attaches_live=True,
        )
        for place in places
    ]


def room(member: Json, resources: Json, location: str, *, reserved_ram_gb: int, has_room: bool) -> Room:
    """`has_room`: whether it answered, so that `resources` are of now."""
    config = member.get("config") or {}
    cpu, memory = resources.get("cpu") or {}, resources.get("memory") or {}
    return Room(
        member=text(member, "server_name"),
        location=location,
        is_open=has_room and is_online(member) and names.EVACUATES_AT not in config,
        vcpus=whole(cpu.get("total")),
        ram_mb=max(0, whole(memory.get("total")) // _MIB - reserved_ram_gb * 1024),
        cards=cards(resources),
    )


def is_online(member: Json) -> bool:
    return text(member, "status") == "Online"


def cards(resources: Json) -> Sequence[Card]:
    found = []
    for card in rows((resources.get("gpu") or {}).get("cards")):
        pci = text(card, "pci_address")
        nvidia = card.get("nvidia") or {}
        words = (text(nvidia, "model"), text(nvidia, "brand"), text(card, "product"), text(card, "vendor"))
        if pci:
            found.append(Card(pci, " ".join(filter(None, words))))
    return tuple(sorted(found, key=lambda card: card.pci))


def use(instance: Json) -> Use:
    """What an instance has, of whichever project."""
    config, devices = _expanded(instance, "config"), _expanded(instance, "devices")
    gpus = [device for device in devices.values() if device.get("type") == "gpu"]
    ports = set()
    for device in devices.values():
        if device.get("type") == "proxy":
            kind, _, rest = text(device, "listen").partition(":")
            port = rest.rpartition(":")[2]
            if kind == "tcp" and port.isdecimal():
                ports.add(int(port))
    is_off = text(instance, "status") == "Stopped" and was_started(instance)
    # Others' instances keep what they were given: they may be started at any time.
    holds = not is_off or config.get(names.INSTALLATION) is None or config.get(names.HOLDS) == "1"
    return Use(
        name=text(instance, "name"),
        member=text(instance, "location"),
        vcpus=_vcpus(text(config, "limits.cpu")),
        ram_mb=size(text(config, "limits.memory")) // _MIB,
        cards=frozenset(text(device, "pci") for device in gpus if device.get("pci")),
        has_all_cards=any(not device.get("pci") for device in gpus),
        ports=frozenset(ports),
        holds=holds,
        born_at=text(instance, "created_at"),
        is_known=bool(config) or text(instance, "status") in _POWERS,
    )


def uses(instance: Json) -> Sequence[Use]:
    """What it has where it is, and what is kept for it where it goes."""
    has, move = use(instance), moves.of(instance)
    if move is None:
        return [has]
    is_there = has.member == move.target
    if not is_there:
        # It may come to stay.
        has = replace(has, cards=has.cards | move.cards_left())
    bound = replace(
        has,
        member=move.target,
        vcpus=0 if is_there else has.vcpus,
        ram_mb=0 if is_there else has.ram_mb,
        cards=frozenset(move.cards),
    )
    return [has, bound]


def label_of(holder: Json) -> Label | None:
    """Of an instance or a volume; None for what is not one of any Berth's."""
    config = holder.get("config") or {}
    if not config and text(holder, "status") not in _POWERS:
        # Its member is away, and its name is all that is told of an instance.
        return Label.parse(text(holder, "name"))
    installation, instance = config.get(names.INSTALLATION), config.get(names.INSTANCE)
    if not installation or not instance:
        return None
    return Label(str(installation), str(instance))


def was_started(instance: Json) -> bool:
    """What never was is still being made, or whoever made it died."""
    return not text(instance, "last_used_at").startswith(_NEVER)


def sighting(instance: Json, config: IncusConfig, *, host: str | None, evicts_at: Instant | None) -> Sighting:
    """An instance of ours. `host` is where its member is reached; None while nobody can say."""
    status = text(instance, "status")
    power = _POWERS.get(status)
    if power is None:
        # Its member is away: what it did last is all that is known.
        was = text(instance.get("config") or {}, "volatile.last_state.power")
        power = Power.STOPPED if was == "STOPPED" else Power.RUNNING
        is_unreachable = True
    else:
        is_unreachable = False
    if power is Power.STOPPED and not was_started(instance):
        power = Power.CREATING
    # While it is taken elsewhere it is neither to be started nor to be taken for gone.
    is_unreachable = is_unreachable or moves.of(instance) is not None
    has = use(instance)
    user = (instance.get("config") or {}).get("user.berth.ssh_user")
    return Sighting(
        label=label_of(instance),
        handle=text(instance, "name"),
        power=power,
        ip=address_of(instance) if config.ssh == "address" else host,
        ssh_port=SSH_PORT if config.ssh == "address" else min(has.ports, default=None),
        ssh_user=str(user) if user else "root",
        ssh_host_key_fingerprint=(instance.get("config") or {}).get(names.HOST_KEY),
        evicts_at=evicts_at,
        is_unreachable=is_unreachable,
    )


def address_of(instance: Json) -> str | None:
    """The first address of its own, where its state came with it."""
    for name, interface in sorted(((instance.get("state") or {}).get("network") or {}).items()):
        if name != "lo":
            for address in rows(interface.get("addresses")):
                if address.get("family") == "inet" and address.get("scope") == "global":
                    return text(address, "address") or None
    return None


def instance_body(order: CreateOrder, sold: TypeSold, grant: Grant, config: IncusConfig) -> dict[str, Any]:
    """What is asked for with a create. Keys, name and script are written into it before its first start."""
    settings = {
        names.INSTALLATION: order.label.install_id,
        names.INSTANCE: order.label.instance_id,
        names.OFFER: order.provider_offer_id,
        names.HOLDS: "1",
        names.GPUS: str(sold.gpu_count),
        "user.berth.ssh_user": order.ssh_user,
        "limits.cpu": str(sold.vcpu_count),
        "limits.memory": f"{sold.ram_gb}GiB",
    }
    if not sold.is_virtual_machine:
        settings["limits.processes"] = str(_PROCESSES_PER_VCPU * sold.vcpu_count)
        if sold.gpu_count and config.nvidia_runtime:
            settings["nvidia.runtime"] = "true"
    if sold.gpu_count:
        # Its card is of this member, so that another has to be chosen where it goes.
        settings["cluster.evacuate"] = "stop"
    devices: dict[str, Any] = {
        names.ROOT_DEVICE: {
            "type": "disk",
            "path": "/",
            "pool": config.pool,
            "size": f"{order.os_volume_gb}GiB",
        },
        **names.gpu_devices(grant.cards),
        **{mount.volume_handle: volume_device(mount, config.pool) for mount in order.mounts},
    }
    if sold.is_virtual_machine:
        # For images that find what they are told on a disk only.
        devices[names.INIT_DEVICE] = {"type": "disk", "source": "cloud-init:config"}
    if config.ssh == "proxy":
        devices[names.SSH_DEVICE] = proxy_device(grant.port)
    return {
        "name": names.instance(order.label),
        "type": "virtual-machine" if sold.is_virtual_machine else "container",
        "source": {"type": "image", "alias": order.image_slug},
        "config": settings,
        "devices": devices,
    }


def proxy_device(port: int) -> dict[str, str]:
    # Not on the address of its member: with that in it, it does not start on another.
    return {"type": "proxy", "listen": f"tcp:0.0.0.0:{port}", "connect": f"tcp:127.0.0.1:{SSH_PORT}"}


def volume_device(mount: Mount, pool: str) -> dict[str, str]:
    return {
        "type": "disk",
        "pool": pool,
        "source": mount.volume_handle,
        "path": mount.path or f"/mnt/{mount.name}",
    }


def written(
    instance: Json, *, config: Mapping[str, str | None] | None = None, devices: Json | None = None
) -> dict[str, Any]:
    """The whole of an instance, to be written back with changes: what is not ours is kept. None takes a key out."""
    settings = {**(instance.get("config") or {}), **(config or {})}
    return {
        "architecture": text(instance, "architecture"),
        "config": {name: value for name, value in settings.items() if value is not None},
        "devices": instance.get("devices") or {} if devices is None else devices,
        "ephemeral": bool(instance.get("ephemeral")),
        "profiles": instance.get("profiles") or [],
        "description": text(instance, "description"),
        "stateful": bool(instance.get("stateful")),
    }


def volume_sighting(volume: Json, *, is_ready: bool) -> VolumeSighting:
    return VolumeSighting(
        label=label_of(volume),
        handle=text(volume, "name"),
        size_gb=size(text(volume.get("config") or {}, "size")) // _GIB,
        attached_to=frozenset(attached(volume)),
        is_ready=is_ready,
    )


def attached(volume: Json) -> list[str]:
    """Names of the instances that have it."""
    found = []
    for path in volume.get("used_by") or ():
        parts = str(path).partition("?")[0].split("/")
        if "instances" in parts[:-1] and "snapshots" not in parts:
            found.append(parts[parts.index("instances") + 1])
    return found


def evicts_at(member: Json) -> Instant | None:
    """When its instances are to leave it, as `berth incus evacuate` wrote on it."""
    said = text(member.get("config") or {}, names.EVACUATES_AT)
    return Instant(int(said)) if said.isdecimal() else None


def size(written_as: str) -> int:
    """Bytes of `10GiB`, `500MB` and their like; 0 for what is no size, a share of the host's included."""
    found = _SIZE.fullmatch(written_as)
    return int(found[1]) * _UNITS[found[2]] if found and found[2] in _UNITS else 0


def rows(value: object) -> Sequence[Json]:
    return [each for each in value if isinstance(each, Mapping)] if isinstance(value, list) else ()


def text(row: Json, member: str) -> str:
    """A member that is text; empty for anything else."""
    value = row.get(member)
    return value if isinstance(value, str) else ""


def whole(value: object) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else 0


def whole_of(digits: str) -> int:
    return int(digits) if digits.isdecimal() else 0


def _vcpus(limit: str) -> int:
    """Of `4`, or of a list of processors such as `0-3,8`; 0 where there is no limit."""
    if limit.isdecimal():
        return int(limit)
    count = 0
    for part in limit.split(","):
        first, _, last = part.partition("-")
        if first.isdecimal():
            count += int(last) - int(first) + 1 if last.isdecimal() else 1
    return count


def _expanded(instance: Json, member: str) -> Mapping[str, Any]:
    found = instance.get(f"expanded_{member}") or instance.get(member)
    return found if isinstance(found, Mapping) else {}


def host_of(member: Json, name: str, public: Mapping[str, str]) -> str | None:
    """Where customers reach what runs on a member: as the operator says, else where the cluster itself does."""
    if name in public:
        return public[name]
    host, _, _ = text(member, "url").partition("://")[2].rpartition(":")
    return host.strip("[]") or ("127.0.0.1" if name == STANDALONE else None)

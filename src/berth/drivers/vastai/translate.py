"""What Vast.ai says of offers and templates, in the words of the driver port. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import ROUND_CEILING, Decimal
from typing import Any

from berth.core.driver import Hardware, Market, Place, ProviderOffer, ProviderTemplate
from berth.drivers.vastai import names
from berth.drivers.vastai.reading import Json, instant, micros, number, text, whole

_BOOT_TIMEOUT_S = 900
_MB_PER_GB = 1000
_SECONDS_PER_HOUR = 3600
_RELIABILITY, _SAFETY = Decimal("0.6"), Decimal("0.4")
_HOST_NUMBERS = (
    "cuda_max_good",
    "compute_cap",
    "gpu_total_ram",
    "gpu_ram",
    "disk_space",
    "reliability2",
    "inet_down",
    "inet_up",
    "dph_total",
    "cpu_cores_effective",
)
_HOST_TEXTS = ("cpu_arch", "gpu_name", "driver_version", "geolocation")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What an offer has to be to be sold. The service does not apply every filter that it is sent."""

    min_reliability: Decimal
    is_verified_only: bool
    disk_gb: int

    def query(self) -> dict[str, Any]:
        """As the service is asked for it; `allocated_storage` folds the disk into the price."""
        asked: dict[str, Any] = {
            "rentable": {"eq": True},
            "rented": {"eq": False},
            "external": {"eq": False},
            "num_gpus": {"gte": 1},
            "reliability2": {"gte": self.min_reliability},
            "disk_space": {"gte": self.disk_gb},
            "type": "on-demand",
            "allocated_storage": self.disk_gb,
        }
        if self.is_verified_only:
            asked["verified"] = {"eq": True}
        return asked

    def has(self, row: Json) -> bool:
        reliability, disk = number(row.get("reliability2")), number(row.get("disk_space"))
        return (
            row.get("rentable") is True
            and row.get("rented") is not True
            and row.get("external") is not True
            and row.get("is_bid") is not True
            and reliability is not None
            and reliability >= self.min_reliability
            and disk is not None
            and disk >= self.disk_gb
            and not _is_ending(row)
            and (not self.is_verified_only or _is_verified(row))
        )


def _is_ending(row: Json) -> bool:
    """Whether its host takes it back within the hour."""
    left_s = number(row.get("duration"))
    return left_s is not None and left_s < _SECONDS_PER_HOUR


def offer(row: Json) -> ProviderOffer | None:
    """One machine as it could be rented now; None for what is no offer of GPUs, or has no price."""
    handle, name = whole(row.get("ask_contract_id") or row.get("id")), names.gpu(text(row, "gpu_name"))
    count, mib = whole(row.get("num_gpus")), whole(row.get("gpu_ram"))
    cost, cores = micros(row.get("dph_total")), number(row.get("cpu_cores_effective")) or Decimal()
    if handle <= 0 or not name or count <= 0 or mib <= 0 or not cost or cores <= 0:
        return None
    vram, geolocation = names.vram_gb(mib), text(row, "geolocation")
    country = names.country(geolocation)
    return ProviderOffer(
        provider_offer_id=str(handle),
        hardware=Hardware(
            name=names.type_of(name, count, vram),
            gpu_model=name,
            gpu_count=count,
            gpu_vram_gb=vram,
            vcpu_count=max(1, int(cores)),
            ram_gb=max(1, _ram_gb(row, cores)),
            storage_gb=whole(row.get("disk_space")),
            description=f"{count}x {name} {vram}GB",
            manufacturer="AMD" if text(row, "gpu_arch") == "amd" else "NVIDIA",
            gpu_name=f"{name} {vram}GB",
            boot_timeout_s=_BOOT_TIMEOUT_S,
        ),
        place=Place(country, country, country),
        cost_micros_per_hour=cost,
        price_micros_per_hour=None,
        free_units=1,
        market=_market(row, geolocation),
    )


def offers(listed: Iterable[Json]) -> list[ProviderOffer]:
    """Each with the hardware of its type: what the weakest of that type has, as customers are promised no more."""
    found = [each for row in listed if (each := offer(row)) is not None]
    least: dict[str, Hardware] = {}
    for each in found:
        known = least.get(each.hardware.name, each.hardware)
        least[each.hardware.name] = replace(
            known,
            vcpu_count=min(known.vcpu_count, each.hardware.vcpu_count),
            ram_gb=min(known.ram_gb, each.hardware.ram_gb),
            storage_gb=min(known.storage_gb, each.hardware.storage_gb),
        )
    return [replace(each, hardware=least[each.hardware.name]) for each in found]


def _ram_gb(row: Json, cores: Decimal) -> int:
    """Of its host's memory an instance gets the share that it gets of the processors."""
    memory, all_cores = number(row.get("cpu_ram")) or Decimal(), number(row.get("cpu_cores"))
    share = min(cores / all_cores, Decimal(1)) if all_cores else Decimal(1)
    return round(memory * share / _MB_PER_GB)


def _market(row: Json, geolocation: str) -> Market:
    reliability = min(max(number(row.get("reliability2")) or Decimal(), Decimal()), Decimal(1))
    total, bid = number(row.get("dph_total")) or Decimal(), number(row.get("min_bid"))
    # A minimum bid is there for every machine: only `is_bid` says that this offer is interruptible.
    is_interruptible = row.get("is_bid") is True
    safety = Decimal(1)
    if is_interruptible:
        safety = min(Decimal(1), (bid or Decimal()) / total) if total else Decimal()
    machine, cuda = whole(row.get("machine_id")), number(row.get("cuda_max_good"))
    return Market(
        location=geolocation,
        reliability=float(reliability),
        confidence=float(_RELIABILITY * reliability + _SAFETY * safety),
        physical_host=names.host(machine) if machine else None,
        cuda_version=None if cuda is None else float(cuda),
        max_duration_hours=max(0, whole(row.get("duration"))) // _SECONDS_PER_HOUR,
        is_interruptible=is_interruptible,
        min_bid_micros_per_hour=micros(bid),
        host=_host(row),
    )


def _host(row: Json) -> Mapping[str, str | int | float | bool]:
    """What templates' filters compare. The number of GPUs is text there, as the filters have it."""
    known: dict[str, str | int | float | bool] = {"num_gpus": str(whole(row.get("num_gpus")))}
    for member in _HOST_NUMBERS:
        value = number(row.get(member))
        if value is not None:
            known[member] = int(value) if value == value.to_integral_value() else float(value)
    known.update({member: found for member in _HOST_TEXTS if (found := text(row, member))})
    known["verified"] = _is_verified(row)
    known["rentable"] = row.get("rentable") is True
    known["static_ip"] = row.get("static_ip") is True
    return known


def _is_verified(row: Json) -> bool:
    return text(row, "verification") == "verified" or row.get("verified") is True


def templates(listed: Iterable[Json]) -> Sequence[ProviderTemplate]:
    return [
        ProviderTemplate(
            hash_id=hash_id,
            id=whole(row.get("id")),
            name=text(row, "name") or image,
            image=image,
            tag=text(row, "tag"),
            env=text(row, "env"),
            onstart=str(row.get("onstart") or ""),
            runtype=text(row, "runtype"),
            args_str=text(row, "args_str"),
            use_ssh=row.get("use_ssh") is True,
            ssh_direct=row.get("ssh_direct") is True,
            recommended=row.get("recommended") is True,
            recommended_disk_gb=_at_least(row.get("recommended_disk_space")),
            extra_filters=text(row, "extra_filters"),
            creator_id=whole(row.get("creator_id")),
            created_at=instant(row.get("created_at")) or 0,
            count_created=whole(row.get("count_created")),
        )
        for row in listed
        if (hash_id := text(row, "hash_id")) and (image := text(row, "image"))
    ]


def _at_least(value: object) -> int:
    exact = number(value) or Decimal()
    return int(exact.to_integral_value(rounding=ROUND_CEILING))

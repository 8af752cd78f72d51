"""What TensorDock sells, in the words of the driver port. Pure.

It sells GPUs by the location, up to so many in one virtual machine, with as many processors and as much memory and disk
as is asked for. Each count of GPUs is an offer here, in the one shape that is ordered of it, so that its price is true.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal

from berth.core.driver import Hardware, Market, Place, ProviderImage, ProviderOffer
from berth.drivers.tensordock import countries
from berth.drivers.tensordock.words import Json, micros, number, part, rows, text, whole

CONFIDENCE = 0.3
"""How likely it is that what a location lists can be had, before anything is known of it: it lists much that cannot."""
VCPUS_PER_GPU, RAM_GB_PER_GPU, DISK_GB = 8, 32, 100
MOST_GPUS = 16
SSH_USER = "root"
BOOT_TIMEOUT_S = 900
_LOCATION_ID_LENGTH = 36
_COUNT_MARK = ":"
_RAM_GB = (2, 4, 6, 8, 10, *range(16, 257, 16), 512)
_TOP_TIER = 3
_VRAM = re.compile(r"(\d+)\s*GB", re.IGNORECASE)
_MAKER = re.compile(r"^(NVIDIA|GeForce|Tesla)\s+", re.IGNORECASE)
_BUILD = re.compile(r"\s+(PCIe\s+)?\d+\s*GB$|\s+PCIe$", re.IGNORECASE)
_NO_LETTERS = re.compile(r"[^A-Za-z0-9]+")
_IMAGES = (
    ("ubuntu2404_ml_everything", "Ubuntu 24.04 with machine learning tools", "24.04"),
    ("ubuntu2404_ml_pytorch", "Ubuntu 24.04 with PyTorch", "24.04"),
    ("ubuntu2404_ml_tensorflow", "Ubuntu 24.04 with TensorFlow", "24.04"),
    ("ubuntu2404_nvidia_570", "Ubuntu 24.04 with NVIDIA driver 570", "24.04"),
    ("ubuntu2404_nvidia_550", "Ubuntu 24.04 with NVIDIA driver 550", "24.04"),
    ("ubuntu2404", "Ubuntu 24.04, without GPU driver", "24.04"),
    ("ubuntu2204", "Ubuntu 22.04, without GPU driver", "22.04"),
)
"""The API has no list of them. Windows is not among them: it takes no SSH key."""


@dataclass(frozen=True, slots=True)
class Shape:
    """What is ordered beside the GPUs."""

    vcpu_count: int
    ram_gb: int
    disk_gb: int = DISK_GB


@dataclass(frozen=True, slots=True)
class OfferName:
    """What `provider_offer_id` says: `<location uuid>-<v0Name>`, and `:<count>` for more than one GPU."""

    location_id: str
    gpu: str
    """As TensorDock names the GPU in orders, for example `geforcertx4090-pcie-24gb`."""
    count: int = 1

    def __str__(self) -> str:
        count = f"{_COUNT_MARK}{self.count}" if self.count > 1 else ""
        return f"{self.location_id}-{self.gpu}{count}"

    @classmethod
    def parse(cls, offer_id: str) -> "OfferName | None":
        location_id, rest = offer_id[:_LOCATION_ID_LENGTH], offer_id[_LOCATION_ID_LENGTH:]
        gpu, mark, count = rest.removeprefix("-").rpartition(_COUNT_MARK)
        if not mark:
            gpu, count = count, "1"
        if (
            len(location_id) < _LOCATION_ID_LENGTH
            or not rest.startswith("-")
            or not gpu
            or _COUNT_MARK in gpu
        ):
            return None
        if not count.isascii() or not count.isdigit() or not 1 <= int(count) <= MOST_GPUS:
            return None
        return cls(location_id, gpu, int(count))


@dataclass(frozen=True, slots=True)
class Reach:
    """How a location lets instances be reached."""

    forwards_ports: bool
    has_own_ips: bool


def locations(answer: object) -> Sequence[Json] | None:
    """The rows of `/locations`, none being normal; None where the answer has no list."""
    return _listed(answer, "locations")


def hostnodes(answer: object) -> Sequence[Json]:
    """The rows of `/hostnodes`, which many may not read and which then says nothing."""
    return _listed(answer, "hostnodes") or ()


def as_locations(hosts: Iterable[Json]) -> list[Json]:
    """Hosts as the locations that they stand in, a location's GPU with the most that one of its hosts has free.

    Prices are the dearest of them: which one it will be is not ours to choose.
    """
    standing: dict[str, list[Json]] = defaultdict(list)
    for host in hosts:
        place_id = text(host, "location_id") or text(part(host, "location"), "uuid")
        if place_id:
            standing[place_id].append(host)
    return [
        {**part(there[0], "location"), "id": place_id, "gpus": _gpus_of(there)}
        for place_id, there in standing.items()
    ]


def reaches(listed: Iterable[Json]) -> dict[OfferName, Reach]:
    """How instances are reached, by the offer of one GPU of that kind."""
    found = {}
    for row in listed:
        for gpu in rows(row.get("gpus")):
            features = part(gpu, "network_features")
            found[OfferName(text(row, "id"), text(gpu, "v0Name"))] = Reach(
                forwards_ports=features.get("port_forwarding_available") is not False,
                has_own_ips=features.get("dedicated_ip_available") is True,
            )
    return found


def offers(listed: Iterable[Json]) -> list[ProviderOffer]:
    """Each count of each GPU of each location. Of two rows that are one offer the first counts."""
    made: dict[str, ProviderOffer] = {}
    for row in listed:
        for gpu in rows(row.get("gpus")):
            for count in range(1, min(whole(gpu.get("max_count")), MOST_GPUS) + 1):
                offer = _offer(row, gpu, count)
                if offer is not None:
                    made.setdefault(offer.provider_offer_id, offer)
    return list(made.values())


def shape(limits: Json, count: int) -> Shape:
    """What is ordered with so many GPUs: the usual for each of them, as far as that can be had in one order."""
    most_vcpus = whole(limits.get("max_vcpus")) or count * VCPUS_PER_GPU
    most_ram_gb = whole(limits.get("max_ram_gb")) or count * RAM_GB_PER_GPU
    vcpus = min(count * VCPUS_PER_GPU, most_vcpus) // 2 * 2
    ram_gb = max(
        (size for size in _RAM_GB if size <= min(count * RAM_GB_PER_GPU, most_ram_gb)), default=_RAM_GB[0]
    )
    return Shape(max(vcpus, 2), ram_gb)


def model_of(display_name: str) -> str:
    """The GPU as people call it: without its maker, its slot and its memory, for example `RTX 4090`."""
    name, stripped = " ".join(display_name.split()), ""
    while name != stripped:
        stripped, name = name, _BUILD.sub("", _MAKER.sub("", name))
    return name


def images(default: str) -> list[ProviderImage]:
    """Those that are known, and the one that the operator chose where it is another."""
    known = {slug: (name, version) for slug, name, version in _IMAGES}
    known.setdefault(default, (default, ""))
    return [
        ProviderImage(
            slug=slug,
            name=name,
            category="ubuntu",
            os_name="Ubuntu",
            ssh_user=SSH_USER,
            is_default=slug == default,
            os_version=version or None,
            min_os_volume_gb=DISK_GB,
        )
        for slug, (name, version) in known.items()
    ]


def _offer(row: Json, gpu: Json, count: int) -> ProviderOffer | None:
    name = OfferName(text(row, "id"), text(gpu, "v0Name"), count)
    shown = text(gpu, "displayName") or name.gpu
    model, vram_gb = model_of(shown), _vram_gb(shown) or _vram_gb(name.gpu)
    limits, price = part(gpu, "resources"), number(gpu.get("price_per_hr"))
    is_whole_name = OfferName.parse(str(name)) == name
    most_disk_gb = whole(limits.get("max_storage_gb"))
    if not is_whole_name or price is None or not vram_gb or 0 < most_disk_gb < DISK_GB:
        return None
    wanted = shape(limits, count)
    cost = micros(_per_hour(price, part(gpu, "pricing"), wanted, count))
    country = text(row, "country")
    code = countries.code_of(country)
    return ProviderOffer(
        provider_offer_id=str(name),
        hardware=Hardware(
            name=f"{count}{_NO_LETTERS.sub('', model)}.{vram_gb}V",
            gpu_model=model,
            gpu_count=count,
            gpu_vram_gb=vram_gb,
            vcpu_count=wanted.vcpu_count,
            ram_gb=wanted.ram_gb,
            storage_gb=wanted.disk_gb,
            description="Virtual machine of a marketplace",
            manufacturer="NVIDIA",
            gpu_name=f"{model} {vram_gb}GB",
            boot_timeout_s=BOOT_TIMEOUT_S,
        ),
        place=Place(code, code, code),
        cost_micros_per_hour=cost,
        price_micros_per_hour=None,
        free_units=1,
        market=Market(
            location=", ".join(filter(None, (text(row, "city"), text(row, "stateprovince"), country))),
            reliability=min(1.0, whole(row.get("tier")) / _TOP_TIER),
            confidence=CONFIDENCE,
        ),
    )


def _per_hour(price: Decimal, pricing: Json, wanted: Shape, count: int) -> Decimal:
    return (
        price * count
        + (number(pricing.get("per_vcpu_hr")) or 0) * wanted.vcpu_count
        + (number(pricing.get("per_gb_ram_hr")) or 0) * wanted.ram_gb
        + (number(pricing.get("per_gb_storage_hr")) or 0) * wanted.disk_gb
    )


def _gpus_of(hosts: Sequence[Json]) -> list[Json]:
    found: dict[str, Json] = {}
    for host in hosts:
        free, pricing = part(host, "available_resources"), part(host, "pricing")
        for gpu in rows(free.get("gpus")):
            name, count = text(gpu, "v0Name"), whole(gpu.get("availableCount"))
            before = found.get(name, {})
            found[name] = {
                "v0Name": name,
                "max_count": max(count, whole(before.get("max_count"))),
                "price_per_hr": _dearest(gpu, before, "price_per_hr"),
                "pricing": {
                    each: _dearest(pricing, part(before, "pricing"), each)
                    for each in ("per_vcpu_hr", "per_gb_ram_hr", "per_gb_storage_hr")
                },
                "resources": {
                    each: min(
                        filter(None, (whole(free.get(each)), whole(part(before, "resources").get(each)))),
                        default=0,
                    )
                    for each in ("max_vcpus", "max_ram_gb", "max_storage_gb")
                },
            }
    return list(found.values())


def _dearest(one: Json, other: Json, member: str) -> Decimal | None:
    prices = [price for row in (one, other) if (price := number(row.get(member))) is not None]
    return max(prices, default=None)


def _listed(answer: object, member: str) -> Sequence[Json] | None:
    """A list in `data`, by its name there, or as `data` itself."""
    data = answer.get("data") if isinstance(answer, dict) else answer
    found = data.get(member) if isinstance(data, dict) else data
    return rows(found) if isinstance(found, list) else None


def _vram_gb(name: str) -> int:
    found = _VRAM.search(name)
    return int(found.group(1)) if found else 0

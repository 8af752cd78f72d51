"""The pretended catalogue: GPU types in four places, so that everything can be tried without a GPU.

Each type is sold a limited number of times per place; what runs here counts against it.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace

from berth.core.driver import Hardware, Place, ProviderClusterType, ProviderOffer, ProviderVolumeType

PLACES = (
    Place(code="FIN-01", name="Finland 1", country_code="FI"),
    Place(code="ICE-01", name="Iceland 1", country_code="IS"),
    Place(code="FIN-02", name="Finland 2", country_code="FI"),
    Place(code="FIN-03", name="Finland 3", country_code="FI"),
)


@dataclass(frozen=True, slots=True)
class _Type:
    hardware: Hardware
    price_micros_per_hour: int
    spot_price_micros_per_hour: int | None
    units: dict[str, int]
    """How many are sold per place code."""


def offers(running: Iterable[str]) -> list[ProviderOffer]:
    """Everything on offer, given the offer id of each instance that runs now."""
    used = Counter(running)
    found = []
    for place in PLACES:
        for kind in _TYPES:
            if place.code in kind.units:
                offer_id = f"{kind.hardware.name}@{place.code}"
                found.append(
                    ProviderOffer(
                        provider_offer_id=offer_id,
                        hardware=kind.hardware,
                        place=place,
                        cost_micros_per_hour=0,
                        price_micros_per_hour=kind.price_micros_per_hour,
                        free_units=max(0, kind.units[place.code] - used[offer_id]),
                        is_simulated=True,
                        spot_price_micros_per_hour=kind.spot_price_micros_per_hour,
                    )
                )
    return found


def cluster_types() -> list[ProviderClusterType]:
    """Every kind of cluster. Its nodes come out of the units of their own types; the host to reach them from is free."""
    return [
        ProviderClusterType(
            name=name,
            place=next(place for place in PLACES if place.code == location),
            worker_offer_id=f"{worker}@{location}",
            worker_count=count,
            jump_host_offer_id=f"{_JUMP_HOST}@{location}",
            price_micros_per_hour=price,
            description=description,
            details=details,
        )
        for name, location, worker, count, price, description, details in _CLUSTER_TYPES
    ]


def volume_types(*, max_attachments: int) -> list[ProviderVolumeType]:
    """Every kind of volume in every place; `max_attachments` is of those that are shared."""
    kinds = [
        replace(kind, max_attachments=max_attachments) if kind.is_shared else kind for kind in _VOLUME_TYPES
    ]
    return [replace(kind, place=place) for place in PLACES for kind in kinds]


def _volume(
    name: str, *, price: int, iops: str, burst: int, continuous: int, throughput: int, is_shared: bool = False
) -> ProviderVolumeType:
    """A kind of volume. `price` is in micro-dollars for one GB and a month, bandwidths are in MB/s."""
    return ProviderVolumeType(
        name=name,
        place=PLACES[0],
        cost_micros_per_gb_month=0,
        price_micros_per_gb_month=price,
        is_shared=is_shared,
        iops=iops,
        burst_bandwidth_mb_s=burst,
        continuous_bandwidth_mb_s=continuous,
        internal_network_speed_mb_s=50,
        throughput_gbps=throughput,
        is_simulated=True,
    )


def _gpu(
    name: str,
    model: str,
    form: str,
    *,
    count: int,
    vram: int,
    vcpus: int,
    ram: int,
    price: int,
    units: dict[str, int],
) -> _Type:
    """A GPU type. `price` is in micro-dollars per hour; `form` is the GPU as price trackers write it."""
    return _Type(
        hardware=Hardware(
            name=name,
            gpu_model=model,
            gpu_count=count,
            gpu_vram_gb=vram,
            vcpu_count=vcpus,
            ram_gb=ram,
            storage_gb=512,
            description=f"{count}x {form} {vram}GB",
            manufacturer="NVIDIA",
            gpu_name=f"{form} {vram}GB",
            p2p=_LINKS.get(form) if count > 1 else None,
            best_for=_best_for(vram),
            boot_timeout_s=60,
        ),
        price_micros_per_hour=price,
        spot_price_micros_per_hour=price * 35 // 100,
        units=units,
    )


# What two GPUs of one machine say to each other, both ways together, by the vendor's data sheets.
_LINKS = {
    "A100 SXM4": "600 GB/s",
    "H100 SXM5": "900 GB/s",
    "H200 SXM5": "900 GB/s",
    "B200 SXM6": "1800 GB/s",
    "B300 SXM6": "1800 GB/s",
    "GB200 NVL72": "1800 GB/s",
}
_LARGE_GB = 80


def _best_for(vram: int) -> tuple[str, ...]:
    if vram >= _LARGE_GB:
        return ("Large model training", "Large model inference", "Fine-tuning")
    return ("Inference", "Fine-tuning", "Rendering")


def _cpu(name: str, *, vcpus: int, ram: int, price: int, units: dict[str, int]) -> _Type:
    return _Type(
        hardware=Hardware(
            name=name,
            gpu_model=None,
            gpu_count=0,
            gpu_vram_gb=0,
            vcpu_count=vcpus,
            ram_gb=ram,
            storage_gb=512,
            description=f"AMD EPYC {vcpus} vCPU {ram}GB",
            manufacturer="AMD",
            best_for=("Running services", "API server", "Data transfers"),
            boot_timeout_s=60,
        ),
        price_micros_per_hour=price,
        spot_price_micros_per_hour=price * 35 // 100,
        units=units,
    )


_TYPES = (
    _gpu(
        "1H100.80S.30V", "H100", "H100 SXM5", count=1, vram=80, vcpus=30, ram=120, price=1_710_000,
        units={"FIN-01": 40, "FIN-02": 12, "ICE-01": 8},
    ),
    _gpu(
        "2H100.80S.60V", "H100", "H100 SXM5", count=2, vram=80, vcpus=60, ram=240, price=3_420_000,
        units={"FIN-01": 20, "FIN-02": 6},
    ),
    _gpu(
        "8H100.80S.176V", "H100", "H100 SXM5", count=8, vram=80, vcpus=176, ram=1480, price=13_680_000,
        units={"FIN-01": 4, "ICE-01": 4},
    ),
    _gpu(
        "1H200.141S.44V", "H200", "H200 SXM5", count=1, vram=141, vcpus=44, ram=182, price=2_590_000,
        units={"FIN-01": 16, "FIN-02": 8},
    ),
    _gpu(
        "8H200.141S.176V", "H200", "H200 SXM5", count=8, vram=141, vcpus=176, ram=1450, price=20_720_000,
        units={"FIN-01": 4, "FIN-02": 4},
    ),
    _gpu(
        "1A100.22V", "A100", "A100 SXM4", count=1, vram=80, vcpus=22, ram=120, price=965_000,
        units={"FIN-01": 40, "ICE-01": 12},
    ),
    _gpu(
        "1A100.40S.22V", "A100", "A100 SXM4", count=1, vram=40, vcpus=22, ram=120, price=720_000,
        units={"FIN-01": 12},
    ),
    _gpu(
        "8A100.176V", "A100", "A100 SXM4", count=8, vram=80, vcpus=176, ram=960, price=7_720_000,
        units={"FIN-01": 4, "ICE-01": 4},
    ),
    _gpu(
        "1B200.30V", "B200", "B200 SXM6", count=1, vram=180, vcpus=30, ram=184, price=3_990_000,
        units={"FIN-03": 24, "FIN-02": 8},
    ),
    _gpu(
        "8B200.240V", "B200", "B200 SXM6", count=8, vram=180, vcpus=240, ram=1480, price=31_920_000,
        units={"FIN-03": 4},
    ),
    _gpu(
        "1B300.30V", "B300", "B300 SXM6", count=1, vram=268, vcpus=30, ram=275, price=4_950_000,
        units={"FIN-03": 16},
    ),
    _gpu(
        "8B300.240V", "B300", "B300 SXM6", count=8, vram=268, vcpus=240, ram=2200, price=39_600_000,
        units={"FIN-03": 4},
    ),
    _gpu(
        "8GB200.288V", "GB200", "GB200 NVL72", count=8, vram=186, vcpus=288, ram=1920, price=40_800_000,
        units={"FIN-03": 0},
    ),
    _gpu(
        "1L40S.20V", "L40S", "L40S", count=1, vram=48, vcpus=20, ram=60, price=914_000,
        units={"FIN-01": 20, "ICE-01": 10},
    ),
    _gpu(
        "1RTXPRO6000.30V", "RTX PRO 6000", "RTX PRO 6000", count=1, vram=96, vcpus=30, ram=90, price=1_390_000,
        units={"FIN-01": 20, "FIN-02": 10},
    ),
    _gpu(
        "1RTX6000ADA.10V", "RTX 6000 Ada", "RTX 6000 Ada", count=1, vram=48, vcpus=10, ram=60, price=830_000,
        units={"FIN-01": 12},
    ),
    _gpu(
        "1A6000.10V", "RTX A6000", "RTX A6000", count=1, vram=48, vcpus=10, ram=60, price=490_000,
        units={"FIN-01": 12, "FIN-02": 6},
    ),
    _gpu(
        "1V100.6V", "V100", "Tesla V100", count=1, vram=16, vcpus=6, ram=23, price=140_000,
        units={"FIN-01": 24, "FIN-02": 8},
    ),
    _cpu("CPU.4V.16G", vcpus=4, ram=16, price=28_000, units={"FIN-01": 40, "FIN-02": 20, "FIN-03": 40, "ICE-01": 20}),
    _cpu("CPU.8V.32G", vcpus=8, ram=32, price=56_000, units={"FIN-01": 20, "FIN-03": 20}),
    _cpu("CPU.16V.64G", vcpus=16, ram=64, price=112_000, units={"FIN-01": 10, "FIN-03": 10}),
)  # fmt: skip

# NVMe is as published; the others' prices and speeds are made up in proportion.
_VOLUME_TYPES = (
    _volume("NVMe", price=200_000, iops="100k", burst=2500, continuous=2000, throughput=4),
    _volume("HDD", price=50_000, iops="300", burst=500, continuous=250, throughput=1),
    _volume(
        "NVMe_Shared", price=200_000, iops="100k", burst=2500, continuous=2000, throughput=4, is_shared=True
    ),
    _volume("HDD_Shared", price=50_000, iops="300", burst=500, continuous=250, throughput=1, is_shared=True),
    # For the file system of a cluster, which may be large.
    replace(
        _volume(
            "NVMe_Shared_Cluster",
            price=200_000,
            iops="100k",
            burst=2500,
            continuous=2000,
            throughput=4,
            is_shared=True,
        ),
        max_size_gb=100_000,
    ),
)

_JUMP_HOST = "CPU.4V.16G"
_NETWORK = (("InfiniBand", "3200 Gbit/s"), ("Ethernet", "100 Gbit/s"), ("Uplink", "5 Gbit/s"))
_CLUSTER_TYPES = (
    (
        "16B200", "FIN-03", "8B200.240V", 2, 63_840_000, "2 nodes of 8x B200 SXM6 180GB",
        (("GPU VRAM", "2880 GB"), *_NETWORK),
    ),
    (
        "16B300", "FIN-03", "8B300.240V", 2, 79_200_000, "2 nodes of 8x B300 SXM6 268GB",
        (("GPU VRAM", "4288 GB"), *_NETWORK),
    ),
    (
        "16H200", "FIN-01", "8H200.141S.176V", 2, 41_440_000, "2 nodes of 8x H200 SXM5 141GB",
        (("GPU VRAM", "2256 GB"), *_NETWORK),
    ),
)  # fmt: skip

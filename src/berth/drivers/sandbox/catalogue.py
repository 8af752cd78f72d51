"""What this host can sell: types cut from its real cores, memory and cards, less what runs now."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from berth.core.driver import Hardware, Place, ProviderOffer
from berth.drivers.sandbox.gpus import Card
from berth.drivers.sandbox.records import Spec

VCPU_MICROS_PER_HOUR = 5_000
RAM_GB_MICROS_PER_HOUR = 1_000
GPU_MICROS_PER_HOUR = {
    "V100": 140_000,
    "RTX 3090": 220_000,
    "RTX 4090": 390_000,
    "RTX 5090": 650_000,
    "RTX A6000": 490_000,
    "RTX 6000 Ada": 830_000,
    "L40S": 914_000,
    "A100": 965_000,
    "H100": 1_710_000,
    "H200": 2_590_000,
    "B200": 3_990_000,
    "B300": 4_950_000,
}
OTHER_GPU_MICROS_PER_HOUR = 400_000

_VCPU_COUNTS = (1, 2, 4, 8, 16, 32, 64, 128)
_RAM_GB_PER_VCPU = (2, 4)
_CARD_COUNTS = (1, 2, 4, 8)
_RESERVED_RAM_GB = 1
"""Left for the host and the control plane."""
_MAX_STORAGE_GB = 512


@dataclass(frozen=True, slots=True)
class Capacity:
    """What there is to share out."""

    vcpu_count: int
    ram_gb: int
    cards: tuple[Card, ...]


@dataclass(frozen=True, slots=True)
class Use:
    """What one running instance takes of it."""

    vcpu_count: int
    ram_gb: int
    gpu_count: int

    @classmethod
    def of(cls, sized: Hardware | Spec) -> "Use":
        return cls(sized.vcpu_count, sized.ram_gb, sized.gpu_count)


def measure(cards: tuple[Card, ...]) -> Capacity:
    """The capacity of this host."""
    line = Path("/proc/meminfo").read_text().splitlines()[0]
    total_gb = round(int(line.split()[1]) / 1024**2)
    return Capacity(len(os.sched_getaffinity(0)), max(1, total_gb - _RESERVED_RAM_GB), cards)


def offers(capacity: Capacity, uses: Sequence[Use], place: Place) -> list[ProviderOffer]:
    vcpus = capacity.vcpu_count - sum(use.vcpu_count for use in uses)
    ram = capacity.ram_gb - sum(use.ram_gb for use in uses)
    cards = len(capacity.cards) - sum(use.gpu_count for use in uses)
    found = []
    for hardware in _types(capacity):
        units = min(vcpus // hardware.vcpu_count, ram // hardware.ram_gb)
        if hardware.gpu_count:
            units = min(units, cards // hardware.gpu_count)
        found.append(
            ProviderOffer(
                provider_offer_id=f"{hardware.name}@{place.code}",
                hardware=hardware,
                place=place,
                cost_micros_per_hour=0,
                price_micros_per_hour=_price(hardware),
                free_units=max(0, units),
            )
        )
    return found


@cache
def _types(capacity: Capacity) -> tuple[Hardware, ...]:
    return (*_cpu_types(capacity), *_gpu_types(capacity))


def _cpu_types(capacity: Capacity) -> list[Hardware]:
    return [
        Hardware(
            name=f"CPU.{vcpus}V.{vcpus * ratio}G",
            gpu_model=None,
            gpu_count=0,
            gpu_vram_gb=0,
            vcpu_count=vcpus,
            ram_gb=vcpus * ratio,
            storage_gb=_MAX_STORAGE_GB,
            description=f"{vcpus} vCPU {vcpus * ratio}GB",
            boot_timeout_s=60,
        )
        for vcpus in _VCPU_COUNTS
        for ratio in _RAM_GB_PER_VCPU
        if vcpus <= capacity.vcpu_count and vcpus * ratio <= capacity.ram_gb
    ]


def _gpu_types(capacity: Capacity) -> list[Hardware]:
    # A host of mixed cards sells the commonest model alone: a grant is of any free card.
    if not capacity.cards:
        return []
    total = len(capacity.cards)
    card = capacity.cards[0]
    counts = [count for count in _CARD_COUNTS if count <= total]
    vcpus = max(1, capacity.vcpu_count // total)
    ram = max(1, capacity.ram_gb // total)
    return [
        Hardware(
            name=f"{count}{card.model.replace(' ', '').upper()}.{vcpus * count}V",
            gpu_model=card.model,
            gpu_count=count,
            gpu_vram_gb=card.vram_gb,
            vcpu_count=vcpus * count,
            ram_gb=ram * count,
            storage_gb=_MAX_STORAGE_GB,
            description=f"{count}x {card.product.removeprefix('NVIDIA ')}",
            manufacturer="NVIDIA",
            gpu_name=card.product.removeprefix("NVIDIA "),
            boot_timeout_s=60,
        )
        for count in counts
    ]


def _price(hardware: Hardware) -> int:
    price = hardware.vcpu_count * VCPU_MICROS_PER_HOUR + hardware.ram_gb * RAM_GB_MICROS_PER_HOUR
    if hardware.gpu_model is not None:
        # The card's price is that of a share of the machine that goes with it.
        price = GPU_MICROS_PER_HOUR.get(hardware.gpu_model, OTHER_GPU_MICROS_PER_HOUR) * hardware.gpu_count
    return price

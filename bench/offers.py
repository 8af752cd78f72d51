"""Offers and questions of W1, from one seed: the same for ours, for gpuhunt and for the scan that both are checked with."""

import random
import time
from collections.abc import Sequence
from dataclasses import dataclass

from gpuhunt import AcceleratorVendor, Catalog, CatalogItem
from gpuhunt._internal.catalog import OFFLINE_PROVIDERS, ProviderCatalog

from berth.base.clock import Instant
from berth.base.money import USD, Micros
from berth.core.catalog.inventory import Inventory, Listed, Order, Seller, Wanted

SEED = 1
PAGE = 50
KINDS = 4
"""Of mixed questions: one type, broad, selective, needle; they come in turn."""
_GPUS = (
    ("RTX 3060", 12, 0.07, 9),
    ("RTX 3080", 10, 0.12, 9),
    ("RTX 3090", 24, 0.18, 16),
    ("RTX 4070", 12, 0.14, 6),
    ("RTX 4080", 16, 0.22, 6),
    ("RTX 4090", 24, 0.35, 18),
    ("RTX 5090", 32, 0.6, 8),
    ("A10", 24, 0.4, 4),
    ("A40", 48, 0.45, 4),
    ("L4", 24, 0.4, 4),
    ("L40S", 48, 0.8, 5),
    ("A100", 80, 1.2, 6),
    ("H100", 80, 2.2, 4),
    ("H200", 141, 3.1, 0.8),
    ("B200", 180, 4.5, 0.2),
)
"""(name, GB of one, dollars an hour, how many of a hundred offers)."""
_PLACES = tuple(
    f"{region}, {country}"
    for country, regions in {
        "US": ("California", "Texas", "Oregon", "Virginia", "New York", "Utah"),
        "CA": ("Quebec", "Ontario"),
        "SE": ("Stockholm",),
        "NO": ("Oslo", "Rogaland"),
        "FI": ("Helsinki",),
        "DE": ("Hesse", "Bavaria"),
        "FR": ("Île-de-France",),
        "IS": ("Reykjavík",),
        "JP": ("Tokyo", "Osaka"),
        "KR": ("Seoul",),
        "AU": ("Sydney",),
    }.items()
    for region in regions
)
_CUDAS = (11.8, 12.1, 12.2, 12.4, 12.6, 12.8, None)


@dataclass(frozen=True, slots=True)
class Question:
    """`wanted` for us; `hunted` is what of it gpuhunt can be asked, `is_whole` whether that is all of it."""

    wanted: Wanted
    hunted: dict[str, object]
    is_whole: bool


def offers(count: int) -> list[Listed]:
    chance = random.Random(SEED)
    weights = [gpu[3] for gpu in _GPUS]
    return [
        _offer(number, chance, *gpu[:3]) for number, gpu in enumerate(chance.choices(_GPUS, weights, k=count))
    ]


def _offer(number: int, chance: random.Random, name: str, vram_gb: int, usd: float) -> Listed:
    provider = OFFLINE_PROVIDERS[chance.randrange(len(OFFLINE_PROVIDERS))]
    gpu_count = chance.choices((1, 2, 4, 8), (70, 12, 10, 8))[0]
    price = Micros(int(usd * gpu_count * chance.uniform(0.6, 2.5) * USD))
    reliability = round(1 - chance.expovariate(40), 6)
    return Listed(
        id=f"{provider}-{number}",
        offer_id=f"{number:026}",
        provider=provider,
        provider_offer_id=str(number),
        instance_type=f"{gpu_count}{name}",
        place="XX",
        location=chance.choice(_PLACES),
        gpu_type=name,
        gpu_count=gpu_count,
        vram_gb=vram_gb,
        vcpu_count=8 * gpu_count,
        ram_gb=32 * gpu_count,
        storage_gb=100,
        price=price,
        cost=price,
        free_units=1,
        is_listed=True,
        is_available=True,
        confidence=round(0.6 * max(0.0, reliability) + 0.4, 4),
        fetched_at=Instant(0),
        reliability=max(0.0, reliability),
        cuda_version=chance.choice(_CUDAS),
        is_market=True,
    )


def inventory(every: Sequence[Listed]) -> Inventory:
    return Inventory(every, sellers=[Seller(name, Instant(0)) for name in OFFLINE_PROVIDERS])


def hunt(every: Sequence[Listed]) -> Catalog:
    """Gpuhunt with the same offers loaded already, so that it neither reads nor fetches anything."""
    items: dict[str, list[CatalogItem]] = {name: [] for name in OFFLINE_PROVIDERS}
    for offer in sorted(every, key=lambda offer: offer.price):
        items[offer.provider].append(_item(offer))
    catalog = Catalog(balance_resources=False, auto_reload=False)
    catalog.catalog = {name: ProviderCatalog("1", found) for name, found in items.items()}
    catalog.loaded_at = time.monotonic()
    return catalog


def _item(offer: Listed) -> CatalogItem:
    return CatalogItem(
        provider=offer.provider,
        instance_name=offer.provider_offer_id,
        location=offer.location,
        price=offer.price / USD,
        cpu=offer.vcpu_count,
        memory=float(offer.ram_gb),
        gpu_count=offer.gpu_count,
        gpu_name=offer.gpu_type,
        gpu_memory=float(offer.vram_gb),
        spot=False,
        disk_size=None,
        gpu_vendor=AcceleratorVendor.NVIDIA,
    )


def mixed() -> list[Question]:
    """Forty, ten of each kind in turn."""
    chance = random.Random(SEED)
    asked = []
    for number in range(10):
        name, vram_gb, usd, _ = _GPUS[number]
        place = chance.choice(_PLACES)
        dear, cheap = Micros(int(usd * 2 * USD)), Micros(int(usd * USD))
        asked += [
            _question(gpu_type=name, max_price=dear if number % 2 else None),
            _question(min_vram_gb=(16, 24, 48)[number % 3], max_price=Micros((number + 1) * USD)),
            _question(gpu_type=name, location=place[-2:], min_reliability=0.99, max_price=dear),
            _question(
                gpu_type=_GPUS[-1 - number % 3][0],
                provider=OFFLINE_PROVIDERS[number % len(OFFLINE_PROVIDERS)],
                location=place,
                min_reliability=0.995,
                min_gpu_count=4,
                max_price=Micros(20 * cheap) if vram_gb else None,
            ),
        ]
    return asked


def adversarial() -> list[Question]:
    """No GPU type, and a region or a provider with a reliability that next to nobody has."""
    places = [
        _question(location=_PLACES[number * 3], min_reliability=0.999, min_vram_gb=24) for number in range(5)
    ]
    return places + [_question(provider=name, min_reliability=0.999) for name in OFFLINE_PROVIDERS[:5]]


def _question(**members: object) -> Question:
    wanted = Wanted(order=Order.PRICE, limit=PAGE, counts=False, **members)  # type: ignore[arg-type]
    hunted: dict[str, object] = {
        "provider": wanted.provider,
        "gpu_name": wanted.gpu_type,
        "min_gpu_memory": wanted.min_vram_gb,
        "min_gpu_count": wanted.min_gpu_count,
        "max_price": None if wanted.max_price is None else wanted.max_price / USD,
    }
    hunted = {name: value for name, value in hunted.items() if value is not None}
    return Question(wanted, hunted, is_whole=wanted.location is None and wanted.min_reliability is None)

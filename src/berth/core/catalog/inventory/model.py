"""What shoppers compare: one row for each offer of every provider, and how they ask for some of them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from berth.base.clock import Instant
from berth.base.money import Micros


@dataclass(frozen=True, slots=True)
class Seller:
    """A provider, and how fresh what is known of it is."""

    provider: str
    refreshed_at: Instant | None
    """When it said what it sells, last; None: never yet."""
    failure: str | None = None
    """Why it could not be asked, if the last try failed; what it said before stands meanwhile."""


@dataclass(frozen=True, slots=True)
class Listed:
    """One offer as it is now."""

    id: str
    """`<provider>-<provider_offer_id>`: what shoppers know it by."""
    offer_id: str
    """The catalogue's own id: what an order is pinned to."""
    provider: str
    provider_offer_id: str
    instance_type: str
    place: str
    """Code of the location that an instance of it is ordered in."""
    location: str
    """As the marketplace words it, or else the name of the place."""
    gpu_type: str
    """The GPU's model; empty where there is none."""
    gpu_count: int
    vram_gb: int
    """Of one GPU."""
    vcpu_count: int
    """Of the type, as are `ram_gb` and `storage_gb`: at least."""
    ram_gb: int
    storage_gb: int
    price: Micros
    """What the customer pays per hour."""
    cost: Micros
    """What the provider charges us per hour."""
    free_units: int
    is_listed: bool
    """Its provider names it still."""
    is_available: bool
    """It could be ordered now: listed, with a unit free, and not set aside for its failures."""
    confidence: float
    """How likely it is that it can be had, 0 to 1, as of the snapshot."""
    fetched_at: Instant
    """When its provider named it last."""
    reliability: float = 1.0
    """0 to 1."""
    max_duration_hours: int = 0
    """0: no limit is known."""
    cuda_version: float | None = None
    physical_host: str | None = None
    """What takes it away takes away every offer of it."""
    is_interruptible: bool = False
    min_bid: Micros | None = None
    is_simulated: bool = False
    is_market: bool = False
    """One machine of a marketplace, rather than a kind of which there are several."""
    host: Mapping[str, str | int | float | bool] = field(default_factory=dict, hash=False)
    """Properties of the host under the marketplace's own names: what filters of templates compare."""


class Order(StrEnum):
    CONFIDENCE = "confidence"
    """The most likely to be had first; of those the cheapest."""
    PRICE = "price"
    """The cheapest first; of those the most likely to be had."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which offers, in which order, and which page of them. Absent members do not filter."""

    provider: str | None = None
    gpu_type: str | None = None
    """Exactly, capitals included."""
    location: str | None = None
    """A part of it, in whatever capitals."""
    min_vram_gb: int | None = None
    """Of one GPU."""
    max_price: Micros | None = None
    min_gpu_count: int | None = None
    gpu_count: int | None = None
    """Exactly."""
    min_reliability: float | None = None
    min_confidence: float | None = None
    min_cuda: float | None = None
    """Offers of which no figure is known fail it."""
    ids: frozenset[str] | None = None
    """Only these, by `Listed.id`."""
    fits: Callable[[Listed], bool] | None = None
    """Asked of what passes everything else, once for each offer and snapshot: hand over the same object again."""
    order: Order = Order.CONFIDENCE
    limit: int | None = None
    """None: all."""
    offset: int = 0
    counts: bool = True
    """Whether `Found.total` is to be known; without it a search ends with its page."""


@dataclass(frozen=True, slots=True)
class Found:
    offers: Sequence[Listed]
    total: int | None
    """How many match, whatever the page; None where nobody asked for it."""

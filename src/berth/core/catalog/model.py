"""What is sold: types, places, images, and the offers that join them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from berth.base.clock import Instant
from berth.base.money import Micros
from berth.core.driver import Market, ProviderTemplate


@dataclass(frozen=True, slots=True)
class InstanceType:
    name: str
    gpu_model: str | None
    gpu_count: int
    gpu_vram_gb: int
    """Of one GPU."""
    vcpu_count: int
    ram_gb: int
    storage_gb: int
    description: str
    manufacturer: str
    boot_timeout_s: int
    providers: frozenset[str]
    """Who sells it now."""
    gpu_name: str = ""
    """One of its GPUs as price trackers write it, for example `H100 SXM5 80GB`; empty where it has none."""
    p2p: str | None = None
    """How fast its GPUs speak to each other."""
    best_for: Sequence[str] = ()
    deploy_warning: str | None = None
    """What a customer should know before ordering it."""

    @property
    def total_vram_gb(self) -> int:
        return self.gpu_count * self.gpu_vram_gb


@dataclass(frozen=True, slots=True)
class Location:
    code: str
    name: str
    country_code: str


@dataclass(frozen=True, slots=True)
class Image:
    id: str
    slug: str
    name: str
    category: str
    details: Sequence[str]
    is_default: bool
    is_cluster: bool
    os_name: str
    os_version: str | None
    cuda_version: str | None
    driver_version: str | None
    has_docker: bool
    ssh_user: str
    min_os_volume_gb: int
    gpu_models: frozenset[str] | None
    """Boots only on these; None: on everything, CPU types included."""
    providers: frozenset[str]
    """Who can boot it."""
    created_at: Instant
    deprecated_at: Instant | None
    """Since when it is not advised; None: it is."""
    size_gb: int | None
    arch: str
    min_driver: str | None
    removed_at: Instant | None
    """From when on nothing is ordered with it any more; None: that is not known."""


@dataclass(frozen=True, slots=True)
class ImageView:
    """An image with everything it can be ordered for; what a shopper compares."""

    image: Image
    types: Sequence[str]
    """Names of the types that it boots on and that are sold."""
    locations: Sequence[str]
    """Where it can be ordered."""
    is_default: bool
    """At most one image is the default of its category and kind."""


@dataclass(frozen=True, slots=True)
class Sold:
    """What one provider says that a type has; where several sell it, it has the least of what they say."""

    vcpu_count: int
    ram_gb: int
    storage_gb: int
    boot_timeout_s: int
    """The longest counts."""


@dataclass(frozen=True, slots=True)
class Offer:
    """One provider's supply of one type in one location."""

    id: str
    provider: str
    provider_offer_id: str
    instance_type: str
    location: str
    price: Micros
    """What the customer pays per hour."""
    spot_price: Micros | None
    cost: Micros
    """What the provider charges us per hour."""
    free_units: int
    is_simulated: bool
    suppressed_until: Instant
    observed_at: Instant
    """When something of it changed last; as it is, it was named by its provider's last listing."""
    spot_cost: Micros | None = None
    """What the provider charges us per hour for one that it may take away; None: as much as for another."""
    spot_free_units: int | None = None
    """How many of those there are; None: they come out of `free_units`."""
    market: Market | None = None
    """What a marketplace says of the one machine behind it; None: it is one of a kind of which there are several."""
    is_spot: bool = False
    """As a spot order sees it: `price`, `cost` and `free_units` are those of spot."""

    @property
    def is_market(self) -> bool:
        return self.market is not None

    def as_spot(self) -> "Offer":
        """The same supply as a spot order sees it. It has a spot price."""
        assert self.spot_price is not None
        return replace(
            self,
            price=self.spot_price,
            cost=self.cost if self.spot_cost is None else self.spot_cost,
            free_units=self.free_units if self.spot_free_units is None else self.spot_free_units,
            is_spot=True,
        )


@dataclass(frozen=True, slots=True)
class Alternative:
    """An offer that could take another's place."""

    offer: Offer
    kind: InstanceType


@dataclass(frozen=True, slots=True)
class Supply:
    """All listed offers of a type in a location, added up."""

    instance_type: str
    location: str
    free_units: int
    """Of offers that are not suppressed."""
    price: Micros
    """The lowest where something is free, else the lowest of all."""
    spot_price: Micros | None
    observed_at: Instant
    """When a provider named one of them last."""
    is_simulated: bool
    """All of them are."""
    has_spot_apart: bool
    """Spot units that are counted apart are free."""
    shares_spot: bool
    """Units that are free may be sold as spot."""


@dataclass(frozen=True, slots=True)
class Availability:
    """What can be ordered in one location now."""

    location: Location
    types: Sequence[str]
    """Names, in order."""


@dataclass(frozen=True, slots=True)
class Region:
    """A type in one location, over all providers."""

    location: Location
    free_units: int
    """What anybody may take now; less what those who wait are owed."""
    price: Micros
    spot_price: Micros | None
    waitlist_length: int = 0


@dataclass(frozen=True, slots=True)
class Line:
    """How many wait for a type in a location."""

    length: int
    """Who stand in it, whatever keeps them from being served."""
    owed: int
    """Who of them could take a unit now, and come before anybody who does not wait."""
    reserved: int
    """Units kept for those who were told to come."""


@dataclass(frozen=True, slots=True)
class OfferView:
    """One type with everywhere it exists; what a shopper compares."""

    type: InstanceType
    regions: Sequence[Region]
    observed_at: Instant
    is_simulated: bool

    @property
    def available(self) -> Sequence[Region]:
        return [region for region in self.regions if region.free_units > 0]

    @property
    def price(self) -> Micros:
        """The lowest where it can be had now, or, sold out, the lowest anywhere."""
        return min(region.price for region in self.available or self.regions)

    @property
    def spot_price(self) -> Micros | None:
        prices = [
            region.spot_price for region in self.available or self.regions if region.spot_price is not None
        ]
        return min(prices, default=None)


@dataclass(frozen=True, slots=True)
class VolumeType:
    """One provider's storage of one type in one location."""

    provider: str
    name: str
    location: str
    price_micros_per_gb_month: int
    """What the customer pays for one GB and a month of 730 hours."""
    cost_micros_per_gb_month: int
    min_size_gb: int
    max_size_gb: int
    is_shared: bool
    """Can be attached to several instances at once."""
    max_attachments: int
    attaches_live: bool
    """Can be attached to and detached from an instance that runs."""
    iops: str
    burst_bandwidth_mb_s: int
    continuous_bandwidth_mb_s: int
    internal_network_speed_mb_s: int
    throughput_gbps: int


@dataclass(frozen=True, slots=True)
class ClusterType:
    """One provider's clusters of one kind in one location: workers, and a host to reach them from."""

    provider: str
    name: str
    location: str
    worker_offer_id: str
    worker_type: str
    """The instance type of each worker."""
    worker_count: int
    jump_host_offer_id: str
    jump_host_type: str
    price: Micros
    """What the customer pays per hour, for all of it."""
    description: str
    details: Sequence[tuple[str, str]]
    """What its nodes have, name and value."""
    is_simulated: bool


class FailureKind(StrEnum):
    """How an offer turned out to be worth less than it said."""

    STALE_INVENTORY = "stale_inventory"
    """Others have it."""
    INSTANCE_STOPPED = "instance_stopped"
    """Its provider could not boot it, or switched it off."""
    SSH_TIMEOUT = "ssh_timeout"
    INSTANCE_VANISHED = "instance_vanished"
    AUTH_FAILED = "auth_failed"
    """Its SSH server did not let us in."""
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class OfferFailure:
    offer_id: str
    provider: str
    gpu_type: str
    kind: FailureKind
    reason: str
    failed_at: Instant


@dataclass(frozen=True, slots=True)
class OfferHealth:
    """One offer that failed lately, or is set aside."""

    offer_id: str
    """`<provider>-<provider_offer_id>`."""
    provider: str
    gpu_type: str
    recent_failures: int
    is_suppressed: bool
    suppressed_at: Instant | None
    suppressed_until: Instant | None
    confidence_multiplier: float
    """0 while it is set aside."""
    last_failure: Instant | None
    last_failure_kind: FailureKind | None
    last_failure_reason: str | None


@dataclass(frozen=True, slots=True)
class GpuHealth:
    """A GPU type of one provider with which offers failed lately."""

    key: str
    """`<provider>:<gpu_type>`."""
    failed_offer_count: int
    """Different offers."""
    is_degraded: bool
    """So many that every offer of it is trusted less."""
    degradation: float
    """What their confidence is multiplied with."""


class Sort(StrEnum):
    PRICE = "price"
    VRAM = "vram"
    GPU_COUNT = "gpu_count"
    GPU_MODEL = "gpu_model"


@dataclass(frozen=True, slots=True)
class Search:
    """Which types, in which order. Absent members do not filter."""

    gpu_model: str | None = None
    available_only: bool = True
    max_price: Micros | None = None
    min_vram_gb: int | None = None
    min_gpu_count: int | None = None
    gpu_count: int | None = None
    location: str | None = None
    has_spot: bool | None = None
    image: str | None = None
    sort: Sort = Sort.PRICE
    is_descending: bool = False


@dataclass(frozen=True, slots=True)
class Template:
    """What an instance can be started from at `provider`."""

    provider: str
    made: ProviderTemplate

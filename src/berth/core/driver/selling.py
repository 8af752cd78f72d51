"""What a provider sells, as it says itself."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Hardware:
    """One instance type as sold: what an instance of it gets."""

    name: str
    """The type's name, for example `1H100.80S.30V`. Never parsed: read the members."""
    gpu_model: str | None
    gpu_count: int
    gpu_vram_gb: int
    """Memory of one GPU."""
    vcpu_count: int
    ram_gb: int
    storage_gb: int
    description: str = ""
    manufacturer: str = ""
    gpu_name: str = ""
    """One of its GPUs as price trackers write it, for example `H100 SXM5 80GB`; empty where it has none."""
    p2p: str | None = None
    """How fast its GPUs speak to each other, for example `600 GB/s`."""
    best_for: Sequence[str] = ()
    deploy_warning: str | None = None
    """What a customer should know before ordering it."""
    boot_timeout_s: int = 600
    """How long from create to a reachable SSH server before we give up."""


@dataclass(frozen=True, slots=True)
class Place:
    """A location as customers see it."""

    code: str
    name: str
    country_code: str


@dataclass(frozen=True, slots=True)
class Market:
    """What a marketplace says of the one machine behind an offer, for those who compare."""

    location: str
    """As the marketplace words it, for example `California, US`."""
    reliability: float = 1.0
    """0 to 1."""
    confidence: float = 1.0
    """How likely it is that the offer can still be had, 0 to 1, before anything is known of it here."""
    physical_host: str | None = None
    """Names the host: what takes it away takes away every offer of it, for example `vastai-machine-4711`."""
    cuda_version: float | None = None
    """The newest that its GPU driver can run."""
    max_duration_hours: int = 0
    """How long it can be rented at most; 0: no limit is known."""
    is_interruptible: bool = False
    """Whoever bids more takes it away."""
    min_bid_micros_per_hour: int | None = None
    host: Mapping[str, str | int | float | bool] = field(default_factory=dict)
    """Properties of the host under the marketplace's own names: what filters of templates compare."""


@dataclass(frozen=True, slots=True)
class ProviderOffer:
    """Something the provider would sell now."""

    provider_offer_id: str
    """The provider's own name for it, unique at the provider and stable between listings."""
    hardware: Hardware
    place: Place
    cost_micros_per_hour: int
    """What the provider charges us, for the whole instance."""
    price_micros_per_hour: int | None
    """What the customer pays when the driver knows (own hosts: the operator's list); None: cost plus margin."""
    free_units: int
    """How many more instances could be created, those that exist already left out."""
    is_simulated: bool = False
    """True when the hardware is pretended, for demonstrations and tests."""
    spot_price_micros_per_hour: int | None = None
    """What the customer pays for one that may be taken away at any time; None: cost plus margin, or none are sold."""
    spot_cost_micros_per_hour: int | None = None
    """What the provider charges us for such a one; None: as much as for another where they have a price, else none are sold."""
    spot_free_units: int | None = None
    """How many more of them could be created; None: they come out of `free_units`."""
    market: Market | None = None
    """Set where the offer is one machine of a marketplace; its `hardware` is then that of its type, at least."""


@dataclass(frozen=True, slots=True)
class ProviderTemplate:
    """An image with settings that a provider keeps under a name, ready to be started."""

    hash_id: str
    """The provider's own stable name for it, for example 32 hexadecimal digits."""
    id: int
    name: str
    image: str
    tag: str = ""
    env: str = ""
    """As flags of the container's start, for example `-p 8000:8000 -e MODEL=x`."""
    onstart: str = ""
    runtype: str = ""
    args_str: str = ""
    use_ssh: bool = False
    ssh_direct: bool = False
    recommended: bool = False
    recommended_disk_gb: int = 0
    extra_filters: str = ""
    """Which hosts it runs on: JSON, property to operator to value; empty: on every one."""
    creator_id: int = 0
    created_at: int = 0
    """Microseconds since the epoch."""
    count_created: int = 0


@dataclass(frozen=True, slots=True)
class ProviderClusterType:
    """Several instances sold as one: workers of one type, and a host to reach them from."""

    name: str
    """For example `16H200`. Never parsed: read the members."""
    place: Place
    worker_offer_id: str
    """The offer, by `provider_offer_id`, that each worker is an instance of."""
    worker_count: int
    jump_host_offer_id: str
    price_micros_per_hour: int
    """What the customer pays for all of it."""
    description: str = ""
    details: Sequence[tuple[str, str]] = ()
    """What its nodes have, name and value, for example `("InfiniBand", "3200 Gbit/s")`."""


@dataclass(frozen=True, slots=True)
class ProviderImage:
    """An operating system image that the provider can boot."""

    slug: str
    """The provider's name for it, stable, for example `ubuntu-22.04-cuda-12.4-cluster`."""
    name: str
    category: str
    os_name: str
    ssh_user: str
    details: Sequence[str] = ()
    is_default: bool = False
    is_cluster: bool = False
    os_version: str | None = None
    cuda_version: str | None = None
    driver_version: str | None = None
    has_docker: bool = False
    min_os_volume_gb: int = 10
    gpu_models: Sequence[str] | None = None
    """Boots only on types with one of these GPUs; None: on every type, CPU types included."""
    size_gb: int | None = None
    """What it takes of the disk at first."""
    arch: str = "x86_64"
    min_driver: str | None = None
    """The oldest GPU driver of a host that it works with."""
    deprecated_at: int | None = None
    """Since when it is not advised, in microseconds since the epoch; it can still be ordered until `removed_at`."""
    removed_at: int | None = None
    known_id: str | None = None
    """The id that clients of the provider hold fast, as an id of ours; a new image takes it unless another has it."""


@dataclass(frozen=True, slots=True)
class ProviderVolumeType:
    """A kind of storage as the provider sells it in one location."""

    name: str
    """For example `NVMe`, `HDD_Shared`."""
    place: Place
    cost_micros_per_gb_month: int
    """What the provider charges us for one GB and a month of 730 hours."""
    price_micros_per_gb_month: int | None
    """What the customer pays when the driver knows; None: cost plus margin."""
    min_size_gb: int = 10
    max_size_gb: int = 10_240
    is_shared: bool = False
    """Can be attached to several instances at once."""
    max_attachments: int = 1
    attaches_live: bool = False
    """Can be attached to and detached from an instance that runs."""
    iops: str = ""
    burst_bandwidth_mb_s: int = 0
    continuous_bandwidth_mb_s: int = 0
    internal_network_speed_mb_s: int = 0
    throughput_gbps: int = 0
    is_simulated: bool = False
    """True when the storage is pretended to be of this kind, for demonstrations and tests."""


@dataclass(frozen=True, slots=True)
class Catalogue:
    """All that a provider would sell now, sold-out offers included with `free_units` 0."""

    offers: Sequence[ProviderOffer]
    images: Sequence[ProviderImage]
    volume_types: Sequence[ProviderVolumeType] = ()
    cluster_types: Sequence[ProviderClusterType] = ()

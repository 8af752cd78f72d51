"""The catalogue on the wire, member for member. Prices of types are text, all other prices are numbers."""

from decimal import Decimal
from typing import Annotated, Literal

from msgspec import Meta, Struct

from berth.faces.verda.wire import Cpu, Currency, Gpu, Memory, Storage

Text = Annotated[str, Meta(max_length=255)]
VolumeTypeName = Literal[
    "HDD",
    "NVMe",
    "HDD_Shared",
    "NVMe_Shared",
    "NVMe_Local_Storage",
    "NVMe_Shared_Cluster",
    "NVMe_OS_Cluster",
]


class CurrencyQuery(Struct, kw_only=True):
    currency: Currency = "usd"


class ImagesQuery(Struct, kw_only=True):
    instance_type: Text | None = None
    """Only those that boot on it."""


class AvailabilityQuery(Struct, kw_only=True):
    is_spot: bool | None = None
    isSpot: bool | None = None  # noqa: N815 - both are sent
    """As `is_spot`."""
    location_code: Text | None = None


class PriceHistoryQuery(Struct, kw_only=True):
    num_of_months: Annotated[int, Meta(ge=0, le=1200)] | None = None
    currency: Currency = "usd"


class Balance(Struct, kw_only=True):
    amount: Decimal
    currency: Currency = "usd"


class Location(Struct, kw_only=True):
    code: str
    name: str
    country_code: str


class InstanceType(Struct, kw_only=True):
    best_for: list[str]
    cpu: Cpu
    deploy_warning: str | None
    description: str
    gpu: Gpu
    gpu_memory: Memory
    id: str
    instance_type: str
    memory: Memory
    model: str
    name: str
    p2p: str | None
    price_per_hour: str
    """For the whole instance."""
    spot_price: str
    """Where it is not sold as spot, the same as `price_per_hour`."""
    dynamic_price: str
    max_dynamic_price: str
    serverless_price: str
    serverless_spot_price: str
    storage: Storage
    currency: Currency
    manufacturer: str
    display_name: str | None
    supported_os: list[str]


class PriceHistory(Struct, kw_only=True):
    """Empty: prices are fixed."""


class Image(Struct, kw_only=True):
    id: str
    image_type: str
    name: str
    is_default: bool
    is_cluster: bool
    details: list[str]
    category: str


class VolumePrice(Struct, kw_only=True):
    price_per_month_per_gb: Decimal
    cps_per_gb: Decimal
    """For one GB and one second."""
    currency: Currency = "usd"


class VolumeType(Struct, kw_only=True):
    type: str
    price: VolumePrice
    is_shared_fs: bool
    burst_bandwidth: int
    continuous_bandwidth: int
    internal_network_speed: int
    iops: str
    throughput_gbps: int


class ContainerType(Struct, kw_only=True):
    id: str
    model: str
    name: str
    instance_type: str
    cpu: Cpu
    gpu: Gpu
    gpu_memory: Memory
    memory: Memory
    serverless_price: str
    serverless_spot_price: str
    currency: Currency
    manufacturer: str


class Availability(Struct, kw_only=True):
    location_code: str
    availabilities: list[str]
    """Names of types of which one can be had now."""


class Period(Struct, kw_only=True):
    """A long term that can be ordered."""

    code: str
    name: str
    is_enabled: bool
    unit_name: Literal["hour", "day", "week", "month", "year"]
    unit_value: int
    discount_percentage: int

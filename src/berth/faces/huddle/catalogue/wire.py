"""The catalogue on the wire, member for member."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Annotated, Literal

from msgspec import Meta, Struct

from berth.faces.huddle.wire import Limit, Name


class OffersQuery(Struct, kw_only=True):
    gpu_model: str | None = None
    available_only: bool = True
    max_price: Decimal | None = None
    min_vram: Decimal | None = None
    sort_by: Literal["price", "vram", "gpu_count", "gpu_model"] = "price"
    sort_order: Literal["asc", "desc"] = "asc"
    limit: Limit = 6
    page: Annotated[int, Meta(ge=1, le=1_000_000)] = 1
    location: Name | None = None
    min_gpu_count: Annotated[int, Meta(ge=0)] | None = None
    gpu_count: Annotated[int, Meta(ge=0)] | None = None
    spot: bool | None = None
    image: Name | None = None
    cursor: str | None = None


class AvailabilityQuery(Struct, kw_only=True):
    location: Name | None = None


class RegionsQuery(Struct, kw_only=True):
    gpu_model: str | None = None
    cluster_type: Name | None = None
    active_only: bool = True


class ImagesQuery(Struct, kw_only=True):
    cluster_type: Name | None = None
    image_type: str | None = None
    category: str | None = None
    location: Name | None = None
    include_deprecated: bool = False
    cursor: str | None = None
    limit: Limit = 20


class OfferRegion(Struct, kw_only=True):
    code: str
    name: str
    country_code: str
    is_available: bool
    free_units: int
    price_per_hr: Decimal
    waitlist_length: int = 0


class BootTime(Struct, kw_only=True):
    min: int
    max: int


class Offer(Struct, kw_only=True):
    id: str
    gpu_model: str | None
    instance_type: str
    cluster_type: str
    gpu_count: int
    gpu_vram_gb: int
    total_vram_gb: int
    vcpu_count: int
    ram_gb: int
    storage_gb: int
    price_per_hr: Decimal
    price_per_sec: Decimal
    spot_price_per_hr: Decimal | None
    spot_price_per_sec: Decimal | None
    currency: Literal["USD"] = "USD"
    is_available: bool
    regions: Sequence[str | OfferRegion]
    """Codes; under the nested mount objects."""
    region_details: list[OfferRegion]
    region_availability: dict[str, bool]
    """By code, wherever it exists."""
    interconnect: str | None = None
    supported_images: list[str]
    """Their `image_type`s."""
    deploy_warning: str | None
    boot_time_sec: BootTime | None = None
    price_valid_until: str | None = None
    observed_at: str
    is_simulated: bool


class ModelSummary(Struct, kw_only=True):
    gpu_model: str | None
    types: int
    available_types: int
    min_price_per_hr: Decimal
    max_price_per_hr: Decimal
    min_spot_price_per_hr: Decimal | None
    regions: list[str]
    max_gpu_count: int


class Summary(Struct, kw_only=True):
    total_types: int
    available_types: int
    min_price_per_hr: Decimal | None
    updated_at: str | None
    models: list[ModelSummary]


class Availability(Struct, kw_only=True):
    cluster_type: str
    is_available: bool
    regions: list[str]
    observed_at: str


class Region(Struct, kw_only=True):
    code: str
    name: str
    country_code: str
    is_active: bool
    status: Literal["operational", "degraded", "maintenance", "offline"]
    gpu_models: list[str]
    volume_types: list[str]
    available_types: list[str]
    shared_fs: bool
    maintenance: None = None


class Compatible(Struct, kw_only=True):
    cluster_types: list[str]
    gpu_models: list[str] | None
    """None: every type, those without a GPU included."""
    min_driver: str | None


class Image(Struct, kw_only=True):
    id: str
    image_type: str
    name: str
    category: str
    details: list[str]
    is_default: bool
    is_cluster: bool
    os_name: str
    os_version: str | None
    cuda_version: str | None
    driver_version: str | None
    has_docker: bool
    ssh_user: str
    min_os_volume_gb: int
    size_gb: int | None
    arch: str
    compatible: Compatible
    locations: list[str]
    deprecated_at: str | None
    removed_at: str | None
    """Until when a deprecated image can still be deployed, where that is known."""
    created_at: str

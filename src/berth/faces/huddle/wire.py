"""The retail API's types, member for member. Amounts are exact decimals, times RFC 3339 text, ids prefixed."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Raw, Struct, UnsetType

Name = Annotated[str, Meta(pattern=r"^[A-Za-z0-9._:+-]{1,128}$")]
"""A reference to something that has a name or an id."""
Limit = Annotated[int, Meta(ge=1, le=100)]
Status = Literal[
    "ordered", "provisioning", "running", "offline", "error", "failed_no_capacity", "deleting", "deleted"
]
Action = Literal["start", "stop", "restart", "delete"]


class Problem(Struct, kw_only=True):
    """Every refusal."""

    code: str
    error: str
    reason: str
    details: dict[str, Any] | UnsetType = UNSET
    request_id: str


class PageMeta(Struct, kw_only=True):
    """Where a page stands. `next_cursor`, `page` and `limit` are there under the nested mount."""

    total: int
    cursor: str | None
    has_more: bool
    next_cursor: str | UnsetType | None = UNSET
    page: int | UnsetType = UNSET
    limit: int | UnsetType = UNSET


# Queries


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
    include_deprecated: bool = False
    cursor: str | None = None
    limit: Limit = 20


class DeploymentsQuery(Struct, kw_only=True):
    status: Status | None = None
    cursor: str | None = None
    limit: Limit = 20


class EventsQuery(Struct, kw_only=True):
    after: Annotated[int, Meta(ge=0, le=2**62)] = 0
    limit: Limit = 100


class RevokeQuery(Struct, kw_only=True):
    force: bool = False


# Requests


class OsVolumeRequest(Struct, kw_only=True):
    name: str = "boot"
    size: int | None = None


class DeployRequest(Struct, kw_only=True):
    cluster_type: Name
    image: Name
    hostname: str
    ssh_key_ids: list[Annotated[str, Meta(pattern=r"^[A-Za-z0-9._:-]{1,64}$")]]
    location: Name
    description: str | None = None
    os_volume: OsVolumeRequest | None = None
    volumes: list[Any] | None = None
    existing_volumes: list[Any] | None = None


class ActionRequest(Struct, kw_only=True):
    action: Literal["start", "stop", "restart", "reboot", "delete"]


class SshKeyRequest(Struct, kw_only=True):
    name: str
    public_key: str


class ApiKeyRequest(Struct, kw_only=True):
    name: str = "default"
    scopes: list[str] | None = None
    expires_at: str | None = None
    expires_in_days: Annotated[int, Meta(ge=1, le=3650)] | None = None
    description: str | None = None
    allowed_cidrs: list[str] | None = None


# Answers


class Balance(Struct, kw_only=True):
    balance_cents: int
    balance_usd: Decimal
    currency: Literal["USD"] = "USD"
    balance_micros: int
    accrued_micros: int
    held_micros: int
    effective_usd: Decimal
    burn_rate_per_hr: Decimal
    runway_seconds: int | None
    state: Literal["active", "low", "depleted"]
    can_deploy: bool
    minimum_deploy_usd: Decimal
    depleted_at: str | None = None
    stops_at: str | None = None


class OfferRegion(Struct, kw_only=True):
    code: str
    name: str
    country_code: str
    is_available: bool
    free_units: int
    price_per_hr: Decimal
    waitlist_length: int = 0


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
    gpu_models: list[str] | None
    """None: every type, those without a GPU included."""


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
    compatible: Compatible
    deprecated_at: str | None
    created_at: str


class SshKey(Struct, kw_only=True):
    id: str
    name: str
    fingerprint: str
    key_type: str
    created_at: str
    public_key: str | UnsetType = UNSET
    """In the answer for one key alone."""


class ApiKey(Struct, kw_only=True):
    id: str
    name: str
    prefix: str
    scopes: list[str]
    description: str | None
    created_by: str | None
    created_at: str
    last_used_at: str | None
    expires_at: str | None
    revoked_at: str | None


class CreatedApiKey(ApiKey, kw_only=True):
    secret: str | None
    """Shown this once; null in a replay."""
    secret_redacted: bool | UnsetType = UNSET


class Specs(Struct, kw_only=True):
    gpu_model: str | None
    gpu_count: int
    gpu_vram_gb: int
    total_vram_gb: int
    vcpu_count: int
    ram_gb: int
    storage_gb: int
    price_per_hr: Decimal
    currency: Literal["USD"] = "USD"


class OsVolume(Struct, kw_only=True):
    name: str
    size: int


class Billing(Struct, kw_only=True):
    """What a deployment costs. Lists have the first two members only."""

    started_at: str | None
    price_per_hr: Decimal
    billed_seconds: int | UnsetType = UNSET
    charged_usd: Decimal | UnsetType = UNSET
    accrued_usd: Decimal | UnsetType = UNSET
    total_usd: Decimal | UnsetType = UNSET
    charging: bool | UnsetType = UNSET


class Deployment(Struct, kw_only=True):
    id: str
    provider_id: str | None
    hostname: str
    cluster_type: str
    image: str
    image_id: str
    os_name: str
    location: str
    status: Status
    status_reason: str | None
    status_changed_at: str
    ssh_user: str
    ssh_key_ids: list[str]
    ip: str | None
    ssh_port: int | None
    ssh_command: str | None
    specs: Specs
    volumes: list[Raw]
    os_volume: OsVolume
    description: str
    resource_type: Literal["cluster"] = "cluster"
    billing: Billing
    actions: list[Action]
    pending_action: Action | None
    is_simulated: bool
    created_at: str
    updated_at: str


class Event(Struct, kw_only=True):
    id: str
    type: str
    sequence: int
    deployment_id: str
    status: str | None
    previous_status: str | None
    reason: str | None
    created_at: str


class Charge(Struct, kw_only=True):
    """One row of a bill."""

    type: str
    tick: int
    amount_micros: int
    amount_usd: Decimal
    final: bool
    period_start: str | None
    period_end: str | None
    seconds: int | None
    unit_price_per_hr: Decimal | None
    created_at: str


class DeploymentBill(Struct, kw_only=True):
    deployment_id: str
    hostname: str
    cluster_type: str
    location: str
    status: Status
    gpu_seconds: int
    billed_seconds: int
    minimum_applied: bool
    unit_price_per_hr: Decimal
    compute_micros: int
    storage_micros: int
    accrued_micros: int
    total_micros: int
    total_usd: Decimal
    started_at: str | None
    ended_at: str | None
    charging: bool
    charges: list[Charge]
    """The newest thousand, oldest of them first."""
    charges_truncated: bool

"""Money on the wire, member for member."""

from decimal import Decimal
from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType, field

from berth.core import instances
from berth.faces.huddle.wire import Limit, Name, Status

Type = Literal["topup", "promo", "usage", "minimum", "storage", "refund", "adjustment", "reversal"]
GroupBy = Literal["deployment", "volume", "day", "hour", "gpu_model", "api_key"]


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
    state: Literal["active", "low", "depleted", "suspended", "purging"]
    can_deploy: bool
    minimum_deploy_usd: Decimal
    depleted_at: str | None
    stops_at: str | None


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


class Segment(Struct, kw_only=True):
    """A stretch of billed time. Without an end it runs."""

    start: str
    end: str | None
    seconds: int


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
    next_tick_at: str | None
    segments: list[Segment]
    """The newest hundred, oldest of them first."""
    segments_truncated: bool
    charges: list[Charge]
    """The newest thousand, oldest of them first."""
    charges_truncated: bool
    is_final: bool
    """Nothing will be charged any more: this is the receipt."""


class Transaction(Struct, kw_only=True):
    """One row of the ledger."""

    id: str
    type: Type
    amount_micros: int
    amount_usd: Decimal
    currency: Literal["USD"] = "USD"
    balance_after_micros: int
    deployment_id: str | None
    volume_id: str | None
    tick: int | None
    final: bool
    period_start: str | None
    period_end: str | None
    billed_seconds: int | None
    unit_price_per_hr: Decimal | None
    resource_name: str | None
    reference: str | None
    """Of credit: what it was added for."""
    reverses: str | None
    description: str
    created_at: str


class TransactionsQuery(Struct, kw_only=True):
    type: Type | None = None
    deployment_id: Name | None = None
    volume_id: Name | None = None
    from_: str | None = field(default=None, name="from")
    to: str | None = None
    cursor: str | None = None
    limit: Limit = 20


class Usage(Struct, kw_only=True):
    """What one group used and was charged for. Which members there are depends on `group_by`."""

    deployment_id: str | UnsetType = UNSET
    volume_id: str | UnsetType = UNSET
    hostname: str | UnsetType | None = UNSET
    name: str | UnsetType | None = UNSET
    cluster_type: str | UnsetType | None = UNSET
    type: str | UnsetType | None = UNSET
    location: str | UnsetType | None = UNSET
    status: str | UnsetType | None = UNSET
    period_start: str | UnsetType = UNSET
    period_end: str | UnsetType = UNSET
    gpu_model: str | UnsetType | None = UNSET
    api_key_id: str | UnsetType | None = UNSET
    gpu_seconds: int
    billed_seconds: int
    minimum_applied: bool
    unit_price_per_hr: Decimal | UnsetType | None = UNSET
    compute_micros: int
    storage_micros: int
    total_micros: int
    total_usd: Decimal
    started_at: str | UnsetType | None = UNSET
    ended_at: str | UnsetType | None = UNSET


class UsageQuery(Struct, kw_only=True):
    from_: str | None = field(default=None, name="from")
    to: str | None = None
    group_by: GroupBy = "deployment"
    deployment_id: Name | None = None
    status: Status | Literal["attaching", "attached", "detached"] | None = None
    cursor: str | None = None
    limit: Limit = 20


class UsageTotals(Struct, kw_only=True):
    gpu_seconds: int
    compute_micros: int
    storage_micros: int
    total_micros: int
    total_usd: Decimal


class UsageMeta(Struct, kw_only=True):
    """What was asked, as it was understood, and the totals over all pages."""

    from_: str = field(name="from")
    to: str
    group_by: GroupBy
    totals: UsageTotals


class CreditRequest(Struct, kw_only=True):
    account_id: Name
    amount_usd: Decimal
    """0.01 to 100000, at most two decimals."""
    type: Literal["topup", "promo", "refund", "adjustment"] = "topup"
    reference: Annotated[str, Meta(min_length=1, max_length=255)]
    note: Annotated[str, Meta(max_length=500)] | None = None


class EstimateVolume(Struct, kw_only=True):
    type: Name
    size: Annotated[int, Meta(ge=1, le=1_000_000)]
    name: str | None = None


class EstimateOsVolume(Struct, kw_only=True):
    name: str | None = None
    size: Annotated[int, Meta(ge=1, le=instances.OS_VOLUME_MAX_GB)] | None = None


class EstimateRequest(Struct, kw_only=True):
    """Either `hours` or `minutes`; fractions of a second count as a whole one."""

    cluster_type: Name
    location: Name | None = None
    hours: Decimal | None = None
    minutes: Decimal | None = None
    os_volume: EstimateOsVolume | None = None
    volumes: Annotated[list[EstimateVolume], Meta(max_length=20)] | None = None


class EstimateLine(Struct, kw_only=True):
    kind: Literal["compute", "os_volume", "volume"]
    name: str
    size: int | UnsetType | None = UNSET
    per_hr: Decimal
    total_micros: int
    total_usd: Decimal
    minimum_applied: bool | UnsetType = UNSET
    included: bool | UnsetType = UNSET
    """In the price of the instance."""


class Estimate(Struct, kw_only=True):
    cluster_type: str
    location: str
    seconds: int
    currency: Literal["USD"] = "USD"
    per_hr: Decimal
    per_sec: Decimal
    """For show, to twelve decimals; totals are exact."""
    minimum_usd: Decimal
    total_micros: int
    total_usd: Decimal
    runway_seconds_with_current_balance: int | None
    breakdown: list[EstimateLine]

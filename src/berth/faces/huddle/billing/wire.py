"""Money on the wire, member for member."""

from decimal import Decimal
from typing import Literal

from msgspec import Struct

from berth.faces.huddle.wire import Status


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

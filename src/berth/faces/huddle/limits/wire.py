"""Alerts and limits on the wire, member for member."""

from decimal import Decimal
from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

Balances = Annotated[list[Decimal], Meta(max_length=10)]
Runways = Annotated[list[int], Meta(max_length=10)]
Emails = Annotated[list[str], Meta(max_length=10)]


class Alerts(Struct, kw_only=True):
    balance_usd: list[Decimal]
    runway_seconds: list[int]
    emails: list[str]
    """Who is told of money and of what is deleted for want of it, also while `enabled` is false."""
    enabled: bool
    """Whether falling below a threshold is told."""


class AlertsRequest(Struct, kw_only=True):
    balance_usd: Balances | UnsetType = UNSET
    runway_seconds: Runways | UnsetType = UNSET
    emails: Emails | UnsetType = UNSET
    enabled: bool | UnsetType = UNSET


class Grace(Struct, kw_only=True):
    """What happens once nothing is left, as this installation is set."""

    seconds: int
    """Between a balance seen to be used up and the stop of all deployments."""
    volume_retention_hours: int
    """Between that stop and the deletion of volumes and of deployments that are off."""


class Limits(Struct, kw_only=True):
    max_hourly_usd: Decimal | None
    monthly_budget_usd: Decimal | None
    on_budget: Literal["notify", "stop"]
    auto_resume: bool
    spent_this_month_usd: Decimal
    grace: Grace


class LimitsRequest(Struct, kw_only=True):
    max_hourly_usd: Decimal | UnsetType | None = UNSET
    monthly_budget_usd: Decimal | UnsetType | None = UNSET
    on_budget: Literal["notify", "stop"] | UnsetType = UNSET
    auto_resume: bool | UnsetType = UNSET

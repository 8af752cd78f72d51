"""Alerts and limits: core's values in the retail API's words, and back."""

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal

from msgspec import UNSET, UnsetType

from berth.base import money
from berth.base.money import Micros
from berth.core.billing import Alerts, Limits, OnBudget, Rules
from berth.core.errors import Invalid
from berth.faces.huddle.limits import wire


def alerts(chosen: Alerts, emails: Sequence[str]) -> wire.Alerts:
    return wire.Alerts(
        balance_usd=[money.usd(each) for each in chosen.balances],
        runway_seconds=list(chosen.runways_s),
        emails=list(emails),
        enabled=chosen.is_enabled,
    )


def changed_alerts(chosen: Alerts, request: wire.AlertsRequest) -> Alerts:
    """Raises Invalid for an amount that is none."""
    if request.balance_usd is not UNSET:
        balances = tuple(_amount("balance_usd", each) for each in request.balance_usd)
        chosen = replace(chosen, balances=balances)
    if request.runway_seconds is not UNSET:
        chosen = replace(chosen, runways_s=tuple(request.runway_seconds))
    if request.enabled is not UNSET:
        chosen = replace(chosen, is_enabled=request.enabled)
    return chosen


def limits(chosen: Limits, spent: Micros, rules: Rules) -> wire.Limits:
    return wire.Limits(
        max_hourly_usd=_optional_usd(chosen.max_hourly),
        monthly_budget_usd=_optional_usd(chosen.monthly_budget),
        on_budget=chosen.on_budget.value,
        auto_resume=chosen.auto_resume,
        spent_this_month_usd=money.usd(spent),
        grace=wire.Grace(seconds=rules.grace_s, volume_retention_hours=rules.volume_retention_hours),
    )


def changed_limits(chosen: Limits, request: wire.LimitsRequest) -> Limits:
    """Raises Invalid for an amount that is none."""
    return replace(
        chosen,
        max_hourly=_limit("max_hourly_usd", request.max_hourly_usd, chosen.max_hourly),
        monthly_budget=_limit("monthly_budget_usd", request.monthly_budget_usd, chosen.monthly_budget),
        on_budget=chosen.on_budget if request.on_budget is UNSET else OnBudget(request.on_budget),
        auto_resume=chosen.auto_resume if request.auto_resume is UNSET else request.auto_resume,
    )


def _limit(member: str, given: Decimal | UnsetType | None, known: Micros | None) -> Micros | None:
    if given is UNSET:
        return known
    return None if given is None else _amount(member, given)


def _amount(member: str, given: Decimal) -> Micros:
    try:
        return money.from_usd(str(given))
    except ValueError:
        raise Invalid(
            "invalid_field", f"{member} must be an amount with at most six decimals.", field=member
        ) from None


def _optional_usd(micros: Micros | None) -> Decimal | None:
    return None if micros is None else money.usd(micros)

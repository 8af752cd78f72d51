"""What an account's owner chooses: when to be told that it runs low, and what may be spent."""

from berth.base.db import Tx
from berth.base.money import MAX_MICROS
from berth.core import events, ledger
from berth.core.billing import store
from berth.core.billing.credit import Alerts
from berth.core.billing.limits import Limits
from berth.core.errors import Invalid
from berth.core.events import Actor

THRESHOLDS_AT_MOST = 10
RUNWAY_AT_MOST_S = 366 * 86_400


def alerts(tx: Tx, by: Actor) -> Alerts:
    """What the account is alerted of; defaults until its owner says otherwise."""
    by.may("billing:read")
    return store.find_known(tx, by.project)[1]


def set_alerts(tx: Tx, by: Actor, chosen: Alerts) -> Alerts:
    """Replaces the thresholds. Raises Invalid naming the member."""
    by.may("billing:write")
    for member, values, most in (
        ("balance_usd", chosen.balances, MAX_MICROS),
        ("runway_seconds", chosen.runways_s, RUNWAY_AT_MOST_S),
    ):
        if len(values) > THRESHOLDS_AT_MOST:
            raise _invalid(member, f"must have at most {THRESHOLDS_AT_MOST} entries.")
        if not all(0 < value <= most for value in values):
            raise _invalid(member, "must hold values above zero, within reason.")
        if len(set(values)) != len(values):
            raise _invalid(member, "must not hold a value twice.")
    ledger.lock(tx, by.project)
    store.save_alerts(tx, by.project, chosen)
    data = {
        "balances_micros": list(chosen.balances),
        "runways_s": list(chosen.runways_s),
        "is_enabled": chosen.is_enabled,
    }
    events.record(tx, by, "billing.alerts_changed", subject=by.project, data=data)
    return chosen


def limits(tx: Tx, by: Actor) -> Limits:
    """What the account may spend; no limits until its owner sets some."""
    by.may("billing:read")
    return store.find_known(tx, by.project)[2]


def set_limits(tx: Tx, by: Actor, chosen: Limits) -> Limits:
    """Replaces the limits. Raises Invalid naming the member."""
    by.may("billing:write")
    for member, value in (
        ("max_hourly_usd", chosen.max_hourly),
        ("monthly_budget_usd", chosen.monthly_budget),
    ):
        if value is not None and not 0 < value <= MAX_MICROS:
            raise _invalid(member, "must be more than zero, within reason, or null for no limit.")
    ledger.lock(tx, by.project)
    store.save_limits(tx, by.project, chosen)
    data = {
        "max_hourly_micros": chosen.max_hourly,
        "monthly_budget_micros": chosen.monthly_budget,
        "on_budget": chosen.on_budget.value,
        "auto_resume": chosen.auto_resume,
    }
    events.record(tx, by, "billing.limits_changed", subject=by.project, data=data)
    tx.signal("credit")
    return chosen


def _invalid(field: str, message: str) -> Invalid:
    return Invalid("invalid_field", f"{field} {message}", field=field)

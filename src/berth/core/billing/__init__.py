"""Billing: stretches of billed time, what they cost, and whether a balance allows more of them."""

from berth.core.billing.checking import checked, is_check_due
from berth.core.billing.choices import alerts, limits, set_alerts, set_limits
from berth.core.billing.credit import WARNING_LEADS, Alerts, Credit, is_warning_due
from berth.core.billing.limits import Limits, OnBudget
from berth.core.billing.model import EMPTY, STOPPED, Balance, Bill, Rules, Segment, State
from berth.core.billing.rates import MINIMUM_S, MONTH_S, TICK_S, hourly, monthly, seconds_for, total
from berth.core.billing.service import (
    balance,
    bill,
    charges,
    check_gate,
    finish,
    gate,
    has_hold,
    next_tick,
    pause,
    require_credit,
    segments,
    start,
    sweep,
)
from berth.core.billing.settling import settle
from berth.core.billing.spending import check_hourly, lock_hourly, spent_this_month
from berth.core.billing.standing import (
    Standing,
    Survey,
    advance,
    announced,
    is_still,
    resumed,
    survey,
    warned,
)
from berth.core.billing.standing import state as credit_state
from berth.core.billing.storage import change_storage, finish_storage, start_storage, sweep_storage

__all__ = [
    "EMPTY",
    "MINIMUM_S",
    "MONTH_S",
    "STOPPED",
    "TICK_S",
    "WARNING_LEADS",
    "Alerts",
    "Balance",
    "Bill",
    "Credit",
    "Limits",
    "OnBudget",
    "Rules",
    "Segment",
    "Standing",
    "State",
    "Survey",
    "advance",
    "alerts",
    "announced",
    "balance",
    "bill",
    "change_storage",
    "charges",
    "check_gate",
    "check_hourly",
    "checked",
    "credit_state",
    "finish",
    "finish_storage",
    "gate",
    "has_hold",
    "hourly",
    "is_check_due",
    "is_still",
    "is_warning_due",
    "limits",
    "lock_hourly",
    "monthly",
    "next_tick",
    "pause",
    "require_credit",
    "resumed",
    "seconds_for",
    "segments",
    "set_alerts",
    "set_limits",
    "settle",
    "spent_this_month",
    "start",
    "start_storage",
    "survey",
    "sweep",
    "sweep_storage",
    "total",
    "warned",
]

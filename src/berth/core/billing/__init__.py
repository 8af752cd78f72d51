"""Billing: stretches of billed time, what they cost, and whether a balance allows more of them."""

from berth.core.billing.model import Balance, Bill, Rules
from berth.core.billing.rates import MINIMUM_S, MONTH_S, TICK_S, hourly, monthly, total
from berth.core.billing.service import (
    balance,
    bill,
    charges,
    finish,
    gate,
    has_hold,
    pause,
    require_credit,
    start,
    sweep,
)
from berth.core.billing.storage import change_storage, finish_storage, start_storage, sweep_storage

__all__ = [
    "MINIMUM_S",
    "MONTH_S",
    "TICK_S",
    "Balance",
    "Bill",
    "Rules",
    "balance",
    "bill",
    "change_storage",
    "charges",
    "finish",
    "finish_storage",
    "gate",
    "has_hold",
    "hourly",
    "monthly",
    "pause",
    "require_credit",
    "start",
    "start_storage",
    "sweep",
    "sweep_storage",
    "total",
]

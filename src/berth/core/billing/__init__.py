"""Billing: stretches of billed time, what they cost, and whether a balance allows more of them."""

from berth.core.billing.model import Balance, Bill, Rules, Segment
from berth.core.billing.rates import MINIMUM_S, MONTH_S, TICK_S, hourly, monthly, seconds_for, total
from berth.core.billing.service import (
    balance,
    bill,
    charges,
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
from berth.core.billing.storage import change_storage, finish_storage, start_storage, sweep_storage

__all__ = [
    "MINIMUM_S",
    "MONTH_S",
    "TICK_S",
    "Balance",
    "Bill",
    "Rules",
    "Segment",
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
    "next_tick",
    "pause",
    "require_credit",
    "seconds_for",
    "segments",
    "start",
    "start_storage",
    "sweep",
    "sweep_storage",
    "total",
]

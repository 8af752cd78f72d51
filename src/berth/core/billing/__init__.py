"""Billing: stretches of billed time, what they cost, and whether a balance allows more of them."""

from berth.core.billing.model import Balance, Bill, Rules
from berth.core.billing.rates import MINIMUM_S, TICK_S, total
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

__all__ = [
    "MINIMUM_S",
    "TICK_S",
    "Balance",
    "Bill",
    "Rules",
    "balance",
    "bill",
    "charges",
    "finish",
    "gate",
    "has_hold",
    "pause",
    "require_credit",
    "start",
    "sweep",
    "total",
]

"""Costs on the wire, member for member. Amounts are exact numbers of dollars."""

from decimal import Decimal
from typing import Literal

from msgspec import Struct


class CostsQuery(Struct, kw_only=True):
    session_id: str = ""
    """The cost of this session; nothing else is looked at then."""
    consumer_id: str = ""
    period: Literal["daily", "monthly"] | None = None
    """The day or the month that it is; dates are not looked at then."""
    start_date: str = ""
    """`YYYY-MM-DD`, UTC: the first day that counts."""
    end_date: str = ""
    """`YYYY-MM-DD`, UTC: the first day that no longer counts."""


class SummaryQuery(Struct, kw_only=True):
    consumer_id: str = ""


class SessionCost(Struct, kw_only=True):
    session_id: str
    total_cost: Decimal
    currency: Literal["USD"] = "USD"


class CostSummary(Struct, kw_only=True):
    consumer_id: str
    """Empty: all of them."""
    total_cost: Decimal
    session_count: int
    hours_used: Decimal
    by_provider: dict[str, Decimal]
    by_gpu_type: dict[str, Decimal]
    period_start: str
    period_end: str
    """The first instant that no longer counts."""

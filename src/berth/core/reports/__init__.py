"""Reports: what money was for. Reads over the nouns below, and changes nothing."""

from berth.core.reports.estimating import Estimate, VolumeLine, Wanted, estimate
from berth.core.reports.model import (
    Buckets,
    Cost,
    Costs,
    EntryFilter,
    GroupBy,
    Kind,
    Margin,
    MarginBy,
    Transaction,
    Usage,
    UsageFilter,
    UsagePage,
    UsageTotals,
)
from berth.core.reports.service import cost_of, costs, margin, transaction, transactions, usage, window
from berth.core.reports.standing import Backlog, backlog_of_all

__all__ = [
    "Backlog",
    "Buckets",
    "Cost",
    "Costs",
    "EntryFilter",
    "Estimate",
    "GroupBy",
    "Kind",
    "Margin",
    "MarginBy",
    "Transaction",
    "Usage",
    "UsageFilter",
    "UsagePage",
    "UsageTotals",
    "VolumeLine",
    "Wanted",
    "backlog_of_all",
    "cost_of",
    "costs",
    "estimate",
    "margin",
    "transaction",
    "transactions",
    "usage",
    "window",
]

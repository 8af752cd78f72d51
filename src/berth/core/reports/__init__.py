"""Reports: what money was for. Reads over the nouns below, and changes nothing."""

from berth.core.reports.estimating import Estimate, VolumeLine, Wanted, estimate
from berth.core.reports.model import (
    Buckets,
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
from berth.core.reports.service import margin, transaction, transactions, usage, window

__all__ = [
    "Buckets",
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
    "estimate",
    "margin",
    "transaction",
    "transactions",
    "usage",
    "window",
]

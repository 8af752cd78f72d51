"""Reports: what money was for. Reads over the nouns below, and changes nothing."""

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
    "GroupBy",
    "Kind",
    "Margin",
    "MarginBy",
    "Transaction",
    "Usage",
    "UsageFilter",
    "UsagePage",
    "UsageTotals",
    "margin",
    "transaction",
    "transactions",
    "usage",
    "window",
]

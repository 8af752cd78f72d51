"""Sessions: one offer, taken for some hours, that ends whatever happens."""

from berth.core.sessions.model import (
    ENDED,
    DiskEstimate,
    Failure,
    LaunchMode,
    Observer,
    Opened,
    RetryScope,
    Rules,
    Sample,
    Session,
    SessionSpec,
    Status,
    StoragePolicy,
    Watch,
    Workload,
)
from berth.core.sessions.opening import open_session
from berth.core.sessions.service import cost, destroy, done, extend, find, get, heartbeat, list_page

__all__ = [
    "ENDED",
    "DiskEstimate",
    "Failure",
    "LaunchMode",
    "Observer",
    "Opened",
    "RetryScope",
    "Rules",
    "Sample",
    "Session",
    "SessionSpec",
    "Status",
    "StoragePolicy",
    "Watch",
    "Workload",
    "cost",
    "destroy",
    "done",
    "extend",
    "find",
    "get",
    "heartbeat",
    "list_page",
    "open_session",
]

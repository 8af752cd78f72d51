"""Sessions: one offer, taken for some hours, that ends whatever happens."""

from berth.core.sessions.attending import (
    attend,
    lease_samples,
    provider_said,
    retire,
    sampled,
    unsettled,
    watched,
)
from berth.core.sessions.idling import Readings
from berth.core.sessions.model import (
    ENDED,
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
from berth.core.sessions.observing import observer
from berth.core.sessions.opening import check, open_session
from berth.core.sessions.retrying import place_again
from berth.core.sessions.service import cost, counts, destroy, done, extend, find, get, heartbeat, list_page
from berth.core.sessions.sizing import DiskEstimate, estimate

__all__ = [
    "ENDED",
    "DiskEstimate",
    "Failure",
    "LaunchMode",
    "Observer",
    "Opened",
    "Readings",
    "RetryScope",
    "Rules",
    "Sample",
    "Session",
    "SessionSpec",
    "Status",
    "StoragePolicy",
    "Watch",
    "Workload",
    "attend",
    "check",
    "cost",
    "counts",
    "destroy",
    "done",
    "estimate",
    "extend",
    "find",
    "get",
    "heartbeat",
    "lease_samples",
    "list_page",
    "observer",
    "open_session",
    "place_again",
    "provider_said",
    "retire",
    "sampled",
    "unsettled",
    "watched",
]

"""The one source of time: UTC, as whole microseconds since the Unix epoch.

An `Instant` is a plain integer, so that it compares, subtracts and is stored the same everywhere.
"""

import re
import threading
import time
from datetime import UTC, date, datetime
from functools import lru_cache
from typing import NewType, Protocol

Instant = NewType("Instant", int)
"""Microseconds since 1970-01-01T00:00:00Z."""

SECOND = 1_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_RFC3339 = re.compile(r"\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}:\d{2}(\.\d{1,6})?([Zz]|[+-]\d{2}:\d{2})", re.ASCII)


class Clock(Protocol):
    """Tells the time. Tests turn theirs by hand."""

    def now(self) -> Instant: ...


class SystemClock:
    """The host's clock, except that it never runs backwards within one process.

    A wall clock that steps back would make a second be billed twice or an event older than its cause.
    """

    def __init__(self) -> None:
        self._latest = 0
        self._lock = threading.Lock()

    def now(self) -> Instant:
        with self._lock:
            self._latest = max(self._latest, time.time_ns() // 1000)
            return Instant(self._latest)


def after(instant: Instant, *, seconds: int) -> Instant:
    """The instant `seconds` later (earlier when negative)."""
    return Instant(instant + seconds * SECOND)


def seconds_between(start: Instant, end: Instant) -> int:
    """Whole seconds from `start` to `end`, rounded down, never negative."""
    return max(0, (end - start) // SECOND)


def month_start(instant: Instant) -> Instant:
    """When the calendar month of `instant` began, UTC."""
    first = date.fromordinal(_EPOCH.toordinal() + instant // DAY).replace(day=1)
    return Instant((first.toordinal() - _EPOCH.toordinal()) * DAY)


def rfc3339(instant: Instant) -> str:
    """`2026-04-03T10:00:00Z`: seconds precision, the form of every timestamp of the retail API."""
    minutes, second = divmod(instant // SECOND, 60)
    days, minute_of_day = divmod(minutes, 24 * 60)
    return f"{_date(days)}T{_time(minute_of_day)}:{second:02}Z"


def rfc3339_millis(instant: Instant) -> str:
    """`2026-04-03T10:00:00.250Z`: as `rfc3339`, to the millisecond, rounded down."""
    return f"{rfc3339(instant)[:-1]}.{instant % SECOND // 1000:03}Z"


# An answer holds many timestamps, and most are of a few days: their text is kept.
@lru_cache(4096)
def _date(days: int) -> str:
    return date.fromordinal(_EPOCH.toordinal() + days).isoformat()


@lru_cache(24 * 60)
def _time(minute_of_day: int) -> str:
    return f"{minute_of_day // 60:02}:{minute_of_day % 60:02}"


def parse_rfc3339(text: str) -> Instant:
    """Reads an RFC 3339 timestamp with a zone. Raises ValueError otherwise."""
    if not _RFC3339.fullmatch(text):
        raise ValueError(f"not an RFC 3339 timestamp: {text!r}")
    delta = datetime.fromisoformat(text.upper()) - _EPOCH
    return Instant((delta.days * 86_400 + delta.seconds) * SECOND + delta.microseconds)

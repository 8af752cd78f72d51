"""Who did what, over all projects: for operators, who read it newest first."""

from collections.abc import Iterator
from dataclasses import dataclass

from berth.base.clock import HOUR, Instant
from berth.base.db import Tx
from berth.core.events import store
from berth.core.events.model import Event, Search

SPAN = 20_000
"""Events looked through at once, so that a search for something rare keeps no snapshot open for long."""
_SKEW = HOUR
"""Replicas' clocks may differ: an event can be this much younger than one that was written after it."""


@dataclass(frozen=True, slots=True)
class Look:
    """What one look through a span of events found."""

    events: tuple[Event, ...]
    """Newest first."""
    before_seq: int | None
    """Where the next look begins; None: there is nothing older to find."""


def look(tx: Tx, search: Search, *, before_seq: int | None, limit: int, span: int = SPAN) -> Look:
    """The newest `limit` events of `search` among the `span` before `before_seq`, or before the end."""
    end = store.next_seq(tx) if before_seq is None else before_seq
    # The events of one subject are found by its index, however old they are.
    start = 0 if search.subject is not None else max(0, end - span)
    found = store.search(tx, search, from_seq=start, before_seq=end, limit=limit)
    if len(found) == limit:
        return Look(tuple(found), found[-1].seq)
    is_over = start == 0 or _is_older(store.recorded_at(tx, start), search.since)
    return Look(tuple(found), None if is_over else start)


def latest_seq(tx: Tx) -> int:
    """Of the event that was written last; 0 before the first."""
    return store.next_seq(tx) - 1


def newer(tx: Tx, search: Search, *, after_seq: int, limit: int) -> Iterator[Event]:
    """The newest of `search` that were written after one, oldest first."""
    found = store.search(tx, search, from_seq=after_seq + 1, before_seq=store.next_seq(tx), limit=limit)
    return reversed(found)


def _is_older(recorded_at: Instant | None, since: Instant | None) -> bool:
    return recorded_at is not None and since is not None and recorded_at < since - _SKEW

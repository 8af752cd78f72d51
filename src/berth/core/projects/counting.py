"""How many requests each project made in a stretch of time, over all replicas."""

from collections.abc import Sequence

from berth.base.clock import Instant
from berth.base.db import Tx
from berth.core.projects import store

_BATCH = 1000


def count_requests(tx: Tx, window_at: Instant, made: Sequence[tuple[str, str, int]]) -> list[int]:
    """Adds (project, route, how many) to what is known of the window, and answers what each comes to now."""
    totals = [0] * len(made)
    # In one order for all: two replicas that add to the same rows must not wait for each other in a circle.
    for place in sorted(range(len(made)), key=lambda place: made[place][:2]):
        project, route, count = made[place]
        totals[place] = store.count_requests(tx, window_at, project, route, count)
    return totals


def forget_requests(tx: Tx, before: Instant) -> int:
    """Deletes a batch of counts of windows that began before; returns how many."""
    return store.forget_requests(tx, before, limit=_BATCH)

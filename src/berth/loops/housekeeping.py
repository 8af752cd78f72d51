"""Keeps true: what is past its time is gone, a batch at a time."""

from berth.base.clock import MINUTE, Instant
from berth.base.db import Tx
from berth.core import idempotency, projects
from berth.loops.world import Report, World

PERIOD_S = 30.0
_BATCHES = 20
"""In one tick; what is left is done by the next, at once."""
_COUNTS_KEPT = 2 * MINUTE


async def tick(world: World) -> Report:
    """Deletes answers that are repeated no more, keys that ended long ago, and counts of minutes gone by."""
    done = 0
    for _ in range(_BATCHES):
        deleted = await world.db.write(_forget)
        if not deleted:
            return Report(done=done)
        done += deleted
    return Report(done=done, has_more=True)


def _forget(tx: Tx) -> int:
    return (
        idempotency.forget_expired(tx)
        + projects.forget_ended(tx)
        + projects.forget_requests(tx, Instant(tx.now - _COUNTS_KEPT))
    )

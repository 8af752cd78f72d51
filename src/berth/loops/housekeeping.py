"""Keeps true: what is past its time is gone, a batch at a time; and once a day the books are looked through."""

import structlog

from berth.base.clock import MINUTE, Instant
from berth.base.db import Tx
from berth.core import billing, idempotency, ledger, projects
from berth.loops.world import Report, World

PERIOD_S = 30.0
_BATCHES = 20
"""In one tick; what is left is done by the next, at once."""
_COUNTS_KEPT = 2 * MINUTE
_log = structlog.get_logger()


async def tick(world: World) -> Report:
    """Deletes answers that are repeated no more, keys that ended long ago, and counts of minutes gone by."""
    await _look_through_books(world)
    done = 0
    for _ in range(_BATCHES):
        deleted = await world.db.write(_forget)
        if not deleted:
            return Report(done=done)
        done += deleted
    return Report(done=done, has_more=True)


async def _look_through_books(world: World) -> None:
    """Nothing is put right by itself: rows are never changed, and somebody has to find out how it came about."""
    if not await world.db.read(billing.is_check_due):
        return
    for problem in await world.db.read(ledger.verify):
        _log.error("books_disagree", problem=problem)
    await world.db.write(billing.checked)


def _forget(tx: Tx) -> int:
    return (
        idempotency.forget_expired(tx)
        + projects.forget_ended(tx)
        + projects.forget_requests(tx, Instant(tx.now - _COUNTS_KEPT))
    )

"""Keeps true: what runs has paid for its time, up to its last full ten minutes."""

from berth.base.db import Tx
from berth.core import billing, idempotency
from berth.loops.world import Report, World

PERIOD_S = 10.0


async def tick(world: World) -> Report:
    """Charges every tick that fell due, in one transaction. Run twice it charges once."""
    charged = await world.db.write(billing.sweep)
    forgotten = await world.db.write(_forget)
    return Report(done=charged + forgotten)


def _forget(tx: Tx) -> int:
    return idempotency.forget_expired(tx)

"""Keeps true: what runs has paid up to its last full ten minutes, and what is stored up to its last full hour."""

from berth.core import billing
from berth.loops.world import Report, World

PERIOD_S = 10.0


async def tick(world: World) -> Report:
    """Charges every tick that fell due. Run twice it charges once."""
    charged = await world.db.write(billing.sweep)
    charged += await world.db.write(billing.sweep_storage)
    return Report(done=charged)

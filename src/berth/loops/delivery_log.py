"""Keeps true: the log of deliveries holds a month, and a week of a webhook that was deleted."""

from berth.core import webhooks
from berth.loops.world import Report, World

PERIOD_S = 60.0


async def tick(world: World) -> Report:
    """Deletes one batch of what is past its time."""
    forgotten = await world.db.write(webhooks.forget)
    return Report(done=forgotten, has_more=forgotten > 0)

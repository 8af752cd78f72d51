"""Keeps true: what was ordered to end by itself has ended once its time came, its money was spent or it was idle.

Its owner is told a quarter of an hour ahead.
"""

from berth.core import instances
from berth.loops.world import Report, World

PERIOD_S = 15.0
BATCH = 100


async def tick(world: World) -> Report:
    """Looks at up to `BATCH` instances that are due, each in a transaction of its own: each has its own money."""
    due = await world.db.read(instances.due_to_end, limit=BATCH)
    for instance_id in due:
        await world.db.write(instances.attend, instance_id, world.rules)
    if due:
        world.poke("provisioning")
    return Report(done=len(due), has_more=len(due) == BATCH, wake_at=await world.db.read(instances.next_end))

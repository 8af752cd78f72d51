"""Keeps true: what was ordered to end by itself has ended once its time came, its money was spent or it was idle.

Its owner is told a quarter of an hour ahead. Evictions that were announced happen when they are due, and so does what
the end of a long term brings.
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
    outside = await world.db.read(instances.due_outside, limit=BATCH)
    for instance_id in outside:
        await world.db.write(instances.attend_outside, instance_id, world.rules)
    if due or outside:
        world.poke("provisioning")
    nexts = [await world.db.read(instances.next_end), await world.db.read(instances.next_outside)]
    return Report(
        done=len(due) + len(outside),
        has_more=BATCH in {len(due), len(outside)},
        wake_at=min((at for at in nexts if at is not None), default=None),
    )

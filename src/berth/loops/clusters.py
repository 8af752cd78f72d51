"""Keeps true: a cluster is what its members are, runs once all of them can, and none outlives the whole.

Takes no input: members that change only have it look sooner.
"""

from berth.core import clusters
from berth.loops.world import Report, World

PERIOD_S = 5.0
BATCH = 200
"""Clusters looked through at once."""


async def tick(world: World) -> Report:
    """Looks at every cluster that has not ended, and brings in line what is not."""
    done, last = 0, ""
    while True:
        found, after = await world.db.read(clusters.unsettled, after_id=last, limit=BATCH)
        for cluster_id in found:
            if await world.db.write(clusters.attend, cluster_id, world.rules) is not None:
                done += 1
        if after is None:
            break
        last = after
    if done:
        world.poke("provisioning")
        world.poke("volumes")
    return Report(done=done)

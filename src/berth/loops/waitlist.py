"""Keeps true: what is free goes to who has waited for it longest, and nobody waits for what has ended."""

import asyncio

import structlog

from berth.core import waitlist
from berth.core.waitlist import Granted, NotDeployed
from berth.loops.world import Report, World

PERIOD_S = 5.0
BATCH = 100
"""Entries attended to, and units granted for one type and location, in one tick."""
_AT_ONCE = 20
_log = structlog.get_logger()


async def tick(world: World) -> Report:
    """What is due for entries, then a unit at a time to whose turn it is."""
    if await world.db.read(waitlist.has_credited):
        await world.db.write(waitlist.wake_credited)
    attended = await _attend(world)
    granted = 0
    has_more = attended == BATCH
    for instance_type, location in await world.db.read(waitlist.open_pairs, world.waiting):
        count = await _grant(world, instance_type, location)
        granted += count
        has_more = has_more or count == BATCH
    return Report(done=attended + granted, has_more=has_more, wake_at=await world.db.read(waitlist.next_due))


async def _attend(world: World) -> int:
    due = await world.db.read(waitlist.due, limit=BATCH)
    for start in range(0, len(due), _AT_ONCE):
        await asyncio.gather(
            *(
                world.db.write(waitlist.attend, entry_id, world.waiting, world.rules)
                for entry_id in due[start : start + _AT_ONCE]
            )
        )
    return len(due)


async def _grant(world: World, instance_type: str, location: str) -> int:
    """How many calls it took: `BATCH` when there may be more to grant."""
    for number in range(BATCH):
        try:
            granted = await world.db.write(
                waitlist.grant_next, instance_type, location, world.waiting, world.rules
            )
        except NotDeployed as refused:
            # What was seen a moment ago has changed, an account emptied for example.
            _log.info("waitlist_entry_not_deployed", entry=refused.entry_id, reason=repr(refused.__cause__))
            if refused.block is None:
                return number
            await world.db.write(waitlist.block, refused.entry_id, refused.block, world.waiting)
            continue
        if granted is Granted.NOTHING:
            return number
    return BATCH

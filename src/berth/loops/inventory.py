"""Keeps true: what shoppers of this process compare is what the catalogue says now.

Under no lease: every process has a shelf of its own. It is woken when something here changes what could be had, and
looks by itself for what other processes changed and for what time alone does.
"""

import asyncio

from berth.loops.world import Report, World

PERIOD_S = 5.0
REST_S = 0.25
"""Between two looks, however many changes there are."""


async def tick(world: World) -> Report:
    """Looks once, beside the event loop."""
    is_news = await asyncio.to_thread(world.shelf.restock, world.db)
    return Report(done=int(is_news))

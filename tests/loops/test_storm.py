"""Whatever happens, nothing is doubled, lost or leaked: random acts and faults over the whole system.

A seed that fails is had again with `-k "<engine>-<seed>]"`; its story is in the message.
"""

from random import Random

import pytest

from berth.base.db import Database
from tests.conftest import FakeClock
from tests.world.storm import Storm, providers
from tests.world.world import World

ACTS = 80
SEEDS = 6


@pytest.mark.parametrize("seed", range(SEEDS))
async def test_whatever_happens_no_instance_second_or_unit_is_doubled_or_lost(
    db: Database, clock: FakeClock, seed: int
) -> None:
    random = Random(seed)
    world = World(db, clock, *providers(random, clock))
    storm = Storm(world, random)
    await storm.begin()
    try:
        for _ in range(ACTS):
            await storm.act()
            world.check(at_rest=False)
            for instance in storm.ordered:
                assert world.machines(instance) <= 1, f"{world.machines(instance)} live for {instance.id}"
        await storm.end()
        world.check()
    except AssertionError as error:
        raise AssertionError("\n".join([*storm.story, str(error)])) from error

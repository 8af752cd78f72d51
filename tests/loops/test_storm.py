"""Whatever happens, nothing is doubled, lost or leaked: random acts and faults over the whole system.

A seed that fails is had again with `-k "<engine>-<seed>]"`; its story is in the message.
"""

from random import Random

import pytest

from berth.base.db import Database
from tests.conftest import FakeClock
from tests.world.storm import Storm

ACTS = 80
SEEDS = 6


@pytest.mark.parametrize("seed", range(SEEDS))
async def test_whatever_happens_no_instance_second_or_unit_is_doubled_or_lost(
    db: Database, clock: FakeClock, seed: int
) -> None:
    storm = Storm(db, clock, Random(seed))
    await storm.begin()
    try:
        for _ in range(ACTS):
            await storm.act()
            storm.judge(at_rest=False)
        await storm.end()
        storm.judge(at_rest=True)
    except AssertionError as error:
        raise AssertionError("\n".join([*storm.story, str(error)])) from error

"""What changes something at Verda is sent once: the HTTP library would send a PUT again whose connection broke."""

import asyncio
from dataclasses import replace

import pytest

from berth.core.driver import OutcomeUnknown
from tests.drivers.verda.rig import open_verda


def test_a_copy_whose_answer_was_lost_is_made_once() -> None:
    async def test() -> None:
        async with open_verda() as rig:
            driver = rig.driver()
            source = await driver.create_volume(rig.volume())
            rig.service.faults.lost.append("PUT /volumes")
            with pytest.raises(OutcomeUnknown):
                await driver.create_volume(replace(rig.volume(), source=source.handle))
            assert len(rig.service.volumes) == 2
            await driver.close()

    asyncio.run(test())

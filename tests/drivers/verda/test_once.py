"""What changes something at Verda is sent once: the HTTP library would send a PUT again whose connection broke."""

import asyncio
from dataclasses import replace

import pytest

from berth.base.clock import SECOND, Instant
from berth.core.driver import OutcomeUnknown
from berth.loops.holding import Hold, LeaseLost
from tests.drivers.verda.rig import VerdaRig, open_verda


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


@pytest.mark.parametrize("last", ["GET /instances", "GET /ssh-keys", "POST /ssh-keys"])
def test_who_freezes_in_the_middle_of_a_create_past_its_lease_does_not_send_it(last: str) -> None:
    async def test() -> None:
        async with open_verda() as rig:
            hold = Hold(_StandsStillAfter(rig, last), Instant(30 * SECOND))
            driver = rig.driver()
            with pytest.raises(LeaseLost):
                await hold.guard(driver).create(rig.order())
            assert rig.service.calls[last] == 1
            assert rig.service.instances == {}
            await driver.close()

    asyncio.run(test())


class _StandsStillAfter:
    """The clock of a process that is stopped for a minute once a call was answered."""

    def __init__(self, rig: VerdaRig, call: str) -> None:
        self._calls = rig.service.calls
        self._call = call

    def now(self) -> Instant:
        return Instant(60 * SECOND if self._calls[self._call] else SECOND)

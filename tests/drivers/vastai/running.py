"""What the tests of this driver begin with."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from berth.core.driver import Label, Power, Sighting
from berth.drivers.vastai import VastaiDriver
from tests.drivers.vastai.rig import VastaiRig, open_vastai

Test = Callable[[VastaiRig, VastaiDriver], Awaitable[None]]


def over(test: Test, *, offers: int = 40, **chosen: Any) -> None:
    async def whole() -> None:
        async with open_vastai(offers=offers) as rig:
            driver = rig.driver(**chosen)
            try:
                await asyncio.wait_for(test(rig, driver), 60)
            finally:
                await driver.close()

    asyncio.run(whole())


async def until(driver: VastaiDriver, label: Label, power: Power | None) -> Sighting:
    sighting = None
    for _ in range(10):
        sighting = await driver.inspect(label, None)
        if sighting is not None and sighting.power is power:
            return sighting
    raise AssertionError(f"{sighting} is not {power}")

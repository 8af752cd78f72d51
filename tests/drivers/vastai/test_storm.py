"""Answers that are lost, refused, limited and broken by chance: nothing is made twice, and nothing is left."""

import random

import pytest

from berth.core.driver import DriverError, Label, NoCapacity, OutcomeUnknown, Power, RateLimited
from berth.drivers.vastai import VastaiDriver
from tests.drivers.vastai.rig import VastaiRig
from tests.drivers.vastai.running import over

TRIES = 200


async def insist(rig: VastaiRig, verb: object, *arguments: object) -> object:
    """Asks again for as long as the provider only fails, waiting as it asks for."""
    for _ in range(TRIES):
        try:
            return await verb(*arguments)  # type: ignore[operator]
        except RateLimited as error:
            await rig.time.sleep(error.retry_after_s)
        except DriverError:
            await rig.time.sleep(1)
    raise AssertionError("it never answers")


async def bought(rig: VastaiRig, driver: VastaiDriver) -> Label | None:
    """As the loops do it: what may have been made is looked for by its label before anything is tried again."""
    order = rig.order()
    for _ in range(TRIES):
        try:
            await driver.create(order)
        except NoCapacity:
            return None
        except OutcomeUnknown:
            await rig.time.sleep(driver.abilities.appears_within_s)
            if await insist(rig, driver.inspect, order.label, None) is not None:
                return order.label
        except RateLimited as error:
            await rig.time.sleep(error.retry_after_s)
        except DriverError:
            await rig.time.sleep(1)
        else:
            return order.label
    raise AssertionError("it never comes to an end")


@pytest.mark.parametrize("seed", range(5))
def test_whatever_is_lost_nothing_is_made_twice_and_nothing_is_left(seed: int) -> None:
    async def test(rig: VastaiRig, driver: VastaiDriver) -> None:
        chance = random.Random(seed)
        rig.service.faults.change(
            {
                "seed": seed,
                "lost_permille": 150,
                "refused_permille": 100,
                "limited_permille": 100,
                "broken_permille": 100,
                "lag_s": 20,
                "keeps_listing": 2,
            }
        )
        labels = [label for _ in range(25) if (label := await bought(rig, driver)) is not None]
        assert len(labels) == 25
        for label in labels:
            assert len(rig.service.of_label(str(label))) == 1
        for label in labels:
            await rig.time.sleep(30)
            seen = await insist(rig, driver.inspect, label, None)
            handle = seen.handle  # type: ignore[attr-defined]
            if chance.random() < 0.3:
                await insist(rig, driver.stop, handle)
            if chance.random() < 0.2:
                rig.service.faults.ignores_destroy += 1
            for _ in range(TRIES):
                await insist(rig, driver.destroy, handle)
                if await insist(rig, driver.inspect, label, handle) is None:
                    break
        assert not [each for each in rig.service.contracts.values() if each.is_there]
        listing = await insist(rig, driver.list_own, rig.install_id)
        assert not [each for each in listing.sightings if each.power is not Power.DELETING]  # type: ignore[attr-defined]
        for bill in rig.service.bills():
            assert bill["existed_us"] > 0
            assert bill["micros"] <= bill["existed_us"] * bill["total_micros_per_hour"] // 3_600_000_000 + 1

    over(test, offers=40)

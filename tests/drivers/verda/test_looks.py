"""However many machines are watched, the provider is asked no more than it allows, and what is said is never old."""

import asyncio
from typing import Any

from berth.core.driver import Power
from berth.drivers.verda import looks
from berth.drivers.verda.looks import Looks
from tests.drivers.verda.rig import Ticking, open_verda

WATCHED = 40
ROUNDS = 12
PER_PROJECT, PER_PATH, PER_LIST = 500, 60, 120


def test_many_that_are_watched_for_a_minute_stay_within_every_limit() -> None:
    async def test() -> None:
        async with open_verda() as rig:
            driver = rig.driver()
            orders = [rig.order() for _ in range(WATCHED)]
            for order in orders:
                await driver.create(order)
            rig.clock.now += 60
            rig.service.calls.clear()
            powers = set()
            for _ in range(ROUNDS):
                seen = await asyncio.gather(*(driver.inspect(order.label, None) for order in orders))
                powers = {None if each is None else each.power for each in seen}
                assert None not in powers
                rig.clock.now += 60 / ROUNDS
            assert powers == {Power.RUNNING}
            calls = rig.service.calls
            assert calls["GET /instances"] <= PER_LIST / 2
            assert max(calls.values()) <= PER_PATH
            assert calls.total() < WATCHED * ROUNDS
            assert calls.total() <= PER_PROJECT / 2
            await driver.close()

    asyncio.run(asyncio.wait_for(test(), 60))


class Machines:
    """What the provider has, and how often it was asked in which way."""

    def __init__(self) -> None:
        self.status = "provisioning"
        self.is_listed = True
        self.gets = self.lists = 0
        self.clock = Ticking()
        self.looks = Looks(self._get, self._list, self.clock, self.clock.sleep)

    async def _get(self, machine_id: str) -> dict[str, Any]:
        self.gets += 1
        return {"id": machine_id, "status": self.status}

    async def _list(self) -> list[dict[str, Any]]:
        self.lists += 1
        status = self.status
        await asyncio.sleep(0)
        return [{"id": f"m{number}", "status": status} for number in range(WATCHED)] if self.is_listed else []

    async def busy(self) -> None:
        for _ in range(looks.ONE_BY_ONE_PER_MINUTE):
            await self.looks.at("m0")


async def test_while_few_look_each_has_an_answer_of_its_own() -> None:
    machines = Machines()
    for _ in range(3 * looks.ONE_BY_ONE_PER_MINUTE):
        await machines.looks.at("m0")
        machines.clock.now += 1
    assert machines.lists == 0


async def test_those_who_look_at_once_share_a_list_and_none_that_began_before_they_asked() -> None:
    machines = Machines()
    await machines.busy()
    first = asyncio.create_task(machines.looks.at("m1"))
    await asyncio.sleep(0)
    assert machines.lists == 1
    machines.status = "running"
    later = await asyncio.gather(*(machines.looks.at(f"m{number}") for number in range(WATCHED)))
    assert (await first or {})["status"] == "provisioning"
    assert {machine["status"] for machine in later if machine is not None} == {"running"}
    assert machines.lists <= 3


async def test_what_a_list_lacks_is_asked_for_by_itself() -> None:
    machines = Machines()
    await machines.busy()
    machines.is_listed = False
    before = machines.gets
    assert await machines.looks.at("m1") == {"id": "m1", "status": "provisioning"}
    assert (machines.lists, machines.gets) == (1, before + 1)


async def test_lists_are_a_second_apart() -> None:
    machines = Machines()
    await machines.busy()
    began_at = machines.clock.now
    for _ in range(10):
        await machines.looks.at("m1")
    assert machines.clock.now - began_at >= 9

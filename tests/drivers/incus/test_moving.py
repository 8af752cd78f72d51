"""A member that is emptied: what others see meanwhile, what is left when a step fails, and runs that are killed."""

import asyncio
import itertools
from collections.abc import Callable
from pathlib import Path

import pytest

from berth.core.driver import Mount, NoCapacity, Sighting, Unreachable, VolumeOrder
from berth.drivers.incus import IncusDriver, Location, names
from berth.drivers.incus.moving import Moved, Mover
from tests.drivers.incus.acting import CARD, PLACE, an_order, owners, perform
from tests.drivers.incus.engine import Engine

HERE, THERE = "0000:41:00.0", "0000:c1:00.0"
CARDS = {"gpu1": [HERE], "gpu2": [THERE]}
Driver = Callable[..., IncusDriver]


async def with_a_volume(driver: Driver) -> tuple[Sighting, str]:
    """An instance on the first member with a card and a volume, and the volume's handle."""
    ours = driver(locations=(Location(PLACE, frozenset({"gpu1"})),))
    order = an_order()
    volume = await ours.create_volume(VolumeOrder(order.label, "data", "NVMe", 1, PLACE.code))
    return await ours.create(an_order(mounts=(Mount(volume.handle, "data"),))), volume.handle


async def emptied(driver: IncusDriver) -> list[Moved]:
    return [each async for each in Mover(driver._config, driver).empty("gpu1")]


def is_whole(engine: Engine, handle: str, member: str, card: str, volume: str) -> bool:
    found = engine.instances[handle]
    return (
        found["location"] == member
        and owners(engine, card) == [handle]
        and [each["pci"] for each in found["devices"].values() if each["type"] == "gpu"] == [card]
        and volume in found["devices"]
        and (member, volume) in engine.volumes
        and names.MOVE not in found["config"]
    )


def test_what_is_moved_has_its_volume_and_a_card_where_it_arrives(tmp_path: Path) -> None:
    async def test(engine: Engine, driver: Driver) -> None:
        seen, volume = await with_a_volume(driver)
        (moved,) = await emptied(driver())
        assert (moved.handle, moved.member, moved.problem) == (seen.handle, "gpu2", None)
        assert is_whole(engine, seen.handle, "gpu2", THERE, volume)

    perform(tmp_path, CARDS, test)


def test_what_could_not_be_moved_goes_on_where_it_is_with_its_volume_and_its_card(tmp_path: Path) -> None:
    async def test(engine: Engine, driver: Driver) -> None:
        seen, volume = await with_a_volume(driver)
        engine.fail("POST", seen.handle, 400, "Migration is not possible")
        (moved,) = await emptied(driver())
        assert moved.member is None
        assert is_whole(engine, seen.handle, "gpu1", HERE, volume)

    perform(tmp_path, CARDS, test)


def test_the_card_where_it_goes_is_given_to_nobody_while_it_is_on_its_way(tmp_path: Path) -> None:
    async def test(engine: Engine, driver: Driver) -> None:
        seen, volume = await with_a_volume(driver)
        everywhere, there = driver(), driver(locations=(Location(PLACE, frozenset({"gpu2"})),))

        async def nobody_gets_one() -> None:
            with pytest.raises(NoCapacity):
                await everywhere.create(an_order(CARD))

        async def nobody_gets_that() -> None:
            with pytest.raises(NoCapacity):
                await there.create(an_order(CARD))

        engine.before("POST", seen.handle, nobody_gets_one)
        engine.after("POST", seen.handle, nobody_gets_that)
        (moved,) = await emptied(driver())
        assert moved.member == "gpu2"
        assert is_whole(engine, seen.handle, "gpu2", THERE, volume)

    perform(tmp_path, CARDS, test)


def test_who_goes_where_somebody_just_took_the_card_stays(tmp_path: Path) -> None:
    async def test(engine: Engine, driver: Driver) -> None:
        seen, volume = await with_a_volume(driver)
        operator, server = driver(), driver(locations=(Location(PLACE, frozenset({"gpu2"})),))
        young = an_order()

        async def another_comes() -> None:
            await server.create(young)

        engine.before("PUT", seen.handle, another_comes)
        (moved,) = await emptied(operator)
        assert moved.member is None
        assert is_whole(engine, seen.handle, "gpu1", HERE, volume)
        assert owners(engine, THERE) == [names.instance(young.label)]

    perform(tmp_path, CARDS, test)


def test_nobody_touches_what_is_on_its_way(tmp_path: Path) -> None:
    async def test(engine: Engine, driver: Driver) -> None:
        seen, volume = await with_a_volume(driver)
        server = driver()
        assert seen.label is not None
        label = seen.label

        async def others_look() -> None:
            (listed,) = (await server.list_own(label.install_id)).sightings
            assert listed.is_unreachable, "so that it is neither started again nor charged"
            for touch in (
                server.inspect(label, seen.handle),
                server.start(seen.handle),
                server.stop(seen.handle),
                server.restart(seen.handle),
                server.detach_volume(seen.handle, volume),
                server.attach_volume(seen.handle, Mount(volume, "data")),
            ):
                with pytest.raises(Unreachable):
                    await touch

        engine.before("POST", seen.handle, others_look)
        engine.after("POST", seen.handle, others_look)
        (moved,) = await emptied(driver())
        assert moved.member == "gpu2"
        assert await server.inspect(label, seen.handle) is not None

    perform(tmp_path, CARDS, test)


@pytest.mark.parametrize("then", ["empty", "restore"])
def test_wherever_a_run_is_killed_the_next_one_brings_all_to_its_end(tmp_path: Path, then: str) -> None:
    async def test(engine: Engine, driver: Driver) -> None:
        for requests in itertools.count(1):
            engine.evacuated.clear()
            seen, volume = await with_a_volume(driver)
            killed = driver()
            run = asyncio.create_task(emptied(killed))
            engine.kill = (requests, run.cancel)
            await asyncio.wait([run])
            await killed.close()
            if not run.cancelled():
                break
            operator = driver()
            if then == "empty":
                await emptied(operator)
                member, card = "gpu2", THERE
            else:
                await Mover(operator._config, operator).restore("gpu1")
                member = engine.instances[seen.handle]["location"]
                card = CARDS[member][0]
            assert is_whole(engine, seen.handle, member, card, volume), requests
            await operator.destroy(seen.handle)
            await operator.destroy_volume(volume)
        assert requests > 20, "each of them was the last of a run"

    perform(tmp_path, CARDS, test)


def test_while_something_stays_the_engine_does_not_evacuate_it_its_own_way(tmp_path: Path) -> None:
    async def test(engine: Engine, driver: Driver) -> None:
        await with_a_volume(driver)
        await driver(locations=(Location(PLACE, frozenset({"gpu2"})),)).create(an_order())
        operator = driver()
        (moved,) = await emptied(operator)
        assert (moved.member, moved.problem) == (None, "1H100 fits on no member of LAB-01")
        assert engine.count("POST", "/1.0/cluster/members/gpu1/state") == 0
        await operator.destroy(moved.handle)
        assert await emptied(operator) == []
        assert engine.count("POST", "/1.0/cluster/members/gpu1/state") == 1

    perform(tmp_path, CARDS, test)


def test_what_its_owner_deletes_on_its_way_does_not_stay(tmp_path: Path) -> None:
    async def test(engine: Engine, driver: Driver) -> None:
        seen, _ = await with_a_volume(driver)
        server = driver()

        async def its_owner_deletes_it() -> None:
            await server.destroy(seen.handle)

        engine.before("POST", seen.handle, its_owner_deletes_it)
        assert await emptied(driver()) == []
        assert engine.count("POST", "/1.0/cluster/members/gpu1/state") == 1
        assert await emptied(driver()) == [], "again"
        assert engine.count("POST", "/1.0/cluster/members/gpu1/state") == 1

    perform(tmp_path, CARDS, test)

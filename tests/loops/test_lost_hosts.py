"""Hosts that are not heard from, and instances that a provider takes to another host."""

from berth.core import events
from berth.core.billing import rates
from berth.core.driver import Power
from tests import make
from tests.conftest import FakeClock
from tests.world.provider import Provider
from tests.world.world import World

PERIOD_S = 20


async def _observed(world: World, clock: FakeClock, times: int = 1) -> None:
    for _ in range(times):
        clock.advance(seconds=PERIOD_S)
        await world.tick("observation")


async def test_nobody_pays_from_the_last_sign_of_life_of_a_host_until_it_is_back(
    world: World, provider: Provider, clock: FakeClock
) -> None:
    instance = await world.running()
    handle = world.now(instance).handle or ""
    await world.live(700)
    provider.lost.add(handle)
    await _observed(world, clock, 3)
    assert world.status(instance) == "running"
    assert world.events(instance).count("instance.unreachable") == 1
    await world.live(7200)
    assert world.status(instance) == "running", "not heard from is not gone"
    assert world.charged(instance) == rates.total(instance.price, 700)
    provider.lost.clear()
    await _observed(world, clock)
    assert world.events(instance)[-1] == "instance.recovered"
    before = world.charged(instance)
    await world.live(600)
    world.delete(instance)
    await world.settle()
    assert world.charged(instance) - before == rates.total(instance.price, 1300) - rates.total(
        instance.price, 700
    )
    await world.calm()
    world.check()


async def test_what_came_back_stopped_with_its_host_is_started_and_then_costs_again(
    world: World, provider: Provider, clock: FakeClock
) -> None:
    instance = await world.running()
    handle = world.now(instance).handle or ""
    await world.live(700)
    provider.lost.add(handle)
    await _observed(world, clock, 2)
    provider.lost.clear()
    provider.machines[handle].power = Power.STOPPED
    await _observed(world, clock, 2)
    await world.settle()
    assert world.status(instance) == "running"
    assert [name for name in world.events(instance) if name != "instance.provisioning"][-3:] == [
        "instance.recovered",
        "instance.offline",
        "instance.running",
    ]
    before = world.charged(instance)
    await world.live(600)
    assert world.charged(instance) > before
    world.check(at_rest=False)


async def test_what_is_started_by_its_host_just_after_it_came_back_stopped_costs_again(
    world: World, provider: Provider, clock: FakeClock
) -> None:
    instance = await world.running()
    handle = world.now(instance).handle or ""
    await world.live(700)
    provider.lost.add(handle)
    await _observed(world, clock, 2)
    provider.lost.clear()
    provider.machines[handle].power = Power.STOPPED
    await _observed(world, clock)
    provider.machines[handle].power = Power.RUNNING
    await _observed(world, clock)
    await world.settle()
    assert world.status(instance) == "running"
    before = world.charged(instance)
    await world.live(600)
    assert world.charged(instance) > before
    world.check(at_rest=False)


async def test_what_comes_back_at_another_address_says_so(
    world: World, provider: Provider, clock: FakeClock
) -> None:
    instance = await world.running()
    handle = world.now(instance).handle or ""
    provider.lost.add(handle)
    await _observed(world, clock, 2)
    provider.lost.clear()
    provider.machines[handle].ip = "203.0.113.99"
    await _observed(world, clock, 2)
    assert world.now(instance).ip == "203.0.113.99"
    assert world.events(instance)[-2:] == ["instance.recovered", "instance.moved"]
    assert world.events(instance).count("instance.moved") == 1


async def test_what_is_deleted_while_its_host_is_lost_pays_up_to_the_last_sign_of_life(
    world: World, provider: Provider, clock: FakeClock
) -> None:
    instance = await world.running()
    await world.live(700)
    provider.lost.add(world.now(instance).handle or "")
    await _observed(world, clock, 2)
    await world.live(900)
    world.delete(instance)
    await world.live(60)
    assert world.status(instance) == "deleting", "gone once its provider says so"
    provider.lost.clear()
    await world.settle()
    assert world.status(instance) == "deleted"
    assert world.charged(instance) == rates.total(instance.price, 700)
    await world.calm()
    world.check()


async def test_what_its_provider_took_to_another_host_is_told_of_once_with_its_new_address(
    world: World, provider: Provider, clock: FakeClock
) -> None:
    instance = await world.running()
    provider.machines[world.now(instance).handle or ""].ip = "203.0.113.99"
    await _observed(world, clock, 2)
    assert world.now(instance).ip == "203.0.113.99"
    told = world.db.read_now(events.list_for, make.owner(instance), instance.id)[-1]
    assert (told.type, told.data["ip"]) == ("instance.moved", "203.0.113.99")
    assert world.events(instance).count("instance.moved") == 1

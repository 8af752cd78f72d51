"""A lease is renewed while work goes on under it; once it may have ended nothing more is begun or written."""

import asyncio
from dataclasses import replace

import pytest

from berth.base import leases
from berth.base.clock import SECOND, Instant, after
from berth.base.db import Database, DatabaseUnavailable, Tx
from berth.base.db_signals import CLOCKS_APART_S
from berth.core import instances, volumes, webhooks
from berth.core.driver import Label
from berth.loops import deliveries
from berth.loops.holding import Hold, LeaseLost, held, watching
from tests import make
from tests.conftest import FakeClock
from tests.world.provider import Provider
from tests.world.world import PATIENCE, World

FREEZES_S = PATIENCE.lease_s + 1


def _pair(world: World) -> tuple[World, World]:
    return world, World(world.db, world.clock, *world.providers)


async def test_what_takes_longer_than_a_lease_is_renewed_until_it_is_done(world: World) -> None:
    renewed = asyncio.Event()
    count = 0

    async def renew() -> bool:
        nonlocal count
        count += 1
        world.turn(0.4)
        if count == 4:
            renewed.set()
        return True

    async with held(world.loops, since=world.clock.now(), seconds=1, renew=renew) as hold:
        await renewed.wait()  # longer than the second that it was taken for
        hold.check()
    assert count == 4


async def test_what_cannot_be_renewed_is_cut_off_when_the_lease_ends(world: World) -> None:
    async def renew() -> bool:
        raise DatabaseUnavailable("restarting")

    async def work() -> None:
        async with held(world.loops, since=world.clock.now(), seconds=1, renew=renew):
            await asyncio.Event().wait()

    with pytest.raises(LeaseLost):
        await work()


async def test_what_somebody_else_has_is_cut_off_at_once(world: World) -> None:
    async def renew() -> bool:
        return False

    async def work() -> None:
        async with held(world.loops, since=world.clock.now(), seconds=3, renew=renew):
            await asyncio.Event().wait()

    async with asyncio.timeout(2):
        with pytest.raises(LeaseLost):
            await work()


async def test_a_time_limit_of_the_work_itself_is_no_lost_lease(world: World) -> None:
    async def work() -> None:
        async with held(world.loops, since=world.clock.now(), seconds=30, renew=_yes), asyncio.timeout(0):
            await asyncio.Event().wait()

    with pytest.raises(TimeoutError):
        await work()


async def test_a_driver_is_asked_nothing_once_the_lease_has_ended(
    world: World, provider: Provider, clock: FakeClock
) -> None:
    hold = Hold(clock, after(clock.now(), seconds=10))
    driver = hold.guard(provider)
    assert driver.abilities == provider.abilities
    await driver.list_own("a")
    clock.advance(seconds=10)
    for call in (lambda: driver.destroy("a"), lambda: driver.list_own("a")):
        with pytest.raises(LeaseLost):
            await call()


async def test_whose_clock_is_behind_begins_nothing_that_another_may_begin(
    world: World, clock: FakeClock
) -> None:
    """Clocks may differ by so much without anybody being told, and what is sent takes a while to arrive."""
    async with held(world.loops, since=clock.now(), seconds=PATIENCE.lease_s, renew=_yes) as hold:
        clock.advance(seconds=PATIENCE.lease_s - 2 * CLOCKS_APART_S)
        with pytest.raises(LeaseLost):
            hold.check()


async def test_a_row_is_renewed_by_its_holder_alone(db: Database, clock: FakeClock) -> None:
    world = World(db, clock)
    await world.order()
    [first] = await db.write(instances.lease_due, limit=1, seconds=30, providers=[make.PROVIDER])
    clock.advance(seconds=20)
    assert await db.write(instances.renew_lease, first, seconds=30)
    clock.advance(seconds=20)
    assert await db.write(instances.lease_due, limit=1, seconds=30, providers=[make.PROVIDER]) == []
    clock.advance(seconds=10)
    assert not await db.write(instances.renew_lease, first, seconds=30)
    [second] = await db.write(instances.lease_due, limit=1, seconds=30, providers=[make.PROVIDER])
    assert not await db.write(instances.renew_lease, first, seconds=30)
    await db.write(instances.give_back, first)
    assert await db.write(instances.lease_due, limit=1, seconds=30, providers=[make.PROVIDER]) == []
    await db.write(instances.give_back, second)
    assert len(await db.write(instances.lease_due, limit=1, seconds=30, providers=[make.PROVIDER])) == 1


async def test_a_volume_is_renewed_by_its_holder_alone(db: Database, clock: FakeClock) -> None:
    world = World(db, clock)
    await world.open_shop()
    make.volume(db, "ordered", (await world.customer()).by)
    [first] = await db.write(volumes.lease_due, limit=1, seconds=30, providers=[make.PROVIDER])
    clock.advance(seconds=20)
    assert await db.write(volumes.renew_lease, first, seconds=30)
    clock.advance(seconds=29)
    assert await db.write(volumes.lease_due, limit=1, seconds=30, providers=[make.PROVIDER]) == []
    await db.write(volumes.give_back, first)
    assert not await db.write(volumes.renew_lease, first, seconds=30)
    assert len(await db.write(volumes.lease_due, limit=1, seconds=30, providers=[make.PROVIDER])) == 1


async def test_what_a_killed_process_held_is_taken_up_after_one_lease(
    world: World, provider: Provider, clock: FakeClock
) -> None:
    mortal, survivor = _pair(world)
    instance = await mortal.order()
    mortal.doomed(1, is_after=False)
    await mortal.tick("provisioning")
    assert mortal.deaths == 1
    died_at = clock.now()
    await survivor.settle()
    assert survivor.status(instance) == "running"
    assert clock.now() - died_at <= (PATIENCE.lease_s + 1) * SECOND


async def test_one_that_froze_in_the_middle_of_a_step_asks_nothing_more_of_the_provider(
    world: World, provider: Provider, clock: FakeClock
) -> None:
    """Its step goes on with a stop; meanwhile its owner has had it stopped and started again."""
    frozen, awake = _pair(world)
    instance = await frozen.running()
    frozen.stop(instance)
    frozen.fate.freeze("inspect answered")
    tick = frozen.begin("provisioning")
    await frozen.fate.frozen("inspect answered")
    clock.advance(seconds=FREEZES_S)
    await awake.settle()
    awake.start(instance)
    await awake.settle()
    frozen.fate.thaw("inspect answered")
    await tick
    assert "stop" not in frozen.fate.calls
    assert provider.of(instance.id)[0].power == "running"
    await awake.calm()
    awake.check()


async def test_one_that_froze_before_it_destroyed_an_orphan_leaves_it_to_the_others(
    world: World, provider: Provider, clock: FakeClock
) -> None:
    frozen, awake = _pair(world)
    await awake.open_shop()
    orphan = provider.plant(Label(world.install_id, "0" * 26))
    await frozen.tick("observation")
    clock.advance(seconds=frozen.patience.orphan_grace_s)
    frozen.fate.freeze("list_own answered")
    tick = frozen.begin("observation")
    await frozen.fate.frozen("list_own answered")
    clock.advance(seconds=FREEZES_S + 20)
    frozen.fate.thaw("list_own answered")
    await tick
    assert orphan in provider.alive()
    await awake.tick("observation")
    assert provider.alive() == []


async def test_a_complete_listing_that_is_old_news_counts_for_nothing(
    world: World, provider: Provider, clock: FakeClock
) -> None:
    """What goes down is paid for up to when it was last seen: a frozen observer has seen nothing since."""
    frozen, awake = _pair(world)
    instance = await awake.running()
    await awake.tick("observation")
    listed_at = awake.db.read_now(_listed_at)
    clock.advance(seconds=FREEZES_S + 20)
    frozen.fate.freeze("list_own answered")
    tick = frozen.begin("observation")
    await frozen.fate.frozen("list_own answered")
    clock.advance(seconds=FREEZES_S + 20)
    frozen.fate.thaw("list_own answered")
    await tick
    assert awake.db.read_now(_listed_at) == listed_at
    assert awake.status(instance) == "running"


async def test_a_watch_outlasts_its_period_and_not_much_more(world: World, clock: FakeClock) -> None:
    one, other = _pair(world)
    async with watching(one.loops, "a", period_s=20) as watch:
        assert watch is not None
    clock.advance(seconds=20 + PATIENCE.lease_s - 1)
    async with watching(other.loops, "a", period_s=20) as watch:
        assert watch is None
    clock.advance(seconds=1)
    async with watching(other.loops, "a", period_s=20) as watch:
        assert watch is not None


async def test_what_is_cut_off_when_the_process_ends_can_be_given_back(
    world: World, provider: Provider, clock: FakeClock
) -> None:
    ending, other = _pair(world)
    instance = await ending.order()
    ending.fate.freeze("create")
    tick = ending.begin("provisioning")
    await ending.fate.frozen("create")
    tick.cancel()
    await asyncio.gather(tick, return_exceptions=True)
    assert len(ending.loops.unfinished) == 1
    for give_back in ending.loops.unfinished:
        await give_back()
    await ending.db.write(leases.release_held_by, ending.holder)
    told_at = clock.now()
    await other.settle()
    assert other.status(instance) == "running"
    assert clock.now() - told_at < PATIENCE.lease_s * SECOND
    assert len(provider.made) == 1


async def test_a_replica_without_the_provider_takes_nothing_of_it(
    db: Database, clock: FakeClock, provider: Provider
) -> None:
    able = World(db, clock, provider)
    instance = await able.order()
    make_volume = make.volume(db, "ordered", make.owner(instance))
    other = World(db, clock, Provider(clock, "another", []))
    for _ in range(3):
        await other.tick("provisioning", "volumes", "observation", "volume_observation")
        clock.advance(seconds=5)
    seen = able.now(instance)
    assert (seen.lease_token, seen.attempt) == (instance.lease_token, instance.attempt)
    assert able.volume(make_volume.id).lease_token == 0
    await able.settle()
    assert able.status(instance) == "running"


async def test_a_delivery_whose_lease_ended_before_it_went_out_is_left_to_others(
    world: World, clock: FakeClock
) -> None:
    by = (await world.customer()).by
    make.webhook(world.db, by)
    await world.order(None)
    slow = replace(world.loops, courier=replace(world.loops.courier, render=_frozen_while(clock)))
    make.ordered(world.db, by)
    await deliveries.tick(slow)
    assert world.letters == []


def _frozen_while(clock: FakeClock) -> webhooks.Render:
    def render(_told: object) -> str:
        clock.advance(seconds=deliveries.LEASE_S)
        return "{}"

    return render


async def _yes() -> bool:
    return True


def _listed_at(tx: Tx) -> Instant:
    row = tx.one("SELECT listed_at FROM providers")
    assert row is not None
    return Instant(row[0])

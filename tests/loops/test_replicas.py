"""Two control planes on one database at once, and one that froze and woke up too late: nothing is doubled.

On SQLite they take turns at one writer; on PostgreSQL they are real threads on real connections.
"""

import asyncio

from berth.base.clock import after
from berth.base.db import Database
from berth.core import billing, instances
from berth.core.billing import rates
from berth.core.driver import Abilities, NoCapacity
from berth.loops.world import Patience
from tests import make
from tests.conftest import FakeClock
from tests.world import truth
from tests.world.provider import Provider
from tests.world.world import PATIENCE, World

FREEZES_S = PATIENCE.lease_s + 31
"""Longer than any lease."""


def _pair(world: World) -> tuple[World, World]:
    return world, World(world.db, world.clock, *world.providers)


async def test_two_replicas_give_each_order_one_instance(world: World, provider: Provider) -> None:
    provider.offers = [make.offer(free=40)]
    one, other = _pair(world)
    customer = await one.customer("10000")
    ordered = [await one.order(customer) for _ in range(30)]
    for _ in range(40):
        await asyncio.gather(*(each.tick("provisioning") for each in (one, other) for _ in range(4)))
    await one.settle()
    assert {one.status(instance) for instance in ordered} == {"running"}
    assert [one.machines(instance) for instance in ordered] == [1] * 30
    assert len(provider.made) == 30
    one.clock.set(after(one.clock.now(), seconds=1250))
    await asyncio.gather(*(each.tick("metering") for each in (one, other) for _ in range(3)))
    assert [one.charged(instance) for instance in ordered] == [rates.total(ordered[0].price, 1200)] * 30
    for instance in ordered:
        one.delete(instance)
    for _ in range(40):
        await asyncio.gather(*(each.tick("provisioning") for each in (one, other) for _ in range(4)))
    await one.settle()
    assert provider.alive() == []
    await one.calm()
    one.check()


async def test_replicas_with_all_loops_at_once_agree(
    world: World, provider: Provider, clock: FakeClock
) -> None:
    provider.offers = [make.offer(free=20)]
    one, other = _pair(world)
    customer = await one.customer("10000")
    ordered = [await one.order(customer) for _ in range(12)]
    for turn in range(30):
        await asyncio.gather(one.tick(), other.tick(), one.tick("provisioning"), other.tick("provisioning"))
        if turn == 8:
            for instance in ordered[:4]:
                if one.status(instance) == "running":
                    one.stop(instance)
        if turn == 15:
            for machine in provider.alive()[5:7]:
                provider.crash(machine.handle)
        if turn == 20:
            for instance in ordered[8:]:
                one.delete(instance)
        clock.advance(seconds=20)
    await one.calm()
    one.check()
    assert sorted(one.status(instance) for instance in ordered[8:]) == ["deleted"] * 4


async def test_a_create_whose_answer_comes_after_the_lease_writes_nothing(
    world: World, provider: Provider, clock: FakeClock
) -> None:
    frozen, awake = _pair(world)
    instance = await frozen.order()
    frozen.fate.freeze("create answered")
    tick = frozen.begin("provisioning")
    await frozen.fate.frozen("create answered")
    clock.advance(seconds=FREEZES_S)
    await awake.settle()
    seen = awake.now(instance)
    assert seen.status == "running"
    frozen.fate.thaw("create answered")
    await tick
    assert awake.now(instance) == seen
    assert len(provider.made) == 1
    await awake.calm()
    awake.check()


async def test_one_that_froze_before_its_create_went_out_does_not_send_it_later(
    world: World, provider: Provider, clock: FakeClock
) -> None:
    frozen, awake = _pair(world)
    instance = await frozen.order()
    frozen.fate.freeze("read create_order")
    tick = frozen.begin("provisioning")
    await frozen.fate.frozen("read create_order")
    assert awake.now(instance).create_sent_at is not None
    assert provider.made == []
    clock.advance(seconds=FREEZES_S)
    await awake.settle()
    assert awake.status(instance) == "running"
    frozen.fate.thaw("read create_order")
    await tick
    assert len(provider.made) == 1
    awake.check()


async def test_a_request_that_takes_effect_minutes_late_makes_an_orphan_that_is_swept(
    world: World, provider: Provider, clock: FakeClock
) -> None:
    """No provider promises that; yet nobody may pay for it for ever."""
    frozen, awake = _pair(world)
    instance = await frozen.order()
    frozen.fate.freeze("create")
    tick = frozen.begin("provisioning")
    await frozen.fate.frozen("create")
    clock.advance(seconds=FREEZES_S)
    await awake.settle()
    frozen.fate.thaw("create")
    await tick
    assert len(provider.of(instance.id)) == 2
    seen = awake.now(instance)
    await awake.live(400)
    assert [machine.handle for machine in provider.of(instance.id)] == [seen.handle]
    assert awake.status(instance) == "running"
    await awake.calm()
    awake.check()


async def test_a_no_capacity_that_arrives_late_does_not_move_what_runs(
    world: World, provider: Provider, clock: FakeClock
) -> None:
    provider.offers = [make.offer(name="a", price="1.10"), make.offer(name="b", price="1.20")]
    frozen, awake = _pair(world)
    instance = await frozen.order()
    provider.breaks("create", NoCapacity("none"))
    frozen.fate.freeze("create failed")
    tick = frozen.begin("provisioning")
    await frozen.fate.frozen("create failed")
    clock.advance(seconds=FREEZES_S)
    await awake.settle()
    seen = awake.now(instance)
    assert seen.status == "running"
    frozen.fate.thaw("create failed")
    await tick
    assert awake.now(instance) == seen
    await awake.calm()
    awake.check()


async def test_a_stop_seen_too_late_does_not_stop_the_clock_of_what_was_started_again(
    world: World, provider: Provider, clock: FakeClock
) -> None:
    frozen, awake = _pair(world)
    instance = await frozen.running()
    await frozen.live(700)
    frozen.stop(instance)
    frozen.fate.freeze("stop answered")
    tick = frozen.begin("provisioning")
    await frozen.fate.frozen("stop answered")
    clock.advance(seconds=FREEZES_S)
    await awake.settle()
    assert awake.status(instance) == "offline"
    awake.start(instance)
    await awake.settle()
    frozen.fate.thaw("stop answered")
    await tick
    assert awake.status(instance) == "running"
    await awake.live(100)
    awake.delete(instance)
    assert awake.charged(instance) == rates.total(instance.price, 700 + FREEZES_S + 100)
    await awake.settle()
    awake.check()


async def test_a_delete_confirmed_twice_is_one_delete(
    world: World, provider: Provider, clock: FakeClock
) -> None:
    frozen, awake = _pair(world)
    instance = await frozen.running()
    frozen.delete(instance)
    frozen.fate.freeze("destroy answered")
    tick = frozen.begin("provisioning")
    await frozen.fate.frozen("destroy answered")
    clock.advance(seconds=FREEZES_S)
    await awake.settle()
    frozen.fate.thaw("destroy answered")
    await tick
    assert awake.events(instance).count("instance.deleted") == 1
    assert awake.free() == 8
    awake.check()


async def test_a_catalogue_read_by_one_that_froze_is_not_believed(
    world: World, provider: Provider, clock: FakeClock
) -> None:
    frozen, awake = _pair(world)
    await awake.open_shop()
    clock.advance(seconds=FREEZES_S)
    frozen.fate.freeze("catalogue answered")
    tick = frozen.begin("catalog")
    await frozen.fate.frozen("catalogue answered")
    clock.advance(seconds=FREEZES_S)
    provider.offers = [make.offer(free=3)]
    await awake.open_shop()
    frozen.fate.thaw("catalogue answered")
    await tick
    assert awake.free() == 3


async def test_a_listing_read_by_one_that_froze_does_not_end_what_was_made_since(
    world: World, provider: Provider, clock: FakeClock
) -> None:
    frozen, awake = _pair(world)
    await awake.open_shop()
    frozen.fate.freeze("list_own answered")
    tick = frozen.begin("observation")
    await frozen.fate.frozen("list_own answered")
    instance = await awake.running()
    clock.advance(seconds=500)
    frozen.fate.thaw("list_own answered")
    await tick
    assert awake.now(instance).missing_since is None
    assert awake.status(instance) == "running"


async def test_only_one_replica_asks_a_provider_what_it_has(world: World, clock: FakeClock) -> None:
    one, other = _pair(world)
    await one.open_shop()
    for _ in range(3):
        clock.advance(seconds=20)
        await one.tick("observation")
        await other.tick("observation")
    assert "list_own" in one.fate.calls
    assert "list_own" not in other.fate.calls
    clock.advance(seconds=FREEZES_S)
    await other.tick("observation")
    assert "list_own" in other.fate.calls


async def test_a_leased_row_is_nobody_elses(db: Database, clock: FakeClock) -> None:
    world = World(db, clock)
    for _ in range(3):
        await world.order()
    leases = await asyncio.gather(
        *(db.write(instances.lease_due, limit=2, seconds=60, providers=[make.PROVIDER]) for _ in range(6))
    )
    taken = [instance.id for leased in leases for instance in leased]
    assert len(taken) == len(set(taken)) == 3
    clock.advance(seconds=60)
    again = await db.write(instances.lease_due, limit=10, seconds=60, providers=[make.PROVIDER])
    assert len(again) == 3
    stale = next(instance for leased in leases for instance in leased)
    assert await db.write(instances.look_again, stale, retry_s=0) is None
    assert await db.write(instances.gone, stale, billing.Rules()) is None
    assert await db.write(instances.fail, stale, reason="late") is None


async def test_parallel_orders_never_sell_more_than_there_is(world: World, provider: Provider) -> None:
    provider.offers = [make.offer(free=3)]
    customer = await world.customer("10000")
    key = make.ssh_key(world.db, customer.by)
    spec = make.spec([key.id])
    outcomes = await asyncio.gather(
        *(world.db.write(instances.order, customer.by, spec, world.rules) for _ in range(20)),
        return_exceptions=True,
    )
    assert sum(isinstance(outcome, instances.Instance) for outcome in outcomes) == 3
    await world.settle()
    assert len(provider.made) == 3
    await world.calm()
    world.check()


async def test_a_world_that_dies_leaves_its_rows_to_the_other(world: World, provider: Provider) -> None:
    provider.abilities = Abilities(appears_within_s=5)
    provider.listing_lag_s = 5
    mortal, survivor = _pair(world)
    instance = await mortal.order()
    mortal.doomed(1, is_after=True)
    await mortal.tick("provisioning")
    assert mortal.deaths == 1
    await survivor.settle()
    assert survivor.status(instance) == "running"
    assert len(provider.made) == 1
    assert truth.problems(world.db, world.providers, at_rest=False) == []


async def test_a_short_lease_loses_no_step(db: Database, clock: FakeClock, provider: Provider) -> None:
    """Each step under a lease that has ended is a step that another may take too."""
    world = World(db, clock, provider, patience=Patience(lease_s=1))
    instance = await world.running()
    world.stop(instance)
    await world.settle()
    world.delete(instance)
    await world.settle()
    assert len(provider.made) == 1
    assert provider.alive() == []

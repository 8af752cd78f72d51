"""The catalogue says what providers sell now, or, while one is silent, what it said last."""

import asyncio
import json
import threading
from dataclasses import dataclass, field, replace

from berth.base.clock import SECOND
from berth.base.db import Database, Tx
from berth.core import catalog
from berth.core.catalog import Search
from berth.core.driver import Abilities, Catalogue, RateLimited, Unreachable
from berth.core.events import system
from berth.loops import catalog as catalog_loop
from tests import make
from tests.conftest import FakeClock
from tests.world import truth
from tests.world.provider import Provider
from tests.world.world import World


@dataclass
class Slow(Provider):
    """Says nothing until it may."""

    is_asked: asyncio.Event = field(default_factory=asyncio.Event)
    may_answer: asyncio.Event = field(default_factory=asyncio.Event)

    async def catalogue(self) -> Catalogue:
        self.is_asked.set()
        await self.may_answer.wait()
        return await super().catalogue()


async def test_what_a_provider_sells_can_be_ordered(world: World, provider: Provider) -> None:
    await world.open_shop()
    views = world.db.read_now(catalog.search, system("p", "test"), Search())
    assert [(view.type.name, view.price) for view in views] == [(make.H100, 1_710_000)]


async def test_a_silent_provider_keeps_what_it_sold_last(world: World, provider: Provider) -> None:
    await world.open_shop()
    provider.breaks("catalogue", Unreachable("no route"))
    (report,) = await world.tick("catalog")
    assert report.done == 0
    assert report.notes
    assert world.free() == 8
    assert truth.rows(world.db, "SELECT failure IS NULL FROM providers") in ([(0,)], [(False,)])
    await world.tick("catalog")
    assert truth.rows(world.db, "SELECT failure FROM providers") == [(None,)]


async def test_one_silent_provider_leaves_the_others_alone(world: World, provider: Provider) -> None:
    other = Provider(world.clock, "other", [make.offer(name="second")])
    world = World(world.db, world.clock, provider, other)
    provider.breaks("catalogue", RateLimited("slow", retry_after_s=60))
    (report,) = await world.tick("catalog")
    assert report.done == 1
    assert world.free("second") == 8


async def test_what_is_no_longer_offered_is_no_longer_sold_and_still_runs(
    world: World, provider: Provider
) -> None:
    instance = await world.running()
    provider.offers = []
    await world.live(100)
    assert world.db.read_now(catalog.search, system("p", "test"), Search(available_only=False)) == []
    assert world.status(instance) == "running"


async def test_units_on_order_are_not_sold_twice_while_the_provider_does_not_know(
    world: World, provider: Provider, clock: FakeClock
) -> None:
    provider.offers = [make.offer(free=2)]
    customer = await world.customer()
    await world.order(customer)
    assert world.free() == 1
    await world.tick("catalog")
    assert world.free() == 1
    await world.settle()
    clock.advance(seconds=30)
    await world.tick("catalog")
    assert world.free() == 1


async def test_a_provider_without_prices_is_sold_with_the_operators_margin(
    world: World, provider: Provider, clock: FakeClock
) -> None:
    provider.offers = [replace(make.offer(cost="1"), price_micros_per_hour=None)]
    world.loops = replace(world.loops, margins={provider.name: 25})
    await world.tick("catalog")
    assert truth.rows(world.db, "SELECT price_micros_per_hour FROM offers") == [(1_250_000,)]


async def test_providers_that_are_met_at_once_all_boot_the_image_they_share(world: World) -> None:
    crowd = [Provider(world.clock, f"crowd-{at}", [make.offer(name=f"offer-{at}")]) for at in range(8)]
    await World(world.db, world.clock, *crowd).tick("catalog")
    ((booted_by,),) = truth.rows(world.db, "SELECT providers FROM images")
    assert json.loads(booted_by) == [provider.name for provider in crowd]


async def test_two_first_refreshes_at_once_forget_nothing_of_each_other(db: Database) -> None:
    offered = Catalogue([], [make.image()])
    is_written = threading.Event()

    def first(tx: Tx) -> None:
        catalog.refresh(tx, "first", offered, listed_at=tx.now, margin_percent=0)
        is_written.set()
        threading.Event().wait(0.05)  # the other comes as far as it can

    def second(tx: Tx) -> None:
        is_written.wait(5)
        catalog.refresh(tx, "second", offered, listed_at=tx.now, margin_percent=0)

    for provider in ("first", "second"):
        await db.write(catalog.introduce, provider, Abilities())
    await asyncio.gather(db.write(first), db.write(second))
    ((booted_by,),) = truth.rows(db, "SELECT providers FROM images")
    assert json.loads(booted_by) == ["first", "second"]


async def test_a_provider_with_a_period_of_its_own_is_not_asked_before_it_is_over(
    world: World, provider: Provider, clock: FakeClock
) -> None:
    world.loops = replace(world.loops, periods={provider.name: 60})
    (report,) = await world.tick("catalog")
    assert (report.done, report.wake_at) == (1, clock.now() + 60 * SECOND)
    provider.offers = [make.offer(free=3)]
    clock.advance(seconds=59)
    (report,) = await world.tick("catalog")
    assert (report.done, world.free()) == (0, 8)
    clock.advance(seconds=1)
    await world.tick("catalog")
    assert world.free() == 3


async def test_a_provider_that_keeps_failing_is_left_alone_for_longer_each_time(
    world: World, provider: Provider, clock: FakeClock
) -> None:
    world.loops = replace(world.loops, periods={provider.name: 60})
    await world.open_shop()
    clock.advance(seconds=60)
    provider.breaks("catalogue", Unreachable("no route"), times=3)
    began_at, asked_at = clock.now(), []
    for _ in range(60):
        (report,) = await world.tick("catalog")
        if report.done or report.notes:
            asked_at.append((clock.now() - began_at) // SECOND)
        clock.advance(seconds=10)
    assert asked_at[:4] == [0, 60, 180, 420]


async def test_a_process_that_starts_asks_everybody_at_once(
    world: World, provider: Provider, clock: FakeClock
) -> None:
    world.loops = replace(world.loops, periods={provider.name: 60})
    await world.tick("catalog")
    provider.offers = [make.offer(free=2)]
    report = await catalog_loop.tick_all(world.loops)
    assert (report.done, world.free()) == (1, 2)


async def test_of_several_processes_one_asks(world: World, provider: Provider, clock: FakeClock) -> None:
    elsewhere = replace(world.loops, holder="elsewhere", asking=set())
    await world.tick("catalog")
    provider.offers = [make.offer(free=1)]
    report = await catalog_loop.tick_all(elsewhere)
    assert (report.done, world.free()) == (0, 8)
    clock.advance(seconds=world.patience.lease_s + catalog_loop.PERIOD_S)
    report = await catalog_loop.tick_all(elsewhere)
    assert (report.done, world.free()) == (1, 1)


async def test_a_provider_that_takes_its_time_keeps_nobody_else_waiting(world: World) -> None:
    slow = Slow(world.clock, "slow", [make.offer(name="slow")])
    quick = Provider(world.clock, "quick", [make.offer(name="quick")])
    world = World(world.db, world.clock, slow, quick)
    first = asyncio.create_task(world.tick("catalog"))
    while not slow.is_asked.is_set():
        await asyncio.sleep(0)
    quick.offers = [make.offer(name="quick", free=2)]
    while truth.free_units(world.db).get("quick") != 2:
        (report,) = await world.tick("catalog")
        assert report.done <= 1
        await asyncio.sleep(0)
    assert truth.rows(world.db, "SELECT 1 FROM offers WHERE provider = 'slow'") == []
    slow.may_answer.set()
    await first
    assert world.free("slow") == 8


async def test_a_provider_that_never_answers_is_given_up_on(world: World) -> None:
    slow = Slow(world.clock, "slow", [make.offer(name="slow")])
    world = World(world.db, world.clock, slow, patience=replace(world.patience, catalogue_s=0.01))
    (report,) = await world.tick("catalog")
    assert (report.done, len(report.notes)) == (0, 1)
    assert slow.is_asked.is_set()

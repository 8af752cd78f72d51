"""The catalogue says what providers sell now, or, while one is silent, what it said last."""

import asyncio
import json
import threading
from dataclasses import replace

from berth.base.db import Database, Tx
from berth.core import catalog
from berth.core.catalog import Search
from berth.core.driver import Abilities, Catalogue, RateLimited, Unreachable
from berth.core.events import system
from tests import make
from tests.conftest import FakeClock
from tests.world import truth
from tests.world.provider import Provider
from tests.world.world import World


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

"""Boots that are paid for, where an operator sells them: from the order on, but only if something comes of it."""

from dataclasses import replace

import pytest

from berth.base.clock import seconds_between
from berth.base.db import Database
from berth.core import billing, instances
from berth.core.billing import Rules, rates
from berth.core.instances import Instance
from tests import make
from tests.conftest import FakeClock
from tests.core.books import assert_exact, codes
from tests.world.provider import Provider
from tests.world.world import World

BOOT_S = 250


@pytest.fixture
def world(db: Database, clock: FakeClock, provider: Provider) -> World:
    provider.ssh_s = BOOT_S
    return World(db, clock, provider, rules=Rules(bills_boot=True))


def be_patient(provider: Provider) -> None:
    """This type takes its time to boot."""
    offer = make.offer()
    provider.offers = [replace(offer, hardware=replace(offer.hardware, boot_timeout_s=3000))]


def billed(world: World, made: Instance) -> billing.Bill:
    return world.db.read_now(billing.bill, made.id)


async def booting(world: World, seconds: int) -> Instance:
    made = await world.order()
    await world.tick("provisioning")
    await world.tick("provisioning")
    world.turn(seconds)
    assert world.status(made) == "provisioning"
    return made


@pytest.mark.parametrize("boot_s", [BOOT_S, 0, 1500])
async def test_the_clock_starts_with_the_order_once_it_runs(
    world: World, provider: Provider, boot_s: int
) -> None:
    provider.ssh_s = boot_s
    be_patient(provider)
    made = await world.running()
    waited_s = seconds_between(made.created_at, world.clock.now())
    assert waited_s >= boot_s
    assert world.charged(made) == rates.total(made.price, waited_s)
    await world.live(1000)
    world.delete(made)
    await world.settle()
    bill = billed(world, made)
    assert (bill.started_at, bill.billed_s) == (made.created_at, waited_s + 1000)
    assert world.charged(made) == rates.total(made.price, waited_s + 1000)
    assert_exact(world.db)


async def test_the_boot_is_paid_for_once(world: World) -> None:
    made = await world.running()
    paid = world.charged(made)
    world.stop(made)
    await world.settle()
    world.turn(3600)
    world.start(made)
    await world.settle()
    assert world.charged(made) == paid
    world.delete(made)
    await world.settle()
    assert world.charged(made) == rates.total(made.price, 600)
    assert_exact(world.db)


@pytest.mark.parametrize("seconds", [100, 599, 700])
async def test_a_cancel_costs_the_boot_so_far_and_ten_minutes_at_least(
    world: World, provider: Provider, seconds: int
) -> None:
    provider.ssh_s = None
    be_patient(provider)
    made = await booting(world, seconds)
    world.delete(made)
    await world.settle()
    assert world.charged(made) == rates.total(made.price, max(600, seconds))
    assert ("minimum" in dict(codes(world.db, made.project, made.id))) == (seconds < 600)
    assert world.db.read_now(instances.is_paid, world.now(made))
    assert_exact(world.db)


async def test_what_fails_to_boot_is_free_all_the_same(world: World, provider: Provider) -> None:
    provider.ssh_s = None
    made = await world.order()
    await world.settle()
    assert (world.status(made), world.charged(made)) == ("error", 0)

"""The control plane dies at every outside call, once before it takes effect and once before its answer arrives.

Each scenario is played again and again, killed one call later each time, until nothing is left to be killed at.
What the customer was told (the events) is what the bill is checked against.
"""

from collections.abc import Awaitable, Callable
from itertools import count

import pytest

from berth.base import ids
from berth.base.clock import SECOND
from berth.base.db import Database
from berth.core.billing import rates
from berth.core.driver import Label
from berth.core.instances import Instance
from berth.loops.world import Patience
from tests import make
from tests.conftest import FakeClock
from tests.world import truth
from tests.world.provider import Provider
from tests.world.world import World

Scenario = Callable[[World, make.Customer], Awaitable[Instance]]


async def _walk(world: World, customer: make.Customer) -> Instance:
    instance = await world.order(customer)
    await world.settle()
    await world.live(700, step_s=350)
    world.stop(instance)
    await world.settle()
    world.start(instance)
    await world.settle()
    await world.live(33, step_s=100)
    world.restart(instance)
    await world.settle()
    world.delete(instance)
    await world.settle()
    assert world.status(instance) == "deleted"
    return instance


async def _failing_over(world: World, customer: make.Customer) -> Instance:
    world.providers[0].secretly_empty.add("first")
    instance = await world.order(customer)
    await world.settle()
    assert world.status(instance) == "running"
    assert world.now(instance).provider == "other"
    world.delete(instance)
    await world.settle()
    return instance


async def _sold_out(world: World, customer: make.Customer) -> Instance:
    for provider in world.providers:
        provider.secretly_empty.update(offer.provider_offer_id for offer in provider.offers)
    instance = await world.order(customer)
    await world.settle()
    assert world.status(instance) == "failed_no_capacity"
    assert world.charged(instance) == 0
    return instance


async def _cancelled(world: World, customer: make.Customer) -> Instance:
    instance = await world.order(customer)
    await world.tick("provisioning")
    world.delete(instance)
    await world.settle()
    assert world.status(instance) == "deleted"
    return instance


async def _never_reachable(world: World, customer: make.Customer) -> Instance:
    for provider in world.providers:
        provider.ssh_s = None
    instance = await world.order(customer)
    await world.settle()
    assert world.status(instance) == "error"
    assert world.charged(instance) == 0
    return instance


async def _host_failing(world: World, customer: make.Customer) -> Instance:
    instance = await world.order(customer)
    await world.settle()
    await world.live(40, step_s=40)
    handle = world.provider.of(instance.id)[0].handle
    world.provider.power_off(handle)
    await world.live(600, step_s=200)
    assert world.status(instance) == "running"
    world.provider.crash(handle)
    await world.live(600, step_s=200)
    assert world.status(instance) == "error"
    return instance


async def _orphaned(world: World, customer: make.Customer) -> Instance:
    instance = await world.order(customer)
    await world.settle()
    world.provider.plant(Label(world.install_id, ids.new(world.clock.now())))
    await world.live(800, step_s=200)
    assert len(world.provider.alive()) == 1
    world.delete(instance)
    await world.settle()
    return instance


# Pauses grow far, so that waiting makes few calls; a step of time is longer than the leases of the dead.
PATIENCE = Patience(retry_most_s=120)
SCENARIOS: dict[str, tuple[Scenario, int]] = {
    "walk": (_walk, 17),
    "failing over": (_failing_over, 6),
    "sold out": (_sold_out, 2),
    "cancelled": (_cancelled, 3),
    "never reachable": (_never_reachable, 20),
    "host failing": (_host_failing, 20),
    "orphaned": (_orphaned, 12),
}
"""What is played, and how many calls it makes at least: a scenario that makes fewer tests nothing."""


@pytest.mark.parametrize("scenario", SCENARIOS)
@pytest.mark.parametrize("is_after", [False, True], ids=["before it takes effect", "before it is answered"])
async def test_killed_at_any_call_there_is_one_instance_and_an_exact_bill(
    db: Database, clock: FakeClock, scenario: str, is_after: bool, apart: int
) -> None:
    play, least_calls = SCENARIOS[scenario]
    world = _two_providers(db, clock)
    customer = await world.customer("100000")
    for call in count(1, apart):
        for provider in world.providers:
            provider.heals()
        deaths = world.deaths
        world.doomed(call, is_after=is_after)
        clock.advance(seconds=301)
        await world.open_shop()
        instance = await play(world, customer)
        _check(world, instance, f"killed at call {call}")
        if world.deaths == deaths:
            assert call > least_calls
            break
    await world.calm()
    world.check()
    assert [provider.alive() for provider in world.providers] == [[], []]


def _two_providers(db: Database, clock: FakeClock) -> World:
    first = Provider(clock, "sandbox", [make.offer(name="first", price="1.50")])
    other = Provider(clock, "other", [make.offer(name="second", price="1.71")])
    return World(db, clock, first, other, patience=PATIENCE)


def _check(world: World, instance: Instance, context: str) -> None:
    # What does not boot at one provider is tried at the other, once it is gone.
    for provider in world.providers:
        made = len(provider.made_for(instance.id))
        assert made <= 1, f"{context}: {made} were made at {provider.name}"
    assert world.machines(instance) <= 1, f"{context}: two at once"
    world.check(at_rest=False)
    now = world.now(instance)
    if now.first_running_at is not None and now.status != "error":
        used_s = max(_told_s(world, instance.id), rates.MINIMUM_S)
        assert world.charged(instance) == rates.total(instance.price, used_s), context


def _told_s(world: World, subject: str) -> int:
    """Seconds between the events that tell the customer that the clock runs and that it stands."""
    used_s, since = 0, None
    for event, at in truth.rows(
        world.db,
        "SELECT type, created_at FROM events WHERE subject = :subject ORDER BY sequence",
        subject=subject,
    ):
        if event == "instance.running":
            since = at
        elif event in {"instance.offline", "instance.deleting"} and since is not None:
            used_s += (at - since) // SECOND
            since = None
    return used_s

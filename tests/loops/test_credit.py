"""An account runs empty before everybody's eyes: told, stopped, cleared out, and back at any step."""

import pytest

from berth.base.clock import after
from berth.base.db import Database
from berth.core import billing, events
from berth.core.billing import Alerts, Limits, Rules, State
from berth.core.driver import NoCapacity
from berth.core.errors import InsufficientCredits
from berth.core.instances import Instance
from tests import make
from tests.conftest import FakeClock
from tests.world import truth
from tests.world.provider import Provider
from tests.world.world import World

PRICE = make.micros("1.71")
SWEEP_S = 60
BURN_PER_S = 475
"""Micro-dollars a second of one instance at 1.71 an hour."""


def told(world: World, customer: make.Customer) -> list[str]:
    """What the account was told, without what it asked for itself."""
    said = (
        name.removeprefix("billing.")
        for name in truth.event_types(world.db, customer.id)
        if name.startswith("billing.")
    )
    return [name for name in said if not name.endswith("_changed")]


def state(world: World, customer: make.Customer) -> State:
    return world.db.read_now(billing.balance, customer.id, world.rules).state


def left(world: World, customer: make.Customer) -> int:
    return world.db.read_now(billing.balance, customer.id, world.rules).effective


async def sweep(world: World) -> None:
    """One look at all accounts, and what providers have to do for it."""
    await world.tick("credit")
    await world.settle()


async def about_to_run_out(world: World, count: int = 1) -> tuple[make.Customer, list[Instance]]:
    """A customer whose `count` instances have used up the balance but for less than a minute's worth."""
    customer = await world.customer(str(20 * count + 1))
    quiet = Alerts((), ())
    world.act(billing.set_alerts, customer.by, quiet)
    made = []
    for _ in range(count):
        world.turn(1)
        made.append(await world.running(customer))
    world.turn(left(world, customer) / (BURN_PER_S * count) - 30)
    assert 0 < left(world, customer) <= BURN_PER_S * count * 32
    await sweep(world)
    assert told(world, customer) == ["credited"]
    return customer, made


async def depleted(world: World, count: int = 1) -> tuple[make.Customer, list[Instance]]:
    customer, made = await about_to_run_out(world, count)
    world.turn(SWEEP_S)
    await sweep(world)
    assert state(world, customer) is State.DEPLETED
    return customer, made


async def suspended(world: World, count: int = 1) -> tuple[make.Customer, list[Instance]]:
    customer, made = await depleted(world, count)
    world.turn(world.rules.grace_s)
    await sweep(world)
    assert state(world, customer) is State.SUSPENDED
    return customer, made


async def purging(world: World) -> tuple[make.Customer, list[Instance]]:
    customer, made = await suspended(world)
    for _ in range(4):
        world.turn(24 * 3600)
        await sweep(world)
    assert state(world, customer) is State.PURGING
    return customer, made


async def test_the_whole_way_down_and_back(world: World) -> None:
    customer, [made] = await purging(world)
    assert told(world, customer) == ["credited", "depleted", "suspended"]
    actors = {
        event.actor
        for subject in (customer.id, made.id)
        for event in world.db.read_now(events.list_for, customer.by, subject)
    }
    assert {actor for actor in actors if "credit" in actor} == {"loop:credit"}
    assert world.events(made)[-5:] == [
        "instance.stop_scheduled",
        "instance.stop_wanted",
        "instance.offline",
        "instance.deleting",
        "instance.deleted",
    ]
    make.topup(world.db, customer.by, "50")
    await sweep(world)
    assert state(world, customer) is State.ACTIVE
    assert told(world, customer)[-2:] == ["credited", "restored"]
    await world.running(customer)
    world.check()


async def test_depleted_settles_announces_and_lets_run(world: World, clock: FakeClock) -> None:
    customer, made = await depleted(world, count=2)
    stops_at = after(clock.now(), seconds=600)
    for each in made:
        assert world.status(each) == "running"
        [scheduled] = [
            event
            for event in world.db.read_now(events.list_for, make.owner(each), each.id)
            if event.type == "instance.stop_scheduled"
        ]
        assert scheduled.data["stops_at"] == stops_at
        assert scheduled.data["reason"] == "insufficient_credits"
        assert world.charged(each) == each.price * (world.db.read_now(billing.bill, each.id).billed_s) // 3600
    balance = world.db.read_now(billing.balance, customer.id, world.rules)
    assert (balance.accrued, balance.can_deploy, balance.stops_at) == (0, False, stops_at)
    assert balance.depleted_at == clock.now()
    for _ in range(5):
        world.turn(SWEEP_S)
        await sweep(world)
    assert told(world, customer) == ["credited", "depleted"]
    assert [world.events(each).count("instance.stop_scheduled") for each in made] == [1, 1]
    world.check()


async def test_suspended_stops_all_frees_the_hardware_and_stops_the_clock(world: World) -> None:
    free = world.provider.offers[0].free_units
    customer, made = await suspended(world, count=3)
    for each in made:
        assert (world.status(each), world.now(each).status_reason) == ("offline", "insufficient_credits")
    assert world.free() == free
    owed = left(world, customer)
    assert 0 > owed >= -3 * BURN_PER_S * (SWEEP_S + 600)
    await world.live(7200, step_s=600)
    assert left(world, customer) == owed
    assert told(world, customer) == ["credited", "depleted", "suspended"]
    world.check()


async def test_what_is_stopped_late_costs_nothing_after_the_time_at_which_all_were_to_stop(
    world: World,
) -> None:
    """The control plane dies between the decision and the stops, and comes back after hours."""
    customer, made = await depleted(world, count=3)
    world.turn(600)
    world.act(billing.advance, customer.id, world.rules)
    owed = left(world, customer)
    world.turn(7200)
    await world.tick("metering")
    await sweep(world)
    assert [world.status(each) for each in made] == ["offline"] * 3
    assert left(world, customer) == owed >= -3 * BURN_PER_S * (SWEEP_S + 600)
    world.check()


async def test_a_credit_in_the_time_of_grace_stops_nothing(world: World) -> None:
    customer, [made] = await depleted(world)
    world.turn(599)
    make.topup(world.db, customer.by, "30")
    await sweep(world)
    world.turn(700)
    await sweep(world)
    assert world.status(made) == "running"
    assert told(world, customer) == ["credited", "depleted", "credited", "restored"]
    world.check()


async def test_a_credit_that_nobody_has_swept_yet_stops_nothing(world: World) -> None:
    """It comes after the state has changed and before what follows from that."""
    customer, [made] = await depleted(world)
    world.turn(600)
    standing = world.act(billing.advance, customer.id, world.rules)
    assert standing.credit.state is State.SUSPENDED
    make.topup(world.db, customer.by, "30")
    await sweep(world)
    assert world.status(made) == "running"
    assert told(world, customer)[-3:] == ["suspended", "credited", "restored"]


async def test_a_credit_too_small_changes_nothing(world: World) -> None:
    customer, _ = await suspended(world)
    make.topup(world.db, customer.by, "0.01")
    await sweep(world)
    assert state(world, customer) is State.SUSPENDED


async def test_after_a_suspension_instances_stay_off_unless_asked_for(world: World) -> None:
    customer, [made] = await suspended(world)
    make.topup(world.db, customer.by, "30")
    await sweep(world)
    await sweep(world)
    assert world.status(made) == "offline"
    world.start(made)
    await world.settle()
    assert world.status(made) == "running"
    world.check()


async def test_with_auto_resume_they_start_in_the_order_they_were_ordered_in(
    db: Database, clock: FakeClock
) -> None:
    world = World(db, clock, Provider(clock, offers=[make.offer(free=3)]))
    customer, made = await suspended(world, count=3)
    world.act(billing.set_limits, customer.by, Limits(auto_resume=True))
    other = await world.running(await world.customer("100"))
    make.topup(world.db, customer.by, "30")
    await sweep(world)
    assert [world.status(each) for each in made] == ["running", "running", "offline"]
    assert world.events(made[2])[-1] == "instance.resume_failed"
    assert world.now(made[2]).status_reason == "no_capacity"
    world.delete(other)
    await sweep(world)
    assert world.events(made[2])[-1] == "instance.resume_failed"
    assert world.events(made[2]).count("instance.resume_failed") == 1
    world.check()


async def test_who_cannot_be_started_again_at_its_provider_is_told_so(
    world: World, provider: Provider
) -> None:
    customer, [made] = await suspended(world)
    world.act(billing.set_limits, customer.by, Limits(auto_resume=True))
    provider.breaks("start", NoCapacity("full"))
    make.topup(world.db, customer.by, "30")
    await world.tick("credit")
    assert world.now(made).status_reason == "credit_restored"
    await world.settle()
    assert world.status(made) == "offline"
    assert world.events(made)[-1] == "instance.resume_failed"
    assert (world.now(made).status_reason or "").startswith("no_capacity: ")
    world.start(made)
    await world.settle()
    assert (world.status(made), world.now(made).status_reason) == ("running", None)
    world.check()


async def test_what_was_stopped_by_hand_is_not_resumed(world: World) -> None:
    customer, made = await depleted(world, count=2)
    world.act(billing.set_limits, customer.by, Limits(auto_resume=True))
    world.stop(made[0])
    await world.settle()
    world.turn(600)
    await sweep(world)
    make.topup(world.db, customer.by, "30")
    await sweep(world)
    assert [world.status(each) for each in made] == ["offline", "running"]


async def test_what_was_ordered_and_never_ran_is_cancelled_free_of_charge(world: World) -> None:
    customer, [running] = await about_to_run_out(world)
    make.topup(world.db, customer.by, "25")
    ordered = await world.order(customer)
    await world.tick("provisioning")
    world.turn(10)
    assert world.status(ordered) == "provisioning"
    make.topup(world.db, customer.by, "-30")
    await world.tick("credit")
    world.turn(600)
    await world.tick("credit")
    await world.settle()
    assert (world.status(ordered), world.charged(ordered)) == ("deleted", 0)
    assert world.status(running) == "offline"
    world.check()


async def test_while_nothing_is_left_nothing_starts(world: World) -> None:
    customer, made = await depleted(world, count=2)
    world.stop(made[0])
    await world.settle()
    with pytest.raises(InsufficientCredits, match="used up") as refusal:
        world.start(made[0])
    assert refusal.value.code == "account_suspended"
    with pytest.raises(InsufficientCredits) as refusal:
        await world.order(customer)
    assert refusal.value.code == "account_suspended"


async def test_no_grace_is_no_grace(db: Database, clock: FakeClock, provider: Provider) -> None:
    world = World(db, clock, provider, rules=Rules(grace_s=0))
    customer, [made] = await about_to_run_out(world)
    world.turn(SWEEP_S)
    await sweep(world)
    assert world.status(made) == "offline"
    assert told(world, customer) == ["credited", "depleted", "suspended"]


async def test_two_replicas_stop_once(world: World) -> None:
    customer, made = await depleted(world, count=3)
    world.turn(600)
    others = [world.begin("credit") for _ in range(3)]
    await world.tick("credit")
    for other in others:
        await other
    await world.settle()
    assert told(world, customer) == ["credited", "depleted", "suspended"]
    for each in made:
        assert world.events(each).count("instance.stop_wanted") == 1
    world.check()

"""What was ordered to end by itself ends, once, in time, and its owner is told ahead."""

from collections.abc import Sequence

import pytest

from berth.base.clock import MINUTE, SECOND
from berth.core import instances
from berth.core.billing import rates
from berth.core.driver import Abilities
from berth.core.instances import AutoDelete, Instance
from tests import make
from tests.conftest import FakeClock
from tests.world import truth
from tests.world.provider import Provider
from tests.world.world import World


@pytest.fixture
def provider(clock: FakeClock) -> Provider:
    return Provider(clock, abilities=Abilities(reports_use=True))


def told(world: World, instance: Instance, event: str) -> Sequence[dict[str, object]]:
    return truth.event_data(world.db, instance.id, f"instance.{event}")


async def test_it_ends_at_the_time_ordered_and_its_owner_is_told_a_quarter_of_an_hour_ahead(
    world: World, clock: FakeClock
) -> None:
    ends_at = world.turned(3600)
    instance = await world.running(auto_delete=AutoDelete(at=ends_at))
    await world.live(2690)
    assert told(world, instance, "stop_scheduled") == []
    await world.live(40)
    (notice,) = told(world, instance, "stop_scheduled")
    assert (notice["stops_at"], notice["status"]) == (ends_at, "running")
    assert str(notice["reason"]).startswith("expired")
    await world.live(860)
    assert world.status(instance) == "running"
    await world.live(60)
    seen = world.now(instance)
    assert (seen.status, (seen.status_reason or "")[:7]) == ("deleted", "expired")
    assert len(told(world, instance, "stop_scheduled")) == 1
    await world.calm()
    world.check()


@pytest.mark.parametrize("dollars", ["0.285", "1", "2.5"])
async def test_it_ends_when_its_money_is_spent_and_costs_no_more_than_a_period_over(
    world: World, dollars: str
) -> None:
    cap = make.micros(dollars)
    instance = await world.running(auto_delete=AutoDelete(max_spend=cap))
    await world.live(rates.seconds_for(instance.price, cap) + 60, step_s=15)
    assert world.status(instance) == "deleted"
    assert cap <= world.charged(instance) <= cap + rates.total(instance.price, 16)
    (notice,) = told(world, instance, "stop_scheduled")
    assert str(notice["reason"]).startswith("max_spend_reached")
    await world.calm()
    world.check()


async def test_what_is_off_spends_nothing_and_the_rest_counts_once_it_runs_again(world: World) -> None:
    instance = await world.running(auto_delete=AutoDelete(max_spend=make.micros("1.71")))
    await world.live(1800)
    world.stop(instance)
    await world.live(7200, step_s=60)
    assert world.status(instance) == "offline"
    world.start(instance)
    await world.live(1700)
    assert world.status(instance) == "running"
    await world.live(160)
    assert world.status(instance) == "deleted"
    assert 1_710_000 <= world.charged(instance) <= 1_710_000 + rates.total(instance.price, 40)


async def test_it_ends_when_it_did_nothing_for_long_enough(world: World, provider: Provider) -> None:
    instance = await world.running(auto_delete=AutoDelete(idle_s=1800))
    (machine,) = provider.alive()
    await world.live(3600)
    machine.use_percent = 0
    await world.live(1000)
    assert world.status(instance) == "running"
    (notice,) = told(world, instance, "stop_scheduled")
    assert str(notice["reason"]).startswith("idle")
    assert told(world, instance, "idle") == []
    await world.live(900)
    assert world.status(instance) == "deleted"
    assert len(told(world, instance, "idle")) == 1
    await world.calm()
    world.check()


async def test_what_works_again_before_its_time_goes_on(world: World, provider: Provider) -> None:
    instance = await world.running(auto_delete=AutoDelete(idle_s=1800))
    (machine,) = provider.alive()
    for _ in range(4):
        machine.use_percent = 0
        await world.live(1500)
        machine.use_percent = 3
        await world.live(60)
    assert world.status(instance) == "running"
    kept = world.db.read_now(instances.reservation, instance.id)
    assert kept is not None
    assert (kept.idle_since, kept.stops_at) == (None, None)


async def test_not_knowing_is_neither_idle_nor_busy(world: World, provider: Provider) -> None:
    instance = await world.running(auto_delete=AutoDelete(idle_s=1800))
    (machine,) = provider.alive()
    machine.use_percent = None
    await world.live(4000, step_s=60)
    assert world.status(instance) == "running"
    machine.use_percent = 0
    await world.live(1000)
    machine.use_percent = None
    await world.live(900)
    assert world.status(instance) == "deleted"


async def test_what_was_off_meanwhile_has_its_whole_time_again(world: World, provider: Provider) -> None:
    instance = await world.running(auto_delete=AutoDelete(idle_s=1800))
    (machine,) = provider.alive()
    machine.use_percent = 0
    await world.live(1700)
    world.stop(instance)
    await world.live(3600, step_s=60)
    world.start(instance)
    await world.live(1700)
    assert world.status(instance) == "running"


async def test_an_end_put_off_after_it_was_announced_is_announced_anew(world: World) -> None:
    instance = await world.running(auto_delete=AutoDelete(at=world.turned(1000)))
    await world.live(300)
    later = world.turned(2000)
    world.act(instances.reserve, make.owner(instance), instance.id, AutoDelete(at=later))
    await world.live(1200)
    assert world.status(instance) == "running"
    assert [notice["stops_at"] for notice in told(world, instance, "stop_scheduled")][1:] == [later]
    await world.live(900)
    assert world.status(instance) == "deleted"


async def test_what_never_ran_ends_too_and_costs_what_a_delete_costs(
    world: World, provider: Provider
) -> None:
    provider.ssh_s = 500
    instance = await world.order(auto_delete=AutoDelete(at=world.turned(100)))
    await world.live(200)
    assert world.status(instance) == "deleted"
    assert world.charged(instance) == rates.total(instance.price, 600)
    await world.calm()
    world.check()


async def test_an_end_that_was_missed_comes_when_somebody_looks_again(world: World, clock: FakeClock) -> None:
    instance = await world.running(auto_delete=AutoDelete(at=world.turned(600)))
    world.turn(5000)
    await world.tick("reservations")
    assert world.status(instance) == "deleting"
    assert told(world, instance, "stop_scheduled") == []


async def test_the_loop_says_when_it_is_needed_next(world: World, clock: FakeClock) -> None:
    ends_at = world.turned(3600)
    await world.running(auto_delete=AutoDelete(at=ends_at))
    await world.tick("reservations")
    (report,) = await world.tick("reservations")
    assert (report.done, report.wake_at) == (0, ends_at - 15 * MINUTE)
    clock.advance(micros=45 * MINUTE + SECOND)
    (report,) = await world.tick("reservations")
    assert (report.done, report.wake_at) == (1, ends_at)

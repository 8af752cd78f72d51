"""Deadlines, deletes, stops and starts: what ends, when, and what it costs."""

from dataclasses import replace

import pytest

from berth.core.billing import Rules, rates
from berth.core.driver import (
    Abilities,
    BadCredentials,
    DriverError,
    NotSupported,
    OutcomeUnknown,
    Power,
    RateLimited,
    Refused,
    Unreachable,
)
from berth.core.instances import because
from tests import make
from tests.conftest import FakeClock
from tests.world.provider import Provider
from tests.world.world import World

# Deadlines.


async def test_what_never_answers_over_ssh_is_destroyed_and_costs_nothing(
    world: World, provider: Provider, clock: FakeClock
) -> None:
    provider.ssh_s = None
    began_at = clock.now()
    instance = await world.order()
    await world.settle()
    seen = world.now(instance)
    assert seen.status == "error"
    assert seen.status_reason
    assert seen.status_reason.startswith("provisioning_timeout")
    assert 600_000_000 <= seen.status_changed_at - began_at < 616_000_000
    assert provider.alive() == []
    assert world.charged(instance) == 0
    await world.calm()
    world.check()
    assert world.free() == 8


@pytest.mark.parametrize(("limit_s", "status"), [(900, "error"), (1100, "running")])
async def test_each_type_has_its_own_deadline(
    world: World, provider: Provider, limit_s: int, status: str
) -> None:
    offer = make.offer()
    provider.offers = [replace(offer, hardware=replace(offer.hardware, boot_timeout_s=limit_s))]
    provider.boot_s = 1000
    instance = await world.order()
    await world.settle()
    assert world.status(instance) == status


async def test_the_clock_starts_when_ssh_answers_and_not_before(
    world: World, provider: Provider, clock: FakeClock
) -> None:
    provider.boot_s, provider.ssh_s = 200, 100
    instance = await world.order()
    ordered_at = clock.now()
    await world.settle()
    running_at = clock.now()
    assert 300_000_000 <= running_at - ordered_at < 316_000_000
    await world.live(650)
    world.delete(instance)
    assert world.charged(instance) == rates.total(instance.price, 650)


async def test_what_cannot_boot_is_destroyed_and_says_why(world: World, provider: Provider) -> None:
    provider.boot_fails = True
    instance = await world.order()
    await world.settle()
    seen = world.now(instance)
    assert (seen.status, seen.status_reason) == ("error", "boot_failed: The image does not boot.")
    assert provider.alive() == []
    assert world.charged(instance) == 0
    await world.calm()
    world.check()


async def test_a_failed_order_that_cannot_be_destroyed_keeps_its_unit_until_it_is(
    world: World, provider: Provider
) -> None:
    provider.boot_fails = True
    refusal = provider.breaks("destroy", Refused("busy"), times=200)
    instance = await world.order()
    await world.live(290)
    assert world.status(instance) == "provisioning"
    await world.live(30)
    assert world.status(instance) == "error"
    assert world.free() == 7
    assert world.machines(instance) == 1
    refusal.times = 0
    await world.settle()
    assert world.machines(instance) == 0
    await world.tick("catalog")
    assert world.free() == 8
    world.check()


# Deletes.


@pytest.mark.parametrize(
    "at", ["ordered", "booting", "running", "offline", "stopping", "starting", "restarting"]
)
async def test_a_delete_in_any_state_ends_with_nothing_left(
    world: World, provider: Provider, at: str
) -> None:
    instance = await world.order()
    if at == "booting":
        provider.boot_s = 300
        await world.tick("provisioning")
    elif at != "ordered":
        await world.settle()
    if at in {"offline", "starting"}:
        world.stop(instance)
        await world.settle()
    if at == "stopping":
        provider.stop_s = 100
        world.stop(instance)
        await world.tick("provisioning")
    if at == "starting":
        provider.boot_s = 100
        world.start(instance)
        await world.tick("provisioning")
    if at == "restarting":
        provider.boot_s = 100
        world.restart(instance)
        await world.tick("provisioning")
    world.delete(instance)
    assert world.status(instance) == "deleting"
    await world.settle()
    assert world.status(instance) == "deleted"
    assert provider.alive() == []
    assert world.charged(instance) == (0 if at == "ordered" else rates.total(instance.price, 600))
    await world.calm()
    world.check()
    assert world.free() == 8


@pytest.mark.parametrize("is_charged", [True, False])
@pytest.mark.parametrize("is_made", [True, False])
async def test_a_delete_while_the_create_is_in_flight_costs_what_became_of_it(
    world: World, provider: Provider, is_made: bool, is_charged: bool
) -> None:
    world = World(world.db, world.clock, provider, rules=Rules(minimum_on_cancel=is_charged))
    provider.breaks("create", OutcomeUnknown("lost"), after=is_made)
    instance = await world.order()
    await world.tick("provisioning")
    world.delete(instance)
    assert world.charged(instance) == 0
    await world.settle()
    assert world.status(instance) == "deleted"
    assert provider.alive() == []
    expected = rates.total(instance.price, 600) if is_made and is_charged else 0
    assert world.charged(instance) == expected
    await world.calm()
    world.check()


async def test_a_delete_that_overtakes_the_answer_of_a_create_destroys_what_it_made(
    world: World, provider: Provider
) -> None:
    instance = await world.order()
    world.fate.freeze("create answered")
    tick = world.begin("provisioning")
    await world.fate.frozen("create answered")
    assert world.machines(instance) == 1
    world.delete(instance)
    world.fate.thaw("create answered")
    await tick
    await world.settle()
    assert world.status(instance) == "deleted"
    assert provider.alive() == []
    assert world.charged(instance) == rates.total(instance.price, 600)
    await world.calm()
    world.check()


async def test_while_a_step_is_under_way_its_row_is_not_due(world: World) -> None:
    """Else the workers would ask for it again and again until the step ends."""
    instance = await world.order()
    world.fate.freeze("create")
    tick = world.begin("provisioning")
    await world.fate.frozen("create")
    world.delete(instance)
    (report,) = await world.tick("provisioning")
    assert report.wake_at is not None
    assert report.wake_at > world.clock.now()
    world.fate.thaw("create")
    await tick
    await world.settle()
    assert world.status(instance) == "deleted"


async def test_what_its_owner_asks_for_during_a_step_is_done_right_after_it(
    world: World, provider: Provider, clock: FakeClock
) -> None:
    provider.boot_s = 500
    instance = await world.order()
    await world.live(200)
    due_at = world.db.read_now(lambda tx: tx.one("SELECT due_at FROM instances"))
    assert due_at is not None
    clock.set(due_at[0])
    world.fate.freeze("inspect")
    tick = world.begin("provisioning")
    await world.fate.frozen("inspect")
    world.delete(instance)
    asked_at = clock.now()
    world.fate.thaw("inspect")
    await tick
    await world.settle()
    assert world.status(instance) == "deleted"
    assert clock.now() - asked_at < 1_000_000


@pytest.mark.parametrize(
    "error",
    [Refused("busy"), Unreachable("no route"), RateLimited("slow", retry_after_s=5), BadCredentials("401")],
    ids=["refused", "unreachable", "rate limited", "credentials"],
)
async def test_it_is_deleted_only_once_the_provider_lets_go(
    world: World, provider: Provider, error: DriverError
) -> None:
    instance = await world.running()
    fault = provider.breaks("destroy", error, times=1000)
    world.delete(instance)
    charged = world.charged(instance)
    await world.live(900, step_s=60)
    assert world.status(instance) == "deleting"
    assert world.machines(instance) == 1
    fault.times = 0
    await world.settle()
    assert world.status(instance) == "deleted"
    assert world.charged(instance) == charged == rates.total(instance.price, 600)
    await world.calm()
    world.check()


async def test_a_slow_teardown_is_not_billed_and_keeps_the_unit(world: World, provider: Provider) -> None:
    provider.destroy_s = 400
    instance = await world.running()
    await world.live(700)
    world.delete(instance)
    await world.live(300)
    assert world.status(instance) == "deleting"
    assert world.free() == 7
    await world.live(200)
    assert world.status(instance) == "deleted"
    assert world.charged(instance) == rates.total(instance.price, 700)
    assert world.free() == 8
    world.check()


async def test_one_wrong_404_does_not_make_a_delete_forget_the_instance(
    world: World, provider: Provider
) -> None:
    instance = await world.running()
    provider.breaks("inspect", None)
    world.delete(instance)
    await world.settle()
    assert world.status(instance) == "deleted"
    assert provider.alive() == []


async def test_what_is_deleted_before_the_provider_lists_it_is_destroyed_all_the_same(
    world: World, provider: Provider
) -> None:
    provider.listing_lag_s = 60
    provider.abilities = Abilities(appears_within_s=60)
    instance = await world.order()
    await world.tick("provisioning")
    world.delete(instance)
    await world.settle()
    assert world.status(instance) == "deleted"
    assert provider.alive() == []


async def test_deleting_twice_is_one_delete(world: World) -> None:
    instance = await world.running()
    world.delete(instance)
    world.delete(instance)
    await world.settle()
    world.delete(instance)
    assert world.events(instance).count("instance.deleting") == 1
    assert world.charged(instance) == rates.total(instance.price, 600)


@pytest.mark.parametrize("used_s", [599, 600, 601])
async def test_around_the_minimum_every_second_counts(world: World, used_s: int) -> None:
    instance = await world.running()
    await world.live(used_s)
    world.delete(instance)
    await world.settle()
    assert world.charged(instance) == rates.total(instance.price, max(600, used_s))
    world.check()


# Stops and starts.


async def test_a_stop_that_takes_time_is_billed_until_it_is_off(world: World, provider: Provider) -> None:
    provider.stop_s = 100
    instance = await world.running()
    await world.live(700)
    world.stop(instance)
    await world.live(90)
    assert world.status(instance) == "running"
    await world.settle()
    assert world.status(instance) == "offline"
    assert rates.total(instance.price, 800) <= world.charged(instance) <= rates.total(instance.price, 816)
    world.check()


async def test_a_stop_that_keeps_the_hardware_keeps_the_clock_and_the_unit(
    world: World, provider: Provider
) -> None:
    provider.abilities = Abilities(stop_releases_hardware=False)
    instance = await world.running()
    await world.live(700)
    world.stop(instance)
    await world.live(600)
    assert world.status(instance) == "offline"
    assert world.free() == 7
    world.start(instance)
    await world.settle()
    await world.live(100)
    world.delete(instance)
    await world.settle()
    assert world.charged(instance) == rates.total(instance.price, 1400)
    await world.calm()
    world.check()


async def test_a_start_without_hardware_leaves_it_off_and_says_so(world: World, provider: Provider) -> None:
    instance = await world.running()
    world.stop(instance)
    await world.settle()
    provider.start_is_refused = True
    world.start(instance)
    await world.settle()
    seen = world.now(instance)
    assert (seen.status, seen.wanted) == ("offline", "offline")
    assert seen.status_reason == because("no_capacity")
    await world.calm()
    world.check()
    assert world.free() == 8
    world.start(instance)
    await world.settle()
    assert world.status(instance) == "running"


async def test_a_start_that_is_never_reachable_ends_off_and_unbilled(
    world: World, provider: Provider
) -> None:
    instance = await world.running()
    await world.live(700)
    world.stop(instance)
    await world.settle()
    charged = world.charged(instance)
    provider.ssh_s = None
    world.start(instance)
    await world.settle()
    seen = world.now(instance)
    assert seen.status == "offline"
    assert seen.status_reason
    assert seen.status_reason.startswith("start_timeout")
    assert world.charged(instance) == charged
    assert provider.alive()[0].power is Power.STOPPED
    await world.calm()
    world.check()


async def test_a_failed_start_keeps_the_unit_of_hardware_that_stays_reserved(
    world: World, provider: Provider
) -> None:
    provider.abilities = Abilities(stop_releases_hardware=False)
    instance = await world.running()
    world.stop(instance)
    await world.settle()
    provider.breaks("start", Refused("not now"))
    world.start(instance)
    await world.settle()
    assert world.status(instance) == "offline"
    assert world.free() == 7
    await world.calm()
    world.check()


async def test_a_restarted_unit_is_counted_once(world: World, provider: Provider) -> None:
    instance = await world.running()
    for _ in range(3):
        world.stop(instance)
        await world.settle()
        world.start(instance)
        await world.settle()
        await world.live(40)
        assert world.free() == 7 == provider.free(provider.offers[0].provider_offer_id)


@pytest.mark.parametrize("error", [Refused("no"), NotSupported("no")], ids=["refused", "not supported"])
async def test_a_restart_that_is_refused_leaves_it_running_and_says_so(
    world: World, provider: Provider, error: DriverError
) -> None:
    instance = await world.running()
    provider.breaks("restart", error)
    world.restart(instance)
    await world.settle()
    seen = world.now(instance)
    assert (seen.status, seen.is_restart_wanted) == ("running", False)
    assert seen.status_reason == because("restart_refused")
    world.stop(instance)
    await world.settle()
    assert world.status(instance) == "offline"


async def test_a_restart_that_is_never_reachable_keeps_the_instance(world: World, provider: Provider) -> None:
    instance = await world.running()
    provider.ssh_s = None
    world.restart(instance)
    await world.settle()
    seen = world.now(instance)
    assert seen.status == "running"
    assert seen.status_reason
    assert seen.status_reason.startswith("restart_timeout")
    assert world.machines(instance) == 1


async def test_a_restart_that_ends_down_is_billed_to_where_it_began(world: World, provider: Provider) -> None:
    instance = await world.running()
    await world.live(700)
    provider.boot_fails = True
    world.restart(instance)
    await world.settle()
    seen = world.now(instance)
    assert (seen.status, seen.wanted) == ("offline", "offline")
    assert world.charged(instance) == rates.total(instance.price, 700)
    await world.calm()
    world.check()


async def test_the_clock_runs_through_a_restart(world: World, provider: Provider) -> None:
    instance = await world.running()
    provider.boot_s = 100
    await world.live(600)
    world.restart(instance)
    await world.live(200)
    world.delete(instance)
    assert world.charged(instance) == rates.total(instance.price, 800)

"""What a listing proves, and what it does not: ghosts, orphans, hosts that fail and come back."""

import pytest

from berth.base import ids
from berth.base.clock import after
from berth.core import events
from berth.core.billing import rates
from berth.core.driver import Abilities, DriverError, Label, Power, RateLimited, Unreachable
from berth.core.instances import because
from berth.core.sessions import LaunchMode
from tests import make
from tests.conftest import FakeClock
from tests.world import truth
from tests.world.provider import Provider
from tests.world.world import World

PERIOD_S = 20


async def _observed(world: World, clock: FakeClock, times: int = 1) -> None:
    for _ in range(times):
        clock.advance(seconds=PERIOD_S)
        await world.tick("observation")


async def test_an_eviction_is_told_of_as_early_as_it_is_known_and_once(
    world: World, provider: Provider, clock: FakeClock
) -> None:
    instance = await world.running()
    machine = provider.machines[world.now(instance).handle or ""]
    machine.evicts_at = after(clock.now(), seconds=3600)
    await _observed(world, clock, 2)
    machine.evicts_at = after(machine.evicts_at, seconds=59)
    await _observed(world, clock)
    told = world.db.read_now(events.list_for, make.owner(instance), instance.id)[-1]
    assert told.type == "instance.interruption_notice"
    assert told.data["evicts_at"] == after(machine.evicts_at, seconds=-59)
    assert (told.data["status"], told.sequence) == ("running", world.now(instance).sequence)
    assert world.events(instance).count("instance.interruption_notice") == 1
    machine.evicts_at = after(machine.evicts_at, seconds=-1800)
    await _observed(world, clock, 2)
    assert world.events(instance).count("instance.interruption_notice") == 2
    world.delete(instance)
    machine.evicts_at = clock.now()
    await _observed(world, clock)
    assert world.events(instance)[-1] == "instance.deleting"


# Ghosts: rows without an instance.


async def test_what_two_complete_listings_and_a_question_miss_is_gone(
    world: World, provider: Provider, clock: FakeClock
) -> None:
    instance = await world.running()
    await world.live(700)
    provider.crash(world.now(instance).handle or "")
    await _observed(world, clock)
    assert world.status(instance) == "running"
    await _observed(world, clock)
    seen = world.now(instance)
    assert seen.status == "error"
    assert seen.status_reason
    assert seen.status_reason.startswith("instance_lost")
    assert seen.handle is None
    assert world.charged(instance) == rates.total(instance.price, 700), "billed to when it was last seen"
    await world.calm()
    world.check()
    assert world.free() == 8


async def test_a_ghost_pays_no_minimum(world: World, provider: Provider, clock: FakeClock) -> None:
    instance = await world.running()
    await world.live(100)
    provider.crash(world.now(instance).handle or "")
    await _observed(world, clock, 2)
    assert world.charged(instance) == rates.total(instance.price, 100)
    world.delete(instance)
    await world.settle()
    assert world.charged(instance) == rates.total(instance.price, 100)


async def test_ticks_charged_after_it_was_last_seen_are_given_back(
    world: World, provider: Provider, clock: FakeClock
) -> None:
    instance = await world.running()
    await world.live(580)
    provider.crash(world.now(instance).handle or "")
    provider.breaks("list_own", Unreachable("no route"), times=50)
    await world.live(900)
    assert world.charged(instance) == rates.total(instance.price, 1200)
    provider.heals()
    await _observed(world, clock, 2)
    assert world.status(instance) == "error"
    assert world.charged(instance) == rates.total(instance.price, 580)
    world.check(at_rest=False)


async def test_a_partial_listing_never_means_gone(world: World, provider: Provider, clock: FakeClock) -> None:
    instance = await world.running()
    await world.live(120)
    provider.is_partial = True
    await _observed(world, clock, 5)
    assert world.status(instance) == "running"
    assert world.now(instance).missing_since is None


@pytest.mark.parametrize(
    "error",
    [Unreachable("no route"), RateLimited("slow", retry_after_s=9), TimeoutError()],
    ids=["unreachable", "rate limited", "hangs"],
)
async def test_a_failed_listing_never_means_gone(
    world: World, provider: Provider, clock: FakeClock, error: DriverError
) -> None:
    instance = await world.running()
    await world.live(120)
    provider.breaks("list_own", error, times=5)
    clock.advance(seconds=PERIOD_S)
    (report,) = await world.tick("observation")
    assert report.notes
    await _observed(world, clock, 4)
    assert world.status(instance) == "running"
    assert world.now(instance).missing_since is None


async def test_a_listing_that_was_wrong_once_does_no_harm(
    world: World, provider: Provider, clock: FakeClock
) -> None:
    instance = await world.running()
    await world.live(120)
    away = provider.machines.pop(world.now(instance).handle or "")
    await _observed(world, clock)
    provider.resurrect(away)
    await _observed(world, clock, 3)
    assert world.status(instance) == "running"
    assert world.events(instance)[-2:] == ["instance.unreachable", "instance.recovered"]
    world.check()


async def test_a_wrong_404_after_a_wrong_listing_is_not_believed_once_it_is_listed(
    world: World, provider: Provider, clock: FakeClock
) -> None:
    instance = await world.running()
    await world.live(120)
    away = provider.machines.pop(world.now(instance).handle or "")
    await _observed(world, clock)
    provider.resurrect(away)
    provider.breaks("inspect", None)
    await _observed(world, clock, 3)
    assert world.status(instance) == "running"


async def test_what_listings_forget_again_and_again_is_not_gone_while_it_answers_itself(
    world: World, provider: Provider, clock: FakeClock
) -> None:
    instance = await world.running()
    await world.live(120)
    provider.unlisted.add(world.now(instance).handle or "")
    await _observed(world, clock, 6)
    assert world.status(instance) == "running"
    assert world.machines(instance) == 1
    provider.heals()
    await _observed(world, clock)
    assert world.now(instance).missing_since is None
    world.check(at_rest=False)


async def test_a_question_without_an_answer_proves_nothing(
    world: World, provider: Provider, clock: FakeClock
) -> None:
    instance = await world.running()
    await world.live(120)
    away = provider.machines.pop(world.now(instance).handle or "")
    provider.breaks("inspect", Unreachable("no route"), times=3)
    await _observed(world, clock, 4)
    assert world.status(instance) == "running"
    provider.resurrect(away)
    await _observed(world, clock)
    assert world.now(instance).missing_since is None


async def test_what_was_just_created_may_be_missing_from_the_listing(
    world: World, provider: Provider, clock: FakeClock
) -> None:
    provider.listing_lag_s = 90
    provider.abilities = Abilities(appears_within_s=90)
    instance = await world.order()
    await world.live(85)
    assert world.now(instance).missing_since is None
    assert world.status(instance) == "provisioning"
    await world.live(60)
    assert world.status(instance) == "running"
    assert len(provider.made) == 1


async def test_what_was_given_up_for_lost_and_comes_back_is_destroyed(
    world: World, provider: Provider, clock: FakeClock
) -> None:
    instance = await world.running()
    await world.live(120)
    away = provider.machines.pop(world.now(instance).handle or "")
    await _observed(world, clock, 2)
    assert world.status(instance) == "error"
    provider.resurrect(away)
    await world.live(100)
    assert len(provider.alive()) == 1, "not before the grace is over"
    await world.live(300)
    assert provider.alive() == []
    world.check()


async def test_a_stop_under_way_when_its_instance_is_lost_does_not_bring_the_row_back(
    world: World, provider: Provider, clock: FakeClock
) -> None:
    instance = await world.running()
    await world.live(120)
    world.stop(instance)
    world.fate.freeze("stop answered")
    tick = world.begin("provisioning")
    await world.fate.frozen("stop answered")
    away = provider.machines.pop(world.now(instance).handle or "")
    await _observed(world, clock, 2)
    assert world.status(instance) == "error"
    provider.resurrect(away)
    world.fate.thaw("stop answered")
    await tick
    assert world.status(instance) == "error"
    await world.calm()
    world.check()


# Hosts that fail.


@pytest.mark.parametrize("power", [Power.STOPPED, Power.FAILED])
async def test_what_went_down_by_itself_is_started_again_and_the_gap_is_not_billed(
    world: World, provider: Provider, clock: FakeClock, power: Power
) -> None:
    instance = await world.running()
    await world.live(700)
    provider.power_off(world.now(instance).handle or "")
    provider.alive()[0].power = power
    provider.breaks("list_own", Unreachable("the host is down"), times=10)
    await world.live(200)
    assert world.status(instance) == "running"
    await world.live(100)
    assert world.status(instance) == "running"
    assert "instance.offline" in world.events(instance)
    assert "provisioning" in world.pokes
    (first_start, first_end), (second_start, second_end) = truth.stretches(world.db, instance.id)
    assert first_end == first_start + 700_000_000, "the clock stopped where it was last seen"
    assert second_start >= first_end + 200_000_000
    assert second_end is None
    await world.calm()
    world.check()


async def test_what_went_down_and_cannot_be_started_stays_off(world: World, provider: Provider) -> None:
    instance = await world.running()
    await world.live(700)
    provider.start_is_refused = True
    provider.power_off(world.now(instance).handle or "")
    await world.live(100)
    seen = world.now(instance)
    assert (seen.status, seen.wanted) == ("offline", "offline")
    assert seen.status_reason == because("no_capacity")
    await world.calm()
    world.check()


async def test_what_is_to_be_off_and_came_up_is_stopped_again(
    world: World, provider: Provider, clock: FakeClock
) -> None:
    instance = await world.running()
    world.stop(instance)
    await world.settle()
    charged = world.charged(instance)
    provider.power_on(world.now(instance).handle or "")
    await _observed(world, clock, 1)
    assert provider.alive()[0].power in {Power.STOPPED, Power.STOPPING}
    await world.live(100)
    assert world.status(instance) == "offline"
    assert world.charged(instance) == charged
    await world.calm()
    world.check()


@pytest.mark.parametrize("used_s", [100, 700])
async def test_deleting_what_is_out_of_sight_costs_what_it_was_seen_to_run(
    world: World, provider: Provider, clock: FakeClock, used_s: int
) -> None:
    instance = await world.running()
    await world.live(used_s)
    provider.crash(world.now(instance).handle or "")
    await _observed(world, clock)
    world.turn(500)
    world.delete(instance)
    await world.settle()
    assert world.status(instance) == "deleted"
    assert world.charged(instance) == rates.total(instance.price, used_s)
    world.check(at_rest=False)


async def test_a_listing_from_before_a_start_does_not_stop_what_runs_since(
    world: World, provider: Provider, clock: FakeClock
) -> None:
    instance = await world.running()
    await world.live(700)
    world.stop(instance)
    await world.settle()
    clock.advance(seconds=PERIOD_S)
    world.fate.freeze("list_own answered")
    tick = world.begin("observation")
    await world.fate.frozen("list_own answered")
    clock.advance(seconds=1)
    world.start(instance)
    await world.settle()
    world.fate.thaw("list_own answered")
    await tick
    assert world.status(instance) == "running"
    assert world.events(instance)[-1] == "instance.running"


async def test_the_unit_of_what_went_down_is_not_sold_while_it_is_to_be_started(
    world: World, provider: Provider, clock: FakeClock
) -> None:
    instance = await world.running()
    await world.live(120)
    provider.power_off(world.now(instance).handle or "")
    provider.breaks("start", Unreachable("no route"), times=3)
    await _observed(world, clock)
    assert world.status(instance) == "offline"
    world.turn(1)
    await world.tick("catalog")
    assert world.free() == 7
    await world.settle()
    assert world.status(instance) == "running"
    await world.calm()
    world.check()


# Orphans: instances without a row.


async def test_an_orphan_is_reported_then_destroyed_after_its_grace(
    world: World, provider: Provider, clock: FakeClock
) -> None:
    await world.open_shop()
    orphan = provider.plant(Label(world.install_id, ids.new(clock.now())))
    await _observed(world, clock)
    subject = f"orphan:{provider.name}:{orphan.handle}"
    assert truth.event_types(world.db, subject) == ["orphan.found"]
    await world.live(280)
    assert [machine.handle for machine in provider.alive()] == [orphan.handle]
    await world.live(40)
    assert provider.alive() == []
    assert truth.event_types(world.db, subject) == ["orphan.found", "orphan.destroyed"]
    await world.live(400)
    assert len(truth.event_types(world.db, subject)) == 2


async def test_an_orphan_that_cannot_be_destroyed_is_tried_again(world: World, provider: Provider) -> None:
    await world.open_shop()
    provider.plant(Label(world.install_id, ids.new(world.clock.now())))
    provider.breaks("destroy", Unreachable("no route"), times=3)
    await world.live(460)
    assert provider.alive() == []


async def test_a_deleted_instance_that_is_still_there_is_an_orphan(world: World, provider: Provider) -> None:
    instance = await world.running()
    machine = provider.alive()[0]
    world.delete(instance)
    await world.settle()
    machine.power = Power.RUNNING
    provider.resurrect(machine)
    await world.live(400)
    assert provider.alive() == []
    assert world.status(instance) == "deleted"


async def test_what_is_not_ours_is_never_touched(world: World, provider: Provider) -> None:
    await world.open_shop()
    nobodys = ids.new(world.clock.now())
    provider.plant(None)
    provider.plant(Label("another", nobodys))
    provider.plant(Label(f"{world.install_id}x", nobodys))
    await world.live(1000, step_s=50)
    assert len(provider.alive()) == 3


async def test_an_instance_being_created_is_no_orphan(
    world: World, provider: Provider, clock: FakeClock
) -> None:
    instance = await world.order()
    world.fate.freeze("create answered")
    tick = world.begin("provisioning")
    await world.fate.frozen("create answered")
    for _ in range(20):
        clock.advance(seconds=PERIOD_S)
        await world.tick("observation")
    assert world.machines(instance) == 1
    world.fate.thaw("create answered")
    await tick
    await world.settle()
    assert world.status(instance) == "running"
    assert len(provider.made) == 1


async def test_a_second_instance_of_one_order_is_destroyed(world: World, provider: Provider) -> None:
    instance = await world.running()
    provider.plant(world.label(instance))
    await world.live(400)
    assert [machine.handle for machine in provider.of(instance.id)] == [world.now(instance).handle]
    assert world.status(instance) == "running"
    world.check()


async def test_what_a_provider_made_although_it_said_it_had_nothing_left_is_destroyed(
    world: World, provider: Provider
) -> None:
    other = Provider(world.clock, "other", [])
    world = World(world.db, world.clock, provider, other)
    instance = await world.running()
    other.plant(world.label(instance), offer="whatever")
    await world.live(400)
    assert other.alive() == []
    assert world.machines(instance) == 1


async def test_one_provider_that_fails_does_not_hide_another(
    world: World, provider: Provider, clock: FakeClock
) -> None:
    other = Provider(clock, "other", [])
    world = World(world.db, clock, other, provider)
    other.breaks("list_own", ValueError("a bug of the driver"), times=1000)
    instance = await world.running()
    clock.advance(seconds=100)
    provider.crash(world.now(instance).handle or "")
    for _ in range(2):
        clock.advance(seconds=PERIOD_S)
        with pytest.raises(ExceptionGroup):
            await world.tick("observation")
    assert world.status(instance) == "error"


async def test_the_port_of_its_own_server_is_followed_where_it_moves(
    world: World, provider: Provider
) -> None:
    provider.abilities = Abilities(containers=True)
    session = await world.running_session(
        workload_type="inference",
        launch_mode=LaunchMode.ENTRYPOINT,
        docker_image="acme/server",
        exposed_ports=(9000, 9001),
    )
    assert session.api_endpoint == "http://192.0.2.1:49000"
    machine = provider.alive()[0]
    machine.ports = {9000: 51_234, 9001: 51_235}
    await world.live(120)
    assert world.seen(session).api_endpoint == "http://192.0.2.1:51234"
    machine.ports = {}
    await world.live(120)
    assert world.seen(session).api_endpoint == "http://192.0.2.1:51234"

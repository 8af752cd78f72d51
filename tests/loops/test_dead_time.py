"""Nobody pays for time an instance is known to have been down, and no old listing is believed against a newer row."""

from dataclasses import replace

from berth.base.clock import after
from berth.core import billing
from berth.core.billing import rates
from berth.core.driver import Power
from berth.loops.observation import Verdict, judge
from tests import make
from tests.conftest import FakeClock
from tests.world.provider import Provider
from tests.world.world import World


async def test_what_never_comes_up_again_after_a_restart_is_off_and_paid_up_to_the_restart(
    world: World, provider: Provider
) -> None:
    instance = await world.running()
    await world.live(700)
    provider.boot_s = provider.ssh_s = 10_000
    world.restart(instance)
    await world.tick("provisioning")
    provider.alive()[0].power = Power.FAILED
    await world.live(2000)
    seen = world.now(instance)
    assert (seen.status, seen.wanted, seen.is_restart_wanted) == ("offline", "offline", False)
    assert seen.status_reason
    assert seen.status_reason.startswith("restart_timeout")
    assert world.db.read_now(billing.bill, instance.id).is_charging is False
    assert world.charged(instance) == rates.total(instance.price, 700)
    provider.heals()
    world.start(instance)
    await world.settle()
    assert world.status(instance) == "running"
    await world.calm()
    world.check()


async def test_deleting_what_its_provider_lost_sight_of_costs_up_to_when_it_was_last_seen(
    world: World, provider: Provider
) -> None:
    instance = await world.running()
    await world.live(700)
    provider.crash(world.now(instance).handle or "")
    await world.tick("observation")
    missing_since = world.now(instance).missing_since
    assert missing_since is not None
    world.turn(500)
    world.delete(instance)
    seconds = (missing_since - (world.now(instance).first_running_at or 0)) // 1_000_000
    assert world.charged(instance) == rates.total(instance.price, seconds)
    assert seconds < 720
    await world.settle()
    world.check()


async def test_a_listing_older_than_the_row_says_nothing_of_it(world: World, clock: FakeClock) -> None:
    instance = world.now(await world.running())
    asked_at = after(instance.updated_at, seconds=-1)
    down = make.sighting(instance, Power.STOPPED)
    assert judge(instance, down, is_complete=True, asked_at=asked_at, grace_s=0) is Verdict.FINE
    assert judge(instance, None, is_complete=True, asked_at=asked_at, grace_s=0) is Verdict.FINE
    later = after(instance.updated_at, seconds=1)
    assert judge(instance, down, is_complete=True, asked_at=later, grace_s=0) is Verdict.WENT_DOWN
    missing = replace(instance, missing_since=clock.now())
    assert judge(missing, down, is_complete=True, asked_at=later, grace_s=0) is Verdict.BACK


async def test_the_unit_of_what_went_down_is_not_sold_to_somebody_else(
    world: World, provider: Provider
) -> None:
    instance = await world.running()
    provider.power_off(world.now(instance).handle or "")
    await world.tick("observation")
    await world.tick("catalog")
    assert world.free() == 7
    await world.settle()
    assert world.status(instance) == "running"
    world.turn(1)
    await world.tick("catalog")
    assert world.free() == 7

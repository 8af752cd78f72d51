"""What happens to instances from outside: spot is evicted when that was announced for, and terms end."""

from dataclasses import replace

import pytest

from berth.base.clock import SECOND, Instant
from berth.core import billing, events, instances
from berth.core.billing import Period, Rules, Unit, rates
from berth.core.instances import Contract, Extension, Instance
from tests import make
from tests.conftest import FakeClock
from tests.world import truth
from tests.world.provider import Provider
from tests.world.world import World

RULES = Rules(periods=(Period("2_HOURS", "2 hours", Unit.HOUR, 2, 14),))
BOUND, LIST = 1_470_600, make.micros("1.71")


@pytest.fixture
def spot(provider: Provider) -> Provider:
    provider.offers = [make.offer(spot_price="0.6")]
    return provider


async def bound(world: World, extension: Extension) -> Instance:
    world.rules = RULES
    return await world.running(contract=Contract.LONG_TERM, extension=extension)


async def test_an_announced_eviction_comes_on_time_and_leaves_nothing_behind(
    world: World, spot: Provider, clock: FakeClock
) -> None:
    instance = await world.running(is_spot=True)
    at = Instant(clock.now() + 300 * SECOND)
    world.act(instances.evict, events.operator(instance.project), instance.id, RULES, at=at)
    (told,) = truth.event_data(world.db, instance.id, "instance.interruption_notice")
    assert told["evicts_at"] == at
    await world.live(290)
    assert world.status(instance) == "running"
    await world.live(60)
    seen = world.now(instance)
    assert (seen.status, (seen.status_reason or "")[:7]) == ("deleted", "evicted")
    assert spot.of(instance.id) == []
    charged = world.charged(instance)
    assert rates.total(make.micros("0.6"), 300) <= charged <= rates.total(make.micros("0.6"), 316)
    await world.calm()


async def test_spot_that_its_provider_took_away_is_deleted_and_its_unit_free(
    world: World, spot: Provider
) -> None:
    instance = await world.running(is_spot=True)
    assert spot.made_for(instance.id)
    spot.machines.clear()
    await world.live(120)
    seen = world.now(instance)
    assert (seen.status, (seen.status_reason or "")[:7]) == ("deleted", "evicted")
    (told,) = truth.event_data(world.db, instance.id, "instance.deleted")
    assert str(told["reason"]).startswith("evicted")
    await world.calm()


async def test_a_term_is_followed_by_the_list_price_to_the_second(world: World) -> None:
    instance = await bound(world, Extension.PAY_AS_YOU_GO)
    assert instance.price == BOUND
    await world.live(7200 + 1200, step_s=60)
    now = world.now(instance)
    assert (now.price, now.contract, now.status) == (LIST, Contract.PAY_AS_YOU_GO, "running")
    segments = world.db.read_now(billing.segments, instance.id, limit=100)
    of_the_list = next(each for each in segments if each.price_micros_per_hour == LIST)
    assert 0 <= of_the_list.earlier_s <= 7200
    assert of_the_list.earlier == rates.total(BOUND, of_the_list.earlier_s)
    bill = world.db.read_now(billing.bill, instance.id)
    list_s = bill.billed_s - of_the_list.earlier_s
    assert bill.total == rates.total(BOUND, of_the_list.earlier_s) + rates.total(LIST, list_s)


async def test_a_term_that_ends_its_instance_does(world: World, provider: Provider) -> None:
    instance = await bound(world, Extension.END_CONTRACT)
    await world.live(7200 + 120, step_s=60)
    seen = world.now(instance)
    assert (seen.status, (seen.status_reason or "")[:10]) == ("deleted", "term_ended")
    assert provider.of(instance.id) == []


async def test_terms_follow_each_other(world: World) -> None:
    instance = await bound(world, Extension.AUTO_RENEW)
    await world.live(2 * 7200 + 120, step_s=60)
    kept = world.db.read_now(instances.term, world.now(instance))
    assert kept is not None
    assert (kept.number, world.now(instance).price) == (3, BOUND)
    assert replace(kept, number=1).ordered_at == instance.created_at

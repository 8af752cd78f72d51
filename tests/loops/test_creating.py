"""Creating is the dangerous call: lost answers, late listings, lying providers, and never two instances."""

import pytest

from berth.base.clock import seconds_between
from berth.core import errors
from berth.core.driver import (
    Abilities,
    BadCredentials,
    DriverError,
    NoCapacity,
    OutcomeUnknown,
    RateLimited,
    Refused,
    Unreachable,
)
from tests import make
from tests.conftest import FakeClock
from tests.world.provider import Provider
from tests.world.world import World

LOST = [OutcomeUnknown("reset while waiting"), OutcomeUnknown("500 from the provider"), TimeoutError()]


@pytest.mark.parametrize("lag_s", [0, 30])
@pytest.mark.parametrize("error", LOST, ids=["lost", "5xx", "hangs"])
@pytest.mark.parametrize("is_made", [True, False], ids=["made", "not made"])
async def test_a_create_without_an_answer_makes_one_instance(
    world: World, provider: Provider, lag_s: int, error: Exception, is_made: bool
) -> None:
    provider.listing_lag_s = lag_s
    provider.abilities = Abilities(appears_within_s=lag_s)
    provider.breaks("create", error, after=is_made)
    instance = await world.running()
    assert len(provider.made) == 1
    world.delete(instance)
    await world.settle()
    assert provider.alive() == []
    await world.calm()
    world.check()


@pytest.mark.parametrize("error", LOST, ids=["lost", "5xx", "hangs"])
async def test_what_a_create_that_broke_off_left_half_made_is_finished_at_once(
    world: World, provider: Provider, clock: FakeClock, error: Exception
) -> None:
    provider.abilities, provider.is_idempotent = Abilities(finishes_creates=True), True
    provider.breaks("create", error, after=True)
    began_at = clock.now()
    instance = await world.running()
    assert len(provider.made) == 1
    assert seconds_between(began_at, clock.now()) < 30
    world.delete(instance)
    await world.settle()
    await world.calm()
    world.check()


@pytest.mark.parametrize(
    ("error", "status"),
    [(NoCapacity("its card is gone"), "failed_no_capacity"), (Refused("no such image"), "error")],
    ids=["no capacity", "refused"],
)
async def test_what_cannot_be_finished_is_ended_and_says_why(
    world: World, provider: Provider, error: Exception, status: str
) -> None:
    provider.abilities, provider.is_idempotent = Abilities(finishes_creates=True), True
    provider.breaks("create", OutcomeUnknown("lost"), after=True)
    order = await world.order()
    await world.tick("provisioning")
    (half,) = provider.made
    provider.breaks("create", error)
    await world.settle()
    assert half not in provider.alive()
    assert world.status(order) == status
    await world.calm()
    world.check()


async def test_a_create_that_takes_effect_at_its_very_end_is_found(
    world: World, provider: Provider, clock: FakeClock
) -> None:
    """The request hangs for as long as we wait, and the listing lags behind that."""
    provider.listing_lag_s = 30
    provider.abilities = Abilities(appears_within_s=30)
    provider.breaks("create", TimeoutError(), after=True)
    instance = await world.order()
    world.fate.freeze("create")
    tick = world.begin("provisioning")
    await world.fate.frozen("create")
    clock.advance(seconds=59)
    world.fate.thaw("create")
    await tick
    await world.settle()
    assert world.status(instance) == "running"
    assert len(provider.made) == 1


@pytest.mark.parametrize("times", [1, 2, 5])
async def test_answers_lost_again_and_again_make_one_instance(
    world: World, provider: Provider, times: int
) -> None:
    provider.breaks("create", OutcomeUnknown("lost"), times=times)
    provider.breaks("create", OutcomeUnknown("lost"), after=True, times=times)
    provider.breaks("inspect", Unreachable("no route"), times=times)
    await world.running()
    assert len(provider.made) == 1


async def test_one_wrong_404_while_an_answer_is_missing_makes_no_second_instance(
    world: World, provider: Provider
) -> None:
    provider.breaks("create", OutcomeUnknown("lost"), after=True)
    provider.breaks("inspect", None)
    await world.running()
    assert len(provider.made) == 1


async def test_a_partial_listing_does_not_prove_that_nothing_was_made(
    world: World, provider: Provider
) -> None:
    provider.breaks("create", OutcomeUnknown("lost"), after=True)
    provider.breaks("inspect", None, times=5)
    provider.is_partial = True
    instance = await world.order()
    for _ in range(5):
        await world.live(16)
        assert len(provider.made) == 1
    await world.settle()
    assert world.status(instance) == "running"
    assert len(provider.made) == 1


async def test_a_wrong_404_while_booting_does_not_kill(world: World, provider: Provider) -> None:
    provider.boot_s = 60
    instance = await world.order()
    await world.tick("provisioning")
    provider.breaks("inspect", None)
    await world.settle()
    assert world.status(instance) == "running"
    assert len(provider.made) == 1
    assert "instance.placed_again" not in world.events(instance)


async def test_what_is_taken_for_lost_while_it_boots_does_not_live_beside_its_successor(
    world: World, provider: Provider
) -> None:
    provider.offers.append(make.offer(name="dearer", price="2"))
    provider.boot_s = 60
    instance = await world.order()
    await world.tick("provisioning")
    provider.unlisted.add(provider.made[0].handle)
    provider.breaks("inspect", None)
    await world.settle()
    assert world.status(instance) == "running"
    assert len(provider.made) == 2
    assert world.machines(instance) == 1


async def test_what_the_provider_ends_while_it_boots_is_placed_elsewhere(
    world: World, provider: Provider
) -> None:
    provider.offers.append(make.offer(name="dearer", price="2"))
    provider.boot_s = 60
    instance = await world.order()
    await world.tick("provisioning")
    provider.crash(provider.made[0].handle)
    await world.settle()
    assert world.status(instance) == "running"
    assert [machine.offer for machine in provider.made] == ["1H100.80S.30V@FIN-01", "dearer"]
    await world.calm()
    world.check()


async def test_a_create_that_is_rate_limited_waits_as_long_as_it_was_told(
    world: World, provider: Provider, clock: FakeClock
) -> None:
    provider.breaks("create", RateLimited("slow down", retry_after_s=42))
    began_at = clock.now()
    instance = await world.running()
    assert clock.now() - began_at >= 42_000_000
    assert world.machines(instance) == 1
    assert "instance.placed_again" not in world.events(instance)


async def test_a_provider_out_of_reach_for_half_a_minute_fails_no_order(
    world: World, provider: Provider
) -> None:
    provider.breaks("create", Unreachable("refused"), times=9)
    instance = await world.running()
    assert world.events(instance) == ["instance.ordered", "instance.provisioning", "instance.running"]


async def test_a_provider_that_stays_out_of_reach_is_left_for_the_next(
    world: World, provider: Provider
) -> None:
    other = Provider(world.clock, "other", [make.offer(name="second", price="3")])
    world = World(world.db, world.clock, provider, other)
    provider.breaks("create", Unreachable("refused"), times=1000)
    instance = await world.running()
    assert world.now(instance).provider == "other"
    assert provider.made == []


# Placing: which offer, and what when none will do.


async def test_offers_are_tried_from_the_cheapest_up(world: World, provider: Provider) -> None:
    provider.offers = [
        make.offer(name="b", price="1.20"),
        make.offer(name="c", price="1.30"),
        make.offer(name="a", price="1.10"),
    ]
    provider.secretly_empty = {"a", "b"}
    instance = await world.running()
    seen = world.now(instance)
    assert [machine.offer for machine in provider.made] == ["c"]
    assert len(seen.tried_offers) == 3
    assert seen.price == 1_100_000, "what was ordered is what is paid"
    await world.calm()
    world.check()


async def test_an_offer_that_costs_us_more_than_the_order_pays_is_not_tried(
    world: World, provider: Provider
) -> None:
    provider.offers = [
        make.offer(name="cheap", price="1.10", cost="1"),
        make.offer(name="losing", price="1.20", cost="1.11"),
        make.offer(name="even", price="1.30", cost="1.10"),
    ]
    provider.secretly_empty = {"cheap"}
    await world.running()
    assert [machine.offer for machine in provider.made] == ["even"]


async def test_no_more_than_five_offers_are_tried(world: World, provider: Provider) -> None:
    names = ["a", "b", "c", "d", "e", "f", "g"]
    provider.offers = [make.offer(name=name, price=f"1.1{at}") for at, name in enumerate(names)]
    provider.secretly_empty = {"a", "b", "c", "d", "e"}
    instance = await world.order()
    await world.settle()
    seen = world.now(instance)
    assert seen.status == "failed_no_capacity"
    assert len(seen.tried_offers) == 5
    assert provider.made == []


async def test_without_capacity_anywhere_the_order_fails_and_costs_nothing(
    world: World, provider: Provider
) -> None:
    provider.offers = [make.offer(name="a"), make.offer(name="b")]
    provider.secretly_empty = {"a", "b"}
    customer = await world.customer("50")
    instance = await world.order(customer)
    assert make.balance(world.db, customer.by).held > 0
    await world.settle()
    seen = world.now(instance)
    assert seen.status == "failed_no_capacity"
    assert seen.status_reason
    assert world.charged(instance) == 0
    balance = make.balance(world.db, customer.by)
    assert (balance.balance, balance.held) == (50_000_000, 0)
    await world.calm()
    world.check()
    assert (world.free("a"), world.free("b")) == (8, 8)
    world.delete(instance)
    await world.settle()
    assert world.status(instance) == "deleted"
    assert world.charged(instance) == 0


async def test_an_offer_that_turned_out_empty_is_not_sold_for_a_minute(
    world: World, provider: Provider, clock: FakeClock
) -> None:
    provider.offers = [make.offer(name="a", price="1.10"), make.offer(name="b", price="1.20")]
    provider.secretly_empty = {"a"}
    customer = await world.customer()
    await world.running(customer)
    provider.secretly_empty.clear()
    assert world.now(await world.running(customer)).price == 1_200_000
    clock.advance(seconds=61)
    assert world.now(await world.running(customer)).price == 1_100_000


@pytest.mark.parametrize(
    "error", [Refused("bad image"), BadCredentials("401")], ids=["refused", "credentials"]
)
async def test_a_refusal_is_followed_by_the_next_offer_and_then_by_an_error(
    world: World, provider: Provider, error: DriverError
) -> None:
    provider.offers = [make.offer(name="a", price="1.10"), make.offer(name="b", price="1.20")]
    provider.breaks("create", error, times=1)
    customer = await world.customer()
    first = await world.running(customer)
    assert [machine.offer for machine in provider.made] == ["b"]
    provider.breaks("create", error, times=2)
    second = await world.order(customer)
    await world.settle()
    seen = world.now(second)
    assert seen.status == "error"
    assert seen.status_reason
    assert seen.status_reason.startswith("refused")
    assert world.charged(second) == 0
    assert world.status(first) == "running"
    await world.calm()
    world.check()


async def test_a_reason_for_the_customer_is_kept(world: World, provider: Provider) -> None:
    provider.breaks("create", Refused("code 1234 on node 7", reason="The image is not allowed here."))
    instance = await world.order()
    await world.settle()
    assert world.now(instance).status_reason == "refused: The image is not allowed here."


async def test_a_catalogue_that_is_behind_fails_over(world: World, provider: Provider) -> None:
    """Somebody else took the last unit since the catalogue was read."""
    provider.offers = [make.offer(name="a", price="1.10", free=1), make.offer(name="b", price="1.20")]
    customer = await world.customer()
    provider.plant(None, offer="a")
    instance = await world.running(customer)
    assert [machine.offer for machine in provider.made[1:]] == ["b"]
    assert world.machines(instance) == 1


async def test_the_last_error_decides_what_the_order_is_called(world: World, provider: Provider) -> None:
    provider.offers = [make.offer(name="a", price="1.10"), make.offer(name="b", price="1.20")]
    provider.breaks("create", Refused("no"))
    provider.secretly_empty = {"b"}
    instance = await world.order()
    await world.settle()
    assert world.status(instance) == "failed_no_capacity"


async def test_nothing_is_sold_that_the_provider_does_not_have(world: World, provider: Provider) -> None:
    provider.offers = [make.offer(free=2)]
    customer = await world.customer()
    await world.running(customer)
    await world.running(customer)
    with pytest.raises(errors.NoCapacity):
        await world.order(customer)

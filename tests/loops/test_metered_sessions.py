"""A session whose provider says since when it runs pays by the provider's clock: from then until the end was taken."""

from berth.base.clock import SECOND, Instant
from berth.core import billing, instances, sessions
from berth.core.driver import OutcomeUnknown, Unreachable
from berth.core.sessions import Session, Status
from tests import make
from tests.world.provider import Provider
from tests.world.world import World


def billed(world: World, session: Session) -> billing.Bill:
    return world.db.read_now(billing.bill, session.id)


async def running(world: World, provider: Provider) -> Session:
    """Its machine was made 40 seconds before anybody could log in."""
    provider.tells_its_meter, provider.ssh_s = True, 40
    session = await world.session()
    await world.live(60)
    shown = world.seen(session)
    assert shown.status is Status.RUNNING
    return shown


async def test_it_pays_since_its_provider_says_that_it_runs(world: World, provider: Provider) -> None:
    session = await running(world, provider)
    made_at = provider.alive()[0].made_at
    bill = billed(world, session)
    ran_s = (world.clock.now() - made_at) // SECOND
    assert ran_s > 40
    assert bill.billed_s == ran_s
    assert bill.total == billing.total(session.price, ran_s)


async def test_another_does_not(world: World, provider: Provider) -> None:
    provider.ssh_s = 40
    session = await world.session()
    await world.live(60)
    assert billed(world, session).billed_s <= 20
    assert not world.seen(session).instance.is_metered


async def ended_after(
    world: World, provider: Provider, refusals: int
) -> tuple[Instant, Instant, billing.Bill]:
    """When its machine was made, when its end was asked for, and its bill: so many tries to end it fail."""
    session = await running(world, provider)
    made_at, asked_at = provider.alive()[0].made_at, world.clock.now()
    provider.breaks("destroy", Unreachable("not now"), times=refusals)
    world.act(sessions.done, make.owner(session.instance), session.id, world.rules)
    assert billed(world, session).is_charging
    await world.settle()
    assert provider.alive() == []
    world.check()
    return made_at, asked_at, billed(world, session)


async def test_it_pays_until_its_provider_took_its_end(world: World, provider: Provider) -> None:
    made_at, asked_at, bill = await ended_after(world, provider, 4)
    assert bill.ended_at is not None
    assert asked_at + SECOND < bill.ended_at < asked_at + 10 * SECOND
    assert bill.billed_s == (bill.ended_at - made_at) // SECOND
    assert not bill.is_charging


async def test_nobody_pays_long_for_an_end_that_does_not_come(world: World, provider: Provider) -> None:
    _, asked_at, bill = await ended_after(world, provider, 40)
    assert bill.ended_at == asked_at + instances.METERED_MOST_S * SECOND


async def test_it_pays_no_longer_where_its_end_was_seen_to_be_over(world: World, provider: Provider) -> None:
    session = await running(world, provider)
    asked_at = world.clock.now()
    provider.breaks("destroy", OutcomeUnknown("the answer was lost"), after=True)
    world.act(sessions.done, make.owner(session.instance), session.id, world.rules)
    await world.settle()
    bill = billed(world, session)
    assert bill.ended_at is not None
    assert asked_at <= bill.ended_at < asked_at + 5 * SECOND
    world.check()


async def test_with_the_budget_used_up_it_pays_no_second_more(world: World, provider: Provider) -> None:
    session = await running(world, provider)
    asked_at = world.clock.now()
    provider.breaks("destroy", Unreachable("not now"), times=40)
    project = session.instance.project
    assert world.act(instances.cut_off, project, session.id, world.rules, reason="budget_reached")
    await world.settle()
    bill = billed(world, session)
    assert (bill.ended_at, bill.is_charging) == (asked_at, False)
    world.check()


async def test_what_an_offer_before_took_is_not_paid_for_whatever_a_provider_says(
    world: World, provider: Provider
) -> None:
    provider.tells_its_meter = True
    provider.offers = [
        make.offer(name="first", price="1", free=1),
        make.offer(name="second", price="1.1", free=1),
    ]
    provider.bad_offers = {"first"}
    provider.boot_s = 100
    await world.open_shop()
    session = await world.session(offer_id="sandbox-first", auto_retry=True)
    while world.seen(session).retry_count == 0 or not provider.alive():
        await world.live(5)
    machine = provider.alive()[0]
    machine.made_at = Instant(machine.made_at - 3600 * SECOND)  # as its provider's clock has it
    await world.settle()
    shown = world.seen(session)
    assert (shown.status, shown.offer_id) == (Status.RUNNING, "sandbox-second")
    sent_at, bill = shown.instance.create_sent_at, billed(world, session)
    assert sent_at is not None
    assert shown.created_at < sent_at
    assert bill.billed_s == (world.clock.now() - sent_at) // SECOND

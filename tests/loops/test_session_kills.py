"""As `test_kills`, for sessions: they go to other offers, are kept off, pay by their marketplace's clock, and run dry.

Whatever call the control plane dies at, one machine lives at a time, no offer is made from twice, and the bill is that
of the seconds that it says.
"""

from collections.abc import Awaitable, Callable
from itertools import count

import pytest

from berth.base.clock import SECOND
from berth.base.db import Database
from berth.core import billing, instances, sessions
from berth.core.driver import Market, OutcomeUnknown
from berth.core.sessions import Session, Status, StoragePolicy
from tests import make
from tests.conftest import FakeClock
from tests.loops.test_kills import PATIENCE
from tests.world import truth
from tests.world.provider import Provider
from tests.world.world import World

Scenario = Callable[[World, make.Customer, str], Awaitable[Session]]


def done(world: World, session: Session) -> None:
    world.act(sessions.done, make.owner(session.instance), session.id, world.rules)


async def _ended(world: World, session: Session) -> Session:
    world.turn(61)
    done(world, world.seen(session))
    await world.settle()
    assert world.seen(session).status is Status.STOPPED
    return session


async def _sold_out_here(world: World, customer: make.Customer, consumer: str) -> Session:
    world.providers[0].secretly_empty.add("first")
    session = await world.session(
        customer, consumer_id=consumer, offer_id="sandbox-first", auto_retry=True, reservation_hours=12
    )
    await world.settle()
    now = world.seen(session)
    assert (now.status, now.offer_id, now.retry_count) == (Status.RUNNING, "other-second", 1)
    return await _ended(world, session)


async def _bad_hardware(world: World, customer: make.Customer, consumer: str) -> Session:
    world.providers[0].bad_offers.add("first")
    session = await world.session(
        customer, consumer_id=consumer, offer_id="sandbox-first", auto_retry=True, reservation_hours=12
    )
    await world.settle()
    assert world.seen(session).offer_id == "other-second"
    assert world.seen(session).status is Status.RUNNING
    return await _ended(world, session)


async def _answer_lost(world: World, customer: make.Customer, consumer: str) -> Session:
    world.providers[0].breaks("create", OutcomeUnknown("the answer was lost"), after=True)
    session = await world.session(
        customer, consumer_id=consumer, offer_id="sandbox-first", auto_retry=True, reservation_hours=12
    )
    await world.settle()
    now = world.seen(session)
    assert (now.status, now.offer_id) == (Status.RUNNING, "sandbox-first")
    return await _ended(world, session)


async def _kept_off(world: World, customer: make.Customer, consumer: str) -> Session:
    world.providers[0].tells_its_meter = True
    session = await world.session(
        customer,
        consumer_id=consumer,
        offer_id="sandbox-first",
        storage_policy=StoragePolicy.PRESERVE,
        reservation_hours=12,
    )
    await world.settle()
    await _ended(world, session)
    assert world.machines(session.instance) == 1
    paid = world.charged(session.instance)
    await world.live(700, step_s=350)
    assert world.charged(session.instance) == paid
    assert world.free("first") == 1
    world.act(sessions.destroy, make.owner(session.instance), session.id, world.rules)
    await world.settle()
    assert world.seen(session).status is Status.STOPPED
    assert world.charged(session.instance) == paid
    return session


async def _metered(world: World, customer: make.Customer, consumer: str) -> Session:
    world.providers[0].tells_its_meter = True
    session = await world.session(
        customer, consumer_id=consumer, offer_id="sandbox-first", reservation_hours=12
    )
    await world.settle()
    assert world.seen(session).instance.is_metered
    world.turn(61)
    asked_at = world.clock.now()
    done(world, session)
    await world.settle()
    ended_at = world.db.read_now(billing.bill, session.id).ended_at
    assert ended_at is not None
    assert asked_at <= ended_at <= asked_at + instances.METERED_MOST_S * SECOND
    return session


async def _expired(world: World, customer: make.Customer, consumer: str) -> Session:
    session = await world.session(
        customer, consumer_id=consumer, offer_id="sandbox-first", reservation_hours=1
    )
    await world.settle()
    assert world.seen(session).status is Status.RUNNING
    await world.live(3700, step_s=1850)
    await world.live(40)  # whoever was to end it may have died of it
    await world.settle()
    assert world.seen(session).status is Status.STOPPED
    return session


async def _off_by_itself(world: World, customer: make.Customer, consumer: str) -> Session:
    session = await world.session(
        customer, consumer_id=consumer, offer_id="sandbox-first", reservation_hours=12
    )
    await world.settle()
    world.turn(61)
    world.provider.start_is_refused = True
    world.provider.power_off(world.provider.of(session.id)[0].handle)
    await world.live(180, step_s=60)
    await world.settle()
    await world.live(120, step_s=60)
    await world.settle()
    assert world.seen(session).status is Status.STOPPED
    assert world.machines(session.instance) == 0
    return session


SCENARIOS: dict[str, tuple[Scenario, int]] = {
    "sold out here": (_sold_out_here, 6),
    "bad hardware": (_bad_hardware, 8),
    "answer lost": (_answer_lost, 5),
    "kept off": (_kept_off, 10),
    "metered": (_metered, 5),
    "expired": (_expired, 8),
    "off by itself": (_off_by_itself, 10),
}
"""What is played, and how many calls it makes at least."""


@pytest.mark.parametrize("scenario", SCENARIOS)
@pytest.mark.parametrize(
    ("doom", "is_after", "stride"),
    [(World.doomed, False, 1), (World.doomed, True, 1), (World.doomed_at_write, False, 3)],
    ids=["before a call takes effect", "before a call is answered", "before a commit"],
)
async def test_killed_anywhere_a_session_is_one_machine_and_an_exact_bill(
    db: Database,
    clock: FakeClock,
    scenario: str,
    doom: Callable[..., None],
    is_after: bool,
    stride: int,
    apart: int,
) -> None:
    play, least_calls = SCENARIOS[scenario]
    world = _two_markets(db, clock)
    customer = await world.customer("100000")
    for call in count(1, stride * apart):
        for provider in world.providers:
            provider.heals()
            provider.tells_its_meter = False
        deaths = world.deaths
        clock.advance(seconds=1900)  # what failed before is trusted again
        await world.open_shop()
        doom(world, call, is_after=is_after)
        session = await play(world, customer, f"{scenario} {call}")
        _check(world, session, f"killed at {call}")
        if world.deaths == deaths:
            assert call > least_calls
            break
    await world.calm()
    world.check()
    assert [provider.alive() for provider in world.providers] == [[], []]


def _two_markets(db: Database, clock: FakeClock) -> World:
    def market(host: str) -> Market:
        return Market("California, US", physical_host=host)

    first = make.offer(name="first", price="1.50", free=1, market=market("one"))
    second = make.offer(name="second", price="1.71", free=1, market=market("two"))
    return World(
        db,
        clock,
        Provider(clock, "sandbox", [first]),
        Provider(clock, "other", [second]),
        patience=PATIENCE,
    )


def _check(world: World, session: Session, context: str) -> None:
    for provider in world.providers:
        made = len(provider.made_for(session.id))
        assert made <= 1, f"{context}: {made} were made at {provider.name}"
    assert world.machines(session.instance) == 0, context
    world.check(at_rest=False)
    now = world.seen(session)
    bill = world.db.read_now(billing.bill, session.id)
    assert not bill.is_charging, context
    assert world.charged(session.instance) == billing.total(now.price, bill.billed_s), context
    assert truth.held(world.db, session.id) == 0, context
    assert world.free("first") == world.free("second") == 1, context

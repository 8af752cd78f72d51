"""Where a session goes whose offer came to nothing: what lasts as long as it does, and is owed to nobody else."""

from dataclasses import replace

from berth.core import sessions
from berth.core.driver import Market, NoCapacity
from berth.core.sessions import Session, Status
from tests import make, queueing
from tests.world.provider import Provider
from tests.world.world import World


async def test_it_goes_to_no_offer_that_ends_before_it_does(world: World, provider: Provider) -> None:
    provider.offers = [
        make.offer(name="first", price="1"),
        make.offer(name="short", price="1", market=Market("US", max_duration_hours=2)),
        make.offer(name="long", price="1.1", market=Market("US", max_duration_hours=3)),
    ]
    await world.open_shop()
    provider.breaks("create", NoCapacity("gone"))
    session = await world.session(offer_id="sandbox-first", auto_retry=True, reservation_hours=3)
    running = await _settled(world, session)
    assert (running.status, running.offer_id) == (Status.RUNNING, "sandbox-long")


async def test_it_goes_to_an_offer_that_its_consumer_has_just_left(world: World, provider: Provider) -> None:
    provider.offers = [make.offer(name="first", price="1"), make.offer(name="second", price="1.1", free=1)]
    await world.open_shop()
    customer = await world.customer()
    left = await world.running_session(customer, offer_id="sandbox-second")
    world.act(sessions.destroy, customer.by, left.id, world.rules)
    await world.settle()
    await world.open_shop()
    session = await world.session(customer, offer_id="sandbox-first", auto_retry=True)
    provider.breaks("create", NoCapacity("gone"), times=1)
    await world.settle()
    running = world.seen(session)
    assert (running.status, running.offer_id) == (Status.RUNNING, "sandbox-second")


async def test_what_cannot_bid_goes_to_no_offer_that_is_bid_for(world: World, provider: Provider) -> None:
    """Nothing was said of how a container is started where there are none, and the bid is a part of that."""
    provider.offers = [
        make.offer(name="first", price="1"),
        make.offer(name="bid", price="0.5", market=Market("US", is_interruptible=True)),
        make.offer(name="second", price="1.1"),
    ]
    await world.open_shop()
    provider.breaks("create", NoCapacity("gone"))
    session = await world.session(offer_id="sandbox-first", auto_retry=True)
    assert (await _settled(world, session)).offer_id == "sandbox-second"


async def test_elsewhere_it_takes_nothing_that_others_wait_for(world: World, provider: Provider) -> None:
    provider.offers = [
        make.offer(name="first", price="1"),
        make.offer("1A100", name="other", price="1", gpu_model="A100", free=0),
    ]
    await world.open_shop()
    waiting = await world.customer()
    queueing.waiting(world.db, waiting.by, instance_type="1A100")
    provider.offers[1] = replace(provider.offers[1], free_units=1)
    for _ in range(2):
        await world.open_shop()
    provider.breaks("create", NoCapacity("gone"))
    session = await world.session(offer_id="sandbox-first", auto_retry=True, retry_scope="same_vram")
    failed = await _settled(world, session)
    assert (failed.status, failed.failed_offers) == (Status.FAILED, ("sandbox-first",))
    assert world.free("other") == 1


async def _settled(world: World, session: Session) -> Session:
    await world.settle()
    return world.seen(session)

"""Sessions as the loops live them: a login before they run, other offers, use that is looked at, and ends that come."""

from random import Random

import pytest

from berth.base.clock import HOUR, SECOND
from berth.core import billing, catalog, instances, sessions
from berth.core.catalog import Alternative, InstanceType, Offer
from berth.core.driver import Abilities, BadCredentials, Market, NoCapacity, Refused, Unreachable
from berth.core.sessions import Failure, LaunchMode, Session, Status, StoragePolicy
from berth.core.sessions.retrying import choose
from berth.loops.sessions import readings
from tests import make
from tests.world import truth
from tests.world.provider import Provider
from tests.world.world import World

CONTAINERS = Abilities(containers=True, templates=True)


async def ended(world: World, session: Session) -> Session:
    await world.settle()
    return world.seen(session)


# A login comes first.


async def test_a_session_runs_once_somebody_can_log_in(world: World, provider: Provider) -> None:
    provider.ssh_s = 40
    session = await world.session()
    await world.live(35)
    assert world.seen(session).status is Status.PROVISIONING
    assert world.seen(session).is_placed
    await world.live(20)
    running = world.seen(session)
    assert (running.status, running.instance.ip, running.instance.ssh_port) == (
        Status.RUNNING,
        "192.0.2.1",
        22,
    )
    world.check()


async def test_one_that_lets_nobody_in_fails_at_the_third_try(world: World, provider: Provider) -> None:
    provider.lets_in = False
    session = await world.session()
    await world.live(20)
    assert world.seen(session).status is Status.PROVISIONING
    failed = await ended(world, session)
    assert (failed.status, failed.failure) == (Status.FAILED, Failure.AUTH_FAILED)
    assert world.charged(failed.instance) == 0
    assert world.machines(failed.instance) == 0
    world.check()


async def test_a_key_that_is_installed_a_little_late_is_waited_for(world: World, provider: Provider) -> None:
    provider.lets_in = False
    session = await world.session()
    await world.live(18)
    provider.lets_in = True
    await world.settle()
    running = world.seen(session)
    assert (running.status, running.instance.logins_refused) == (Status.RUNNING, 0)


async def test_one_that_never_answers_fails_in_its_own_time(world: World, provider: Provider) -> None:
    provider.ssh_s = None
    session = await world.session(ssh_timeout_minutes=2)
    began_at = world.clock.now()
    failed = await ended(world, session)
    assert (failed.status, failed.failure) == (Status.FAILED, Failure.SSH_TIMEOUT)
    assert 110 * SECOND < world.clock.now() - began_at < 160 * SECOND
    world.check()


async def test_one_that_is_off_before_it_ran_fails(world: World, provider: Provider) -> None:
    provider.ssh_s = None
    session = await world.session()
    await world.live(10)
    provider.power_off(provider.alive()[0].handle)
    failed = await ended(world, session)
    assert (failed.status, failed.failure) == (Status.FAILED, Failure.INSTANCE_STOPPED)
    assert world.machines(failed.instance) == 0


async def test_an_image_of_its_own_runs_once_its_server_answers(world: World, provider: Provider) -> None:
    provider.abilities = CONTAINERS
    provider.is_healthy = False
    session = await world.session(
        workload_type="inference",
        launch_mode=LaunchMode.ENTRYPOINT,
        docker_image="acme/server",
        exposed_ports=(9000, 9001),
    )
    await world.live(60)
    waiting = world.seen(session)
    assert (waiting.status, waiting.api_endpoint) == (Status.PROVISIONING, None)
    provider.is_healthy = True
    running = await ended(world, session)
    assert (running.status, running.api_port, running.api_endpoint) == (
        Status.RUNNING,
        49_000,
        "http://192.0.2.1:49000",
    )
    assert "login" not in world.fate.calls
    assert "probe" not in world.fate.calls


async def test_an_image_whose_server_never_answers_fails_after_ten_minutes(
    world: World, provider: Provider
) -> None:
    provider.abilities = CONTAINERS
    provider.is_healthy = False
    session = await world.session(
        workload_type="llm", launch_mode=LaunchMode.ENTRYPOINT, model_id="acme/llama-8b"
    )
    failed = await ended(world, session)
    assert (failed.status, failed.failure) == (Status.FAILED, Failure.PROVISION_FAILED)
    assert failed.error == "Its own server did not answer over HTTP in time."


# An offer that comes to nothing.


@pytest.fixture
def market(provider: Provider) -> Provider:
    """Six offers of one type, of which two are on one host."""
    provider.offers = [
        make.offer(
            name=str(number),
            price=f"1.0{number}",
            free=1,
            market=Market("California, US", physical_host=f"host-{min(number, 4)}"),
        )
        for number in range(6)
    ]
    return provider


@pytest.mark.parametrize(
    ("error", "failure"),
    [
        (NoCapacity("gone"), Failure.STALE_INVENTORY),
        (Refused("no"), Failure.INVALID_REQUEST),
        (BadCredentials("key"), Failure.PROVIDER_UNAVAILABLE),
    ],
)
async def test_without_retries_it_goes_nowhere_else(
    world: World, market: Provider, error: Exception, failure: Failure
) -> None:
    await world.open_shop()
    session = await world.session(offer_id="sandbox-0")
    market.breaks("create", error)
    failed = await ended(world, session)
    assert (failed.status, failed.failure, failed.retry_count) == (Status.FAILED, failure, 0)
    assert failed.failed_offers == ("sandbox-0",)
    assert market.made == []
    assert world.charged(failed.instance) == 0


async def test_what_a_failed_offer_did_is_noted_against_it(world: World, market: Provider) -> None:
    await world.open_shop()
    market.breaks("create", NoCapacity("gone"))
    session = await world.session(offer_id="sandbox-0")
    await world.settle()
    noted = truth.rows(world.db, "SELECT offer_id, kind FROM offer_failures")
    assert noted == [(world.seen(session).instance.offer_id, "stale_inventory")]


async def test_with_retries_it_goes_to_another_offer_at_the_price_of_that(
    world: World, market: Provider
) -> None:
    await world.open_shop()
    market.breaks("create", NoCapacity("gone"))
    session = await world.session(offer_id="sandbox-0", auto_retry=True)
    running = await ended(world, session)
    assert (running.status, running.retry_count) == (Status.RUNNING, 1)
    assert running.failed_offers == ("sandbox-0",)
    assert running.offer_id in {"sandbox-1", "sandbox-2", "sandbox-3"}
    assert running.price == make.micros(f"1.0{running.offer_id[-1]}")
    world.turn(100)
    world.act(sessions.done, make.owner(running.instance), running.id, world.rules)
    await world.settle()
    assert world.charged(running.instance) == billing.total(running.price, 100)
    await world.calm()
    world.check()


async def test_what_is_held_goes_with_the_price_of_the_other_offer(world: World, market: Provider) -> None:
    market.offers = [make.offer(name="first", price="1"), make.offer(name="dear", price="1.2")]
    market.ssh_s = None
    await world.open_shop()
    market.breaks("create", NoCapacity("gone"))
    session = await world.session(offer_id="sandbox-first", auto_retry=True)
    assert truth.held(world.db, session.id) == billing.total(make.micros("1"), 600)
    await world.live(10)
    assert world.seen(session).offer_id == "sandbox-dear"
    assert truth.held(world.db, session.id) == billing.total(make.micros("1.2"), 600)


async def test_it_goes_to_no_offer_that_nothing_is_left_for(world: World, market: Provider) -> None:
    market.offers = [make.offer(name="first", price="1"), make.offer(name="dear", price="1.2")]
    await world.open_shop()
    customer = await world.customer("20.1")
    market.breaks("create", NoCapacity("gone"))
    session = await world.session(customer, offer_id="sandbox-first", auto_retry=True)
    make.topup(world.db, customer.by, "-19.95")
    failed = await ended(world, session)
    assert (failed.status, failed.retry_count) == (Status.FAILED, 0)
    assert truth.held(world.db, session.id) == 0
    assert set(truth.free_units(world.db).values()) == {8}


async def test_hosts_that_failed_it_are_not_tried_again(world: World, market: Provider) -> None:
    await world.open_shop()
    market.bad_offers = {"4", "5"}
    for name in "0123":
        market.secretly_empty.add(name)
    session = await world.session(offer_id="sandbox-4", auto_retry=True, max_retries=5)
    failed = await ended(world, session)
    assert failed.status is Status.FAILED
    assert "sandbox-5" not in failed.failed_offers
    assert {machine.offer for machine in market.made} == {"4"}


async def test_it_goes_elsewhere_no_more_often_than_it_asked_for(world: World, market: Provider) -> None:
    await world.open_shop()
    market.secretly_empty = {str(number) for number in range(6)}
    session = await world.session(offer_id="sandbox-0", auto_retry=True, max_retries=2)
    failed = await ended(world, session)
    assert (failed.status, failed.failure) == (Status.FAILED, Failure.STALE_INVENTORY)
    assert (failed.retry_count, len(set(failed.failed_offers))) == (2, 3)


@pytest.mark.parametrize(
    ("scope", "offers"),
    [
        ("same_gpu", {"same"}),
        ("same_vram", {"same", "other"}),
        ("any", {"same", "other", "larger"}),
    ],
)
async def test_the_scope_says_what_may_take_its_place(
    world: World, provider: Provider, scope: str, offers: set[str]
) -> None:
    provider.offers = [
        make.offer(name="first", price="1"),
        make.offer("1A100", name="other", price="1.5", gpu_model="A100"),
        make.offer("1H200", name="larger", price="2", gpu_model="H200", gpu_vram_gb=141),
        make.offer("1L4", name="smaller", price="0.1", gpu_model="L4", gpu_vram_gb=24),
        make.offer(name="same", price="1.2"),
        make.offer(name="dear", price="2.01"),
    ]
    await world.open_shop()
    provider.secretly_empty = {each.provider_offer_id for each in provider.offers}
    session = await world.session(offer_id="sandbox-first", auto_retry=True, max_retries=5, retry_scope=scope)
    failed = await ended(world, session)
    assert set(failed.failed_offers) == {"sandbox-first", *(f"sandbox-{name}" for name in offers)}


def test_it_draws_among_the_first_three_that_are_nearly_as_cheap_as_the_cheapest() -> None:
    kind = InstanceType("k", "G", 1, 24, 1, 1, 1, "", "", 600, frozenset())

    def alternative(name: str, price: int) -> Alternative:
        offer = Offer(name, "p", name, "k", "X", price, None, 0, 1, False, 0, 0)  # type: ignore[arg-type]
        return Alternative(offer, kind)

    found = [alternative(str(number), 100 + 10 * number) for number in range(8)]
    drawn = {choose(found, Random(seed))[0].offer.id for seed in range(60)}
    assert drawn == {"0", "1", "2"}
    far = [alternative("0", 100), alternative("1", 130), alternative("2", 131)]
    assert {choose(far, Random(seed))[0].offer.id for seed in range(60)} == {"0", "1"}
    assert len(choose(found, Random(1))) == 5
    assert choose([], Random(1)) == ()


async def test_what_ran_once_is_moved_nowhere(world: World, market: Provider) -> None:
    await world.open_shop()
    session = await world.running_session(offer_id="sandbox-0", auto_retry=True)
    market.machines.clear()
    await world.live(120)
    lost = world.seen(session)
    assert (lost.status, lost.failure) == (Status.FAILED, Failure.INSTANCE_VANISHED)
    assert len(market.made) == 1
    kinds = [row[0] for row in truth.rows(world.db, "SELECT kind FROM offer_failures")]
    assert kinds == ["instance_vanished"]


async def test_one_that_others_outbid_is_spot_and_ends_with_its_eviction(
    world: World, provider: Provider
) -> None:
    provider.abilities = CONTAINERS
    provider.offers = [
        make.offer(name="bid", price="0.5", cost="0.4", market=Market("US", is_interruptible=True))
    ]
    await world.open_shop()
    session = await world.running_session(offer_id="sandbox-bid")
    launch = session.instance.launch
    assert session.instance.is_spot
    assert launch is not None
    assert launch.bid_micros_per_hour == make.micros("0.4")
    provider.machines.clear()
    await world.live(120)
    taken = world.seen(session)
    assert (taken.status, taken.failure) == (Status.STOPPED, Failure.INSTANCE_STOPPED)


# Its end comes.


async def test_it_ends_at_its_time_with_a_notice_before(world: World) -> None:
    session = await world.running_session(reservation_hours=1)
    await world.live(3500)
    assert world.seen(session).status is Status.RUNNING
    assert "instance.stop_scheduled" in world.events(session.instance)
    await world.live(200)
    assert world.seen(session).status is Status.STOPPED
    assert world.machines(session.instance) == 0
    world.check()


async def test_no_session_grows_older_than_it_may_be(world: World) -> None:
    session = await world.running_session(reservation_hours=12)
    world.session_rules = sessions.Rules(hard_max_hours=2)
    world.crash()
    await world.live(2 * 3600 - 60, step_s=600)
    assert world.seen(session).status is Status.RUNNING
    await world.live(120)
    old = world.seen(session)
    assert (old.status, old.error) == (Status.STOPPED, None)
    assert old.instance.status_reason == instances.because("hard_max_reached")


async def test_a_kept_disk_is_off_until_it_is_deleted(world: World, provider: Provider) -> None:
    session = await world.running_session(reservation_hours=1, storage_policy=StoragePolicy.PRESERVE)
    await world.live(3700)
    assert world.seen(session).status is Status.STOPPED
    assert [machine.power.value for machine in provider.alive()] == ["stopped"]
    paid = world.charged(session.instance)
    await world.live(2 * 3600, step_s=600)
    assert (world.seen(session).status, world.charged(session.instance)) == (Status.STOPPED, paid)
    world.act(sessions.destroy, make.owner(session.instance), session.id, world.rules)
    await world.settle()
    assert provider.alive() == []
    assert world.charged(session.instance) == paid
    world.check()


async def test_a_kept_disk_that_its_provider_loses_ends_nothing_a_second_time(
    world: World, provider: Provider
) -> None:
    session = await world.running_session(storage_policy=StoragePolicy.PRESERVE)
    world.act(sessions.done, make.owner(session.instance), session.id, world.rules)
    await world.settle()
    assert world.seen(session).status is Status.STOPPED
    paid = world.charged(session.instance)
    provider.crash(provider.alive()[0].handle)
    await world.live(1200, step_s=60)
    lost = world.seen(session)
    assert (lost.status, lost.failure) == (Status.STOPPED, Failure.INSTANCE_VANISHED)
    assert (lost.instance.status.value, lost.error) == (
        "deleted",
        "The provider no longer has this instance.",
    )
    assert world.charged(session.instance) == paid
    world.check()


async def test_what_went_off_and_cannot_be_started_is_destroyed(world: World, provider: Provider) -> None:
    session = await world.running_session()
    provider.start_is_refused = True
    provider.power_off(provider.alive()[0].handle)
    await world.live(200)
    over = world.seen(session)
    assert (over.status, over.failure) == (Status.STOPPED, Failure.INSTANCE_STOPPED)
    assert provider.alive() == []
    world.check()


async def test_with_no_credit_left_it_ends(world: World, provider: Provider) -> None:
    customer = await world.customer("20.2")
    session = await world.running_session(customer, reservation_hours=12)
    make.topup(world.db, customer.by, "-18")
    await world.live(3 * 3600, step_s=60)
    assert world.seen(session).status is Status.STOPPED
    assert provider.alive() == []
    make.topup(world.db, customer.by, "100")
    await world.live(600)
    assert world.seen(session).status is Status.STOPPED
    world.check()


async def test_an_idle_one_is_found_out_by_looking_inside(world: World, provider: Provider) -> None:
    busy = await world.running_session(idle_threshold_minutes=5)
    idle = await world.running_session(consumer_id="another", idle_threshold_minutes=5)
    for machine in provider.alive():
        is_busy = machine.label is not None and machine.label.instance_id == busy.id
        machine.use = f"gpu {90 if is_busy else 0}\ncpu 1000\ndisk 40000000\n"
    await world.live(7 * 60)
    assert (world.seen(busy).status, world.seen(idle).status) == (Status.RUNNING, Status.STOPPED)
    assert world.charged(idle.instance) <= billing.total(idle.price, 6 * 60 + 20)
    world.check()


async def test_one_that_cannot_be_looked_into_is_not_idle(world: World, provider: Provider) -> None:
    session = await world.running_session(idle_threshold_minutes=1)
    provider.lets_in = False
    await world.live(20 * 60)
    assert world.seen(session).status is Status.RUNNING


async def test_each_is_looked_at_once_a_minute_by_however_many(world: World, provider: Provider) -> None:
    session = await world.running_session(idle_threshold_minutes=5)
    provider.alive()[0].use = "gpu 50\n"
    before = world.fate.calls.count("login")
    for _ in range(5):
        await world.tick("sessions")
    assert world.fate.calls.count("login") == before + 1
    assert world.seen(session).watch.sample is not None


@pytest.mark.parametrize(
    ("output", "read"),
    [
        ("gpu 3\ngpu 17\ncpu 123456\ndisk 52428800\n", (17, 123456, 52)),
        ("cpu 5\n", (None, 5, None)),
        ("", (None, None, None)),
        ("gpu [N/A]\ncpu -1\ndisk ?\nroot:x:0\n", (None, None, None)),
        ("gpu 999999999999999999999999\ncpu " + "9" * 40, (None, int("9" * 18), None)),
        ("gpu ²\n", (None, None, None)),
    ],
)
def test_what_is_written_inside_is_read_with_care(
    output: str, read: tuple[int | None, int | None, int | None]
) -> None:
    found = readings(output)
    assert (found.gpu_percent, found.cpu_used_us, found.disk_free_gb) == read


async def test_a_destroy_that_goes_on_failing_is_told_once_and_tried_on(
    world: World, provider: Provider
) -> None:
    session = await world.running_session()
    fault = provider.breaks("destroy", Unreachable("no route"), times=200)
    world.act(sessions.destroy, make.owner(session.instance), session.id, world.rules)
    await world.live(900)
    assert world.seen(session).status is Status.STOPPING
    assert world.events(session.instance).count("instance.destroy_failing") == 1
    assert world.db.read_now(instances.destroy_failures)[provider.name] > instances.DESTROYS_FAILED
    fault.times = 0
    await world.settle()
    assert world.seen(session).status is Status.STOPPED
    world.check()


async def test_killed_anywhere_it_is_one_machine_and_one_end(world: World, market: Provider) -> None:
    await world.open_shop()
    customer = await world.customer("10000")
    for call in range(1, 7):
        for is_after in (False, True):
            market.breaks("create", NoCapacity("gone"))
            session = await world.session(
                customer, offer_id="sandbox-0", consumer_id=f"{call}-{is_after}", auto_retry=True
            )
            world.doomed(call, is_after=is_after)
            await world.settle()
            assert world.machines(session.instance) == 1
            assert world.seen(session).status is Status.RUNNING
            world.act(sessions.destroy, make.owner(session.instance), session.id, world.rules)
            await world.settle()
            await world.live(61)
            assert world.seen(session).status is Status.STOPPED
            assert market.alive() == []
            world.turn(1900)  # an offer that fails three times in half an hour is set aside
            await world.tick("catalog")
    await world.calm()
    world.check()


async def test_catalogue_and_session_agree_on_what_is_free(world: World, market: Provider) -> None:
    await world.open_shop()
    session = await world.running_session(offer_id="sandbox-3")
    await world.tick("catalog")
    offer = world.db.read_now(catalog.known_offer, session.instance.offer_id)
    assert offer.free_units == 0
    assert session.expires_at == session.created_at + 2 * HOUR

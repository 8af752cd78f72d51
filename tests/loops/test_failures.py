"""Every way to fail says why, in a word that stays and a sentence that its owner may read, and costs what it must."""

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from berth.core import billing, instances, sessions
from berth.core.driver import Abilities, BadCredentials, NoCapacity, NotSupported, Refused, Unreachable
from berth.core.instances import SENTENCES, Instance, because
from berth.core.sessions import LaunchMode, Rules, StoragePolicy
from berth.core.volumes import NewVolume, reasons
from tests import make
from tests.conftest import FakeClock
from tests.world import truth
from tests.world.provider import Provider
from tests.world.world import World

Way = Callable[[World, Provider], Awaitable[Instance]]
DOCUMENT = Path(__file__).parents[2] / "docs" / "failures.md"


async def sold_out(world: World, provider: Provider) -> Instance:
    instance = await world.order()
    provider.breaks("create", NoCapacity("none"), times=99)
    return instance


async def refused(world: World, provider: Provider) -> Instance:
    provider.breaks("create", Refused("no"), times=99)
    return await world.order()


async def unreachable(world: World, provider: Provider) -> Instance:
    provider.breaks("create", Unreachable("no route"), times=99)
    return await world.order()


async def never_boots(world: World, provider: Provider) -> Instance:
    provider.boot_fails = True
    return await world.order()


async def never_answers(world: World, provider: Provider) -> Instance:
    provider.ssh_s = None
    return await world.order()


async def not_configured(world: World, provider: Provider) -> Instance:
    instance = await world.order()
    world.turn(instances.ADRIFT_AFTER_S + 1)
    world.loops.drivers.pop(provider.name)  # type: ignore[attr-defined]
    return instance


async def lost(world: World, provider: Provider) -> Instance:
    instance = await world.running()
    provider.machines.clear()
    await world.live(120)
    return instance


async def taken_away(world: World, provider: Provider) -> Instance:
    provider.offers = [make.offer(spot_price="0.6")]
    instance = await world.running(is_spot=True)
    provider.machines.clear()
    await world.live(120)
    return instance


async def lets_nobody_in(world: World, provider: Provider) -> Instance:
    provider.lets_in = False
    return (await world.session()).instance


async def off_while_booting(world: World, provider: Provider) -> Instance:
    provider.ssh_s = None
    session = await world.session()
    await world.live(10)
    provider.power_off(provider.alive()[0].handle)
    return session.instance


async def never_serves(world: World, provider: Provider) -> Instance:
    provider.abilities = Abilities(containers=True)
    provider.is_healthy = False
    session = await world.session(
        workload_type="llm", launch_mode=LaunchMode.ENTRYPOINT, model_id="acme/llama-8b"
    )
    return session.instance


async def without_an_account(world: World, provider: Provider) -> Instance:
    provider.breaks("create", BadCredentials("no"), times=99)
    return (await world.session()).instance


async def too_old(world: World, provider: Provider) -> Instance:
    world.session_rules = Rules(hard_max_hours=1)
    world.crash()
    session = await world.running_session()
    await world.live(3700, step_s=300)
    return session.instance


async def lost_while_booting(world: World, provider: Provider) -> Instance:
    provider.boot_s = 100
    instance = await world.order()
    await world.live(10)
    provider.machines.clear()
    return instance


async def not_started(world: World, provider: Provider) -> Instance:
    instance = await world.running()
    world.stop(instance)
    await world.settle()
    provider.breaks("start", NotSupported("no"))
    world.start(instance)
    return instance


async def nowhere_to_start(world: World, provider: Provider) -> Instance:
    instance = await world.running()
    world.stop(instance)
    await world.settle()
    provider.start_is_refused = True
    world.start(instance)
    return instance


async def started_in_vain(world: World, provider: Provider) -> Instance:
    instance = await world.running()
    world.stop(instance)
    await world.settle()
    provider.ssh_s = None
    world.start(instance)
    return instance


async def not_restarted(world: World, provider: Provider) -> Instance:
    instance = await world.running()
    provider.breaks("restart", Refused("no"))
    world.restart(instance)
    return instance


async def restarted_in_vain(world: World, provider: Provider) -> Instance:
    instance = await world.running()
    provider.ssh_s = None
    world.restart(instance)
    return instance


async def down_after_its_restart(world: World, provider: Provider) -> Instance:
    instance = await world.running()
    provider.boot_fails = True
    world.restart(instance)
    return instance


async def lost_while_kept(world: World, provider: Provider) -> Instance:
    session = await world.running_session(storage_policy=StoragePolicy.PRESERVE)
    world.act(sessions.done, make.owner(session.instance), session.id, world.rules)
    await world.settle()
    provider.machines.clear()
    await world.live(1200, step_s=60)
    return session.instance


async def out_of_credit(world: World, provider: Provider) -> Instance:
    instance = await world.running()
    world.stop_spending(instance)
    return instance


async def over_budget(world: World, provider: Provider) -> Instance:
    customer = await world.customer()
    instance = await world.running(customer)
    limits = billing.Limits(monthly_budget=make.micros("0.01"), on_budget=billing.OnBudget.STOP)
    world.act(billing.set_limits, customer.by, limits)
    world.turn(60)
    await world.tick("credit")
    return instance


async def no_disk(world: World, provider: Provider) -> Instance:
    provider.breaks("create_volume", Refused("no", reason="No disks left."))
    return await world.order(volumes=[NewVolume("data", 50, "NVMe")])


WAYS: list[tuple[str, str, Way]] = [
    ("no_capacity", "failed_no_capacity", sold_out),
    ("no_capacity", "offline", nowhere_to_start),
    ("refused", "error", refused),
    ("provider_unreachable", "error", unreachable),
    ("provider_unavailable", "error", not_configured),
    ("volume_failed", "error", no_disk),
    ("boot_failed", "error", never_boots),
    ("provisioning_timeout", "error", never_answers),
    ("instance_lost", "error", lost),
    ("instance_lost", "error", lost_while_booting),
    ("instance_lost", "deleted", lost_while_kept),
    ("evicted", "deleted", taken_away),
    ("start_refused", "offline", not_started),
    ("start_timeout", "offline", started_in_vain),
    ("restart_refused", "running", not_restarted),
    ("restart_timeout", "running", restarted_in_vain),
    ("restart_timeout", "offline", down_after_its_restart),
    ("instance_stopped", "error", off_while_booting),
    ("login_refused", "error", lets_nobody_in),
    ("api_timeout", "error", never_serves),
    ("provider_unavailable", "error", without_an_account),
    ("hard_max_reached", "deleted", too_old),
    ("insufficient_credits", "offline", out_of_credit),
    ("budget_reached", "offline", over_budget),
]
ENDINGS = {
    ("expired", "deleted"),
    ("max_spend_reached", "deleted"),
    ("idle", "deleted"),
    ("term_ended", "deleted"),
    ("cluster_failed", "deleted"),
    ("cluster_ended", "deleted"),
    ("insufficient_credits", "deleted"),
    ("budget_reached", "deleted"),
}
"""Tested where instances end by themselves, where clusters end their members, and where sessions run out of credit."""


@pytest.mark.parametrize(("code", "status", "fails"), WAYS, ids=[way.__name__ for *_, way in WAYS])
async def test_it_says_why_and_what_never_ran_costs_nothing(
    world: World, provider: Provider, code: str, status: str, fails: Way
) -> None:
    instance = await fails(world, provider)
    await world.settle()
    seen = world.now(instance)
    word, colon, sentence = (seen.status_reason or "").partition(": ")
    assert (seen.status, word) == (status, code)
    assert sentence.endswith(".") or (not colon and code not in SENTENCES)
    told = [
        row[0]
        for row in truth.rows(
            world.db, "SELECT data FROM events WHERE subject = :id ORDER BY sequence", id=instance.id
        )
    ]
    assert f'"reason":"{code}' in told[-1]
    if seen.first_running_at is None:
        assert world.charged(instance) == 0
        assert truth.held(world.db, instance.id) == 0


def test_the_document_lists_every_reason_and_no_other() -> None:
    lines = [line.split("|") for line in DOCUMENT.read_text().splitlines() if line.startswith("| `")]
    documented = {(parts[1].strip(" `"), parts[2].strip(" `")) for parts in lines}
    assert documented == {(code, status) for code, status, _ in WAYS} | ENDINGS
    assert {code for code, _ in documented} == {*SENTENCES, "insufficient_credits", "budget_reached"}


def test_the_document_lists_every_reason_of_volumes_and_no_other() -> None:
    lines = [line for line in DOCUMENT.read_text().splitlines() if line.startswith("* `")]
    assert {line.split("`")[1] for line in lines} == set(reasons.SENTENCES)


# The next offer.


@pytest.fixture
def two(provider: Provider) -> Provider:
    """The cheaper of two offers is tried first."""
    provider.offers = [make.offer(name="first", price="1"), make.offer(name="second", price="2")]
    return provider


def boots_nowhere_but(provider: Provider, offer: str) -> None:
    provider.bad_offers = {each.provider_offer_id for each in provider.offers} - {offer}


async def test_what_cannot_boot_at_one_offer_runs_at_the_next(world: World, two: Provider) -> None:
    boots_nowhere_but(two, "second")
    instance = await world.running()
    assert [(machine.offer, machine.label) for machine in two.alive()] == [("second", world.label(instance))]
    assert instance.price == make.micros("1")
    assert (instance.status_reason, len(instance.tried_offers)) == (None, 2)
    assert "instance.placed_again" in world.events(instance)
    await world.calm()
    world.check()


async def test_what_times_out_at_one_offer_has_the_whole_deadline_at_the_next(
    world: World, two: Provider, clock: FakeClock
) -> None:
    two.ssh_s = None
    ordered = await world.order()
    began_at = clock.now()
    await world.live(630)
    assert world.status(ordered) == "provisioning"
    two.boot_s, two.ssh_s = 0, 500
    for machine in two.alive():
        machine.answers_at = world.turned(500)
    await world.settle()
    assert world.status(ordered) == "running"
    assert world.now(ordered).first_running_at is not None
    assert 1100_000_000 < clock.now() - began_at < 1200_000_000
    assert len(two.made_for(ordered.id)) == 2
    world.check()


async def test_no_second_machine_is_made_while_the_first_may_be_there(world: World, two: Provider) -> None:
    boots_nowhere_but(two, "second")
    stuck = two.breaks("destroy", Unreachable("no route"), times=10)
    ordered = await world.order()
    await world.live(30)
    assert [machine.offer for machine in two.alive()] == ["first"]
    stuck.times = 0
    await world.settle()
    assert [machine.offer for machine in two.alive()] == ["second"]
    assert world.status(ordered) == "running"


async def test_deleting_what_cannot_boot_is_free(world: World, two: Provider) -> None:
    two.boot_fails = True
    two.destroy_s = 60
    ordered = await world.order()
    await world.live(10)
    assert world.status(ordered) == "provisioning"
    world.delete(ordered)
    await world.settle()
    assert (world.status(ordered), world.charged(ordered)) == ("deleted", 0)
    await world.calm()
    world.check()


async def test_every_offer_that_cannot_boot_it_is_tried_once(world: World, provider: Provider) -> None:
    provider.offers = [make.offer(name=str(number)) for number in range(9)]
    provider.boot_fails = True
    ordered = await world.order()
    await world.settle()
    made = [machine.offer for machine in provider.made_for(ordered.id)]
    assert (len(made), len(set(made))) == (instances.OFFERS_TRIED, instances.OFFERS_TRIED)
    assert world.now(ordered).status_reason == because("boot_failed", "The image does not boot.")
    await world.calm()
    world.check()


# Providers that this process does not have.


async def test_what_belongs_to_another_process_is_left_to_it(world: World, provider: Provider) -> None:
    ordered = await world.order()
    driver = world.loops.drivers.pop(provider.name)  # type: ignore[attr-defined]
    (report,) = await world.tick("provisioning")
    assert (report.done, report.wake_at, world.now(ordered).attempt) == (0, None, 0)
    world.loops.drivers[provider.name] = driver  # type: ignore[index]
    await world.settle()
    assert world.status(ordered) == "running"


async def test_what_exists_at_a_provider_of_nobody_waits_without_work(
    world: World, provider: Provider
) -> None:
    running = await world.running()
    world.turn(instances.ADRIFT_AFTER_S + 1)
    driver = world.loops.drivers.pop(provider.name)  # type: ignore[attr-defined]
    world.delete(running)
    reports = [await world.tick("provisioning") for _ in range(5)]
    assert sum(report.done for (report,) in reports) == 1
    world.loops.drivers[provider.name] = driver  # type: ignore[index]
    await world.settle()
    assert world.status(running) == "deleted"

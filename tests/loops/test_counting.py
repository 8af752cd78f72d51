"""What is counted of sessions as they come up, go elsewhere and end, under the names that operators know."""

import pytest

from berth.core import sessions
from berth.core.driver import Abilities, Market, NoCapacity
from berth.core.sessions import LaunchMode, Status
from tests import make
from tests.base.test_meters import samples
from tests.world import truth
from tests.world.provider import Provider
from tests.world.world import World


def counted(world: World, name: str) -> dict[tuple[str, ...], float]:
    """The samples of one measure that are not zero, by the values of its labels in the order of their names."""
    found = samples(world.loops.meters.text())
    return {key[1:]: value for key, value in found.items() if key[0] == name and value}


@pytest.fixture
def market(provider: Provider) -> Provider:
    provider.offers = [
        make.offer(name=str(number), price="1", free=1, market=Market("US", physical_host=f"host-{number}"))
        for number in range(3)
    ]
    return provider


async def test_a_session_that_runs_at_another_offer_is_counted_at_each_step(
    world: World, market: Provider
) -> None:
    await world.open_shop()
    market.breaks("create", NoCapacity("gone"))
    session = await world.session(offer_id="sandbox-0", auto_retry=True)
    await world.settle()
    assert world.seen(session).status is Status.RUNNING
    tried = {("sandbox", "no_capacity", "same_gpu"): 1}
    assert counted(world, "gpu_session_retry_attempts_total") == tried
    assert counted(world, "gpu_session_retry_successes_total") == {("sandbox", "same_gpu"): 1}
    assert counted(world, "gpu_session_retry_exhausted_total") == {}
    assert counted(world, "gpu_offer_failures_total") == {("stale_inventory", "H100", "sandbox"): 1}


async def test_one_that_finds_no_offer_any_more_is_counted_once(world: World, market: Provider) -> None:
    await world.open_shop()
    market.secretly_empty = {"0", "1", "2"}
    session = await world.session(offer_id="sandbox-0", auto_retry=True, max_retries=5)
    await world.settle()
    assert world.seen(session).status is Status.FAILED
    assert counted(world, "gpu_session_retry_exhausted_total") == {("sandbox", "same_gpu"): 1}
    assert sum(counted(world, "gpu_session_retry_attempts_total").values()) == 2
    assert counted(world, "gpu_session_retry_successes_total") == {}


async def test_each_offer_that_failed_is_noted_and_counted_once(world: World, market: Provider) -> None:
    await world.open_shop()
    market.ssh_s = None
    session = await world.session(offer_id="sandbox-0", auto_retry=True, max_retries=1, ssh_timeout_minutes=1)
    await world.settle()
    failed = world.seen(session)
    assert failed.status is Status.FAILED
    noted = truth.rows(world.db, "SELECT offer_id, kind FROM offer_failures")
    assert len(set(noted)) == len(noted) == len(failed.failed_offers) == 2
    assert counted(world, "gpu_offer_failures_total") == {("ssh_timeout", "H100", "sandbox"): 2}


async def test_logins_that_came_to_nothing_are_counted_by_why(world: World, provider: Provider) -> None:
    provider.lets_in = False
    await world.session()
    await world.settle()
    assert counted(world, "gpu_ssh_verify_errors_by_type_total")["refused", "sandbox"] == 3


async def test_a_server_of_its_own_is_no_login(world: World, provider: Provider) -> None:
    provider.abilities = Abilities(containers=True, templates=True)
    for is_healthy in (True, False):
        provider.is_healthy = is_healthy
        await world.session(
            workload_type="llm",
            launch_mode=LaunchMode.ENTRYPOINT,
            model_id="acme/llama-8b",
            consumer_id=str(is_healthy),
        )
        await world.settle()
    assert counted(world, "gpu_api_verify_duration_seconds_count") == {("sandbox",): 1}
    assert counted(world, "gpu_api_verify_failures_total") == {(): 1}
    assert counted(world, "gpu_ssh_verify_duration_seconds_count") == {}
    assert counted(world, "gpu_ssh_verify_failures_total") == {}


async def test_a_session_that_grew_too_old_is_counted_once(world: World) -> None:
    await world.running_session(reservation_hours=12)
    world.session_rules = sessions.Rules(hard_max_hours=1)
    world.crash()
    await world.live(3900, step_s=60)
    assert counted(world, "gpu_hard_max_enforced_total") == {(): 1}

"""Clusters through all loops: whole or not at all, and an exact bill."""

from dataclasses import replace
from itertools import count

import pytest

from berth.base.db import Database
from berth.core import billing, clusters, instances, volumes
from berth.core.billing import Limits, Period, Unit, rates
from berth.core.clusters import Cluster
from berth.core.errors import Conflict
from berth.core.instances import Contract, Extension
from berth.loops.world import Patience
from tests import clustering, make
from tests.conftest import FakeClock
from tests.loops.able import ABLE
from tests.world import truth
from tests.world.world import World

# As in the tests of kills: waiting makes few calls.
PATIENCE = Patience(retry_most_s=120)


def _world(db: Database, clock: FakeClock) -> World:
    return World(db, clock, clustering.provider(clock), patience=PATIENCE)


def _order(world: World, customer: make.Customer) -> Cluster:
    return clustering.ordered(world.db, customer.by, rules=world.rules)


def _charged(world: World, cluster: Cluster) -> list[int]:
    view = clustering.now(world.db, cluster)
    return [world.charged(member) for member in (view.jump_host, *view.workers)]


def _status(world: World, cluster: Cluster) -> str:
    return clustering.now(world.db, cluster).cluster.status.value


def _discontinue(world: World, customer: make.Customer, cluster: Cluster) -> None:
    world.act(clusters.discontinue, customer.by, cluster.id, world.rules)


async def test_a_cluster_runs_as_a_whole_and_ends_as_one_and_its_volume_stays(
    db: Database, clock: FakeClock
) -> None:
    world = _world(db, clock)
    customer = await world.customer("10000")
    cluster = _order(world, customer)
    assert cluster.status.value == "provisioning"
    await world.settle()
    view = clustering.now(db, cluster)
    assert view.cluster.status.value == "running"
    members = [view.jump_host, *view.workers]
    assert {member.first_running_at for member in members} == {view.cluster.first_running_at}
    assert [member.hostname for member in members] == ["trainer", "trainer-1", "trainer-2"]
    assert view.price == make.micros(clustering.PRICE)
    world.check()
    await world.live(700)
    _discontinue(world, customer, cluster)
    _discontinue(world, customer, cluster)
    await world.settle()
    assert _status(world, cluster) == "discontinued"
    assert _charged(world, cluster) == [0, *(rates.total(worker.price, 700) for worker in view.workers)]
    home = world.volume(view.volumes[0].id)
    assert home.status is volumes.Status.DETACHED
    assert truth.event_types(db, cluster.id) == [
        "cluster.ordered",
        "cluster.running",
        "cluster.deleting",
        "cluster.discontinued",
    ]
    await world.live(4000, step_s=1000)
    await world.calm()
    world.check()
    assert world.charged_for(home) > 0


async def test_nobody_pays_for_a_member_that_waits_for_the_others(db: Database, clock: FakeClock) -> None:
    world = _world(db, clock)
    customer = await world.customer("10000")
    cluster = _order(world, customer)
    late = clustering.now(db, cluster).workers[1]
    for _ in range(50):
        clock.advance(seconds=1)
        await world.tick("volumes", "provisioning")
        if world.provider.of(late.id):
            break
    for machine in world.provider.of(late.id):
        machine.answers_at = world.turned(300)
    await world.live(250)
    waiting = clustering.now(db, cluster)
    assert waiting.cluster.status.value == "provisioning"
    assert waiting.workers[0].ready_at is not None
    assert waiting.workers[0].status is instances.Status.PROVISIONING
    assert _charged(world, cluster) == [0, 0, 0]
    await world.live(200)
    assert _status(world, cluster) == "running"
    world.check()


@pytest.mark.parametrize("failing", [clustering.WORKER, clustering.JUMP_HOST])
@pytest.mark.parametrize("how", ["sold out", "boots nothing"])
async def test_a_cluster_of_which_a_member_fails_costs_nothing_and_leaves_nothing(
    db: Database, clock: FakeClock, failing: str, how: str
) -> None:
    world = _world(db, clock)
    customer = await world.customer("10000")
    offer = f"{failing}@FIN-03"
    (world.provider.secretly_empty if how == "sold out" else world.provider.bad_offers).add(offer)
    cluster = _order(world, customer)
    await world.settle()
    assert _status(world, cluster) == ("no_capacity" if how == "sold out" else "error")
    assert _charged(world, cluster) == [0, 0, 0]
    assert world.provider.alive() == []
    assert world.provider.disks == {}
    assert make.balance(db, customer.by).balance == make.micros("10000")
    await world.calm()
    world.check()
    _discontinue(world, customer, cluster)
    await world.settle()
    assert _status(world, cluster) == "discontinued"
    world.check()


async def test_a_cluster_that_is_given_up_before_it_runs_leaves_no_volume(
    db: Database, clock: FakeClock
) -> None:
    world = _world(db, clock)
    customer = await world.customer("10000")
    cluster = _order(world, customer)
    await world.tick("volumes", "provisioning")
    _discontinue(world, customer, cluster)
    await world.settle()
    assert _status(world, cluster) == "discontinued"
    assert world.provider.disks == {}
    await world.calm()
    world.check()


async def test_a_running_cluster_that_lost_a_worker_says_so_and_ends_when_its_owner_says(
    db: Database, clock: FakeClock
) -> None:
    world = _world(db, clock)
    customer = await world.customer("10000")
    cluster = _order(world, customer)
    await world.settle()
    await world.live(60)
    lost = clustering.now(db, cluster).workers[0]
    assert lost.handle is not None
    world.provider.crash(lost.handle)
    await world.live(600)
    view = clustering.now(db, cluster)
    assert view.cluster.status.value == "error"
    assert (view.cluster.status_reason or "").startswith("instance_lost")
    assert view.workers[1].status is instances.Status.RUNNING
    _discontinue(world, customer, cluster)
    await world.settle()
    assert _status(world, cluster) == "discontinued"
    await world.calm()
    world.check()


async def test_without_credit_a_cluster_stops_as_a_whole_and_comes_back_as_one(
    db: Database, clock: FakeClock
) -> None:
    world = _world(db, clock)
    customer = await world.customer("70")
    world.act(billing.set_limits, customer.by, Limits(auto_resume=True))
    cluster = _order(world, customer)
    await world.settle()
    await world.live(2 * 3600 + 1200, step_s=300)
    assert _status(world, cluster) == "offline"
    assert {member.status.value for member in _members(world, cluster)} == {"offline"}
    make.topup(db, customer.by, "500")
    await world.live(600)
    assert _status(world, cluster) == "running"
    await world.calm()
    world.check()


async def test_a_cluster_is_not_started_again_in_part(db: Database, clock: FakeClock) -> None:
    world = _world(db, clock)
    customer = await world.customer("70")
    world.act(billing.set_limits, customer.by, Limits(auto_resume=True))
    cluster = _order(world, customer)
    await world.settle()
    await world.live(2 * 3600 + 1200, step_s=300)
    assert _status(world, cluster) == "offline"
    other = make.project(db, credit="10000")
    for _ in range(3):
        make.ordered(
            db,
            other.by,
            instance_type=clustering.WORKER,
            location="FIN-03",
            ssh_key_ids=[make.ssh_key(db, other.by).id],
        )
    await world.settle()
    make.topup(db, customer.by, "500")
    await world.live(600)
    assert {member.status.value for member in _members(world, cluster)} == {"offline"}
    assert {member.status_reason for member in _members(world, cluster)} == {"no_capacity"}
    for member in _members(world, cluster):
        assert truth.event_types(db, member.id).count("instance.resume_failed") == 1
    assert world.free(f"{clustering.WORKER}@FIN-03") == 1
    world.check()


async def test_a_cluster_of_which_a_disk_is_being_copied_is_not_started_in_part(
    db: Database, clock: FakeClock
) -> None:
    world = _world(db, clock)
    world.provider.abilities = ABLE
    world.provider.copy_s = 10_000
    await world.open_shop()
    customer = await world.customer("10000")
    cluster = _order(world, customer)
    await world.settle()
    for member in _members(world, cluster):
        world.act(instances.cut_off, customer.id, member.id, world.rules, reason="insufficient_credits")
    await world.settle()
    disk = db.read_now(volumes.os_volume_of, _members(world, cluster)[2].id)
    assert disk is not None
    world.act(instances.clone_volume, customer.by, disk.id, name="copy", type="NVMe")
    world.act(instances.resume, customer.id, _members(world, cluster)[0].id)
    assert [member.wanted.value for member in _members(world, cluster)] == ["offline"] * 3
    assert world.free(f"{clustering.WORKER}@FIN-03") == 4


async def test_what_is_deleted_for_want_of_credit_takes_the_whole_cluster_along(
    db: Database, clock: FakeClock
) -> None:
    world = _world(db, clock)
    customer = await world.customer("10000")
    cluster = _order(world, customer)
    await world.settle()
    await world.live(30)
    member = clustering.now(db, cluster).workers[0]
    world.act(instances.cut_off, customer.id, member.id, world.rules, reason="insufficient_credits")
    await world.settle()
    assert _status(world, cluster) == "offline"
    world.act(instances.delete_offline, customer.id, member.id, world.rules, reason="insufficient_credits")
    await world.settle()
    assert _status(world, cluster) == "discontinued"
    await world.calm()
    world.check()


@pytest.mark.parametrize("is_early", [False, True])
async def test_a_cluster_ends_with_its_term_or_pays_what_was_taken_off(
    db: Database, clock: FakeClock, is_early: bool
) -> None:
    hour = Period("1_HOUR", "1 hour", Unit.HOUR, 1, 10)
    rules = replace(make.RULES, cluster_periods=(hour,))
    world = World(db, clock, clustering.provider(clock), patience=PATIENCE, rules=rules)
    customer = await world.customer("10000")
    cluster = clustering.ordered(
        db, customer.by, rules=rules, contract=Contract.LONG_TERM, extension=Extension.END_CONTRACT
    )
    await world.settle()
    await world.live(1800, step_s=300)
    prices = [member.price for member in _members(world, cluster)]
    assert prices == [0, 28_728_001, 28_728_000]
    if is_early:
        _discontinue(world, customer, cluster)
        await world.settle()
        assert _charged(world, cluster) == [0, 15_960_001, 15_960_000]
    else:
        await world.live(2400, step_s=300)
        await world.settle()
        reason = clustering.now(db, cluster).cluster.status_reason or ""
        assert reason.startswith("term_ended")
        begun = cluster.created_at
        ended = {member.status_changed_at for member in _members(world, cluster)}
        assert min(ended) >= begun + 3600 * 1_000_000
        assert truth.problems(db, world.providers, at_rest=False) == []
    assert _status(world, cluster) == "discontinued"


async def test_an_owner_cannot_stop_or_delete_a_member_alone(db: Database, clock: FakeClock) -> None:
    world = _world(db, clock)
    customer = await world.customer("10000")
    cluster = _order(world, customer)
    await world.settle()
    for member in _members(world, cluster):
        for action in instances.Action:
            with pytest.raises(Conflict) as refusal:
                world.act(instances.act, customer.by, member.id, action, world.rules)
            assert refusal.value.code == "cluster_member"
        with pytest.raises(Conflict):
            world.act(instances.detach_volume, customer.by, cluster.volume_ids[0], member.id)
    assert db.read_now(instances.list_page, customer.by, status=None, after=None, limit=10).rows == []
    assert _status(world, cluster) == "running"


@pytest.mark.parametrize("is_after", [False, True], ids=["before it takes effect", "before it is answered"])
@pytest.mark.parametrize("fails", [False, True], ids=["running", "failing"])
async def test_killed_at_any_call_a_cluster_is_whole_or_gone(
    db: Database, clock: FakeClock, is_after: bool, fails: bool
) -> None:
    world = _world(db, clock)
    customer = await world.customer("1000000")
    for call in count(1):
        world.provider.heals()
        if fails:
            world.provider.bad_offers.add(f"{clustering.WORKER}@FIN-03")
        deaths = world.deaths
        world.doomed(call, is_after=is_after)
        clock.advance(seconds=301)
        await world.open_shop()
        cluster = _order(world, customer)
        await world.settle()
        assert _status(world, cluster) == ("error" if fails else "running"), f"killed at call {call}"
        world.check(at_rest=False)
        _discontinue(world, customer, cluster)
        await world.settle()
        assert _status(world, cluster) == "discontinued"
        world.check(at_rest=False)
        if world.deaths == deaths:
            assert call > 12
            break
    await world.calm()
    world.check()
    assert world.provider.alive() == []


def _members(world: World, cluster: Cluster) -> list[instances.Instance]:
    view = clustering.now(world.db, cluster)
    return [view.jump_host, *view.workers]

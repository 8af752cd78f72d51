"""Instances without a row: ours alone are ended, what they cost is told, and a start looks for them everywhere first."""

import json
from dataclasses import replace

from structlog.typing import EventDict

from berth.base import ids
from berth.base.db import Database, connect
from berth.base.readiness import Readiness
from berth.core import instances
from berth.core.driver import Label, Power, Unreachable
from tests.conftest import Databases, FakeClock
from tests.world import truth
from tests.world.provider import Provider
from tests.world.world import World

PERIOD_S = 20


async def _observed(world: World, clock: FakeClock, times: int = 1) -> None:
    for _ in range(times):
        clock.advance(seconds=PERIOD_S)
        await world.tick("observation")


async def test_two_berths_with_one_account_never_touch_each_other(
    world: World, provider: Provider, clock: FakeClock, databases: Databases
) -> None:
    url = databases.migrated("sqlite")
    theirs = connect(url, clock)
    try:
        other = World(theirs, clock, provider, install_id=f"{world.install_id}0")
        ours, their = await world.running(), await other.running()
        lookalikes = [
            world.install_id[:-1],
            f"{world.install_id}x",
            f"a{world.install_id}",
            f"{world.install_id}A".upper(),
            "berth",
            "",
        ]
        for install_id in lookalikes:
            provider.plant(Label(install_id, ids.new(clock.now())))
        for _ in range(12):
            clock.advance(seconds=60)
            await world.tick("observation", "provisioning")
            await other.tick("observation", "provisioning")
        assert len(provider.alive()) == 2 + len(lookalikes)
        assert (world.status(ours), other.status(their)) == ("running", "running")
        world.delete(ours)
        await world.settle()
        assert other.status(their) == "running"
        assert len(provider.alive()) == 1 + len(lookalikes)
    finally:
        theirs.close()
        databases.drop(url)


async def test_an_id_in_other_capitals_is_another_installation_s(
    db: Database, provider: Provider, clock: FakeClock
) -> None:
    world = World(db, clock, provider, install_id="prod")
    await world.open_shop()
    provider.plant(Label("PROD", ids.new(clock.now())))
    provider.plant(Label("prod", ids.new(clock.now())))
    await _observed(world, clock, 20)
    assert [machine.label.install_id for machine in provider.alive() if machine.label] == ["PROD"]


async def test_a_volume_s_id_in_other_capitals_is_another_installation_s(
    db: Database, provider: Provider, clock: FakeClock
) -> None:
    world = World(db, clock, provider, install_id="prod")
    await world.open_shop()
    provider.plant_disk(Label("PROD", ids.new(clock.now())))
    provider.plant_disk(Label("prod", ids.new(clock.now())))
    for _ in range(20):
        clock.advance(seconds=PERIOD_S)
        await world.tick("volume_observation")
    assert [disk.label.install_id for disk in provider.disks.values() if disk.label] == ["PROD"]


async def test_an_orphan_that_is_not_ended_counts_among_what_its_provider_failed_to_end(
    world: World, provider: Provider, clock: FakeClock
) -> None:
    await world.open_shop()
    provider.plant(Label(world.install_id, ids.new(clock.now())))
    provider.breaks("destroy", Unreachable("no route"), times=2)
    await _observed(world, clock, 20)
    assert provider.alive() == []
    assert world.db.read_now(instances.destroy_failures) == {provider.name: 2}


async def test_a_listing_that_others_overtook_settles_nothing(
    world: World, provider: Provider, clock: FakeClock
) -> None:
    await world.open_shop()
    awake = World(world.db, clock, provider)
    world.fate.freeze("list_own answered")
    tick = world.begin("observation")
    await world.fate.frozen("list_own answered")
    provider.plant(Label(world.install_id, ids.new(clock.now())))
    clock.advance(seconds=PERIOD_S + world.patience.lease_s + 1)
    await awake.tick("observation")
    assert awake.db.read_now(instances.orphans_now)[0] == 1
    world.fate.thaw("list_own answered")
    await tick
    assert awake.db.read_now(instances.orphans_now)[0] == 1


async def test_what_an_orphan_cost_is_told_when_it_is_ended(
    world: World, provider: Provider, clock: FakeClock
) -> None:
    await world.open_shop()
    orphan = provider.plant(Label(world.install_id, ids.new(clock.now())))
    orphan.cost_per_hour = 1_234_567
    clock.advance(seconds=3600 - PERIOD_S)
    await _observed(world, clock)
    assert world.db.read_now(instances.orphans_now) == (1, 1_234_567)
    await _observed(world, clock, 20)
    assert provider.alive() == []
    statement = "SELECT data FROM events WHERE subject = :subject AND type = 'orphan.destroyed'"
    subject = f"orphan:{provider.name}:{orphan.handle}"
    [(text,)] = truth.rows(world.db, statement, subject=subject)
    data, seconds = json.loads(text), 3600 + 300
    assert data["cost_micros"] == (1_234_567 * seconds + 1800) // 3600
    assert data["began_at"] == orphan.made_at
    assert data["cost_micros_per_hour"] == 1_234_567
    assert world.db.read_now(instances.orphans_now) == (0, 0)
    counted = world.loops.meters.text().decode()
    assert "gpu_orphans_detected_total 1.0" in counted
    assert f'berth_orphans_destroyed_total{{provider="{provider.name}"}} 1.0' in counted
    assert f'berth_orphan_cost_usd_total{{provider="{provider.name}"}} 1.337448' in counted


async def test_an_orphan_of_a_row_costs_what_its_row_was_bought_for(
    world: World, provider: Provider, clock: FakeClock
) -> None:
    instance = await world.running()
    machine = provider.alive()[0]
    world.delete(instance)
    await world.settle()
    machine.power = Power.RUNNING
    provider.resurrect(machine)
    await _observed(world, clock)
    clock.advance(seconds=1800)
    assert world.db.read_now(instances.orphans_now) == (1, instance.cost // 2)


async def test_an_alert_says_that_an_orphan_s_end_keeps_failing(
    world: World, provider: Provider, clock: FakeClock, log: list[EventDict]
) -> None:
    await world.open_shop()
    orphan = provider.plant(Label(world.install_id, ids.new(clock.now())))
    provider.breaks("destroy", Unreachable("no route"), times=7)
    await _observed(world, clock, 30)
    subject = f"orphan:{provider.name}:{orphan.handle}"
    told = truth.event_types(world.db, subject)
    assert told == ["orphan.found", "orphan.destroy_failed", "orphan.destroy_failed", "orphan.destroyed"]
    levels = [entry["log_level"] for entry in log if entry["event"] == "orphan_not_destroyed"]
    assert levels == ["warning"] * 2 + ["error"] * 5


async def test_an_orphan_that_ended_by_itself_is_none_any_more(
    world: World, provider: Provider, clock: FakeClock
) -> None:
    await world.open_shop()
    orphan = provider.plant(Label(world.install_id, ids.new(clock.now())))
    await _observed(world, clock)
    provider.crash(orphan.handle)
    provider.is_partial = True
    await _observed(world, clock)
    assert world.db.read_now(instances.orphans_now)[0] == 1, "a partial listing proves nothing"
    provider.is_partial = False
    await _observed(world, clock)
    assert world.db.read_now(instances.orphans_now)[0] == 0


async def test_a_ghost_is_counted(world: World, provider: Provider, clock: FakeClock) -> None:
    instance = await world.running()
    await world.live(700)
    provider.crash(world.now(instance).handle or "")
    await _observed(world, clock, 2)
    counted = world.loops.meters.text().decode()
    assert "gpu_ghosts_detected_total 1.0" in counted
    assert "gpu_reconciliation_mismatches_total 2.0" in counted


async def test_a_start_is_ready_once_every_provider_was_listed_completely(
    db: Database, clock: FakeClock
) -> None:
    one, other = Provider(clock, "one"), Provider(clock, "other")
    world = World(db, clock, one, other)
    readiness = Readiness(["one", "other"], since=clock.now())
    world.loops = replace(world.loops, readiness=readiness)
    await world.open_shop()
    one.is_partial = True
    other.breaks("list_own", Unreachable("no route"))
    await _observed(world, clock)
    assert readiness.waits_for == {"one", "other"}
    await _observed(world, clock)
    assert readiness.waits_for == {"one"}
    one.is_partial = False
    await _observed(world, clock)
    assert readiness.is_ready


async def test_what_another_replica_has_looked_at_since_counts(
    world: World, provider: Provider, clock: FakeClock
) -> None:
    await world.open_shop()
    await _observed(world, clock)
    clock.advance(seconds=1)
    late = Readiness([provider.name], since=clock.now())
    mine = world.loops
    replica = replace(mine, readiness=late, holder="another")
    world.loops = replica
    await world.tick("observation")
    assert not late.is_ready, "that was before we began"
    world.loops = mine
    await _observed(world, clock)
    world.loops = replica
    await world.tick("observation")
    assert late.is_ready


async def test_a_replica_that_died_between_two_looks_is_replaced_in_a_minute(
    world: World, provider: Provider, clock: FakeClock
) -> None:
    await world.open_shop()
    await _observed(world, clock)
    late = Readiness([provider.name], since=clock.now() + 1)
    world.loops = replace(world.loops, readiness=late, holder="another")
    await _observed(world, clock, 2)
    assert not late.is_ready
    await _observed(world, clock)
    assert late.is_ready

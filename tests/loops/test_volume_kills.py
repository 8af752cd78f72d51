"""The control plane dies at every outside call of a volume's life, and of a deployment's with volumes.

Played again and again, killed one call later each time: no volume is doubled, lost, leaked, or charged after its end.
"""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from itertools import count

import pytest

from berth.base.db import Database
from berth.core import instances, volumes
from berth.core.volumes import Fate, NewVolume
from berth.loops.world import Patience
from tests import make
from tests.conftest import FakeClock
from tests.world.provider import Provider
from tests.world.world import World

Scenario = Callable[[World, make.Customer], Awaitable[None]]


async def _walk(world: World, customer: make.Customer) -> None:
    """Made, grown, attached and detached, trashed, restored, purged."""
    instance = await world.running(customer)
    made = world.act(instances.create_volume, customer.by, NewVolume("data", 100, "NVMe"), "FIN-01")
    await world.settle()
    world.act(instances.attach_volume, customer.by, made.id, instance.id)
    await world.settle()
    assert world.volume(made.id).status == "attached"
    world.act(volumes.resize, customer.by, made.id, 200)
    await world.settle()
    world.act(instances.detach_volume, customer.by, made.id)
    await world.settle()
    world.act(volumes.trash, customer.by, made.id)
    await world.settle()
    world.act(volumes.restore, customer.by, made.id)
    await world.live(1800, step_s=600)
    world.act(volumes.purge, customer.by, made.id)
    paid = world.charged_for(made)
    await world.settle()
    world.delete(instance)
    await world.settle()
    await world.live(7200, step_s=3600)
    seen = world.volume(made.id)
    assert seen.gone_at is not None
    assert seen.size_gb == 200
    assert world.charged_for(made) == paid > 0


async def _deploy(world: World, customer: make.Customer) -> None:
    """Booted with a new and an existing volume, and deleted, one of them with it."""
    old = world.act(instances.create_volume, customer.by, NewVolume("old", 10, "NVMe"), "FIN-01")
    await world.settle()
    wanted = [NewVolume("new", 20, "NVMe"), NewVolume("brief", 30, "NVMe", Fate.PURGE)]
    instance = await world.running(customer, volumes=wanted, existing_volumes=[old.id])
    assert len(instance.volume_ids) == 3
    assert {world.volume(each).status for each in instance.volume_ids} == {"attached"}
    world.delete(instance)
    await world.settle()
    by_name = {volume.name: volume for volume in map(world.volume, instance.volume_ids)}
    assert {name: volume.status.value for name, volume in by_name.items()} == {
        "old": "detached",
        "new": "detached",
        "brief": "deleted",
    }
    for name in ("old", "new"):
        world.act(volumes.purge, customer.by, by_name[name].id)
    await world.settle()


async def _moving(world: World, customer: make.Customer) -> None:
    """The first provider turns out empty: the order and its volume go to the other."""
    world.providers[0].secretly_empty.add("first")
    instance = await world.running(customer, volumes=[NewVolume("data", 20, "NVMe")])
    assert instance.provider == "other"
    assert world.volume(instance.volume_ids[0]).provider == "other"
    world.act(instances.delete, customer.by, instance.id, world.rules, delete_volumes=None)
    await world.settle()
    world.act(volumes.purge, customer.by, instance.volume_ids[0])
    await world.settle()


async def _failing(world: World, customer: make.Customer) -> None:
    """Nobody has room: the new volume ends unpaid, the existing one is free again."""
    for provider in world.providers:
        provider.secretly_empty.update(offer.provider_offer_id for offer in provider.offers)
    old = world.act(instances.create_volume, customer.by, NewVolume("old", 10, "NVMe"), "FIN-01")
    await world.settle()
    instance = await world.order(customer, volumes=[NewVolume("data", 20, "NVMe")], existing_volumes=[old.id])
    await world.settle()
    assert world.status(instance) == "failed_no_capacity"
    assert world.volume(old.id).status == "detached"
    new = next(world.volume(each) for each in instance.volume_ids if each != old.id)
    assert new.is_permanently_deleted
    assert world.charged_for(new) == 0
    world.act(volumes.purge, customer.by, old.id)
    await world.settle()


async def _hibernate(world: World, customer: make.Customer) -> None:
    """Deleted but for its boot disk, booted from that again, copied, and in the end gone with all that."""
    first = await world.running(customer)
    disk = world.db.read_now(volumes.os_volume_of, first.id)
    assert disk is not None
    world.act(instances.delete, customer.by, first.id, world.rules, os_volume=Fate.DETACH)
    await world.settle()
    assert world.volume(disk.id).status == "detached"
    copy = world.act(instances.clone_volume, customer.by, disk.id)
    await world.settle()
    assert world.volume(copy.id).status == "detached"
    again = await world.running(customer, image_slug=disk.id)
    assert world.volume(disk.id).os_of == again.id
    world.act(instances.delete, customer.by, again.id, world.rules, os_volume=Fate.TRASH)
    await world.settle()
    assert world.volume(disk.id).status == "deleted"
    assert not world.volume(disk.id).is_permanently_deleted
    last = await world.running(customer, image_slug=copy.id)
    world.delete(last)
    world.act(volumes.purge, customer.by, disk.id)
    await world.settle()
    assert world.volume(disk.id).gone_at is not None
    assert world.volume(copy.id).gone_at is not None


async def _boots_nothing(world: World, customer: make.Customer) -> None:
    """What was to boot from a disk comes to nothing: the disk is as it was."""
    first = await world.running(customer)
    disk = world.db.read_now(volumes.os_volume_of, first.id)
    assert disk is not None
    world.act(instances.delete, customer.by, first.id, world.rules, os_volume=Fate.DETACH)
    await world.settle()
    world.provider.boot_fails = True
    failed = await world.order(customer, image_slug=disk.id)
    await world.settle()
    world.provider.boot_fails = False
    assert world.status(failed) == "error"
    assert world.volume(disk.id).status == "detached"
    assert list(world.provider.disks) == [world.volume(disk.id).handle]
    world.act(volumes.purge, customer.by, disk.id)
    await world.settle()


SCENARIOS: dict[str, tuple[Scenario, int]] = {
    "walk": (_walk, 14),
    "deploy": (_deploy, 14),
    "moving": (_moving, 9),
    "failing": (_failing, 6),
    "hibernate": (_hibernate, 14),
    "boots nothing": (_boots_nothing, 8),
}
"""What is played, and how many calls it makes at least: a scenario that makes fewer tests nothing."""


@pytest.mark.parametrize("scenario", SCENARIOS)
@pytest.mark.parametrize("is_after", [False, True], ids=["before it takes effect", "before it is answered"])
@pytest.mark.parametrize("lag_s", [0, 40], ids=["at once", "listed late"])
async def test_killed_at_any_call_each_volume_is_there_once_and_paid_for_once(
    db: Database, clock: FakeClock, scenario: str, is_after: bool, lag_s: int, apart: int
) -> None:
    play, least_calls = SCENARIOS[scenario]
    world = _two_providers(db, clock, lag_s)
    customer = await world.customer("100000")
    for call in count(1, apart):
        for provider in world.providers:
            provider.heals()
        deaths = world.deaths
        world.doomed(call, is_after=is_after)
        clock.advance(seconds=301)
        await world.open_shop()
        await play(world, customer)
        world.check(at_rest=False)
        if world.deaths == deaths:
            assert call > least_calls
            break
    await world.calm()
    world.check()
    assert [provider.disks for provider in world.providers] == [{}, {}]


def _two_providers(db: Database, clock: FakeClock, lag_s: int) -> World:
    made = []
    for name, offer, price, stored in (
        ("sandbox", "first", "1.50", "0.2"),
        ("other", "second", "1.71", "0.3"),
    ):
        provider = Provider(clock, name, [make.offer(name=offer, price=price)], listing_lag_s=lag_s)
        provider.abilities = replace(
            provider.abilities, appears_within_s=lag_s, keeps_disks=True, clones_volumes=True
        )
        provider.volume_types = [make.volume_type(price=stored)]
        made.append(provider)
    return World(db, clock, *made, patience=Patience(retry_most_s=120))

"""Changes of volumes whose answer is lost: what is refused the second time may have been done the first."""

import pytest

from berth.core import instances, volumes
from berth.core.driver import NoCapacity, OutcomeUnknown, Refused
from berth.core.instances import Instance
from berth.core.volumes import NewVolume, Volume
from tests import make
from tests.world import truth
from tests.world.world import World


async def half_resized(world: World, customer: make.Customer) -> Volume:
    """One of 100 GB that has grown to 200, and nobody was told."""
    volume = world.act(instances.create_volume, customer.by, NewVolume("data", 100, "NVMe"), "FIN-01", ())
    await world.settle()
    world.act(volumes.resize, customer.by, volume.id, 200)
    world.provider.breaks("resize_volume", OutcomeUnknown("lost"), after=True)
    await world.tick("volumes")
    seen = now(world, volume)
    assert (seen.size_gb, seen.wanted_size_gb) == (100, 200)
    assert disk_gb(world, volume) == 200
    return seen


def now(world: World, volume: Volume) -> Volume:
    return make.volume_now(world.db, volume)


def disk_gb(world: World, volume: Volume) -> int:
    (disk,) = world.provider.disks_of(volume.id)
    return disk.size_gb


@pytest.mark.parametrize("error", [Refused("no"), NoCapacity("no")], ids=["refused", "full"])
async def test_what_is_refused_the_second_time_had_grown_the_first(world: World, error: Exception) -> None:
    customer = await world.customer()
    volume = await half_resized(world, customer)
    world.provider.breaks("resize_volume", error)
    await world.settle()
    seen = now(world, volume)
    assert (seen.size_gb, seen.wanted_size_gb, seen.status_reason) == (200, 200, None)
    assert truth.event_types(world.db, volume.id)[-1] == "volume.resized"
    world.check()


async def test_a_wish_for_more_is_refused_and_what_grew_before_it_is_kept(world: World) -> None:
    customer = await world.customer()
    volume = await half_resized(world, customer)
    world.act(volumes.resize, customer.by, volume.id, 300)
    world.provider.breaks("resize_volume", Refused("no", reason="Not today."), times=2)
    await world.settle()
    seen = now(world, volume)
    assert (seen.size_gb, seen.wanted_size_gb) == (200, 200)
    assert seen.status_reason == "resize_refused: Not today."
    world.check()


async def test_a_volume_that_cannot_be_found_for_a_while_still_has_what_it_grew_to(world: World) -> None:
    customer = await world.customer()
    volume = await half_resized(world, customer)
    disk = world.provider.lose_disk(volume.handle or "")
    await world.live(20)
    assert now(world, volume).status_reason is None
    world.provider.disks[disk.handle] = disk
    await world.live(120)
    assert now(world, volume).size_gb == 200
    world.check()


async def test_the_trash_keeps_what_has_grown_meanwhile(world: World) -> None:
    customer = await world.customer()
    volume = await half_resized(world, customer)
    world.act(volumes.trash, customer.by, volume.id)
    charged = world.charged_for(volume)
    await world.live(300)
    seen = now(world, volume)
    assert (seen.status, seen.size_gb) == ("deleted", 200)
    assert world.charged_for(volume) == charged
    world.act(volumes.restore, customer.by, volume.id)
    await world.settle()
    seen = now(world, volume)
    assert (seen.status, seen.size_gb, seen.wanted_size_gb) == ("detached", 200, 200)
    world.check()
    world.act(volumes.purge, customer.by, volume.id)
    await world.settle()
    assert world.provider.disks == {}


async def test_what_is_deleted_says_nothing_of_a_growth_that_is_refused(world: World) -> None:
    customer = await world.customer()
    volume = world.act(instances.create_volume, customer.by, NewVolume("data", 100, "NVMe"), "FIN-01", ())
    await world.settle()
    world.act(volumes.resize, customer.by, volume.id, 200)
    world.act(volumes.trash, customer.by, volume.id)
    world.provider.breaks("resize_volume", Refused("no"))
    await world.settle()
    seen = now(world, volume)
    assert (seen.status_reason, seen.size_gb, seen.wanted_size_gb) == (None, 100, 100)
    assert seen.due_at == seen.purge_at
    assert truth.event_types(world.db, volume.id)[-1] == "volume.deleted"


async def on_its_way(world: World, customer: make.Customer, verb: str) -> tuple[Volume, Instance]:
    """A volume that was attached to an instance, or detached again, and nobody was told."""
    instance = await world.running(customer)
    volume = world.act(instances.create_volume, customer.by, NewVolume("data", 100, "NVMe"), "FIN-01", ())
    await world.settle()
    world.act(instances.attach_volume, customer.by, volume.id, instance.id)
    if verb == "detach_volume":
        await world.settle()
        world.act(instances.detach_volume, customer.by, volume.id)
    world.provider.breaks(verb, OutcomeUnknown("lost"), after=True)
    await world.tick("volumes")
    return now(world, volume), world.now(instance)


@pytest.mark.parametrize("verb", ["attach_volume", "detach_volume"])
async def test_what_is_refused_the_second_time_had_moved_the_first(world: World, verb: str) -> None:
    customer = await world.customer()
    volume, instance = await on_its_way(world, customer, verb)
    world.provider.breaks(verb, Refused("it is so already"))
    await world.settle()
    seen = now(world, volume)
    is_attached = verb == "attach_volume"
    assert (seen.status, seen.status_reason) == ("attached" if is_attached else "detached", None)
    assert world.now(instance).volume_ids == ((volume.id,) if is_attached else ())
    world.check()


@pytest.mark.parametrize("verb", ["attach_volume", "detach_volume"])
async def test_a_move_of_what_cannot_be_found_for_a_while_is_asked_for_again(world: World, verb: str) -> None:
    customer = await world.customer()
    volume, _ = await on_its_way(world, customer, verb)
    disk = world.provider.disks.pop(volume.handle or "")
    await world.live(20)
    assert now(world, volume).status_reason is None
    world.provider.disks[disk.handle] = disk
    await world.live(120)
    assert now(world, volume).status == ("attached" if verb == "attach_volume" else "detached")
    world.check()

"""Volumes through all loops: made once, attached where wanted, grown, kept when deployments end, purged once."""

from berth.base.clock import HOUR
from berth.core import instances, volumes
from berth.core.volumes import NewVolume, Volume
from tests import make
from tests.world import truth
from tests.world.world import World


async def created(
    world: World, customer: make.Customer, *hosts: str, name: str = "data", size_gb: int = 100
) -> Volume:
    volume = world.act(
        instances.create_volume, customer.by, NewVolume(name, size_gb, "NVMe"), "FIN-01", hosts
    )
    await world.settle()
    return now(world, volume)


def now(world: World, volume: Volume) -> Volume:
    return make.volume_now(world.db, volume)


async def test_a_volume_is_made_attached_grown_detached_trashed_restored_and_purged(world: World) -> None:
    customer = await world.customer()
    instance = await world.running(customer)
    volume = await created(world, customer)
    assert volume.status == "detached"
    assert len(world.provider.disks_of(volume.id)) == 1

    world.act(instances.attach_volume, customer.by, volume.id, instance.id)
    assert now(world, volume).status == "attaching"
    await world.settle()
    assert now(world, volume).status == "attached"
    assert world.now(instance).volume_ids == (volume.id,)
    disk = world.provider.disks_of(volume.id)[0]
    assert disk.attached_to == {world.now(instance).handle}

    world.act(volumes.resize, customer.by, volume.id, 250)
    assert now(world, volume).size_gb == 100
    await world.settle()
    assert now(world, volume).size_gb == disk.size_gb == 250

    world.act(instances.detach_volume, customer.by, volume.id)
    assert volumes.pending(now(world, volume)) == "detach"
    await world.settle()
    assert now(world, volume).status == "detached"
    assert world.now(instance).volume_ids == ()
    assert disk.attached_to == set()

    trashed = world.act(volumes.trash, customer.by, volume.id)
    assert trashed.status == "deleted"
    assert trashed.purge_at == world.clock.now() + 96 * HOUR
    await world.live(600, step_s=100)
    assert world.provider.disks_of(volume.id) == [disk]
    world.act(volumes.restore, customer.by, volume.id)
    await world.settle()
    assert now(world, volume).status == "detached"

    world.act(volumes.purge, customer.by, volume.id)
    await world.settle()
    gone = now(world, volume)
    assert gone.is_permanently_deleted
    assert gone.gone_at is not None
    assert world.provider.disks == {}
    assert truth.event_types(world.db, volume.id) == [
        "volume.ordered",
        "volume.created",
        "volume.attach_wanted",
        "volume.attached",
        "volume.resize_wanted",
        "volume.resized",
        "volume.detach_wanted",
        "volume.detached",
        "volume.deleted",
        "volume.restored",
        "volume.deleted",
        "volume.purged",
    ]

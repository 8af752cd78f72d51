"""Copies of volumes through all loops: whole or not there at all, and paid for from when they are whole."""

import pytest

from berth.core import instances, volumes
from berth.core.driver import Refused
from berth.core.errors import Conflict, Invalid, NotFound
from berth.core.volumes import NewVolume
from tests.loops.able import disk_of
from tests.world import truth
from tests.world.world import World


async def test_a_copy_is_ordered_made_and_paid_for_from_when_it_is_whole(able: World) -> None:
    customer = await able.customer()
    data = able.act(instances.create_volume, customer.by, NewVolume("data", 100, "NVMe"), "FIN-01")
    await able.settle()
    able.provider.copy_s = 1200
    copy = able.act(instances.clone_volume, customer.by, data.id)
    assert (copy.name, copy.size_gb, copy.type, copy.status) == ("CLONE-data", 100, "NVMe", "cloning")
    for refused in (volumes.purge, volumes.trash):
        with pytest.raises(Conflict):
            able.act(refused, customer.by, data.id)
    await able.live(600, step_s=60)
    assert able.volume(copy.id).status == "cloning"
    assert able.charged_for(copy) == 0
    await able.live(1300, step_s=60)
    assert able.volume(copy.id).status == "detached"
    await able.live(3700, step_s=600)
    assert 0 < able.charged_for(copy) < able.charged_for(data)
    assert able.provider.disks_of(copy.id)[0].copied_from == able.volume(data.id).handle
    able.act(volumes.purge, customer.by, data.id)
    await able.settle()
    able.check()


async def test_a_boot_disk_s_copy_is_booted_from(able: World) -> None:
    customer = await able.customer()
    instance = await able.running(customer)
    disk = disk_of(able, instance)
    with pytest.raises(Conflict) as running:
        able.act(instances.clone_volume, customer.by, disk.id)
    assert running.value.code == "invalid_state"
    able.act(instances.stop, customer.by, instance.id)
    await able.settle()
    able.provider.copy_s = 300
    copy = able.act(instances.clone_volume, customer.by, disk.id, name="golden")
    with pytest.raises(Conflict):
        able.act(instances.start, customer.by, instance.id)
    await able.settle()
    assert (able.volume(copy.id).status, copy.is_os_volume) == ("detached", True)
    able.act(instances.start, customer.by, instance.id)
    await able.settle()
    again = await able.running(customer, image_slug=copy.id, hostname="again")
    assert disk_of(able, again).id == copy.id
    able.check()


@pytest.mark.parametrize("how", ["refused", "given up", "source lost"])
async def test_a_copy_that_fails_says_so_and_costs_nothing(able: World, how: str) -> None:
    customer = await able.customer()
    data = able.act(instances.create_volume, customer.by, NewVolume("data", 100, "NVMe"), "FIN-01")
    await able.settle()
    handle = able.volume(data.id).handle or ""
    able.provider.copy_s = 100_000
    if how == "refused":
        able.provider.breaks("create_volume", Refused("no", reason="No room."))
    copy = able.act(instances.clone_volume, customer.by, data.id)
    if how == "source lost":
        able.provider.lose_disk(handle)
    else:
        await able.live(60)
    if how == "given up":
        able.provider.lose_disk(able.volume(copy.id).handle or "")
    await able.live(7200, step_s=300)
    seen = able.volume(copy.id)
    assert seen.is_permanently_deleted
    assert seen.gone_at is not None
    assert seen.status_reason is not None
    assert able.charged_for(copy) == 0
    assert able.provider.disks_of(copy.id) == []
    able.check()


async def test_a_copy_is_cancelled_for_good_and_twice_is_once(able: World) -> None:
    customer = await able.customer()
    data = able.act(instances.create_volume, customer.by, NewVolume("data", 100, "NVMe"), "FIN-01")
    await able.settle()
    able.provider.copy_s = 100_000
    copy = able.act(instances.clone_volume, customer.by, data.id)
    await able.live(60)
    for _ in range(2):
        able.act(volumes.cancel_clone, customer.by, copy.id)
    await able.settle()
    seen = able.volume(copy.id)
    assert seen.status_reason == "clone_cancelled: The copy was cancelled."
    assert seen.gone_at is not None
    assert able.provider.disks_of(copy.id) == []
    assert able.charged_for(copy) == 0
    with pytest.raises(Conflict):
        able.act(volumes.cancel_clone, customer.by, data.id)
    able.act(volumes.purge, customer.by, data.id)
    await able.settle()
    assert truth.event_types(able.db, copy.id)[-2:] == ["volume.deleted", "volume.purged"]
    able.check()


async def test_what_cannot_be_copied_is_refused(world: World, able: World) -> None:
    customer = await able.customer()
    data = able.act(instances.create_volume, customer.by, NewVolume("data", 100, "NVMe"), "FIN-01")
    with pytest.raises(Conflict):  # it is not there yet
        able.act(instances.clone_volume, customer.by, data.id)
    await able.settle()
    for members, error in (
        ({"name": "not a name"}, Invalid),
        ({"type": "Tape"}, Invalid),
    ):
        with pytest.raises(error):
            able.act(instances.clone_volume, customer.by, data.id, **members)
    with pytest.raises(NotFound):
        able.act(instances.clone_volume, (await able.customer()).by, data.id)


async def test_where_volumes_are_not_copied_a_copy_is_refused(world: World) -> None:
    customer = await world.customer()
    data = world.act(instances.create_volume, customer.by, NewVolume("data", 100, "NVMe"), "FIN-01")
    await world.settle()
    with pytest.raises(Conflict) as refusal:
        world.act(instances.clone_volume, customer.by, data.id)
    assert refusal.value.code == "not_supported"

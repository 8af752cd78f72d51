"""Boot disks and copies through all loops: kept or ended as was asked, booted from, paid for once, lost never."""

from dataclasses import replace
from typing import Any

import pytest

from berth.base.db import Database, Tx
from berth.core import instances, volumes
from berth.core.driver import Label, NoCapacity, OutcomeUnknown, Refused
from berth.core.errors import Conflict, Invalid, NotFound
from berth.core.instances import Instance, because, service
from berth.core.volumes import Fate, NewVolume, Volume
from tests import make
from tests.conftest import FakeClock
from tests.loops.able import ABLE, disk_of
from tests.world.provider import Provider
from tests.world.world import World


def delete(world: World, customer: make.Customer, instance: Instance, **members: Any) -> None:
    world.act(instances.delete, customer.by, instance.id, world.rules, **members)


async def detached(world: World, customer: make.Customer, **members: object) -> Volume:
    """The boot disk that a deleted deployment left."""
    instance = await world.running(customer, **members)
    disk = disk_of(world, instance)
    delete(world, customer, instance, os_volume=Fate.DETACH)
    await world.settle()
    return world.volume(disk.id)


async def test_a_detached_boot_disk_is_a_volume_that_costs_from_then_on(able: World) -> None:
    customer = await able.customer()
    instance = await able.running(customer)
    disk = disk_of(able, instance)
    assert disk.handle == able.provider.of(instance.id)[0].handle + "-root"
    await able.live(3600, step_s=900)
    assert able.charged_for(disk) == 0
    delete(able, customer, instance, os_volume=Fate.DETACH)
    assert able.volume(disk.id).instance_ids == (instance.id,)
    await able.settle()
    kept = able.volume(disk.id)
    assert (kept.status, kept.is_os_volume, kept.instance_ids) == ("detached", True, ())
    assert [each.label for each in able.provider.disks.values()] == [disk.label(able.install_id)]
    assert able.status(instance) == "deleted"
    await able.live(7300, step_s=900)
    able.check()
    able.act(volumes.purge, customer.by, disk.id)
    await able.settle()
    assert able.provider.disks == {}
    charged = able.charged_for(disk)
    # 50 GB at 0.2 dollars for a month of 730 hours, for 7300 seconds.
    assert abs(charged - 50 * 200_000 * 7300 // (730 * 3600)) <= 1
    await able.live(7200, step_s=900)
    assert able.charged_for(disk) == charged


async def test_a_boot_disk_in_the_trash_costs_nothing_and_is_restored_or_purged_in_time(able: World) -> None:
    customer = await able.customer()
    instance = await able.running(customer)
    disk = disk_of(able, instance)
    delete(able, customer, instance, os_volume=Fate.TRASH)
    await able.settle()
    trashed = able.volume(disk.id)
    assert (trashed.status, trashed.is_permanently_deleted) == ("deleted", False)
    await able.live(20 * 3600, step_s=3600)
    assert able.charged_for(disk) == 0
    able.act(volumes.restore, customer.by, disk.id)
    await able.live(3700, step_s=600)
    assert able.volume(disk.id).status == "detached"
    able.act(volumes.trash, customer.by, disk.id)
    assert able.charged_for(disk) > 0
    await able.live(97 * 3600, step_s=3600)
    assert able.volume(disk.id).is_permanently_deleted
    assert able.provider.disks == {}
    able.check()


async def test_a_boot_disk_ends_with_its_deployment_unless_asked_otherwise(able: World) -> None:
    customer = await able.customer()
    instance = await able.running(customer)
    disk = disk_of(able, instance)
    able.delete(instance)
    await able.settle()
    assert able.volume(disk.id).is_permanently_deleted
    assert able.provider.disks == {}
    able.check()


async def test_where_disks_are_not_kept_a_detach_is_refused_and_the_trash_is_the_end(world: World) -> None:
    customer = await world.customer()
    instance = await world.running(customer)
    disk = disk_of(world, instance)
    with pytest.raises(Conflict) as refusal:
        delete(world, customer, instance, os_volume=Fate.DETACH)
    assert refusal.value.code == "not_supported"
    assert world.status(instance) == "running"
    delete(world, customer, instance, os_volume=Fate.TRASH)
    await world.settle()
    assert world.volume(disk.id).is_permanently_deleted
    world.check()


async def test_a_disk_that_nobody_sells_storage_for_is_not_kept_unpaid(
    db: Database, clock: FakeClock
) -> None:
    provider = Provider(clock, abilities=ABLE, volume_types=[make.volume_type("HDD")])
    world = World(db, clock, provider)
    customer = await world.customer()
    instance = await world.running(customer)
    with pytest.raises(Conflict):
        delete(world, customer, instance, os_volume=Fate.DETACH)
    assert world.status(instance) == "running"


async def test_a_deployment_boots_from_a_detached_disk_and_pays_for_it(able: World) -> None:
    customer = await able.customer()
    disk = await detached(able, customer, os_volume_gb=80, os_volume_name="mine")
    await able.live(1800, step_s=600)
    instance = await able.order(customer, image_slug=disk.id)
    assert (instance.image, instance.image_slug, instance.os_volume_gb) == (disk.id, "ubuntu-24.04", 80)
    assert able.volume(disk.id).status == "attaching"
    charged = able.charged_for(disk)
    assert charged > 0
    await able.settle()
    assert able.status(instance) == "running"
    booted = able.volume(disk.id)
    assert (booted.status, booted.os_of) == ("attached", instance.id)
    machine = able.provider.of(instance.id)[0]
    assert machine.disk is not None
    assert machine.disk.handle == disk.handle
    await able.live(7200, step_s=900)
    assert able.charged_for(disk) == charged
    with pytest.raises(Conflict) as refusal:
        able.act(volumes.purge, customer.by, disk.id)
    assert refusal.value.code == "in_use"
    delete(able, customer, instance, os_volume=Fate.DETACH)
    await able.settle()
    assert able.volume(disk.id).status == "detached"
    assert list(able.provider.disks) == [disk.handle]
    able.check()


async def test_a_disk_that_was_booted_from_ends_for_good_when_that_is_asked(able: World) -> None:
    customer = await able.customer()
    disk = await detached(able, customer)
    instance = await able.running(customer, image_slug=disk.id)
    able.delete(instance)
    await able.settle()
    assert able.volume(disk.id).is_permanently_deleted
    assert able.provider.disks == {}
    able.check()


@pytest.mark.parametrize("reason", ["sold out", "refused", "boot fails", "cancelled"])
async def test_a_disk_is_unharmed_when_what_was_to_boot_from_it_comes_to_nothing(
    able: World, reason: str
) -> None:
    customer = await able.customer()
    disk = await detached(able, customer)
    if reason == "sold out":
        able.provider.breaks("create", NoCapacity("sold out"))
    if reason == "refused":
        able.provider.breaks("create", Refused("no"))
    able.provider.boot_fails = reason == "boot fails"
    if reason == "cancelled":
        able.provider.boot_s = 300
    instance = await able.order(customer, image_slug=disk.id)
    if reason == "cancelled":
        await able.live(60)
        able.delete(instance)
    await able.settle()
    assert able.status(instance) in {"failed_no_capacity", "error", "deleted"}
    assert able.volume(disk.id).status == "detached"
    assert list(able.provider.disks) == [disk.handle]
    able.provider.heals()
    charged = able.charged_for(disk)
    await able.live(7200, step_s=900)
    assert able.charged_for(disk) > charged
    assert able.volume(disk.id).status == "detached"
    able.check()


async def test_what_cannot_be_booted_from_is_refused_in_words(able: World) -> None:
    customer = await able.customer()
    other = await able.customer()
    disk = await detached(able, customer)
    data = able.act(instances.create_volume, customer.by, NewVolume("data", 10, "NVMe"), "FIN-01")
    await able.settle()
    for members in (
        {"image_slug": data.id},
        {"image_slug": disk.id, "os_volume_gb": 60},
        {"image_slug": disk.id, "os_volume_name": "new"},
    ):
        with pytest.raises(NotFound) as missing:
            await able.order(customer, **members)
        assert (missing.value.code, missing.value.message) == (
            "os_volume_not_found",
            "Operating system or volume not found",
        )
    with pytest.raises(Invalid):
        await able.order(other, image_slug=disk.id)
    with pytest.raises(Invalid):
        await able.order(customer, image_slug=disk.id, existing_volumes=[disk.id])
    with pytest.raises(Conflict):
        await able.order(customer, existing_volumes=[disk.id])
    instance = await able.running(customer)
    with pytest.raises(Conflict):
        able.act(instances.attach_volume, customer.by, disk.id, instance.id)
    await able.running(customer, image_slug=disk.id, hostname="first")
    with pytest.raises(Conflict) as taken:
        await able.order(customer, image_slug=disk.id, hostname="second")
    assert taken.value.code == "in_use"


async def test_a_disk_boots_only_where_it_is_and_what_its_image_fits(db: Database, clock: FakeClock) -> None:
    only_h100 = [make.image(gpu_models=["H100"])]
    first = Provider(clock, "first", [make.offer(name="first", price="1.60")], only_h100, abilities=ABLE)
    plain = make.offer("CPU.4V.16G", name="cpu", gpu_model=None, gpu_count=0)
    other = Provider(clock, "other", [make.offer(name="second", price="1.70"), plain], only_h100)
    first.offers.append(replace(plain, provider_offer_id="cpu1"))
    world = World(db, clock, first, other)
    customer = await world.customer()
    disk = await detached(world, customer)
    assert disk.provider == "first"
    with pytest.raises(Invalid) as wrong:
        await world.order(customer, image_slug=disk.id, instance_type="CPU.4V.16G")
    assert wrong.value.code == "image_incompatible"
    # The image is withdrawn: what was made from it still boots.
    first.images = []
    await world.open_shop()
    first.breaks("create", NoCapacity("sold out"))
    bound = await world.order(customer, image_slug=disk.id)
    await world.settle()
    assert world.status(bound) == "failed_no_capacity"
    await world.live(700, step_s=100)
    assert (await world.running(customer, image_slug=disk.id)).provider == "first"
    world.check()


async def test_a_new_boot_disk_follows_its_order_to_another_provider(db: Database, clock: FakeClock) -> None:
    first = Provider(clock, "first", [make.offer(name="first", price="1.50")], abilities=ABLE)
    other = Provider(clock, "other", [make.offer(name="second", price="1.60")], abilities=ABLE)
    world = World(db, clock, first, other)
    customer = await world.customer()
    first.secretly_empty.add("first")
    instance = await world.running(customer)
    disk = disk_of(world, instance)
    assert (disk.provider, disk.handle) == ("other", f"{instance.handle}-root")
    delete(world, customer, instance, os_volume=Fate.DETACH)
    await world.settle()
    assert list(other.disks) == [disk.handle]
    await world.live(1200, step_s=100)
    assert world.volume(disk.id).status == "detached"


@pytest.mark.parametrize("fate", list(Fate))
async def test_an_eviction_does_to_each_volume_what_was_set_for_it(able: World, fate: Fate) -> None:
    customer = await able.customer()
    wanted = [NewVolume("data", 10, "NVMe", Fate.DETACH, fate)]
    instance = await able.running(customer, volumes=wanted, os_volume_eviction_fate=fate)
    disk = disk_of(able, instance)

    def evict(tx: Tx) -> None:
        current = service.locked(tx, customer.by, instance.id)
        service.end(tx, customer.by, current, able.rules, is_eviction=True, reason=because("evicted"))

    able.act(evict)
    await able.settle()
    for volume_id in (instance.volume_ids[0], disk.id):
        seen = able.volume(volume_id)
        assert seen.status == ("detached" if fate is Fate.DETACH else "deleted")
        assert seen.is_permanently_deleted == (fate is Fate.PURGE)
    assert len(able.provider.disks) == (0 if fate is Fate.PURGE else 2)
    able.check()


async def test_volumes_named_in_a_delete_end_for_good_when_that_is_asked(able: World) -> None:
    customer = await able.customer()
    instance = await able.running(
        customer, volumes=[NewVolume("one", 10, "NVMe"), NewVolume("two", 10, "NVMe")]
    )
    by_name = {able.volume(each).name: each for each in instance.volume_ids}
    delete(
        able,
        customer,
        instance,
        delete_volumes=[by_name["one"]],
        is_permanent=True,
        os_volume=Fate.DETACH,
    )
    await able.settle()
    assert able.volume(by_name["one"]).is_permanently_deleted
    assert able.volume(by_name["two"]).status == "detached"
    able.check()


async def test_a_deployment_that_vanishes_leaves_its_disk_if_that_is_still_there(able: World) -> None:
    customer = await able.customer()
    for survives in (True, False):
        instance = await able.running(customer, hostname=f"survives-{survives}")
        disk = disk_of(able, instance)
        await able.live(200)
        machine = able.provider.of(instance.id)[0]
        able.provider.crash(machine.handle)
        if survives:
            assert machine.disk is not None
            machine.disk.attached_to.clear()
            able.provider.disks[machine.disk.handle] = machine.disk
        await able.live(600, step_s=20)
        assert able.status(instance) == "error"
        seen = able.volume(disk.id)
        assert seen.status == ("detached" if survives else "deleted")
        if not survives:
            assert seen.status_reason == "volume_lost: The provider no longer has this volume."
        await able.live(3600, step_s=600)
        able.check()


async def test_clearing_up_after_a_ghost_leaves_the_disk_that_is_somebody_s(able: World) -> None:
    customer = await able.customer()
    instance = await able.running(customer)
    disk = disk_of(able, instance)
    machine = able.provider.of(instance.id)[0]
    delete(able, customer, instance, os_volume=Fate.DETACH)
    await able.settle()
    able.provider.resurrect(machine)
    able.provider.power_on(machine.handle)
    await able.live(1200, step_s=60)
    assert able.provider.of(instance.id) == []
    assert list(able.provider.disks) == [disk.handle]
    assert able.volume(disk.id).status == "detached"


@pytest.mark.parametrize("is_after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("verb", ["create", "destroy", "create_volume"])
async def test_a_lost_answer_about_a_disk_loses_and_doubles_nothing(
    able: World, verb: str, is_after: bool
) -> None:
    customer = await able.customer()
    able.provider.breaks(verb, OutcomeUnknown("x"), after=is_after, times=2)
    disk = await detached(able, customer)
    copy = able.act(instances.clone_volume, customer.by, disk.id)
    await able.settle()
    instance = await able.running(customer, image_slug=copy.id)
    delete(able, customer, instance, os_volume=Fate.DETACH)
    await able.settle()
    assert {each.handle for each in able.provider.disks.values()} == {
        able.volume(each).handle for each in (disk.id, copy.id)
    }
    able.check()


async def test_volumes_are_mounted_where_the_order_and_the_attach_say(able: World) -> None:
    customer = await able.customer()
    shared = able.act(instances.create_volume, customer.by, NewVolume("data", 10, "NVMe"), "FIN-01")
    await able.settle()
    instance = await able.running(
        customer,
        volumes=[NewVolume("new", 10, "NVMe", mount_path="/srv/new")],
        existing_volumes=[shared.id],
        mount_paths={shared.id: "/home"},
    )
    paths = {able.volume(each).name: able.volume(each).attachments[0].path for each in instance.volume_ids}
    assert paths == {"new": "/srv/new", "data": "/home"}
    order = able.db.read_now(instances.create_order, instance, install_id=able.install_id)
    assert {mount.path for mount in order.mounts} == {"/srv/new", "/home"}
    other = able.act(instances.create_volume, customer.by, NewVolume("other", 10, "NVMe"), "FIN-01")
    await able.settle()
    for path in ("/home", "/etc", "/home/..", "relative"):
        with pytest.raises(Invalid):
            able.act(instances.attach_volume, customer.by, other.id, instance.id, mount_path=path)
    able.act(instances.attach_volume, customer.by, other.id, instance.id, mount_path="/mnt/elsewhere")
    assert able.volume(other.id).attachments[0].path == "/mnt/elsewhere"
    with pytest.raises(Invalid):
        await able.order(
            customer, volumes=[NewVolume(name, 10, "NVMe", mount_path="/home") for name in ("a", "b")]
        )


async def test_a_disk_without_a_row_is_an_orphan_and_a_live_one_s_is_not(able: World) -> None:
    customer = await able.customer()
    disk = await detached(able, customer)
    ghost = able.provider.plant_disk(Label(able.install_id, "01ARZ3NDEKTSV4RRFFQ69G5FAV"))
    await able.live(1200, step_s=100)
    assert ghost.handle not in able.provider.disks
    assert list(able.provider.disks) == [disk.handle]

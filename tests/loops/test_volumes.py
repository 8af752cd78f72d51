"""Volumes through all loops: made once, attached where wanted, grown, kept when deployments end, purged once."""

import pytest

from berth.base.clock import HOUR
from berth.base.db import Database
from berth.core import instances, volumes
from berth.core.driver import Label, NoCapacity, OutcomeUnknown, Refused, Unreachable
from berth.core.volumes import Fate, NewVolume, Volume
from tests import make
from tests.world import truth
from tests.world.provider import Provider
from tests.world.world import Turnable, World


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


async def test_a_volume_costs_from_its_making_to_the_trash_by_what_it_has(world: World) -> None:
    customer = await world.customer()
    volume = await created(world, customer, size_gb=730)
    await world.live(3600, step_s=900)
    world.act(volumes.resize, customer.by, volume.id, 1460)
    await world.settle()
    await world.live(1800, step_s=900)
    world.act(volumes.trash, customer.by, volume.id)
    await world.live(7200, step_s=900)
    assert world.charged_for(volume) == 200_000 + 200_000
    world.act(volumes.restore, customer.by, volume.id)
    await world.live(3600, step_s=900)
    world.act(volumes.purge, customer.by, volume.id)
    await world.live(3600, step_s=900)
    assert world.charged_for(volume) == 200_000 + 200_000 + 400_000
    world.check()


async def test_what_is_in_the_trash_for_96_hours_is_purged(world: World) -> None:
    customer = await world.customer()
    volume = await created(world, customer)
    world.act(volumes.trash, customer.by, volume.id)
    await world.live(95 * 3600, step_s=3600)
    assert len(world.provider.disks) == 1
    await world.live(2 * 3600, step_s=3600)
    assert world.provider.disks == {}
    assert now(world, volume).is_permanently_deleted
    assert truth.event_types(world.db, volume.id)[-2:] == ["volume.purge_wanted", "volume.purged"]
    world.check()


async def test_a_deployment_boots_with_new_and_existing_volumes_and_leaves_them_behind(world: World) -> None:
    customer = await world.customer()
    old = await created(world, customer, name="old")
    instance = await world.order(customer, volumes=[NewVolume("data", 50, "NVMe")], existing_volumes=[old.id])
    new_id = next(each for each in instance.volume_ids if each != old.id)
    assert now(world, old).status == "attaching"
    await world.settle()
    handle = world.now(instance).handle
    assert handle is not None
    for volume_id in (old.id, new_id):
        assert world.provider.disks_of(volume_id)[0].attached_to == {handle}
        assert world.volume(volume_id).status == "attached"
    assert world.charged_for(world.volume(new_id)) == 0
    await world.live(3600, step_s=900)
    world.check()
    world.delete(instance)
    assert volumes.pending(world.volume(old.id)) == "detach"
    await world.settle()
    assert world.status(instance) == "deleted"
    assert {world.volume(each).status for each in (old.id, new_id)} == {"detached"}
    assert world.now(instance).volume_ids == ()
    await world.calm()
    world.check()


async def test_volumes_end_with_their_deployment_where_that_was_asked(world: World) -> None:
    customer = await world.customer()
    wanted = [
        NewVolume("kept", 10, "NVMe"),
        NewVolume("named", 10, "NVMe"),
        NewVolume("trashed", 10, "NVMe", Fate.TRASH),
        NewVolume("purged", 10, "NVMe", Fate.PURGE),
    ]
    instance = await world.running(customer, volumes=wanted)
    by_name = {world.volume(each).name: each for each in instance.volume_ids}
    world.act(instances.delete, customer.by, instance.id, world.rules, delete_volumes=[by_name["named"]])
    charged = {name: world.charged_for(world.volume(each)) for name, each in by_name.items()}
    assert volumes.pending(world.volume(by_name["purged"])) == "delete"
    await world.settle()
    assert {name: world.volume(each).status for name, each in by_name.items()} == {
        "kept": "detached",
        "named": "deleted",
        "trashed": "deleted",
        "purged": "deleted",
    }
    assert not world.volume(by_name["named"]).is_permanently_deleted
    assert world.volume(by_name["purged"]).gone_at is not None
    await world.live(7200, step_s=1800)
    for name in ("named", "trashed", "purged"):
        assert world.charged_for(world.volume(by_name[name])) == charged[name]
    world.check()


async def test_what_is_in_the_trash_is_left_alone_though_a_step_of_it_was_under_way(world: World) -> None:
    customer = await world.customer()
    volume = world.act(instances.create_volume, customer.by, NewVolume("data", 10, "NVMe"), "FIN-01")
    (leased,) = world.act(volumes.lease_due, limit=1, seconds=60, providers=world.names)
    world.act(volumes.trash, customer.by, volume.id)
    assert world.act(volumes.look_again, leased, retry_s=15) is not None
    trashed = now(world, volume)
    assert trashed.purge_at is not None
    assert trashed.due_at == trashed.purge_at


@pytest.mark.parametrize("is_lost", [False, True])
async def test_a_volume_on_its_way_off_a_deployment_that_ends_is_free_again(
    world: World, *, is_lost: bool
) -> None:
    customer = await world.customer()
    instance = await world.running(customer)
    volume = await created(world, customer, instance.id)
    world.act(instances.detach_volume, customer.by, volume.id)
    if is_lost:
        world.provider.breaks("detach_volume", Unreachable("away"), times=100)
        (gone,) = world.provider.of(instance.id)
        world.provider.crash(gone.handle)
    else:
        world.delete(instance)
    await world.live(300)
    assert world.status(instance) == ("error" if is_lost else "deleted")
    assert (now(world, volume).status, now(world, volume).attachments) == ("detached", ())
    await world.settle()
    world.act(volumes.trash, customer.by, volume.id)


@pytest.mark.parametrize("reason", ["sold out", "boot fails", "cancelled"])
async def test_an_order_that_never_runs_leaves_no_new_volume_and_frees_those_that_were(
    world: World, reason: str
) -> None:
    customer = await world.customer()
    old = await created(world, customer, name="old")
    if reason == "sold out":
        world.provider.secretly_empty.update(offer.provider_offer_id for offer in world.provider.offers)
    world.provider.boot_fails = reason == "boot fails"
    if reason == "cancelled":
        world.provider.boot_s = 300
    instance = await world.order(customer, volumes=[NewVolume("data", 50, "NVMe")], existing_volumes=[old.id])
    new_id = next(each for each in instance.volume_ids if each != old.id)
    if reason == "cancelled":
        await world.live(60)
        assert len(world.provider.disks) == 2
        world.delete(instance)
    await world.settle()
    assert world.status(instance) in {"failed_no_capacity", "error", "deleted"}
    assert now(world, old).status == "detached"
    assert world.volume(new_id).is_permanently_deleted
    assert [disk.handle for disk in world.provider.disks.values()] == [now(world, old).handle]
    await world.live(7200, step_s=1800)
    assert world.charged_for(world.volume(new_id)) == 0
    world.check()


async def test_an_order_whose_volume_is_refused_fails_and_says_why(world: World) -> None:
    customer = await world.customer()
    world.provider.breaks("create_volume", Refused("no", reason="No disks left."))
    instance = await world.order(customer, volumes=[NewVolume("data", 50, "NVMe")])
    await world.settle()
    assert world.status(instance) == "error"
    assert world.now(instance).status_reason == "volume_failed: No disks left."
    assert world.machines(instance) == 0
    assert world.provider.disks == {}
    world.check()


async def test_new_volumes_follow_their_order_to_another_provider_and_existing_ones_bind_it(
    db: Database, clock: Turnable
) -> None:
    first = Provider(clock, "first", [make.offer(name="first", price="1.50")])
    other = Provider(clock, "other", [make.offer(name="second", price="1.60")])
    world = World(db, clock, first, other)
    customer = await world.customer()
    first.secretly_empty.add("first")
    instance = await world.running(customer, volumes=[NewVolume("data", 50, "NVMe")])
    assert instance.provider == "other"
    assert first.disks == {}
    assert [disk.attached_to for disk in other.disks.values()] == [{instance.handle}]
    moved = world.volume(instance.volume_ids[0])
    assert (moved.provider, moved.status) == ("other", "attached")

    world.act(instances.delete, customer.by, instance.id, world.rules)
    await world.settle()
    other.secretly_empty.add("second")
    first.secretly_empty.clear()
    await world.live(120)
    bound = await world.order(customer, existing_volumes=[moved.id])
    assert bound.provider == "other"
    await world.settle()
    assert world.status(bound) == "failed_no_capacity"
    assert world.volume(moved.id).status == "detached"
    world.check()


@pytest.mark.parametrize(
    "verb", ["create_volume", "attach_volume", "detach_volume", "resize_volume", "destroy_volume"]
)
@pytest.mark.parametrize("is_after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("error", [OutcomeUnknown("x"), Unreachable("x"), TimeoutError("x")], ids=repr)
async def test_an_answer_that_is_lost_doubles_and_loses_nothing(
    world: World, verb: str, is_after: bool, error: Exception
) -> None:
    if is_after and isinstance(error, Unreachable):
        return  # it says that nothing happened
    world.provider.breaks(verb, error, after=is_after, times=2)
    await _lives_through_everything(world, await world.customer())
    assert len(world.provider.disks_made) == 1


async def _lives_through_everything(world: World, customer: make.Customer) -> Volume:
    instance = await world.running(customer)
    volume = await created(world, customer)
    world.act(instances.attach_volume, customer.by, volume.id, instance.id)
    await world.settle()
    assert now(world, volume).status == "attached"
    world.act(volumes.resize, customer.by, volume.id, 200)
    await world.settle()
    world.act(instances.detach_volume, customer.by, volume.id)
    await world.settle()
    assert now(world, volume).status == "detached"
    assert now(world, volume).size_gb == 200
    world.check()
    world.act(volumes.purge, customer.by, volume.id)
    await world.settle()
    assert now(world, volume).gone_at is not None
    assert world.provider.disks == {}
    world.delete(instance)
    await world.settle()
    return volume


@pytest.mark.parametrize(
    ("verb", "status", "event"),
    [
        ("attach_volume", "detached", "volume.attach_failed"),
        ("detach_volume", "attached", "volume.detach_failed"),
        ("resize_volume", "attached", "volume.resize_failed"),
    ],
)
async def test_a_wish_that_is_refused_is_dropped_and_the_volume_says_why(
    world: World, verb: str, status: str, event: str
) -> None:
    customer = await world.customer()
    instance = await world.running(customer)
    volume = await created(world, customer)
    world.provider.breaks(verb, Refused("no", reason="Not today."))
    world.act(instances.attach_volume, customer.by, volume.id, instance.id)
    await world.settle()
    if verb == "resize_volume":
        world.act(volumes.resize, customer.by, volume.id, 200)
    if verb == "detach_volume":
        world.act(instances.detach_volume, customer.by, volume.id)
    await world.settle()
    seen = now(world, volume)
    assert (seen.status, volumes.pending(seen)) == (status, None)
    assert seen.status_reason == f"{verb.removesuffix('_volume')}_refused: Not today."
    assert truth.event_types(world.db, volume.id)[-1] == event
    assert world.now(instance).volume_ids == ((volume.id,) if status == "attached" else ())
    world.check()


@pytest.mark.parametrize("wish", ["attach", "detach", "create"])
async def test_a_start_waits_until_volumes_that_move_only_while_it_is_off_have_moved(
    world: World, wish: str
) -> None:
    world.provider.volume_types = [make.volume_type(live=False)]
    customer = await world.customer()
    await world.open_shop()
    instance = await world.running(customer)
    world.act(instances.stop, customer.by, instance.id)
    await world.settle()
    if wish == "create":
        volume = world.act(
            instances.create_volume, customer.by, NewVolume("data", 10, "NVMe"), "FIN-01", [instance.id]
        )
    else:
        volume = await created(world, customer)
        world.act(instances.attach_volume, customer.by, volume.id, instance.id)
    if wish == "detach":
        await world.settle()
        world.act(instances.detach_volume, customer.by, volume.id)
    world.act(instances.start, customer.by, instance.id)
    await world.settle()
    seen = now(world, volume)
    assert (seen.status, seen.status_reason) == ("detached" if wish == "detach" else "attached", None)
    assert world.now(instance).status == "running"
    world.check()


async def test_a_volume_that_fits_nowhere_near_its_instance_is_not_tried_for_ever(world: World) -> None:
    customer = await world.customer()
    await world.open_shop()
    instance = await world.running(customer)
    volume = await created(world, customer)
    world.provider.breaks("attach_volume", NoCapacity("full", reason="The host's storage is full."), times=99)
    world.act(instances.attach_volume, customer.by, volume.id, instance.id)
    await world.settle()
    seen = now(world, volume)
    assert (seen.status, seen.status_reason) == ("detached", "attach_refused: The host's storage is full.")
    world.check()


async def test_a_start_does_not_wait_for_a_volume_that_is_refused(world: World) -> None:
    world.provider.volume_types = [make.volume_type(live=False)]
    customer = await world.customer()
    await world.open_shop()
    instance = await world.running(customer)
    world.act(instances.stop, customer.by, instance.id)
    volume = await created(world, customer)
    world.provider.breaks("attach_volume", Refused("no", reason="Not today."))
    world.act(instances.attach_volume, customer.by, volume.id, instance.id)
    world.act(instances.start, customer.by, instance.id)
    await world.settle()
    assert now(world, volume).status_reason == "attach_refused: Not today."
    assert world.now(instance).status == "running"


async def test_a_volume_that_a_complete_listing_lacks_twice_is_lost_and_taken_back_when_it_returns(
    world: World,
) -> None:
    customer = await world.customer()
    instance = await world.running(customer)
    volume = await created(world, customer)
    world.act(instances.attach_volume, customer.by, volume.id, instance.id)
    await world.live(200)
    disk = world.provider.lose_disk(now(world, volume).handle or "")
    await world.tick("volume_observation")
    assert now(world, volume).status == "attached"
    await world.live(60)
    lost = now(world, volume)
    assert lost.status == "deleted"
    assert lost.status_reason == "volume_lost: The provider no longer has this volume."
    assert world.now(instance).volume_ids == ()
    charged = world.charged_for(volume)
    await world.live(7200, step_s=1800)
    assert world.charged_for(volume) == charged
    disk.attached_to.clear()
    world.provider.disks[disk.handle] = disk
    await world.live(60)
    assert now(world, volume).status == "detached"
    assert world.provider.disks == {disk.handle: disk}
    world.check()


async def test_a_partial_listing_loses_no_volume(world: World) -> None:
    customer = await world.customer()
    volume = await created(world, customer)
    await world.live(100)
    world.provider.is_partial = True
    await world.live(600, step_s=100)
    assert now(world, volume).missing_since is None
    world.provider.is_partial = False
    world.provider.unlisted.add(now(world, volume).handle or "")
    await world.live(600, step_s=100)
    assert now(world, volume).status == "detached"
    world.check()


async def test_volumes_without_a_row_are_destroyed_after_a_grace_and_those_of_others_never(
    world: World,
) -> None:
    await world.customer()
    ours = world.provider.plant_disk(Label(world.install_id, "01ARZ3NDEKTSV4RRFFQ69G5FAV"))
    others = [world.provider.plant_disk(Label("other", "X")), world.provider.plant_disk(None)]
    await world.live(200)
    assert ours.handle in world.provider.disks
    await world.live(400)
    assert list(world.provider.disks.values()) == others

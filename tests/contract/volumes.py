"""What every driver whose abilities say `volumes` keeps. Run like `DriverContract`, with the same rigs.

What is written into a volume is looked at only where instances are real.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from berth.core.driver import (
    Driver,
    DriverError,
    Label,
    Mount,
    Power,
    ProviderVolumeType,
    Refused,
    VolumeListing,
    VolumeOrder,
    VolumeSighting,
)
from tests.contract.driver import WAIT_LIMIT_S, OpenRig, Rig, perform, until, until_gone, until_running

Test = Callable[[Rig, Driver], Awaitable[None]]


def perform_with_volumes(open_rig: OpenRig, test: Test) -> None:
    async def checked(rig: Rig, driver: Driver) -> None:
        if not driver.abilities.volumes:
            pytest.skip("this provider sells no volumes")
        await test(rig, driver)

    perform(open_rig, checked)


async def type_of(driver: Driver, order: VolumeOrder) -> ProviderVolumeType:
    types = (await driver.catalogue()).volume_types
    return next(kind for kind in types if (kind.name, kind.place.code) == (order.type, order.location))


async def attached_to(driver: Driver, order: VolumeOrder) -> frozenset[str]:
    sighting = await driver.inspect_volume(order.label, None)
    assert sighting is not None
    return sighting.attached_to


async def until_volume_gone(driver: Driver, label: Label) -> None:
    deadline = time.monotonic() + WAIT_LIMIT_S
    while await driver.inspect_volume(label, None) is not None:
        assert time.monotonic() < deadline, "still there"
        await asyncio.sleep(0.02)


async def stopped(driver: Driver, label: Label, handle: str) -> None:
    """A plain stop, which leaves the instance its machine where that is the provider's way."""
    await driver.stop(handle, release=driver.abilities.stop_releases_hardware)
    await until(driver, label, Power.STOPPED)


def labels(listing: VolumeListing) -> list[str]:
    return sorted(str(sighting.label) for sighting in listing.sightings)


class VolumeContract:
    """Inherit it in a class whose module has an `open_rig` fixture."""

    def test_the_types_on_sale_are_well_formed(self, open_rig: OpenRig) -> None:
        async def test(rig: Rig, driver: Driver) -> None:
            types = (await driver.catalogue()).volume_types
            assert types
            assert len({(kind.name, kind.place.code) for kind in types}) == len(types)
            for kind in types:
                assert kind.cost_micros_per_gb_month >= 0
                assert kind.price_micros_per_gb_month is None or kind.price_micros_per_gb_month > 0
                assert 0 < kind.min_size_gb <= kind.max_size_gb
                assert (kind.max_attachments > 1) == kind.is_shared
                assert kind.continuous_bandwidth_mb_s <= kind.burst_bandwidth_mb_s
            assert driver.abilities.volumes_attach_live == any(kind.attaches_live for kind in types)

        perform_with_volumes(open_rig, test)

    def test_a_volume_is_made_found_listed_and_destroyed(self, open_rig: OpenRig) -> None:
        async def test(rig: Rig, driver: Driver) -> None:
            order = rig.volume()
            made = await driver.create_volume(order)
            assert (made.label, made.size_gb, made.attached_to) == (order.label, order.size_gb, frozenset())
            assert await driver.inspect_volume(order.label, None) == made
            assert await driver.inspect_volume(order.label, made.handle) == made
            listing = await driver.list_own_volumes(rig.install_id)
            assert (listing.is_complete, list(listing.sightings)) == (True, [made])
            await driver.destroy_volume(made.handle)
            await until_volume_gone(driver, order.label)
            await driver.destroy_volume(made.handle)
            assert not labels(await driver.list_own_volumes(rig.install_id))

        perform_with_volumes(open_rig, test)

    def test_creating_with_one_label_makes_one_volume(self, open_rig: OpenRig) -> None:
        async def test(rig: Rig, driver: Driver) -> None:
            order = rig.volume()
            first = await driver.create_volume(order)
            assert await driver.create_volume(order) == first
            other = rig.volume()
            answers = await asyncio.gather(
                *(driver.create_volume(other) for _ in range(3)), return_exceptions=True
            )
            assert all(isinstance(answer, VolumeSighting | DriverError) for answer in answers), answers
            assert any(isinstance(answer, VolumeSighting) for answer in answers)
            wanted = sorted([str(order.label), str(other.label)])
            assert labels(await driver.list_own_volumes(rig.install_id)) == wanted

        perform_with_volumes(open_rig, test)

    def test_volumes_of_another_installation_are_not_ours(self, open_rig: OpenRig) -> None:
        async def test(rig: Rig, driver: Driver) -> None:
            order = rig.volume()
            await driver.create_volume(order)
            assert not (await driver.list_own_volumes("someoneelse")).sightings
            assert await driver.inspect_volume(Label("someoneelse", order.label.instance_id), None) is None
            assert await driver.inspect_volume(rig.volume().label, None) is None

        perform_with_volumes(open_rig, test)

    def test_what_is_not_sold_is_refused_and_leaves_nothing(self, open_rig: OpenRig) -> None:
        async def test(rig: Rig, driver: Driver) -> None:
            order = rig.volume()
            kind = await type_of(driver, order)
            for wrong in (
                replace(order, type="Tape"),
                replace(order, location="NOWHERE-01"),
                replace(order, size_gb=kind.min_size_gb - 1),
                replace(order, size_gb=kind.max_size_gb + 1),
            ):
                with pytest.raises(DriverError):
                    await driver.create_volume(wrong)
            assert not labels(await driver.list_own_volumes(rig.install_id))

        perform_with_volumes(open_rig, test)

    def test_a_volume_grows_and_never_shrinks(self, open_rig: OpenRig) -> None:
        async def test(rig: Rig, driver: Driver) -> None:
            order = rig.volume()
            handle = (await driver.create_volume(order)).handle
            for _ in range(2):
                await driver.resize_volume(handle, order.size_gb + 5)
                seen = await driver.inspect_volume(order.label, handle)
                assert seen is not None
                assert seen.size_gb == order.size_gb + 5
            with pytest.raises(Refused):
                await driver.resize_volume(handle, order.size_gb)
            seen = await driver.inspect_volume(order.label, handle)
            assert seen is not None
            assert seen.size_gb == order.size_gb + 5

        perform_with_volumes(open_rig, test)

    def test_a_volume_of_the_order_is_there_from_the_first_boot_and_outlives_its_instance(
        self, open_rig: OpenRig
    ) -> None:
        async def test(rig: Rig, driver: Driver) -> None:
            volume = rig.volume()
            handle = (await driver.create_volume(volume)).handle
            first = replace(rig.order(), mounts=(Mount(handle, "data"),))
            created = await driver.create(first)
            sighting = await until_running(driver, first.label)
            assert await attached_to(driver, volume) == {created.handle}
            await rig.run(sighting, "echo kept > /mnt/data/file && sync")
            with pytest.raises(Refused):
                await driver.destroy_volume(handle)
            await driver.restart(created.handle)
            sighting = await until_running(driver, first.label)
            assert await rig.run(sighting, "cat /mnt/data/file") in ("kept\n", None)
            await driver.destroy(created.handle)
            await until_gone(driver, first.label)
            assert await attached_to(driver, volume) == frozenset()
            second = replace(rig.order(), mounts=(Mount(handle, "other-name"),))
            await driver.create(second)
            sighting = await until_running(driver, second.label)
            assert await rig.run(sighting, "cat /mnt/other-name/file") in ("kept\n", None)

        perform_with_volumes(open_rig, test)

    def test_attaching_to_a_stopped_instance_shows_after_its_start_and_detaching_takes_it_away(
        self, open_rig: OpenRig
    ) -> None:
        async def test(rig: Rig, driver: Driver) -> None:
            volume, order = rig.volume(), rig.order()
            handle = (await driver.create_volume(volume)).handle
            instance = (await driver.create(order)).handle
            await until_running(driver, order.label)
            await stopped(driver, order.label, instance)
            for _ in range(2):
                await driver.attach_volume(instance, Mount(handle, "data"))
                assert await attached_to(driver, volume) == {instance}
            await driver.start(instance)
            sighting = await until_running(driver, order.label)
            assert await rig.run(sighting, "echo kept > /mnt/data/file; cat /mnt/data/file") in (
                "kept\n",
                None,
            )
            await stopped(driver, order.label, instance)
            for _ in range(2):
                await driver.detach_volume(instance, handle)
                assert await attached_to(driver, volume) == frozenset()
            await driver.start(instance)
            sighting = await until_running(driver, order.label)
            assert await rig.run(sighting, "cat /mnt/data/file || echo gone") in ("gone\n", None)

        perform_with_volumes(open_rig, test)

    def test_attaching_to_a_running_instance_does_what_its_type_says(self, open_rig: OpenRig) -> None:
        async def test(rig: Rig, driver: Driver) -> None:
            volume, order = rig.volume(), rig.order()
            handle = (await driver.create_volume(volume)).handle
            instance = (await driver.create(order)).handle
            sighting = await until_running(driver, order.label)
            if (await type_of(driver, volume)).attaches_live:
                await driver.attach_volume(instance, Mount(handle, "data"))
                assert await rig.run(sighting, "touch /mnt/data/file && echo there") in ("there\n", None)
                await driver.detach_volume(instance, handle)
                assert await rig.run(sighting, "ls /mnt/data/file || echo gone") in ("gone\n", None)
            else:
                with pytest.raises(Refused) as refusal:
                    await driver.attach_volume(instance, Mount(handle, "data"))
                assert refusal.value.reason
            assert await attached_to(driver, volume) == frozenset()

        perform_with_volumes(open_rig, test)

    def test_detaching_from_a_running_instance_does_what_its_type_says(self, open_rig: OpenRig) -> None:
        async def test(rig: Rig, driver: Driver) -> None:
            volume = rig.volume()
            handle = (await driver.create_volume(volume)).handle
            order = replace(rig.order(), mounts=(Mount(handle, "data"),))
            instance = (await driver.create(order)).handle
            sighting = await until_running(driver, order.label)
            await driver.attach_volume(instance, Mount(handle, "data"))
            if (await type_of(driver, volume)).attaches_live:
                await driver.detach_volume(instance, handle)
                assert await attached_to(driver, volume) == frozenset()
            else:
                with pytest.raises(Refused):
                    await driver.detach_volume(instance, handle)
                assert await attached_to(driver, volume) == {instance}
                assert await rig.run(sighting, "touch /mnt/data/file && echo there") in ("there\n", None)

        perform_with_volumes(open_rig, test)

    def test_a_volume_that_is_not_shared_is_one_instance_s(self, open_rig: OpenRig) -> None:
        async def test(rig: Rig, driver: Driver) -> None:
            volume = rig.volume()
            handle = (await driver.create_volume(volume)).handle
            first = replace(rig.order(), mounts=(Mount(handle, "data"),))
            owner = (await driver.create(first)).handle
            await until_running(driver, first.label)
            second = replace(rig.order(), mounts=(Mount(handle, "data"),))
            with pytest.raises(DriverError):
                await driver.create(second)
            assert await driver.inspect(second.label, None) is None
            other = rig.order()
            instance = (await driver.create(other)).handle
            await until_running(driver, other.label)
            await stopped(driver, other.label, instance)
            with pytest.raises(Refused):
                await driver.attach_volume(instance, Mount(handle, "data"))
            assert await attached_to(driver, volume) == {owner}

        perform_with_volumes(open_rig, test)

    def test_instances_see_each_others_files_in_a_shared_volume(self, open_rig: OpenRig) -> None:
        async def test(rig: Rig, driver: Driver) -> None:
            if not any(kind.is_shared for kind in (await driver.catalogue()).volume_types):
                pytest.skip("this provider sells no shared volumes")
            volume = rig.volume(is_shared=True)
            handle = (await driver.create_volume(volume)).handle
            orders = [replace(rig.order(), mounts=(Mount(handle, "shared"),)) for _ in range(2)]
            created = [await driver.create(order) for order in orders]
            writer, reader = [await until_running(driver, order.label) for order in orders]
            assert await attached_to(driver, volume) == {sighting.handle for sighting in created}
            await rig.run(writer, "echo hello > /mnt/shared/file")
            assert await rig.run(reader, "cat /mnt/shared/file") in ("hello\n", None)
            await driver.destroy(created[0].handle)
            await until_gone(driver, orders[0].label)
            assert await attached_to(driver, volume) == {created[1].handle}
            assert await rig.run(reader, "cat /mnt/shared/file") in ("hello\n", None)

        perform_with_volumes(open_rig, test)

    def test_what_is_not_there_can_be_detached_and_destroyed_but_not_attached(
        self, open_rig: OpenRig
    ) -> None:
        async def test(rig: Rig, driver: Driver) -> None:
            order = rig.order()
            instance = (await driver.create(order)).handle
            await until_running(driver, order.label)
            await stopped(driver, order.label, instance)
            missing = rig.volume().label.instance_id
            await driver.detach_volume(instance, missing)
            await driver.detach_volume(missing, missing)
            await driver.destroy_volume(missing)
            handle = (await driver.create_volume(rig.volume())).handle
            for instance_handle, volume_handle in ((instance, missing), (missing, handle)):
                with pytest.raises(Refused):
                    await driver.attach_volume(instance_handle, Mount(volume_handle, "data"))

        perform_with_volumes(open_rig, test)

    def test_a_new_driver_finds_volumes_and_what_they_are_attached_to(self, open_rig: OpenRig) -> None:
        async def test(rig: Rig, driver: Driver) -> None:
            used, spare = rig.volume(), rig.volume()
            handle = (await driver.create_volume(used)).handle
            await driver.create_volume(spare)
            order = replace(rig.order(), mounts=(Mount(handle, "data"),))
            instance = (await driver.create(order)).handle
            await until_running(driver, order.label)
            after = rig.driver()
            try:
                found = (await after.list_own_volumes(rig.install_id)).sightings
                assert {sighting.label: sighting.attached_to for sighting in found} == {
                    used.label: {instance},
                    spare.label: frozenset(),
                }
            finally:
                await after.close()

        perform_with_volumes(open_rig, test)

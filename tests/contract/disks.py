"""What every driver keeps whose abilities say that it keeps disks or copies volumes, and where volumes are mounted.

Run like `VolumeContract`, with the same rigs. What is written is looked at only where instances are real.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from berth.base import clock, ids
from berth.core.driver import (
    CreateOrder,
    Driver,
    DriverError,
    Label,
    Mount,
    Sighting,
    VolumeOrder,
    VolumeSighting,
)
from tests.contract.driver import WAIT_LIMIT_S, OpenRig, Rig, perform, until_gone, until_running
from tests.contract.volumes import attached_to, labels, perform_with_volumes, stopped, until_volume_gone

Test = Callable[[Rig, Driver], Awaitable[None]]


def perform_with(ability: str, open_rig: OpenRig, test: Test) -> None:
    async def checked(rig: Rig, driver: Driver) -> None:
        if not getattr(driver.abilities, ability):
            pytest.skip(f"this provider's abilities do not say {ability}")
        await test(rig, driver)

    perform(open_rig, checked)


def disk_order(rig: Rig) -> CreateOrder:
    """An order whose boot disk has a name of its own."""
    return replace(rig.order(), disk_label=Label(rig.install_id, ids.new(clock.SystemClock().now())))


def disk_label(order: CreateOrder) -> Label:
    assert order.disk_label is not None
    return order.disk_label


async def running(driver: Driver, order: CreateOrder) -> Sighting:
    await driver.create(order)
    return await until_running(driver, order.label)


async def kept(rig: Rig, driver: Driver) -> tuple[CreateOrder, str]:
    """An instance that wrote something and is gone, and what its disk is called now."""
    order = disk_order(rig)
    sighting = await running(driver, order)
    assert sighting.disk_handle is not None
    await rig.run(sighting, "echo kept > ~/file && echo ours > /etc/ours && sync")
    await driver.destroy(sighting.handle, keep_disk=True)
    await until_gone(driver, order.label)
    return order, sighting.disk_handle


async def until_ready(driver: Driver, order: VolumeOrder) -> VolumeSighting:
    deadline = time.monotonic() + WAIT_LIMIT_S
    while True:
        seen = await driver.inspect_volume(order.label, None)
        assert seen is not None
        if seen.is_ready:
            return seen
        assert time.monotonic() < deadline, "still not whole"
        await asyncio.sleep(0.02)


class DiskContract:
    """Inherit it in a class whose module has an `open_rig` fixture."""

    def test_a_boot_disk_ends_with_its_instance_unless_it_is_to_stay(self, open_rig: OpenRig) -> None:
        async def test(rig: Rig, driver: Driver) -> None:
            order = disk_order(rig)
            sighting = await running(driver, order)
            await driver.destroy(sighting.handle)
            await until_gone(driver, order.label)
            assert await driver.inspect_volume(disk_label(order), sighting.disk_handle) is None
            assert not labels(await driver.list_own_volumes(rig.install_id))

        perform_with("keeps_disks", open_rig, test)

    def test_a_kept_disk_is_a_volume_that_is_found_by_its_handle_and_its_label(
        self, open_rig: OpenRig
    ) -> None:
        async def test(rig: Rig, driver: Driver) -> None:
            order, handle = await kept(rig, driver)
            seen = await driver.inspect_volume(disk_label(order), None)
            assert seen is not None
            assert (seen.handle, seen.label, seen.size_gb) == (handle, order.disk_label, order.os_volume_gb)
            assert (seen.attached_to, seen.is_ready) == (frozenset(), True)
            assert list((await driver.list_own_volumes(rig.install_id)).sightings) == [seen]
            await driver.destroy(order.label.instance_id, keep_disk=True)
            assert await driver.inspect_volume(disk_label(order), handle) == seen
            await driver.destroy_volume(handle)
            await until_volume_gone(driver, disk_label(order))

        perform_with("keeps_disks", open_rig, test)

    def test_another_instance_boots_from_a_kept_disk_and_leaves_it_or_takes_it_along(
        self, open_rig: OpenRig
    ) -> None:
        async def test(rig: Rig, driver: Driver) -> None:
            first, handle = await kept(rig, driver)
            label = disk_label(first)
            for keeps in (True, False):
                order = replace(
                    rig.order(), disk_label=label, boot_volume=handle, hostname=f"again-{keeps:d}"
                )
                sighting = await running(driver, order)
                assert sighting.disk_handle == handle
                text = await rig.run(sighting, "cat ~/file /etc/ours; hostname")
                assert text in (f"kept\nours\nagain-{keeps:d}\n", None)
                with pytest.raises(DriverError):
                    await driver.destroy_volume(handle)
                await driver.restart(sighting.handle)
                sighting = await until_running(driver, order.label)
                assert await rig.run(sighting, "cat ~/file") in ("kept\n", None)
                await driver.destroy(sighting.handle, keep_disk=keeps)
                await until_gone(driver, order.label)
                assert (await driver.inspect_volume(label, handle) is not None) == keeps

        perform_with("keeps_disks", open_rig, test)

    def test_two_instances_never_boot_from_one_disk(self, open_rig: OpenRig) -> None:
        async def test(rig: Rig, driver: Driver) -> None:
            first, handle = await kept(rig, driver)
            label = disk_label(first)
            owner = replace(rig.order(), disk_label=label, boot_volume=handle)
            sighting = await running(driver, owner)
            other = replace(rig.order(), disk_label=label, boot_volume=handle)
            with pytest.raises(DriverError):
                await driver.create(other)
            assert await driver.inspect(other.label, None) is None
            missing = replace(rig.order(), disk_label=label, boot_volume=rig.volume().label.instance_id)
            with pytest.raises(DriverError):
                await driver.create(missing)
            assert await driver.inspect(missing.label, None) is None
            assert await rig.run(sighting, "cat ~/file") in ("kept\n", None)

        perform_with("keeps_disks", open_rig, test)

    def test_a_copy_has_what_its_source_had_and_goes_its_own_way(self, open_rig: OpenRig) -> None:
        async def test(rig: Rig, driver: Driver) -> None:
            volume = rig.volume()
            handle = (await driver.create_volume(volume)).handle
            writer = replace(rig.order(), mounts=(Mount(handle, "data"),))
            sighting = await running(driver, writer)
            await rig.run(sighting, "echo first > /mnt/data/file; ln -s /nowhere /mnt/data/link; sync")
            await stopped(driver, writer.label, sighting.handle)
            copy = replace(rig.volume(), source=handle)
            made = await driver.create_volume(copy)
            assert (made.label, made.size_gb) == (copy.label, copy.size_gb)
            assert (await driver.create_volume(copy)).handle == made.handle
            assert (await until_ready(driver, copy)).attached_to == frozenset()
            await driver.start(sighting.handle)
            sighting = await until_running(driver, writer.label)
            await rig.run(sighting, "echo second > /mnt/data/file")
            reader = replace(rig.order(), mounts=(Mount(made.handle, "data"),))
            seen = await running(driver, reader)
            text = await rig.run(seen, "cat /mnt/data/file; readlink /mnt/data/link")
            assert text in ("first\n/nowhere\n", None)
            assert len(labels(await driver.list_own_volumes(rig.install_id))) == 2

        perform_with("clones_volumes", open_rig, test)

    def test_what_is_not_there_is_not_copied(self, open_rig: OpenRig) -> None:
        async def test(rig: Rig, driver: Driver) -> None:
            copy = replace(rig.volume(), source=rig.volume().label.instance_id)
            with pytest.raises(DriverError):
                await driver.create_volume(copy)
            assert not labels(await driver.list_own_volumes(rig.install_id))

        perform_with("clones_volumes", open_rig, test)

    def test_the_copy_of_a_boot_disk_can_be_booted_from(self, open_rig: OpenRig) -> None:
        async def test(rig: Rig, driver: Driver) -> None:
            if not driver.abilities.clones_volumes:
                pytest.skip("this provider copies no volumes")
            order = disk_order(rig)
            sighting = await running(driver, order)
            await rig.run(sighting, "echo first > ~/file && sync")
            await stopped(driver, order.label, sighting.handle)
            copy = replace(rig.volume(), source=sighting.disk_handle, size_gb=order.os_volume_gb)
            made = await driver.create_volume(copy)
            await until_ready(driver, copy)
            await driver.destroy(sighting.handle)
            again = replace(rig.order(), disk_label=copy.label, boot_volume=made.handle)
            seen = await running(driver, again)
            assert await rig.run(seen, "cat ~/file") in ("first\n", None)

        perform_with("keeps_disks", open_rig, test)

    def test_a_volume_is_mounted_where_the_order_says(self, open_rig: OpenRig) -> None:
        async def test(rig: Rig, driver: Driver) -> None:
            volume = rig.volume()
            handle = (await driver.create_volume(volume)).handle
            order = replace(rig.order(), mounts=(Mount(handle, "data", "/home"),))
            sighting = await running(driver, order)
            assert await attached_to(driver, volume) == {sighting.handle}
            if not driver.abilities.places_volumes:
                return  # it is there, wherever that is
            assert await rig.run(sighting, "echo here > /home/file; ls /home /mnt") in (
                "/home:\nfile\n\n/mnt:\n",
                None,
            )
            await driver.destroy(sighting.handle)
            await until_gone(driver, order.label)
            other = replace(rig.order(), mounts=(Mount(handle, "data"),))
            assert await rig.run(await running(driver, other), "cat /mnt/data/file") in ("here\n", None)

        perform_with_volumes(open_rig, test)

    def test_instances_with_a_shared_home_see_each_others_files(self, open_rig: OpenRig) -> None:
        async def test(rig: Rig, driver: Driver) -> None:
            if not any(kind.is_shared for kind in (await driver.catalogue()).volume_types):
                pytest.skip("this provider sells no shared volumes")
            volume = rig.volume(is_shared=True)
            handle = (await driver.create_volume(volume)).handle
            orders = [replace(rig.order(), mounts=(Mount(handle, "home", "/home"),)) for _ in range(3)]
            nodes = [await running(driver, order) for order in orders]
            assert await attached_to(driver, volume) == {node.handle for node in nodes}
            if not driver.abilities.places_volumes:
                return  # they share it, wherever that is
            for number, node in enumerate(nodes):
                await rig.run(node, f"mkdir /home/user{number}; echo {number} > /home/user{number}/file")
            for node in nodes:
                assert await rig.run(node, "cat /home/user*/file") in ("0\n1\n2\n", None)

        perform_with_volumes(open_rig, test)

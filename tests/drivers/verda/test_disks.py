"""Boot disks at Verda: whose they are is in their names, whatever becomes of the machine."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from berth.base import clock, ids
from berth.core.driver import CreateOrder, DriverError, Label, Mount, Power, Unreachable
from berth.drivers.verda import VerdaDriver
from berth.drivers.verda.names import Disk, DiskName, disk_of
from tests.drivers.verda.rig import VerdaRig, open_verda
from tests.drivers.verda.test_driver import running, stopped

NAME_LIMIT = 64
NO_CAPACITY = '{"code":"service_unavailable","message":"Not enough resources at the moment..."}'


def over(test: Callable[[VerdaRig, VerdaDriver], Awaitable[None]]) -> None:
    async def whole() -> None:
        async with open_verda() as rig:
            driver = rig.driver()
            try:
                await asyncio.wait_for(test(rig, driver), 20)
            finally:
                await driver.close()

    asyncio.run(whole())


def new_id() -> str:
    return ids.new(clock.SystemClock().now())


def labelled(rig: VerdaRig) -> CreateOrder:
    return replace(rig.order(), disk_label=Label(rig.install_id, new_id()))


@pytest.mark.parametrize("disk", list(Disk))
@pytest.mark.parametrize("is_lower", [False, True])
def test_a_disk_s_name_is_short_and_says_whose_it_is(disk: Disk, *, is_lower: bool) -> None:
    label, own = Label("0a1b2c3d4e", new_id()), Label("0a1b2c3d4e", new_id())
    for name in (DiskName(label, disk), DiskName(label, disk, own)):
        text = str(name).lower() if is_lower else str(name)
        assert len(text) <= NAME_LIMIT
        if name.own is not None and disk is Disk.KEPT:
            assert (Label.parse(text), disk_of(text)) == (own, None)
        else:
            assert disk_of(text) == name


@pytest.mark.parametrize("text", ["", "data", "a.os", "berth-x-y", "berth-x-y.osx", f"x-{'1' * 26}", "x.y-z"])
def test_what_is_named_otherwise_is_no_boot_disk_of_ours(text: str) -> None:
    assert disk_of(text) is None


def test_a_disk_whose_boot_came_to_nothing_is_a_volume_as_before() -> None:
    async def test(rig: VerdaRig, driver: VerdaDriver) -> None:
        first = labelled(rig)
        handle = (await driver.create(first)).handle
        disk = (await running(driver, first.label)).disk_handle
        assert disk is not None
        await driver.destroy(handle, keep_disk=True)
        for _ in range(3):
            await driver.inspect(first.label, handle)
        rig.service.faults.answers.append(("POST /instances", 503, NO_CAPACITY, {}))
        again = replace(rig.order(), disk_label=first.disk_label, boot_volume=disk)
        with pytest.raises(DriverError):
            await driver.create(again)
        assert not (await driver.list_own(rig.install_id)).sightings
        (kept,) = (await driver.list_own_volumes(rig.install_id)).sightings
        assert (kept.handle, kept.label) == (disk, first.disk_label)
        await driver.create(again)
        assert (await running(driver, again.label)).disk_handle == disk

    over(test)


def test_an_attempt_to_boot_from_another_s_disk_leaves_that_its_name() -> None:
    async def test(rig: VerdaRig, driver: VerdaDriver) -> None:
        owner = labelled(rig)
        await driver.create(owner)
        disk = (await running(driver, owner.label)).disk_handle
        assert disk is not None
        name = rig.service.volumes[disk]["name"]
        with pytest.raises(DriverError):
            await driver.create(replace(labelled(rig), boot_volume=disk))
        assert rig.service.volumes[disk]["name"] == name

    over(test)


def test_a_disk_keeps_its_label_through_a_release_and_an_eviction() -> None:
    async def test(rig: VerdaRig, driver: VerdaDriver) -> None:
        order = replace(labelled(rig), is_spot=True)
        handle = (await driver.create(order)).handle
        await running(driver, order.label)
        await driver.stop(handle)
        assert (await stopped(driver, order.label)).power is Power.STOPPED
        await driver.start(handle, order)
        disk = (await running(driver, order.label)).disk_handle
        (machine,) = [each for each in rig.service.instances.values() if each["status"] == "running"]
        rig.service.evict(machine["id"])
        assert await driver.inspect(order.label, handle) is None
        (left,) = (await driver.list_own_volumes(rig.install_id)).sightings
        assert (left.handle, left.label) == (disk, order.disk_label)

    over(test)


@pytest.mark.parametrize("status", ["ordered", "cloning", "detaching"])
def test_what_is_on_its_way_is_neither_booted_with_nor_attached_yet(status: str) -> None:
    async def test(rig: VerdaRig, driver: VerdaDriver) -> None:
        handle = (await driver.create_volume(rig.volume())).handle
        other = rig.order()
        instance = (await driver.create(other)).handle
        await running(driver, other.label)
        await driver.stop(instance, release=False)
        order = replace(rig.order(), mounts=(Mount(handle, "data"),))
        rig.service.volumes[handle]["status"] = status
        with pytest.raises(Unreachable):
            await driver.create(order)
        # The stand-in moves a volume on with each look.
        rig.service.volumes[handle]["status"] = status
        with pytest.raises(Unreachable):
            await driver.attach_volume(instance, Mount(handle, "data"))
        assert len(rig.service.instances) == 1
        assert {key["name"] for key in rig.service.keys.values()} == {str(other.label)}

    over(test)

"""Boot disks and copies of the sandbox: killed control planes, hostile contents, and what must never be lost."""

import asyncio
import os
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from berth.base import clock, ids
from berth.core.driver import CreateOrder, Label, Mount, Power, Refused, VolumeOrder
from berth.drivers.sandbox import SandboxDriver, process, records
from tests.contract.disks import disk_label, until_ready
from tests.contract.driver import until, until_gone, until_running
from tests.contract.volumes import until_volume_gone
from tests.drivers.sandbox.killing import kill_during
from tests.drivers.sandbox.rig import SandboxRig, in_sandbox


def disk_order(rig: SandboxRig, **changes: object) -> CreateOrder:
    label = Label(rig.install_id, ids.new(clock.SystemClock().now()))
    return rig.order(disk_label=label, **changes)


def volumes_dir(rig: SandboxRig) -> Path:
    return rig.config.state_dir / "volumes"


def shelves(rig: SandboxRig, kind: str) -> list[str]:
    return sorted(path.name for path in (rig.config.state_dir / kind).iterdir())


async def written(rig: SandboxRig, driver: SandboxDriver) -> CreateOrder:
    """An instance with something on its boot disk."""
    order = disk_order(rig)
    sighting = await driver.create(order)
    await rig.run(sighting, "echo kept > /root/file && echo tool > /usr/local/tool 2>/dev/null; sync")
    return order


async def kept(rig: SandboxRig, driver: SandboxDriver) -> str:
    order = await written(rig, driver)
    await driver.destroy(order.label.instance_id, keep_disk=True)
    await until_gone(driver, order.label)
    return disk_label(order).instance_id


async def made_of(driver: SandboxDriver, rig: SandboxRig, handle: str) -> VolumeOrder:
    copy = rig.volume(source=handle)
    await driver.create_volume(copy)
    return copy


@pytest.mark.parametrize("at", ["deciding", "condemning", "packing", "shelving", "removing"])
def test_a_boot_disk_whose_keeping_was_killed_is_kept_once_that_is_repeated(tmp_path: Path, at: str) -> None:
    async def test(rig: SandboxRig, driver: SandboxDriver) -> None:
        order = await written(rig, driver)
        kill_during(rig, "destroy", order.label.instance_id, at=at, keep_disk=True)
        after = rig.driver()
        await after.destroy(order.label.instance_id, keep_disk=True)
        await until_gone(after, order.label)
        assert not process.scan(rig.install_id)
        assert shelves(rig, "instances") == []
        disk = disk_label(order).instance_id
        assert shelves(rig, "volumes") == [disk]
        again = disk_order(rig, boot_volume=disk)
        sighting = await after.create(again)
        wanted = "kept\ntool\n" if (volumes_dir(rig) / disk / "usr.up" / "local").exists() else "kept\n"
        assert await rig.run(sighting, "cat /root/file /usr/local/tool 2>/dev/null || true") == wanted
        await after.close()

    in_sandbox(tmp_path, test)


@pytest.mark.parametrize("at", ["packing", "shelving", "removing"])
def test_what_was_decided_for_a_boot_disk_is_done_by_the_next_control_plane_unasked(
    tmp_path: Path, at: str
) -> None:
    async def test(rig: SandboxRig, driver: SandboxDriver) -> None:
        order = await written(rig, driver)
        kill_during(rig, "destroy", order.label.instance_id, at=at, keep_disk=True)
        after = rig.driver()
        await until_gone(after, order.label)
        assert shelves(rig, "volumes") == [disk_label(order).instance_id]
        await after.close()

    in_sandbox(tmp_path, test)


@pytest.mark.parametrize("at", ["building", "listening", "launching", "recording", "recorded"])
def test_a_boot_from_a_volume_that_was_killed_is_one_instance_after_it_is_repeated(
    tmp_path: Path, at: str
) -> None:
    async def test(rig: SandboxRig, driver: SandboxDriver) -> None:
        disk = await kept(rig, driver)
        order = disk_order(rig, boot_volume=disk)
        kill_during(rig, "create", order, at=at)
        after = rig.driver()
        sighting = await after.create(order)
        assert await rig.run(sighting, "cat /root/file") == "kept\n"
        assert len(process.scan(rig.install_id)) == 1
        await after.destroy(sighting.handle, keep_disk=True)
        await until_gone(after, order.label)
        assert shelves(rig, "volumes") == [disk]
        await after.close()

    in_sandbox(tmp_path, test)


@pytest.mark.parametrize("at", ["condemning", "removing"])
def test_an_instance_that_takes_its_volume_along_and_was_killed_at_it_leaves_none(
    tmp_path: Path, at: str
) -> None:
    async def test(rig: SandboxRig, driver: SandboxDriver) -> None:
        disk = await kept(rig, driver)
        order = disk_order(rig, boot_volume=disk)
        await driver.create(order)
        kill_during(rig, "destroy", order.label.instance_id, at=at)
        after = rig.driver()
        await after.destroy(order.label.instance_id)
        await until_gone(after, order.label)
        await until_volume_gone(after, Label(rig.install_id, disk))
        assert not process.scan(rig.install_id)
        await after.close()

    in_sandbox(tmp_path, test)


def test_what_lies_in_the_way_on_a_boot_disk_is_moved_aside_and_kept(tmp_path: Path) -> None:
    async def test(rig: SandboxRig, driver: SandboxDriver) -> None:
        disk = await kept(rig, driver)
        order = disk_order(rig, boot_volume=disk)
        home = volumes_dir(rig) / disk / "root" / "root"
        moved = home.with_name("elsewhere")
        home.rename(moved)
        home.symlink_to("/nowhere")
        sighting = await driver.create(order)
        # A link where the home was is moved aside, and nothing else: the disk is the customer's.
        assert await rig.run(sighting, "ls -d /root.moved-* /elsewhere | wc -l") == "2\n"
        await driver.destroy(sighting.handle, keep_disk=True)
        await until_gone(driver, order.label)
        assert (moved / "file").read_text() == "kept\n"

    in_sandbox(tmp_path, test)


def test_names_on_a_hostile_boot_disk_write_nothing_outside(tmp_path: Path) -> None:
    async def test(rig: SandboxRig, driver: SandboxDriver) -> None:
        disk = await kept(rig, driver)
        outside = tmp_path / "precious"
        outside.write_text("kept")
        etc = volumes_dir(rig) / disk / "root" / "etc"
        for name in ("hostname", "hosts"):
            (etc / name).unlink()
            (etc / name).symlink_to(outside)
        order = disk_order(rig, boot_volume=disk, hostname="renamed")
        sighting = await driver.create(order)
        assert await rig.run(sighting, "cat /etc/hostname") == "renamed\n"
        assert outside.read_text() == "kept"
        await driver.destroy(sighting.handle, keep_disk=True)
        await until_gone(driver, order.label)
        etc.rename(etc.with_name("real-etc"))
        etc.symlink_to(tmp_path)
        again = disk_order(rig, boot_volume=disk, hostname="again")
        sighting = await driver.create(again)
        assert not (tmp_path / "hostname").exists()
        await driver.destroy(sighting.handle)

    in_sandbox(tmp_path, test)


@pytest.mark.parametrize("at", ["copying", "finishing"])
def test_a_copy_that_was_killed_never_counts_as_whole_and_is_made_by_the_next_control_plane(
    tmp_path: Path, at: str
) -> None:
    async def test(rig: SandboxRig, driver: SandboxDriver) -> None:
        source = rig.volume()
        handle = (await driver.create_volume(source)).handle
        (volumes_dir(rig) / handle / "content" / "file").write_text("kept")
        copy = rig.volume(source=handle)
        await driver.close()
        kill_during(rig, "create_volume", copy, at=at)
        record = records.read_volume(volumes_dir(rig) / copy.label.instance_id)
        assert record is not None
        assert record.copying_from == handle
        # What a copy that was cut off left must not be taken for a part of the whole.
        begun = volumes_dir(rig) / copy.label.instance_id / "content"
        begun.mkdir(exist_ok=True)
        (begun / "left behind").write_text("half")
        after = rig.driver()
        await until_ready(after, copy)
        assert [path.name for path in begun.iterdir()] == ["file"]
        await after.close()

    in_sandbox(tmp_path, test)


def test_a_copy_holds_links_pipes_and_modes_as_they_are_and_nothing_from_outside(tmp_path: Path) -> None:
    async def test(rig: SandboxRig, driver: SandboxDriver) -> None:
        handle = (await driver.create_volume(rig.volume())).handle
        content = volumes_dir(rig) / handle / "content"
        (content / "one").write_text("kept")
        (content / "two").hardlink_to(content / "one")
        (content / "one").chmod(0o640)
        (content / "link").symlink_to(tmp_path)
        (content / "deep").mkdir()
        (content / "deep" / "-rf").write_text("odd")
        os.mkfifo(content / "pipe")
        copy = await made_of(driver, rig, handle)
        await until_ready(driver, copy)
        made = volumes_dir(rig) / copy.label.instance_id / "content"
        assert (made / "one").stat().st_mode & 0o777 == 0o640
        assert (made / "one").stat().st_ino == (made / "two").stat().st_ino
        assert (made / "one").stat().st_ino != (content / "one").stat().st_ino
        assert (made / "link").readlink() == tmp_path
        assert (made / "deep" / "-rf").read_text() == "odd"
        assert stat.S_ISFIFO((made / "pipe").stat().st_mode)

    in_sandbox(tmp_path, test)


def test_what_is_being_copied_is_neither_attached_nor_grown_nor_copied_on(tmp_path: Path) -> None:
    async def test(rig: SandboxRig, driver: SandboxDriver) -> None:
        handle = (await driver.create_volume(rig.volume())).handle
        copy = rig.volume(source=handle)
        await driver.close()
        kill_during(rig, "create_volume", copy, at="copying")
        part = copy.label.instance_id
        after = rig.driver()
        blocking = after._volumes
        for refused in (
            lambda: blocking.resize(part, 20),
            lambda: blocking.source(part),
            lambda: blocking.create(rig.volume(source=part)),
        ):
            with pytest.raises(Refused):
                refused()
        await after.close()

    in_sandbox(tmp_path, test)


def test_a_copy_can_be_destroyed_while_it_is_made(tmp_path: Path) -> None:
    async def test(rig: SandboxRig, driver: SandboxDriver) -> None:
        handle = (await driver.create_volume(rig.volume())).handle
        content = volumes_dir(rig) / handle / "content"
        for number in range(300):
            (content / str(number)).write_bytes(b"x" * 4096)
        copy = await made_of(driver, rig, handle)
        await driver.destroy_volume(copy.label.instance_id)
        await until_volume_gone(driver, copy.label)
        while shelves(rig, "volumes") != [handle]:
            await driver.list_own_volumes(rig.install_id)
            await asyncio.sleep(0.02)

    in_sandbox(tmp_path, test)


def test_a_volume_is_not_copied_while_something_runs_with_it(tmp_path: Path) -> None:
    async def test(rig: SandboxRig, driver: SandboxDriver) -> None:
        handle = (await driver.create_volume(rig.volume())).handle
        order = disk_order(rig, mounts=(Mount(handle, "data"),))
        sighting = await driver.create(order)
        await until_running(driver, order.label)
        for source in (handle, sighting.disk_handle):
            with pytest.raises(Refused):
                await driver.create_volume(rig.volume(source=source))
        await driver.stop(sighting.handle)
        await until(driver, order.label, Power.STOPPED)
        for source in (handle, sighting.disk_handle):
            copy = rig.volume(source=source)
            await driver.create_volume(copy)
            await until_ready(driver, copy)

    in_sandbox(tmp_path, test)


def test_the_disk_of_an_instance_from_before_disks_had_names_is_not_thrown_away_unsaid(
    tmp_path: Path,
) -> None:
    async def test(rig: SandboxRig, driver: SandboxDriver) -> None:
        order = rig.order()
        sighting = await driver.create(order)
        assert sighting.disk_handle is None
        with pytest.raises(Refused):
            await driver.destroy(sighting.handle, keep_disk=True)
        await until_running(driver, order.label)
        await driver.destroy(sighting.handle)
        await until_gone(driver, order.label)

    in_sandbox(tmp_path, test)


@pytest.mark.parametrize("path", ["/", "/etc", "/usr/share", "/home/../etc", "home", "/root", "/proc/1", ""])
def test_nothing_is_mounted_over_what_an_instance_needs(tmp_path: Path, path: str) -> None:
    async def test(rig: SandboxRig, driver: SandboxDriver) -> None:
        handle = (await driver.create_volume(rig.volume())).handle
        order = rig.order(mounts=(Mount(handle, "data", path),))
        with pytest.raises(Refused):
            await driver.create(order)
        assert await driver.inspect(order.label, None) is None

    in_sandbox(tmp_path, test)


def test_one_volume_is_not_mounted_in_another(tmp_path: Path) -> None:
    async def test(rig: SandboxRig, driver: SandboxDriver) -> None:
        one, two = [(await driver.create_volume(rig.volume())).handle for _ in range(2)]
        for inner in ("/home", "/home/inner"):
            mounts = (Mount(one, "one", "/home"), Mount(two, "two", inner))
            with pytest.raises(Refused):
                await driver.create(rig.order(mounts=mounts))
        order = rig.order(mounts=(Mount(one, "one", "/home"), Mount(two, "two", "/srv/data")))
        sighting = await driver.create(order)
        assert (
            await rig.run(sighting, "touch /home/a /srv/data/b && echo ~ && echo there") == "/root\nthere\n"
        )

    in_sandbox(tmp_path, test)


def test_a_boot_disk_is_booted_from_and_never_mounted_beside_another(tmp_path: Path) -> None:
    async def test(rig: SandboxRig, driver: SandboxDriver) -> None:
        disk = await kept(rig, driver)
        data = (await driver.create_volume(rig.volume())).handle
        for wrong in (
            rig.order(mounts=(Mount(disk, "data"),)),
            replace(disk_order(rig), boot_volume=data),
            disk_order(rig, boot_volume=disk, location="FIN-02"),
        ):
            with pytest.raises(Refused):
                await driver.create(wrong)

    in_sandbox(tmp_path, test)

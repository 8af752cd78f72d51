"""Volumes of the sandbox: killed control planes, hostile contents, records that lie, and what is sold."""

import asyncio
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from berth.core.driver import CreateOrder, Mount, NoCapacity, Power, Refused, VolumeOrder
from berth.drivers.sandbox import SandboxDriver
from berth.drivers.sandbox.config import THIS_HOST
from berth.drivers.sandbox.volumes import MAX_MOUNTS
from tests.contract.driver import until, until_gone, until_running
from tests.drivers.sandbox.attack import OLD_ROOT
from tests.drivers.sandbox.killing import kill_during
from tests.drivers.sandbox.rig import SandboxRig, in_sandbox


def shelves(rig: SandboxRig) -> list[str]:
    """What lies beside each other where volumes are kept."""
    return sorted(path.name for path in (rig.config.state_dir / "volumes").iterdir())


async def until_shelved(rig: SandboxRig, wanted: list[str]) -> None:
    """Trees are removed behind the answer; the test's own limit ends the wait."""
    while shelves(rig) != wanted:
        await asyncio.sleep(0.02)


def content_of(rig: SandboxRig, volume: VolumeOrder) -> Path:
    return rig.config.state_dir / "volumes" / volume.label.instance_id / "content"


def directory_of(rig: SandboxRig, order: CreateOrder) -> Path:
    return rig.config.state_dir / "instances" / order.label.instance_id


def precious(tmp_path: Path) -> Path:
    outside = tmp_path / "outside"
    outside.mkdir(mode=0o755)
    (outside / "precious").write_text("kept")
    return outside


def assert_untouched(outside: Path) -> None:
    assert [path.name for path in outside.iterdir()] == ["precious"]
    assert (outside / "precious").read_text() == "kept"
    assert outside.stat().st_mode & 0o777 == 0o755


async def attached_to(driver: SandboxDriver, volume: VolumeOrder) -> set[str]:
    sighting = await driver.inspect_volume(volume.label, None)
    assert sighting is not None
    return set(sighting.attached_to)


async def made(rig: SandboxRig, driver: SandboxDriver) -> tuple[VolumeOrder, str]:
    volume = rig.volume()
    return volume, (await driver.create_volume(volume)).handle


async def stopped(rig: SandboxRig, driver: SandboxDriver, *mounts: Mount) -> CreateOrder:
    order = rig.order(mounts=mounts)
    await driver.create(order)
    await until_running(driver, order.label)
    await driver.stop(order.label.instance_id)
    return order


@pytest.mark.parametrize("at", ["building", "built"])
def test_a_volume_whose_making_was_killed_is_one_volume_after_it_is_repeated(tmp_path: Path, at: str) -> None:
    async def test(rig: SandboxRig, driver: SandboxDriver) -> None:
        volume = rig.volume()
        kill_during(rig, "create_volume", volume, at=at)
        assert (await driver.inspect_volume(volume.label, None) is not None) == (at == "built")
        created = await driver.create_volume(volume)
        assert [seen.handle for seen in (await driver.list_own_volumes(rig.install_id)).sightings] == [
            created.handle
        ]
        assert shelves(rig) == [created.handle]

    in_sandbox(tmp_path, test)


def test_what_was_never_finished_is_removed_at_the_next_start(tmp_path: Path) -> None:
    async def test(rig: SandboxRig, driver: SandboxDriver) -> None:
        kill_during(rig, "create_volume", rig.volume(), at="building")
        assert [name.endswith(".creating") for name in shelves(rig)] == [True]
        await driver.catalogue()
        assert shelves(rig) == []

    in_sandbox(tmp_path, test)


@pytest.mark.parametrize("verb", ["attach_volume", "detach_volume"])
@pytest.mark.parametrize("at", ["attaching", "answered"])
def test_an_attach_or_detach_that_was_killed_has_happened_or_not_and_can_be_repeated(
    tmp_path: Path, verb: str, at: str
) -> None:
    async def test(rig: SandboxRig, driver: SandboxDriver) -> None:
        volume, handle = await made(rig, driver)
        content_of(rig, volume).joinpath("file").write_text("kept")
        mount = Mount(handle, "data")
        order = await stopped(rig, driver, *([mount] if verb == "detach_volume" else []))
        instance = order.label.instance_id
        argument = mount if verb == "attach_volume" else handle
        kill_during(rig, verb, instance, argument, at=at)
        after = rig.driver()
        had = verb == "detach_volume"
        assert await attached_to(after, volume) == ({instance} if had == (at == "attaching") else set())
        await getattr(after, verb)(instance, argument)
        assert await attached_to(after, volume) == (set() if had else {instance})
        await after.start(instance)
        sighting = await until_running(after, order.label)
        assert await rig.run(sighting, "cat /mnt/data/file || echo gone") == ("gone\n" if had else "kept")
        await after.close()

    in_sandbox(tmp_path, test)


@pytest.mark.parametrize("at", ["building", "listening", "launching", "recording", "recorded"])
def test_an_instance_whose_create_was_killed_has_its_volume_once_it_is_repeated(
    tmp_path: Path, at: str
) -> None:
    async def test(rig: SandboxRig, driver: SandboxDriver) -> None:
        volume, handle = await made(rig, driver)
        order = rig.order(mounts=(Mount(handle, "data"),))
        kill_during(rig, "create", order, at=at)
        after = rig.driver()
        sighting = await after.create(order)
        assert await rig.run(sighting, "echo there > /mnt/data/file; cat /mnt/data/file") == "there\n"
        assert await attached_to(after, volume) == {sighting.handle}
        await after.destroy(sighting.handle)
        await until_gone(after, order.label)
        assert await attached_to(after, volume) == set()
        assert content_of(rig, volume).joinpath("file").read_text() == "there\n"
        await after.close()

    in_sandbox(tmp_path, test)


@pytest.mark.parametrize("at", ["condemning", "removing"])
def test_a_destroy_of_an_instance_that_was_killed_keeps_its_volume(tmp_path: Path, at: str) -> None:
    async def test(rig: SandboxRig, driver: SandboxDriver) -> None:
        volume, handle = await made(rig, driver)
        order = rig.order(mounts=(Mount(handle, "data"),))
        sighting = await driver.create(order)
        await rig.run(sighting, "echo kept > /mnt/data/file")
        kill_during(rig, "destroy", sighting.handle, at=at)
        after = rig.driver()
        await after.destroy(sighting.handle)
        await until_gone(after, order.label)
        assert await attached_to(after, volume) == set()
        assert content_of(rig, volume).joinpath("file").read_text() == "kept\n"
        await after.close()

    in_sandbox(tmp_path, test)


@pytest.mark.parametrize("at", ["condemning", "removing", "answered"])
def test_a_destroy_of_a_volume_that_was_killed_is_finished(tmp_path: Path, at: str) -> None:
    async def test(rig: SandboxRig, driver: SandboxDriver) -> None:
        volume, handle = await made(rig, driver)
        (content_of(rig, volume) / "deep" / "down").mkdir(parents=True)
        kill_during(rig, "destroy_volume", handle, at=at)
        after = rig.driver()
        if at == "condemning":
            assert await after.inspect_volume(volume.label, None) is not None
            await after.destroy_volume(handle)
        assert await after.inspect_volume(volume.label, None) is None
        assert not (await after.list_own_volumes(rig.install_id)).sightings
        await until_shelved(rig, [])
        await after.close()

    in_sandbox(tmp_path, test)


@pytest.mark.parametrize("at", ["growing", "grown"])
def test_a_growth_that_was_killed_can_be_repeated(tmp_path: Path, at: str) -> None:
    async def test(rig: SandboxRig, driver: SandboxDriver) -> None:
        volume, handle = await made(rig, driver)
        kill_during(rig, "resize_volume", handle, 20, at=at)
        seen = await driver.inspect_volume(volume.label, handle)
        assert seen is not None
        assert seen.size_gb == (10 if at == "growing" else 20)
        await driver.resize_volume(handle, 20)

    in_sandbox(tmp_path, test)


def test_what_is_in_a_volume_outlives_stop_start_and_the_control_plane(tmp_path: Path) -> None:
    async def test(rig: SandboxRig, driver: SandboxDriver) -> None:
        volume, handle = await made(rig, driver)
        order = rig.order(mounts=(Mount(handle, "data"),))
        kill_during(rig, "create", order, at="answered")
        sighting = await until_running(driver, order.label)
        await rig.run(sighting, "echo kept > /mnt/data/file")
        await driver.stop(sighting.handle)
        kill_during(rig, "start", sighting.handle, at="answered")
        assert await rig.run(sighting, "cat /mnt/data/file") == "kept\n"
        assert await attached_to(driver, volume) == {sighting.handle}

    in_sandbox(tmp_path, test)


@pytest.mark.parametrize("kind", ["link", "relative link", "file", "closed"])
@pytest.mark.parametrize("part", ["mnt", "mnt/data"])
def test_what_lies_in_place_of_the_mount_point_is_moved_aside(tmp_path: Path, part: str, kind: str) -> None:
    outside = precious(tmp_path)

    async def test(rig: SandboxRig, driver: SandboxDriver) -> None:
        volume, handle = await made(rig, driver)
        content_of(rig, volume).joinpath("file").write_text("volume")
        order = await stopped(rig, driver)
        place = directory_of(rig, order) / "root" / part
        if kind == "closed":
            place.mkdir(exist_ok=True)
            place.chmod(0)
        else:
            if place.exists():
                place.rmdir()
            up = "../" * 40 if kind == "relative link" else "/"
            if kind == "file":
                place.write_text("mine")
            else:
                place.symlink_to(f"{up}{OLD_ROOT[1:]}{outside}")
        await driver.attach_volume(order.label.instance_id, Mount(handle, "data"))
        await driver.start(order.label.instance_id)
        sighting = await until_running(driver, order.label)
        assert await rig.run(sighting, "cat /mnt/data/file; touch /mnt/data/new") == "volume"
        assert content_of(rig, volume).joinpath("new").exists()
        assert_untouched(outside)
        if kind == "file":
            assert [path.read_text() for path in place.parent.glob(f"{place.name}.moved-*")] == ["mine"]

    in_sandbox(tmp_path, test)


def test_an_instance_that_swaps_the_mount_point_while_it_runs_gains_nothing(tmp_path: Path) -> None:
    outside = precious(tmp_path)

    async def test(rig: SandboxRig, driver: SandboxDriver) -> None:
        _, handle = await made(rig, driver)
        order = rig.order(mounts=(Mount(handle, "data"),))
        sighting = await driver.create(order)
        await rig.run(sighting, f"echo kept > /mnt/data/file; mv /mnt /away; ln -s {OLD_ROOT}{outside} /mnt")
        await driver.restart(sighting.handle)
        assert await rig.run(sighting, "cat /mnt/data/file") == "kept\n"
        assert_untouched(outside)

    in_sandbox(tmp_path, test)


def test_destroying_a_volume_removes_its_own_tree_and_follows_no_link(tmp_path: Path) -> None:
    outside = precious(tmp_path)

    async def test(rig: SandboxRig, driver: SandboxDriver) -> None:
        doomed, handle = await made(rig, driver)
        spared, _ = await made(rig, driver)
        content_of(rig, spared).joinpath("file").write_text("kept")
        order = rig.order(mounts=(Mount(handle, "data"),))
        sighting = await driver.create(order)
        await rig.run(
            sighting,
            f"cd /mnt/data; ln -s {outside} link; ln -s ../../{spared.label.instance_id} up; mkdir -p a/b/c; "
            f"ln -s {outside}/precious a/b/c/file; mkfifo a/pipe; ln -s /etc etc; chmod 000 a/b a .",
        )
        await driver.destroy(sighting.handle)
        await until_gone(driver, order.label)
        await driver.destroy_volume(handle)
        await until_shelved(rig, [spared.label.instance_id])
        assert content_of(rig, spared).joinpath("file").read_text() == "kept"
        assert not content_of(rig, doomed).parent.exists()
        assert_untouched(outside)

    in_sandbox(tmp_path, test)


@pytest.mark.parametrize("name", ["..", ".", "", "a/b", "../data", "/data", "a b", "x" * 65, "ü", "a\n"])
def test_a_name_that_is_not_one_is_refused(tmp_path: Path, name: str) -> None:
    async def test(rig: SandboxRig, driver: SandboxDriver) -> None:
        volume, handle = await made(rig, driver)
        order = rig.order(mounts=(Mount(handle, name),))
        with pytest.raises(Refused):
            await driver.create(order)
        assert await driver.inspect(order.label, None) is None
        assert await attached_to(driver, volume) == set()

    in_sandbox(tmp_path, test)


def test_a_handle_that_is_a_path_leads_nowhere(tmp_path: Path) -> None:
    async def test(rig: SandboxRig, driver: SandboxDriver) -> None:
        volume, handle = await made(rig, driver)
        order = await stopped(rig, driver)
        for path in (f"../volumes/{handle}", f"{handle}/.", f"{handle}/content", "..", ""):
            await driver.destroy_volume(path)
            await driver.detach_volume(path, handle)
            with pytest.raises(Refused):
                await driver.attach_volume(path, Mount(handle, "data"))
            with pytest.raises(Refused):
                await driver.attach_volume(order.label.instance_id, Mount(path, "data"))
            with pytest.raises(Refused):
                await driver.resize_volume(path, 20)
            with pytest.raises(Refused):
                await driver.create_volume(replace(volume, label=replace(volume.label, instance_id=path)))
        assert shelves(rig) == [handle]

    in_sandbox(tmp_path, test)


def test_an_instance_has_each_name_and_each_volume_once_and_a_limit_on_all(tmp_path: Path) -> None:
    async def test(rig: SandboxRig, driver: SandboxDriver) -> None:
        _, first = await made(rig, driver)
        _, second = await made(rig, driver)
        order = await stopped(rig, driver, Mount(first, "data"))
        instance = order.label.instance_id
        for wrong in (Mount(second, "data"), Mount(first, "other")):
            with pytest.raises(Refused):
                await driver.attach_volume(instance, wrong)
        handles = [(await made(rig, driver))[1] for _ in range(MAX_MOUNTS + 1)]
        mounts = tuple(Mount(handle, f"data{number}") for number, handle in enumerate(handles))
        with pytest.raises(Refused):
            await driver.create(rig.order(mounts=mounts))
        for mount in mounts[: MAX_MOUNTS - 1]:
            await driver.attach_volume(instance, mount)
        with pytest.raises(Refused):
            await driver.attach_volume(instance, mounts[-1])
        await driver.start(instance)
        sighting = await until_running(driver, order.label)
        assert await rig.run(sighting, "ls /mnt | wc -l") == f"{MAX_MOUNTS}\n"

    in_sandbox(tmp_path, test)


def test_a_volume_of_another_location_is_refused(tmp_path: Path) -> None:
    async def test(rig: SandboxRig, driver: SandboxDriver) -> None:
        handle = (await driver.create_volume(rig.volume(location="ICE-01"))).handle
        with pytest.raises(Refused) as refusal:
            await driver.create(rig.order(mounts=(Mount(handle, "data"),)))
        assert refusal.value.reason == "The volume is in another location than the instance."

    in_sandbox(tmp_path, test)


def test_a_volume_that_two_control_planes_attach_at_once_is_attached_once(tmp_path: Path) -> None:
    async def test(rig: SandboxRig, driver: SandboxDriver) -> None:
        volume, handle = await made(rig, driver)
        orders = [await stopped(rig, driver) for _ in range(2)]
        other = rig.driver()
        answers = await asyncio.gather(
            *(
                each.attach_volume(order.label.instance_id, Mount(handle, "data"))
                for each, order in zip((driver, other), orders, strict=True)
            ),
            return_exceptions=True,
        )
        assert [type(answer) for answer in answers if answer is not None] == [Refused]
        assert len(await attached_to(driver, volume)) == 1
        await other.close()

    in_sandbox(tmp_path, test)


def test_a_volume_is_attached_while_a_process_has_it_whatever_the_records_say(tmp_path: Path) -> None:
    async def test(rig: SandboxRig, driver: SandboxDriver) -> None:
        volume, handle = await made(rig, driver)
        order = rig.order(mounts=(Mount(handle, "data"),))
        sighting = await driver.create(order)
        await until_running(driver, order.label)
        (directory_of(rig, order) / "attached.json").unlink()
        assert await attached_to(driver, volume) == {sighting.handle}
        with pytest.raises(Refused):
            await driver.destroy_volume(handle)
        with pytest.raises(Refused):
            await driver.create(rig.order(mounts=(Mount(handle, "data"),)))
        await driver.stop(sighting.handle)
        assert await attached_to(driver, volume) == set()

    in_sandbox(tmp_path, test)


def test_an_instance_whose_volume_was_lost_says_so_and_starts_once_it_is_detached(tmp_path: Path) -> None:
    async def test(rig: SandboxRig, driver: SandboxDriver) -> None:
        volume, handle = await made(rig, driver)
        order = await stopped(rig, driver, Mount(handle, "data"))
        content_of(rig, volume).parent.rename(tmp_path / "lost")
        with pytest.raises(Refused) as refusal:
            await driver.start(order.label.instance_id)
        assert refusal.value.reason == "The volume does not exist on its host any more."
        await until(driver, order.label, Power.STOPPED)
        await driver.detach_volume(order.label.instance_id, handle)
        await driver.start(order.label.instance_id)
        await until_running(driver, order.label)

    in_sandbox(tmp_path, test)


def test_pretended_types_are_sold_in_every_place_and_say_what_they_are(tmp_path: Path) -> None:
    async def test(rig: SandboxRig, driver: SandboxDriver) -> None:
        types = (await driver.catalogue()).volume_types
        assert all(kind.is_simulated for kind in types)
        places = {(kind.name, kind.place.code) for kind in types}
        assert len(places) == 20
        assert {
            ("NVMe", "FIN-01"),
            ("HDD", "FIN-03"),
            ("NVMe_Shared", "ICE-01"),
            ("HDD_Shared", "FIN-02"),
        } <= places
        prices = {kind.name: kind.price_micros_per_gb_month for kind in types}
        assert prices["NVMe"] == 200_000

    in_sandbox(tmp_path, test)


def test_a_host_sells_its_disk_at_the_operators_price_and_no_more_than_there_is(tmp_path: Path) -> None:
    async def test(rig: SandboxRig, driver: SandboxDriver) -> None:
        types = (await driver.catalogue()).volume_types
        assert [(kind.name, kind.price_micros_per_gb_month, kind.is_shared) for kind in types] == [
            ("HDD", 50_000, False),
            ("HDD_Shared", 50_000, True),
        ]
        assert not any(kind.is_simulated for kind in types)
        most = types[0].max_size_gb
        order = partial(rig.volume, type="HDD", location=THIS_HOST.code)
        handle = (await driver.create_volume(order(size_gb=most - 5))).handle
        with pytest.raises(NoCapacity):
            await driver.create_volume(order(size_gb=10))
        await driver.resize_volume(handle, most)
        with pytest.raises(Refused):
            await driver.resize_volume(handle, most + 1)
        await driver.destroy_volume(handle)
        await driver.create_volume(order(size_gb=10))

    in_sandbox(tmp_path, test, simulate=False, volume_medium="HDD", volume_micros_per_gb_month=50_000)

"""A control plane that is killed at any point, and files that tell lies: nothing is lost, nothing is doubled."""

import asyncio
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from structlog.testing import capture_logs

from berth.core.driver import CreateOrder, Power, Unreachable
from berth.drivers.sandbox import SandboxDriver, launch, process, records
from berth.drivers.sandbox.store import Store
from tests.contract.driver import until, until_gone, until_running
from tests.drivers.sandbox.killing import kill_during
from tests.drivers.sandbox.rig import SandboxRig, in_sandbox


def be_killed(rig: SandboxRig, order: CreateOrder, verb: str, at: str) -> None:
    """Runs a control plane in a process of its own, that is killed during `verb` at the moment `at`."""
    kill_during(rig, verb, order if verb == "create" else order.label.instance_id, at=at)


def directories(rig: SandboxRig) -> list[str]:
    return [path.name for path in (rig.config.state_dir / "instances").iterdir()]


def directory_of(rig: SandboxRig, order: CreateOrder) -> Path:
    return rig.config.state_dir / "instances" / order.label.instance_id


@pytest.mark.parametrize("at", ["building", "listening", "launching", "awaiting", "recording", "recorded"])
def test_a_create_killed_at_any_step_is_one_instance_after_it_is_repeated(tmp_path: Path, at: str) -> None:
    async def test(rig: SandboxRig, driver: SandboxDriver) -> None:
        order = rig.order(startup_script="#!/bin/sh\necho once >> /root/ran\n")
        be_killed(rig, order, "create", at)
        created = await driver.create(order)
        assert (
            await rig.run(created, "until test -f /run/agent/startup.rc; do sleep 0.02; done; cat /root/ran")
            == "once\n"
        )
        assert [seen.label for seen in (await driver.list_own(rig.install_id)).sightings] == [order.label]
        assert len(process.scan(rig.install_id)) == 1
        await driver.stop(created.handle)
        await driver.start(created.handle)
        assert await rig.run(created, "echo again") == "again\n"
        await driver.destroy(created.handle)
        await until_gone(driver, order.label)
        assert not process.scan(rig.install_id)
        assert directories(rig) == []

    in_sandbox(tmp_path, test)


@pytest.mark.parametrize("at", ["launching", "awaiting", "recording", "recorded"])
def test_a_create_that_was_killed_is_found_without_being_repeated(tmp_path: Path, at: str) -> None:
    async def test(rig: SandboxRig, driver: SandboxDriver) -> None:
        order = rig.order()
        be_killed(rig, order, "create", at)
        sighting = await until_running(driver, order.label)
        assert await rig.run(sighting, "echo found") == "found\n"

    in_sandbox(tmp_path, test)


@pytest.mark.parametrize("at", ["condemning", "removing"])
def test_a_destroy_that_was_killed_is_finished(tmp_path: Path, at: str) -> None:
    async def test(rig: SandboxRig, driver: SandboxDriver) -> None:
        order = rig.order()
        await driver.create(order)
        be_killed(rig, order, "destroy", at)
        after = rig.driver()
        if at == "condemning":
            await after.destroy(order.label.instance_id)
        await until_gone(after, order.label)
        assert not process.scan(rig.install_id)
        assert directories(rig) == []
        await after.close()

    in_sandbox(tmp_path, test)


@pytest.mark.parametrize(
    ("verb", "at"),
    [("stop", "recording"), ("stop", "recorded"), ("start", "launching"), ("start", "awaiting")],
)
def test_a_stop_or_start_that_was_killed_can_be_repeated(tmp_path: Path, verb: str, at: str) -> None:
    async def test(rig: SandboxRig, driver: SandboxDriver) -> None:
        order = rig.order()
        sighting = await driver.create(order)
        await rig.run(sighting, "echo kept > /root/kept")
        if verb == "start":
            await driver.stop(sighting.handle)
        be_killed(rig, order, verb, at)
        after = rig.driver()
        await (after.stop if verb == "stop" else after.start)(sighting.handle)
        await until(after, order.label, Power.STOPPED if verb == "stop" else Power.RUNNING)
        await after.start(sighting.handle)
        assert await rig.run(sighting, "cat /root/kept") == "kept\n"
        await after.close()

    in_sandbox(tmp_path, test)


def test_an_instance_outlives_the_control_plane_that_made_it(tmp_path: Path) -> None:
    async def test(rig: SandboxRig, driver: SandboxDriver) -> None:
        order = rig.order()
        be_killed(rig, order, "create", "answered")
        before = process.scan(rig.install_id)[order.label.instance_id]
        sighting = await until_running(driver, order.label)
        assert await rig.run(sighting, "echo alive") == "alive\n"
        assert process.scan(rig.install_id)[order.label.instance_id].identity == before.identity
        await driver.stop(sighting.handle)
        assert not process.is_alive(before.identity)

    in_sandbox(tmp_path, test)


def test_a_lost_run_record_is_written_again(tmp_path: Path) -> None:
    async def test(rig: SandboxRig, driver: SandboxDriver) -> None:
        order = rig.order()
        created = await driver.create(order)
        record = directory_of(rig, order) / "run.json"
        before = records.read_run(record.parent)
        record.unlink()
        assert await driver.inspect(order.label, None) == created
        after = rig.driver()
        await after.start(created.handle)
        assert records.read_run(record.parent) == before
        assert len(process.scan(rig.install_id)) == 1
        record.write_text("{ half a rec")
        await after.stop(created.handle)
        assert not process.scan(rig.install_id)
        await after.close()

    in_sandbox(tmp_path, test)


def test_trials_that_were_killed_are_removed_and_one_that_runs_is_left_alone(tmp_path: Path) -> None:
    async def test(rig: SandboxRig, driver: SandboxDriver) -> None:
        left = rig.config.state_dir / "trial.killed"
        (left / "usr.work" / "work").mkdir(parents=True)
        (left / "usr.work" / "work").chmod(0)
        with Store(rig.config.state_dir).trial() as running:
            await driver.catalogue()
            assert not left.exists()
            assert running.is_dir()
        assert not running.exists()

    in_sandbox(tmp_path, test)


@contextmanager
def innocent() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(["sleep", "600"]) as bystander:
        try:
            yield bystander
        finally:
            bystander.kill()


def test_a_process_that_only_has_the_same_number_is_never_signalled(tmp_path: Path) -> None:
    async def test(rig: SandboxRig, driver: SandboxDriver) -> None:
        order = rig.order()
        sighting = await driver.create(order)
        await driver.stop(sighting.handle)
        directory = directory_of(rig, order)
        run = records.read_run(directory)
        assert run is not None
        with innocent() as bystander:
            identity = process.identify(bystander.pid)
            assert identity is not None
            for lie in (
                {"pid": bystander.pid, "start_ticks": identity.start_ticks + 1},
                {"pid": bystander.pid, "start_ticks": identity.start_ticks, "boot_id": "another boot"},
            ):
                records.write_run(directory, msgspec.structs.replace(run, **lie))
                seen = await driver.inspect(order.label, None)
                assert seen is not None
                assert seen.power == Power.STOPPED
                await driver.stop(sighting.handle)
            await driver.destroy(sighting.handle)
            await until_gone(driver, order.label)
            assert bystander.poll() is None

    in_sandbox(tmp_path, test)


def test_after_a_reboot_everything_is_stopped_and_starts_again(tmp_path: Path) -> None:
    async def test(rig: SandboxRig, driver: SandboxDriver) -> None:
        order = rig.order()
        sighting = await driver.create(order)
        rig.end_everything()
        directory = directory_of(rig, order)
        run = records.read_run(directory)
        assert run is not None
        records.write_run(directory, msgspec.structs.replace(run, boot_id="the boot before"))
        await until(driver, order.label, Power.STOPPED)
        await driver.start(sighting.handle)
        assert await rig.run(sighting, "echo up") == "up\n"

    in_sandbox(tmp_path, test)


def test_a_process_without_a_directory_is_listed_and_can_be_destroyed(tmp_path: Path) -> None:
    async def test(rig: SandboxRig, driver: SandboxDriver) -> None:
        order = rig.order()
        # Only once it is up: until then it is still being put together out of this directory.
        await rig.run(await driver.create(order), "true")
        directory_of(rig, order).rename(tmp_path / "moved away")
        seen = await driver.inspect(order.label, None)
        assert seen is not None
        assert [orphan.label for orphan in (await driver.list_own(rig.install_id)).sightings] == [order.label]
        await driver.destroy(seen.handle)
        await until_gone(driver, order.label)
        assert not process.scan(rig.install_id)

    in_sandbox(tmp_path, test)


def test_an_instance_that_ends_itself_is_stopped_and_leaves_no_zombie(tmp_path: Path) -> None:
    async def test(rig: SandboxRig, driver: SandboxDriver) -> None:
        order = rig.order()
        sighting = await driver.create(order)
        run = records.read_run(directory_of(rig, order))
        assert run is not None
        # The agent is the process that logged us in.
        connection = await rig.connect(sighting)
        await connection.run("kill -TERM $PPID")
        await until(driver, order.label, Power.STOPPED)
        deadline = time.monotonic() + 5
        while process.identify(run.outer_pid) is not None:
            assert time.monotonic() < deadline
            await driver.inspect(order.label, None)
            await asyncio.sleep(0.02)
        connection.abort()
        await driver.start(sighting.handle)
        assert await rig.run(sighting, "echo up") == "up\n"

    in_sandbox(tmp_path, test)


def test_two_control_planes_that_start_one_instance_at_once_start_it_once(tmp_path: Path) -> None:
    async def test(rig: SandboxRig, driver: SandboxDriver) -> None:
        order = rig.order()
        sighting = await driver.create(order)
        await driver.stop(sighting.handle)
        other = rig.driver()
        await asyncio.gather(*(each.start(sighting.handle) for each in (driver, other, driver, other)))
        assert len(process.scan(rig.install_id)) == 1
        assert await rig.run(sighting, "ls -d /proc/[0-9]* | wc -l")
        await other.close()

    in_sandbox(tmp_path, test)


def test_a_port_taken_by_a_stranger_is_said_and_the_instance_stays_stopped(tmp_path: Path) -> None:
    async def test(rig: SandboxRig, driver: SandboxDriver) -> None:
        order = rig.order()
        sighting = await driver.create(order)
        await driver.stop(sighting.handle)
        with socket.create_server((str(sighting.ip), sighting.ssh_port or 0)):
            with pytest.raises(Unreachable) as refusal:
                await driver.start(sighting.handle)
            assert refusal.value.reason == "The instance's port is in use on its host."
            await until(driver, order.label, Power.STOPPED)
        await driver.start(sighting.handle)
        assert await rig.run(sighting, "echo up") == "up\n"

    in_sandbox(tmp_path, test)


def test_an_interpreter_that_is_missing_inside_is_a_failure_with_a_reason(tmp_path: Path) -> None:
    async def test(rig: SandboxRig, driver: SandboxDriver) -> None:
        host = driver._instances.host
        beside = tmp_path / "python3"
        beside.symlink_to(host.runtime.python)
        driver._instances.host = replace(host, runtime=replace(host.runtime, python=beside))
        order = rig.order()
        # It is known only after the sandbox itself has come up, so the create succeeds.
        with capture_logs() as said:
            await driver.create(order)
            failed = await until(driver, order.label, Power.FAILED)
            await driver.inspect(order.label, None)
            await driver.list_own(rig.install_id)
        assert failed is not None
        assert failed.reason == "The instance ended before its SSH server was up."
        (warning,) = [line for line in said if line["event"] == "an instance failed on its host"]
        assert warning["log_level"] == "warning"
        assert warning["instance_id"] == order.label.instance_id
        assert "execvp" in "".join(warning["last_lines"])
        await driver.destroy(order.label.instance_id)
        await until_gone(driver, order.label)

    in_sandbox(tmp_path, test)


def test_an_operator_reads_no_more_than_the_end_of_a_log(tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(b"early\n" + b"x" * 5_000_000 + b"\xff\nno \x1b[2J room\n\n")
    lines = launch.last_lines(tmp_path)
    assert lines[-1] == "no \x1b[2J room"
    assert sum(map(len, lines)) <= 2048
    assert launch.last_lines(tmp_path / "none") == []
    (tmp_path / "log").unlink()
    (tmp_path / "log").symlink_to("/etc/hostname")
    assert launch.last_lines(tmp_path) == []


def test_a_full_disk_starts_nothing_and_says_so(tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=8m", "small", str(small)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("a small file system cannot be mounted here")
    try:

        async def test(rig: SandboxRig, driver: SandboxDriver) -> None:
            order = rig.order()
            ballast = small / "ballast"
            with ballast.open("wb", buffering=0) as file, suppress(OSError):
                while True:
                    file.write(bytes(4096))
            with pytest.raises(Unreachable) as refusal:
                await driver.create(order)
            assert refusal.value.reason is not None
            assert not process.scan(rig.install_id)
            assert await driver.inspect(order.label, None) is None
            ballast.unlink()
            sighting = await driver.create(order)
            assert await rig.run(sighting, "echo room") == "room\n"

        in_sandbox(small, test)
    finally:
        subprocess.run(["umount", "--lazy", str(small)], check=True)

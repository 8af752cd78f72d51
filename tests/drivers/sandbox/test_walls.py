"""What an instance cannot do to its host, whatever it writes into its own files."""

import json
import os
import shlex
import sys
from pathlib import Path
from typing import Any

import pytest

from berth.core.driver import CreateOrder, Mount, Refused
from berth.drivers.sandbox import SandboxDriver, layout, trees
from tests.contract.driver import until_gone
from tests.drivers.sandbox.attack import OLD_ROOT, traps
from tests.drivers.sandbox.rig import SandboxRig, in_sandbox

DEPTH = 3000
MARK = "m4rk0fth3h0st"
# Every door that leads from a process to files, and everything a process says about itself.
LOOK = """
import json, os, sys
mark, data, skipped = sys.argv[1][::-1].encode(), sys.argv[2], sys.argv[3:]
open("/root/own", "wb").write(mark)
looked, found, reached = 0, [], []
def read(path):
    global looked
    try:
        with open(path, "rb") as file:
            looked += 1
            if mark in file.read(1 << 20):
                found.append(path)
    except OSError:
        pass
pids = [name for name in os.listdir("/proc") if name.isdecimal()]
doors = ["", "/oldroot", "/newroot", "/.."] + [f"/proc/{pid}/{door}" for pid in pids for door in ("root", "cwd", "cwd/..")]
for pid in pids:
    for name in ("environ", "cmdline", "maps", "mountinfo"):
        read(f"/proc/{pid}/{name}")
    for number in os.listdir(f"/proc/{pid}/fd"):
        where = f"/proc/{pid}/fd/{number}"
        doors.append(where)
        doors.append(where + "/..")
for door in doors:
    for path in (data, data + "/pepper", data + "/credentials.json", data + "/berth.sqlite3", data + "/sandbox/instances", data + "/sandbox/volumes"):
        if os.path.lexists(door + path):
            reached.append(door + path)
    if os.path.isdir(door + "/instances") or os.path.lexists(door + "/spec.json"):
        reached.append(door)
for top, names, files in os.walk("/"):
    names[:] = [name for name in names if os.path.join(top, name) not in skipped]
    if any(mark.decode() in name for name in names + files):
        found.append(top)
    for name in files:
        if os.path.isfile(os.path.join(top, name)):
            read(os.path.join(top, name))
print(json.dumps({"looked": looked, "found": found, "reached": reached, "processes": len(pids)}))
"""


def directory_of(rig: SandboxRig, order: CreateOrder) -> Path:
    return rig.config.state_dir / "instances" / order.label.instance_id


def outside_of(tmp_path: Path) -> Path:
    outside = tmp_path / "outside"
    outside.mkdir(mode=0o755)
    (outside / "precious").write_text("kept")
    (outside / "precious").chmod(0o644)
    return outside


def assert_untouched(outside: Path) -> None:
    assert [path.name for path in outside.iterdir()] == ["precious"]
    assert (outside / "precious").read_text() == "kept"
    assert (outside / "precious").stat().st_mode & 0o777 == 0o644
    assert outside.stat().st_mode & 0o777 == 0o755


def test_links_in_place_of_mount_points_lead_nowhere_and_it_starts_again(tmp_path: Path) -> None:
    outside = outside_of(tmp_path)

    async def test(rig: SandboxRig, driver: SandboxDriver) -> None:
        order = rig.order()
        sighting = await driver.create(order)
        script = traps(driver._instances.host.runtime.bound_paths, outside)
        await rig.run(sighting, f"echo mine > /etc/mine; {script}")
        for _ in range(2):
            await driver.restart(sighting.handle)
            assert await rig.run(sighting, "echo up; cat /away*/mine") == "up\nmine\n"
            assert_untouched(outside)
        await driver.destroy(sighting.handle)
        await until_gone(driver, order.label)
        assert_untouched(outside)

    in_sandbox(tmp_path, test)


@pytest.mark.parametrize("kind", ["link", "relative link", "file", "closed"])
def test_every_part_of_every_mount_point_is_made_a_directory(tmp_path: Path, kind: str) -> None:
    outside = outside_of(tmp_path)

    async def test(rig: SandboxRig, driver: SandboxDriver) -> None:
        order = rig.order()
        sighting = await driver.create(order)
        await rig.run(sighting, "true")
        root = directory_of(rig, order) / "root"
        points = [root / point for point in layout.mount_points(driver._instances.host.runtime)]
        parts = {part for point in points for part in [point, *point.parents] if root in part.parents}
        assert root / "etc" in parts
        await driver.stop(sighting.handle)
        for number, part in enumerate(sorted(parts, reverse=True)):
            part.mkdir(parents=True, exist_ok=True)
            if kind == "closed":
                part.chmod(0)
                continue
            part.rename(tmp_path / f"away{number}")
            if kind == "file":
                part.write_text("mine")
            else:
                up = "../" * 40 if kind == "relative link" else "/"
                part.symlink_to(f"{up}{OLD_ROOT[1:]}{outside}")
        await driver.start(sighting.handle)
        assert await rig.run(sighting, "echo up") == "up\n"
        assert_untouched(outside)
        if kind == "file":
            assert [path.read_text() for path in root.glob("usr.moved-*")] == ["mine"]

    in_sandbox(tmp_path, test)


def test_a_key_is_written_to_its_own_file_even_when_that_is_swapped_for_a_link(tmp_path: Path) -> None:
    outside = outside_of(tmp_path)
    agent = tmp_path / "instance" / "agent"
    agent.mkdir(parents=True)
    armed = [True]

    def swap(event: str, arguments: tuple[Any, ...]) -> None:
        # As an instance would that watches its directory, at the worst moment.
        if event == "os.chmod" and armed:
            armed.clear()
            for path in agent.iterdir():
                path.unlink()
                path.symlink_to(outside / "precious")

    sys.addaudithook(swap)
    layout.write_keys(agent.parent, ["ssh-ed25519 AAAA"])
    assert not armed
    assert_untouched(outside)
    (agent / "authorized_keys").unlink()
    (agent / "authorized_keys").symlink_to(outside / "precious")
    layout.write_keys(agent.parent, ["ssh-ed25519 AAAA"])
    assert_untouched(outside)
    assert (agent / "authorized_keys").read_text() == "ssh-ed25519 AAAA\n"


def test_a_tree_is_removed_however_deep_and_closed_and_links_in_it_are_not_followed(tmp_path: Path) -> None:
    outside = outside_of(tmp_path)
    tree = tmp_path / "tree"
    tree.mkdir()
    descriptor = os.open(tree, os.O_DIRECTORY)
    for number in range(DEPTH):
        os.mkdir("down", dir_fd=descriptor)
        os.symlink(outside, "link", dir_fd=descriptor)
        os.mkfifo("pipe", dir_fd=descriptor)
        inner = os.open("down", os.O_DIRECTORY, dir_fd=descriptor)
        if number % 2:
            os.chmod("down", 0, dir_fd=descriptor)
        os.close(descriptor)
        descriptor = inner
    os.close(descriptor)
    tree.chmod(0)
    trees.remove_tree(tree)
    assert not tree.exists()
    assert_untouched(outside)
    trees.remove_tree(tree)


def test_no_path_from_inside_leads_to_secrets_records_or_other_instances(tmp_path: Path) -> None:
    for name in ("pepper", "credentials.json", "berth.sqlite3"):
        (tmp_path / name).write_text(MARK)

    async def test(rig: SandboxRig, driver: SandboxDriver) -> None:
        volume = (await driver.create_volume(rig.volume())).handle
        neighbour = await driver.create(
            rig.order(
                environment={"TOKEN": MARK}, startup_script=f"# {MARK}", mounts=(Mount(volume, "data"),)
            )
        )
        await rig.run(
            neighbour,
            f"echo {MARK} | tee /root/{MARK} /mnt/data/{MARK}; sleep 600 </dev/null >/dev/null 2>&1 &",
        )
        own = await driver.create(rig.order())
        instances = rig.config.state_dir / "instances"
        assert MARK in (instances / neighbour.handle / "root" / "root" / MARK).read_text()
        # Backwards, so that it is not found in our own question.
        shared = map(str, ["/usr", "/proc", *driver._instances.host.runtime.bound_paths])
        question = shlex.join(["python3", "-c", LOOK, MARK[::-1], str(tmp_path), *shared])
        seen = json.loads(await rig.run(own, question))
        assert seen["looked"] > 20
        assert seen["found"] == ["/root/own"]
        # What is visible of the host are paths in command lines and mounts, and no file behind them.
        assert seen["reached"] == []
        assert seen["processes"] < 10

    in_sandbox(tmp_path, test)


def test_a_state_directory_that_instances_would_see_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test(rig: SandboxRig, driver: SandboxDriver) -> None:
        runtime = driver._instances.host.runtime
        assert driver._instances.host.problem is None
        assert layout.exposure(runtime, rig.config.state_dir) is None
        assert "/usr" in str(layout.exposure(runtime, Path("/usr/src/app/data/sandbox")))
        link = tmp_path / "link"
        link.symlink_to("/usr/src")
        assert "/usr" in str(layout.exposure(runtime, link / "sandbox"))
        # As with an interpreter whose prefix is the directory that the application is installed in.
        monkeypatch.setattr(sys, "base_prefix", str(tmp_path))
        exposed = rig.driver()
        assert str(tmp_path) in " ".join(exposed.abilities.notes)
        with pytest.raises(Refused):
            await exposed.create(rig.order())
        await exposed.close()

    in_sandbox(tmp_path, test)

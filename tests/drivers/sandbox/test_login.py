"""What a customer meets after logging in: keys, commands, terminals, files, the startup script, the walls."""

import asyncio
import shutil
import socket
import subprocess
import time
from dataclasses import replace
from pathlib import Path

import asyncssh
import pytest

from berth.drivers.sandbox import SandboxDriver, layout, records
from tests.contract.driver import until_running
from tests.drivers.sandbox.rig import SandboxRig, in_sandbox

WAIT_LIMIT_S = 15.0


async def appears(path: Path) -> str:
    """The content of `path`, once it has some."""
    deadline = time.monotonic() + WAIT_LIMIT_S
    while not content(path):
        assert time.monotonic() < deadline, f"{path.name} did not appear"
        await asyncio.sleep(0.02)
    return content(path)


def content(path: Path) -> str:
    return path.read_text() if path.exists() else ""


def test_any_login_name_is_accepted_and_any_other_key_refused(tmp_path: Path) -> None:
    async def test(rig: SandboxRig, driver: SandboxDriver) -> None:
        sighting = await driver.create(rig.order())
        for name in ("root", "ubuntu", "somebody"):
            connection = await rig.connect(sighting, username=name)
            assert (await connection.run("id -u")).stdout == "0\n"
            connection.close()
            await connection.wait_closed()
        with pytest.raises(asyncssh.PermissionDenied):
            await rig.connect(sighting, key=asyncssh.generate_private_key("ssh-ed25519"))

    in_sandbox(tmp_path, test)


def test_a_key_added_while_running_counts_from_the_next_login(tmp_path: Path) -> None:
    async def test(rig: SandboxRig, driver: SandboxDriver) -> None:
        sighting = await driver.create(rig.order())
        assert await rig.run(sighting, "echo first") == "first\n"
        other = asyncssh.generate_private_key("ssh-ed25519")
        directory = rig.config.state_dir / "instances" / sighting.handle
        layout.write_keys(directory, [other.export_public_key().decode(), "ssh-ed25519 nonsense", "# no key"])
        connection = await rig.connect(sighting, key=other)
        connection.close()
        await connection.wait_closed()
        with pytest.raises(asyncssh.PermissionDenied):
            await rig.connect(sighting)
        layout.write_keys(directory, [])
        with pytest.raises(asyncssh.PermissionDenied):
            await rig.connect(sighting, key=other)

    in_sandbox(tmp_path, test)


def test_the_host_key_is_the_one_that_was_announced(tmp_path: Path) -> None:
    async def test(rig: SandboxRig, driver: SandboxDriver) -> None:
        sighting = await driver.create(rig.order())
        connection = await rig.connect(sighting)
        key = connection.get_server_host_key()
        assert key is not None
        assert key.get_fingerprint() == sighting.ssh_host_key_fingerprint
        connection.close()
        await connection.wait_closed()

    in_sandbox(tmp_path, test)


def test_commands_have_their_input_output_and_exit_codes(tmp_path: Path) -> None:
    async def test(rig: SandboxRig, driver: SandboxDriver) -> None:
        sighting = await driver.create(rig.order())
        connection = await rig.connect(sighting)
        answer = await connection.run("cat; echo problem >&2; exit 7", input="typed")
        assert (answer.stdout, answer.stderr, answer.exit_status) == ("typed", "problem\n", 7)
        assert (await connection.run("kill -9 $$")).exit_status == 128 + 9
        assert (await connection.run("hostname")).stdout == "trainer\n"
        large = await connection.run("head -c 3000000 /dev/zero | tr '\\0' x")
        assert len(str(large.stdout)) == 3_000_000
        counted = await connection.run("wc -c", input="y" * 2_000_000)
        assert counted.stdout == "2000000\n"
        connection.close()
        await connection.wait_closed()

    in_sandbox(tmp_path, test)


def test_a_terminal_has_a_size_and_a_login_shell(tmp_path: Path) -> None:
    async def test(rig: SandboxRig, driver: SandboxDriver) -> None:
        sighting = await driver.create(rig.order())
        connection = await rig.connect(sighting)
        process = await connection.create_process(term_type="xterm", term_size=(91, 37))
        process.stdin.write("stty size; shopt -q login_shell && echo is-$((40+2)); tty; exit 5\n")
        answer = await asyncio.wait_for(process.wait(), WAIT_LIMIT_S)
        assert "37 91" in str(answer.stdout)
        assert "is-42" in str(answer.stdout)
        assert "/dev/pts/" in str(answer.stdout)
        assert answer.exit_status == 5
        resized = await connection.create_process("read; stty size", term_type="xterm", term_size=(80, 24))
        resized.change_terminal_size(120, 50)
        resized.stdin.write("\n")
        assert "50 120" in str((await asyncio.wait_for(resized.wait(), WAIT_LIMIT_S)).stdout)
        connection.close()
        await connection.wait_closed()

    in_sandbox(tmp_path, test)


def test_a_client_that_hangs_up_takes_its_program_along(tmp_path: Path) -> None:
    async def test(rig: SandboxRig, driver: SandboxDriver) -> None:
        sighting = await driver.create(rig.order())
        connection = await rig.connect(sighting)
        process = await connection.create_process("echo up; exec sleep 1234", term_type="xterm")
        assert "up" in await process.stdout.readline()
        connection.abort()
        deadline = time.monotonic() + WAIT_LIMIT_S
        while "1234" in await rig.run(
            sighting, "cat /proc/[0-9]*/cmdline | tr '\\0' ' ' | grep -o 'sleep 1[2]34' || true"
        ):
            assert time.monotonic() < deadline
            await asyncio.sleep(0.05)

    in_sandbox(tmp_path, test)


def test_files_are_copied_and_services_reached_through_the_login(tmp_path: Path) -> None:
    async def test(rig: SandboxRig, driver: SandboxDriver) -> None:
        sighting = await driver.create(rig.order())
        connection = await rig.connect(sighting)
        (tmp_path / "up.txt").write_text("carried")
        async with connection.start_sftp_client() as files:
            await files.put(str(tmp_path / "up.txt"), "up.txt")
        assert (await connection.run("cat up.txt")).stdout == "carried"
        await asyncssh.scp((connection, "up.txt"), str(tmp_path / "down.txt"))
        assert (tmp_path / "down.txt").read_text() == "carried"
        service = "import socket; s = socket.create_server(('127.0.0.1', 8000)); print('up', flush=True); s.accept()[0].send(b'served')"
        process = await connection.create_process(f'python3 -c "{service}"')
        assert await process.stdout.readline() == "up\n"
        reader, writer = await connection.open_connection("127.0.0.1", 8000, encoding=None)
        assert await reader.read(6) == b"served"
        writer.close()
        connection.close()
        await connection.wait_closed()

    in_sandbox(tmp_path, test)


@pytest.mark.skipif(shutil.which("scp") is None, reason="no OpenSSH client on this host")
@pytest.mark.parametrize("protocol", ["-O", "-s"])
def test_the_usual_client_copies_files_and_is_told_that_it_went_well(tmp_path: Path, protocol: str) -> None:
    async def test(rig: SandboxRig, driver: SandboxDriver) -> None:
        sighting = await driver.create(rig.order())
        await rig.run(sighting, "true")
        key = tmp_path / "key"
        records.replace_file(key, rig.key.export_private_key())
        options = ["StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "BatchMode=yes"]
        line = ["scp", protocol, "-F", "/dev/null", "-i", str(key), "-P", str(sighting.ssh_port)]
        line += [f"-o{option}" for option in options]
        for source, target in (
            (str(key), "ubuntu@127.0.0.1:up"),
            ("ubuntu@127.0.0.1:up", str(tmp_path / "down")),
        ):
            answer = await asyncio.to_thread(
                subprocess.run,
                [*line, source, target],
                capture_output=True,
                timeout=WAIT_LIMIT_S,
                check=False,
            )
            assert answer.returncode == 0, answer.stderr
        assert content(tmp_path / "down") == content(key)

    in_sandbox(tmp_path, test)


def test_the_startup_script_runs_once_and_sees_the_environment(tmp_path: Path) -> None:
    async def test(rig: SandboxRig, driver: SandboxDriver) -> None:
        script = "#!/bin/sh\necho $TOKEN >> ~/ran\nexit 3\n"
        order = rig.order(startup_script=script, environment={"TOKEN": "from the order"})
        sighting = await driver.create(order)
        agent = rig.config.state_dir / "instances" / sighting.handle / "agent"
        assert await appears(agent / "startup.rc") == "3\n"
        assert await rig.run(sighting, "cat ran; echo $TOKEN") == "from the order\n" * 2
        await driver.restart(sighting.handle)
        await until_running(driver, order.label)
        assert await rig.run(sighting, "cat ran") == "from the order\n"

    in_sandbox(tmp_path, test)


def test_a_startup_script_runs_as_root_and_its_output_is_found_in_the_instance(tmp_path: Path) -> None:
    async def test(rig: SandboxRig, driver: SandboxDriver) -> None:
        script = "#!/bin/bash\nid -u\npwd\necho wrong >&2\ntouch /root/done\n"
        sighting = await driver.create(rig.order(startup_script=script))
        assert await rig.run(
            sighting, "until [ -e /root/done ]; do sleep 0.1; done; cat /run/agent/startup.log"
        ) == ("0\n/root\nwrong\n")

    in_sandbox(tmp_path, test)


def test_a_key_that_is_none_keeps_nobody_out_and_breaks_no_order(tmp_path: Path) -> None:
    async def test(rig: SandboxRig, driver: SandboxDriver) -> None:
        fake = "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABgQC...test-not-base64== someone"
        good = rig.key.export_public_key().decode()
        sighting = await driver.create(rig.order(ssh_public_keys=[fake, good, "ssh-ed25519 AAAA"]))
        assert await rig.run(sighting, "id -u") == "0\n"
        order = rig.order(ssh_public_keys=[fake])
        unusable = await driver.create(order)
        await until_running(driver, order.label)
        with pytest.raises(asyncssh.PermissionDenied):
            await rig.connect(unusable)

    in_sandbox(tmp_path, test)


def test_a_startup_script_killed_half_way_is_not_run_again(tmp_path: Path) -> None:
    async def test(rig: SandboxRig, driver: SandboxDriver) -> None:
        # Without a first line that names an interpreter, as customers send them.
        order = rig.order(startup_script="echo begun >> ~/ran\nsleep 600\necho ended >> /root/ran\n")
        sighting = await driver.create(order)
        directory = rig.config.state_dir / "instances" / sighting.handle
        assert await appears(directory / "root" / "root" / "ran") == "begun\n"
        await driver.stop(sighting.handle)
        await driver.start(sighting.handle)
        assert await rig.run(sighting, "cat ran; pgrep sleep || echo none") == "begun\nnone\n"

    in_sandbox(tmp_path, test)


def test_an_instance_reaches_neither_the_control_plane_nor_its_own_records(tmp_path: Path) -> None:
    async def test(rig: SandboxRig, driver: SandboxDriver) -> None:
        sighting = await driver.create(rig.order())
        with socket.create_server(("127.0.0.1", 0)) as control_plane:
            port = control_plane.getsockname()[1]
            answer = await rig.run(
                sighting, f"(echo > /dev/tcp/127.0.0.1/{port}) 2>/dev/null || echo refused"
            )
            assert answer == "refused\n"
        assert await rig.run(sighting, f"ls {rig.config.state_dir} 2>/dev/null || echo none") == "none\n"
        assert "CapEff:\t0000000000000000" in await rig.run(sighting, "cat /proc/self/status")
        assert (
            await rig.run(sighting, "ls -A /etc/shadow /etc/ssh /etc/ssl/private 2>/dev/null || true") == ""
        )
        # Two programs of ours and the customer's own: the host's processes are not there.
        assert int(await rig.run(sighting, "ls -d /proc/[0-9]* | wc -l")) < 8

    in_sandbox(tmp_path, test)


def test_with_the_hosts_network_everything_on_the_host_is_reached_and_the_notes_say_so(
    tmp_path: Path,
) -> None:
    async def test(rig: SandboxRig, driver: SandboxDriver) -> None:
        assert "they reach its loopback, the control plane" in " ".join(driver.abilities.notes)
        sighting = await driver.create(rig.order())
        with socket.create_server(("127.0.0.1", 0)) as control_plane:
            port = control_plane.getsockname()[1]
            assert (
                await rig.run(sighting, f"(echo > /dev/tcp/127.0.0.1/{port}) && echo reached") == "reached\n"
            )

    in_sandbox(tmp_path, test, network="host")


@pytest.mark.parametrize(
    ("ordered", "inside"),
    [
        ("trainer", "trainer"),
        ("my_gpu.example.com", "my_gpu.example.com"),
        ("Größe é", "Groe-e"),
        ("gpu 1/é\n127.0.0.1 x", "gpu-1-e-127.0.0.1-x"),
        ("-..-a-..-", "a"),
        ("a" * 62 + "-.b", "a" * 62),
        ("訓練", "instance"),
        ("", "instance"),
    ],
)
def test_a_name_is_made_of_what_every_program_takes(ordered: str, inside: str) -> None:
    assert records.host_label(ordered) == inside


def test_a_name_longer_than_the_kernel_allows_is_cut(tmp_path: Path) -> None:
    async def test(rig: SandboxRig, driver: SandboxDriver) -> None:
        sighting = await driver.create(rig.order(hostname="n" * 255))
        assert await rig.run(sighting, "hostname") == "n" * 63 + "\n"

    in_sandbox(tmp_path, test)


def test_a_state_directory_may_be_named_relative_to_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test(rig: SandboxRig, driver: SandboxDriver) -> None:
        sighting = await driver.create(rig.order())
        assert sighting.ip == "203.0.113.7"
        assert await rig.run(replace(sighting, ip="127.0.0.1"), "echo up") == "up\n"

    monkeypatch.chdir(tmp_path)
    in_sandbox(Path(), test, advertise_ip="203.0.113.7")


def test_what_is_written_outside_the_home_is_kept_too(tmp_path: Path) -> None:
    async def test(rig: SandboxRig, driver: SandboxDriver) -> None:
        sighting = await driver.create(rig.order())
        await rig.run(
            sighting, "mkdir /workspace; for d in /workspace /etc /var/lib /opt; do echo 1 > $d/kept; done"
        )
        has_overlay = driver._instances.host.layout == "overlay"
        if has_overlay:
            await rig.run(sighting, "echo 1 > /usr/local/kept; rm /usr/bin/yes")
        await driver.restart(sighting.handle)
        assert await rig.run(sighting, "cat /workspace/kept /etc/kept /var/lib/kept /opt/kept") == "1\n" * 4
        if has_overlay:
            assert (
                await rig.run(sighting, "cat /usr/local/kept; ls /usr/bin/yes 2>/dev/null || true") == "1\n"
            )

    in_sandbox(tmp_path, test)
    assert Path("/usr/bin/yes").exists()


def test_programs_are_asked_to_leave_before_they_are_killed(tmp_path: Path) -> None:
    async def test(rig: SandboxRig, driver: SandboxDriver) -> None:
        sighting = await driver.create(rig.order())
        script = (
            "trap 'echo saved > /root/saved; exit' TERM; echo 1 > /root/ready; while :; do sleep 0.01; done"
        )
        await rig.run(sighting, f'nohup bash -c "{script}" >/dev/null 2>&1 </dev/null & exit 0')
        await appears(rig.config.state_dir / "instances" / sighting.handle / "root/root/ready")
        await driver.stop(sighting.handle)
        await driver.start(sighting.handle)
        assert await rig.run(sighting, "cat /root/saved") == "saved\n"

    in_sandbox(tmp_path, test)


def test_a_program_that_will_not_leave_holds_up_a_stop_no_longer_than_the_grace(tmp_path: Path) -> None:
    async def test(rig: SandboxRig, driver: SandboxDriver) -> None:
        order = rig.order()
        sighting = await driver.create(order)
        await rig.run(
            sighting,
            "nohup bash -c 'trap : TERM HUP; while :; do sleep 1; done' >/dev/null 2>&1 </dev/null &",
        )
        await driver.stop(sighting.handle)
        seen = await driver.inspect(order.label, None)
        assert seen is not None
        assert seen.power == "stopped"

    in_sandbox(tmp_path, test, stop_grace_s=0.3)

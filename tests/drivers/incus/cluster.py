"""A real Incus cluster on this host: three daemons, each in a network namespace of its own, joined by one bridge.

What it starts, mounts and makes is written down before it is done, so that a run that was killed is cleaned up by the
next. Processes are ended by their id, and only while they are still what they were started as.
"""

import contextlib
import fcntl
import json
import os
import select
import shutil
import signal
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

DAEMON = Path("/usr/libexec/incus/incusd")
GROUP = "root"
POOL_SIZE = "4GiB"
MEMBERS = 3
SLOTS = 8
PORT = 8443
_READY_LIMIT_S = 60
_END_LIMIT_S = 10.0
_TOOLS = ("incus", "ip", "nsenter", "unshare", "mount", "umount", "btrfs")
_ROOT = Path("/var/tmp")

# `ip netns exec` mounts a new /sys that hides the control groups, which the daemon needs.
_ENTER = """
set -eu
aside=$1; shift
mkdir -p "$aside"
mount --rbind /sys/fs/cgroup "$aside"
mount -t sysfs sysfs /sys
mount --rbind "$aside" /sys/fs/cgroup
exec "$@"
"""


def missing() -> str | None:
    """Why no cluster can be had on this machine; None where it can."""
    if os.geteuid() != 0:
        return "an Incus cluster is started by root"
    if not DAEMON.exists():
        return "Incus is not installed (make incus)"
    absent = [tool for tool in _TOOLS if shutil.which(tool) is None]
    if absent:
        return f"programs are missing: {', '.join(absent)}"
    if "btrfs" not in Path("/proc/filesystems").read_text():
        return "this kernel has no btrfs"
    return None


@dataclass(frozen=True, slots=True)
class Member:
    name: str
    namespace: str
    ip: str
    directory: Path

    @property
    def address(self) -> str:
        return f"https://{self.ip}:{PORT}"

    @property
    def socket(self) -> Path:
        return self.directory / "unix.socket"


class Cluster:
    """One slot: a directory, a subnet and names of interfaces that no other cluster on this host has."""

    def __init__(self, slot: int) -> None:
        self.slot = slot
        self.directory = _ROOT / f"berth-incus-{slot}"
        self.hub = f"berth{slot}hub"
        self.outside = f"berth{slot}out"
        self.subnet = f"10.91.{slot}"
        self.members = tuple(
            Member(f"gpu{n}", f"berth{slot}gpu{n}", f"{self.subnet}.{10 + n}", self.directory / f"gpu{n}")
            for n in range(1, MEMBERS + 1)
        )
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, *, forms: bool = True) -> None:
        """Starts the members. Without `forms` they know nothing of each other yet."""
        self.directory.mkdir(mode=0o711)
        self._network()
        for member in self.members:
            self.boot(member)
        for member in self.members:
            self.incus(member, "admin", "waitready", f"--timeout={_READY_LIMIT_S}")
        if forms:
            self._form()

    def boot(self, member: Member) -> None:
        """Starts the daemon of a member, for the first time or again."""
        member.directory.mkdir(mode=0o711, exist_ok=True)
        command = [
            "nsenter", f"--net=/run/netns/{member.namespace}", "unshare", "-m", "--propagation", "slave",
            "sh", "-c", _ENTER, "enter", str(member.directory / "cgroup"),
            str(DAEMON), "--group", GROUP, f"--logfile={member.directory}/incusd.log",
        ]  # fmt: skip
        environment = {**_plain(), "INCUS_DIR": str(member.directory)}
        with (member.directory / "output.log").open("ab") as output:
            process = subprocess.Popen(
                command,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        self._processes[member.name] = process
        (self.directory / f"{member.name}.pid").write_text(f"{process.pid} {_started_at(process.pid)}")

    def kill(self, member: Member) -> None:
        """`kill -9` of the daemon alone: its instances go on."""
        process = self._processes.pop(member.name)
        process.kill()
        process.wait(timeout=_END_LIMIT_S)

    def ready(self, member: Member) -> None:
        self.incus(member, "admin", "waitready", f"--timeout={_READY_LIMIT_S}")

    def incus(self, member: Member, *arguments: str, stdin: str | None = None) -> str:
        """Runs the engine's own client at a member, with full rights."""
        answer = subprocess.run(
            ["incus", *arguments],
            env={
                **_plain(),
                "INCUS_DIR": str(member.directory),
                "INCUS_CONF": str(self.directory / "client"),
            },
            input=stdin or "",
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert answer.returncode == 0, f"incus {' '.join(arguments)}: {answer.stderr}{answer.stdout}"
        return answer.stdout

    def end(self) -> None:
        """Ends and removes all of it, also what a run before this one left."""
        for pid in self._pids():
            _end(pid)
        for process in self._processes.values():
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=_END_LIMIT_S)
        self._processes.clear()
        _unmount_below(self.directory)
        # It goes with either of its ends, some time after the namespace that has the other.
        if Path("/sys/class/net", self.outside).exists():
            _run("ip", "link", "delete", self.outside)
        for namespace in (self.hub, *(member.namespace for member in self.members)):
            if Path("/run/netns", namespace).exists():
                _run("ip", "netns", "delete", namespace)
        _detach_loops(self.directory)
        shutil.rmtree(self.directory, ignore_errors=True)

    def _network(self) -> None:
        ip = "ip"
        _run(ip, "netns", "add", self.hub)
        _run(ip, "-n", self.hub, "link", "add", "bridge", "type", "bridge")
        _run(ip, "-n", self.hub, "link", "set", "bridge", "up")
        _run(ip, "link", "add", self.outside, "type", "veth", "peer", "name", "outside", "netns", self.hub)
        _run(ip, "-n", self.hub, "link", "set", "outside", "master", "bridge", "up")
        _run(ip, "address", "add", f"{self.subnet}.1/24", "dev", self.outside)
        _run(ip, "link", "set", self.outside, "up")
        for member in self.members:
            _run(ip, "netns", "add", member.namespace)
            _run(ip, "-n", member.namespace, "link", "set", "lo", "up")
            _run(
                ip, "-n", member.namespace, "link", "add", "eth0", "type", "veth",
                "peer", "name", member.name, "netns", self.hub,
            )  # fmt: skip
            _run(ip, "-n", self.hub, "link", "set", member.name, "master", "bridge", "up")
            _run(ip, "-n", member.namespace, "address", "add", f"{member.ip}/24", "dev", "eth0")
            _run(ip, "-n", member.namespace, "link", "set", "eth0", "up")

    def _form(self) -> None:
        first, *others = self.members
        self.incus(
            first,
            "admin",
            "init",
            "--preseed",
            stdin=json.dumps(
                {
                    "config": {"core.https_address": f"{first.ip}:{PORT}"},
                    "cluster": {"server_name": first.name, "enabled": True},
                    "storage_pools": [{"name": "default", "driver": "btrfs", "config": {"size": POOL_SIZE}}],
                    "profiles": [
                        {
                            "name": "default",
                            "devices": {"root": {"type": "disk", "path": "/", "pool": "default"}},
                        }
                    ],
                }
            ),
        )
        for member in others:
            token = self.incus(first, "cluster", "add", member.name, "-q").strip()
            self.incus(
                member,
                "admin",
                "init",
                "--preseed",
                stdin=json.dumps(
                    {
                        "cluster": {
                            "enabled": True,
                            "server_address": f"{member.ip}:{PORT}",
                            "cluster_token": token,
                            "member_config": [
                                {
                                    "entity": "storage-pool",
                                    "name": "default",
                                    "key": "size",
                                    "value": POOL_SIZE,
                                }
                            ],
                        }
                    }
                ),
            )

    def _pids(self) -> Sequence[int]:
        """What was started here and still runs: daemons by their notes, the rest by the directory they were told."""
        found = []
        for note in self.directory.glob("*.pid"):
            pid, started_at = note.read_text().split()
            if _started_at(int(pid)) == started_at:
                found.append(int(pid))
        needle = f"{self.directory}/".encode()
        for directory in Path("/proc").iterdir():
            if directory.name.isdecimal() and int(directory.name) not in found:
                with contextlib.suppress(OSError):
                    told = (directory / "cmdline").read_bytes() + (directory / "environ").read_bytes()
                    if needle in told:
                        found.append(int(directory.name))
        return found


@contextlib.contextmanager
def free_slot() -> Iterator[int]:
    """A number that no other run on this machine has until the context ends."""
    with contextlib.ExitStack() as stack:
        for slot in range(1, SLOTS + 1):
            file = stack.enter_context((_ROOT / f"berth-incus-{slot}.lock").open("w"))
            with contextlib.suppress(BlockingIOError):
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                yield slot
                return
        raise AssertionError(f"all {SLOTS} slots for Incus clusters are taken")


@contextlib.contextmanager
def running() -> Iterator[Cluster]:
    """A cluster of three; nothing of it is left once the context ends."""
    with free_slot() as slot:
        cluster = Cluster(slot)
        cluster.end()
        try:
            cluster.start()
            yield cluster
        finally:
            cluster.end()


def _plain() -> dict[str, str]:
    """The environment without what would lead a client elsewhere."""
    return {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}


def _run(*command: str) -> None:
    answer = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert answer.returncode == 0, f"{' '.join(command)}: {answer.stderr}"


def _started_at(pid: int) -> str | None:
    """The clock ticks at which a process began: a number that is used again begins at another."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()[19]
    except OSError:
        return None


def _end(pid: int) -> None:
    """Returns once it has ended, whoever is to bury it."""
    with contextlib.suppress(ProcessLookupError):
        watched = os.pidfd_open(pid)
        try:
            signal.pidfd_send_signal(watched, signal.SIGKILL)
            select.select([watched], [], [], _END_LIMIT_S)
        finally:
            os.close(watched)


def _unmount_below(directory: Path) -> None:
    points = {line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()}
    below = [point for point in points if point.startswith(f"{directory}/")]
    for point in sorted(below, key=len, reverse=True):
        subprocess.run(["umount", "--lazy", point], capture_output=True, check=False)


def _detach_loops(directory: Path) -> None:
    for device in Path("/sys/block").glob("loop*"):
        with contextlib.suppress(OSError):
            if (device / "loop" / "backing_file").read_text().startswith(f"{directory}/"):
                subprocess.run(
                    ["losetup", "--detach", f"/dev/{device.name}"], capture_output=True, check=False
                )

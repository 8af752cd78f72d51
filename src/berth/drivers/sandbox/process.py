"""Which process is an instance, whether it lives, and how it ends.

A process is a boot, a pid and a start time together: a pid alone is reused, and a zombie still answers.
Signals go through a descriptor of the process that was checked after it was opened, never to a number.
"""

import contextlib
import os
import re
import select
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_PROCESSES_COUNTED = 5000
"""Of one instance, when its processor time is added up."""
KILL_LIMIT_S = 5.0
"""How long the kernel may take to end a killed process."""

_LABEL = re.compile(r"([0-9a-z]+)/([0-9A-Z]{26})")
_DEVICE = re.compile(r"/dev/nvidia\d+")
_VOLUME = re.compile(r"/.*/volumes/([0-9A-Z]{26})/(?:content|root)")


@dataclass(frozen=True, slots=True)
class ProcessIdentity:
    boot_id: str
    pid: int
    start_ticks: int


@dataclass(frozen=True, slots=True)
class Found:
    """The first process of an instance, as a scan of this host's processes found it."""

    instance_id: str
    identity: ProcessIdentity
    outer_pid: int
    has_begun: bool
    """Its agent was started. The first process waits for bubblewrap outside to let it go on before that."""
    is_let_down: bool
    """Bubblewrap outside has ended without letting it go on: it waits for ever."""
    devices: frozenset[str]
    """GPU device nodes granted to it."""
    volumes: frozenset[str]
    """Ids of the volumes mounted in it."""


@dataclass(frozen=True, slots=True)
class _Stat:
    state: str
    parent_pid: int
    start_ticks: int


@cache
def boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def identify(pid: int) -> ProcessIdentity | None:
    """The identity of the process that has this pid now, None when there is none."""
    stat = _stat(pid)
    if stat is None:
        return None
    return ProcessIdentity(boot_id=boot_id(), pid=pid, start_ticks=stat.start_ticks)


def is_alive(identity: ProcessIdentity) -> bool:
    if identity.boot_id != boot_id():
        return False
    stat = _stat(identity.pid)
    return stat is not None and stat.state not in "ZX" and stat.start_ticks == identity.start_ticks


def scan(install_id: str) -> dict[str, Found]:
    """Every living instance of this installation, by instance id, whatever its files say."""
    found = {}
    depth = len(_namespace_pids("self"))
    for entry in os.scandir("/proc"):
        if entry.name.isdecimal():
            instance = _recognize(int(entry.name), install_id, depth)
            if instance is not None:
                found[instance.instance_id] = instance
    return found


def used_ticks(pid: int) -> int:
    """Processor time of a process and all below it, those that have ended included, in ticks of the kernel."""
    total, waiting, seen = 0, [pid], 0
    while waiting and seen < _PROCESSES_COUNTED:
        current = waiting.pop()
        seen += 1
        fields = _fields(current)
        if fields is not None:
            total += sum(int(field) for field in fields[11:15])
            waiting += _children(current)
    return total


def end(identity: ProcessIdentity, *, grace_s: float) -> bool:
    """Ends an instance and everything in it. Returns whether it is gone; True also when it already was."""
    with _pidfd(identity.pid) as first:
        if first is None or not is_alive(identity):
            return True
        if grace_s > 0:
            _ask(identity.pid, first, grace_s)
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(first, signal.SIGKILL)
        return _wait([first], KILL_LIMIT_S)


def _ask(pid: int, first: int, grace_s: float) -> None:
    # The first process of the namespace ignores SIGTERM. Its child, the agent, passes the signal on to
    # everything inside and leaves when that is done or has taken too long.
    for child in _children(pid):
        with _pidfd(child) as agent:
            stat = _stat(child)
            if agent is not None and stat is not None and stat.parent_pid == pid:
                signal.pidfd_send_signal(agent, signal.SIGTERM)
                _wait([first, agent], grace_s)
                return


def _wait(descriptors: list[int], limit_s: float) -> bool:
    """Waits until one of the processes has ended; False when none has within the limit."""
    poll = select.poll()
    for descriptor in descriptors:
        poll.register(descriptor, select.POLLIN)
    deadline = time.monotonic() + limit_s
    while (left_s := deadline - time.monotonic()) > 0:
        if poll.poll(left_s * 1000):
            return True
    return False


@contextlib.contextmanager
def _pidfd(pid: int) -> Iterator[int | None]:
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        yield None
        return
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _stat(pid: int) -> _Stat | None:
    fields = _fields(pid)
    if fields is None:
        return None
    return _Stat(state=fields[0], parent_pid=int(fields[1]), start_ticks=int(fields[19]))


def _fields(pid: int) -> list[str] | None:
    """What the kernel says of a process, from its state on; None when there is none."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The name is in parentheses and may itself hold parentheses and spaces.
    return text[text.rindex(")") + 2 :].split()


def _children(pid: int) -> list[int]:
    found = []
    try:
        for thread in Path(f"/proc/{pid}/task").iterdir():
            found += (thread / "children").read_text().split()
    except (FileNotFoundError, ProcessLookupError):
        pass
    return [int(child) for child in found]


def _recognize(pid: int, install_id: str, depth: int) -> Found | None:
    """The instance whose first process this is, or None."""
    arguments = _arguments(pid)
    match = _LABEL.fullmatch(arguments[-1]) if arguments else None
    if match is None or match[1] != install_id:
        return None
    # Inside an instance anyone may write such a command line; nobody there is the first process of a
    # namespace exactly one level below ours.
    pids = _namespace_pids(str(pid))
    stat = _stat(pid)
    if len(pids) != depth + 1 or pids[-1] != 1 or stat is None or stat.state in "ZX":
        return None
    if _user(pid) != os.geteuid():
        return None
    has_begun = bool(_children(pid))
    return Found(
        instance_id=match[2],
        has_begun=has_begun,
        is_let_down=not has_begun and _arguments(stat.parent_pid)[-1:] != [match[0]],
        identity=ProcessIdentity(boot_id=boot_id(), pid=pid, start_ticks=stat.start_ticks),
        outer_pid=stat.parent_pid,
        devices=frozenset(argument for argument in arguments if _DEVICE.fullmatch(argument)),
        volumes=frozenset(volume[1] for volume in map(_VOLUME.fullmatch, arguments) if volume is not None),
    )


def _arguments(pid: int) -> list[str]:
    """Its command line; empty for one that is gone, or is none of ours to read."""
    try:
        text = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
    except OSError:
        return []
    # A command line ends with a zero byte.
    return text.split("\0")[:-1]


def _namespace_pids(pid: str) -> list[int]:
    return [int(number) for number in _status_line(pid, "NSpid:")]


def _user(pid: int) -> int | None:
    numbers = _status_line(str(pid), "Uid:")
    return int(numbers[1]) if numbers else None


def _status_line(pid: str, name: str) -> list[str]:
    try:
        lines = Path(f"/proc/{pid}/status").read_text(errors="replace").splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return []
    return next((line.split()[1:] for line in lines if line.startswith(name)), [])

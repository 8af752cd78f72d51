"""Which limits this host lets us put on an instance, and putting them.

Control groups of both versions are used where a subtree is ours to divide; an offer promises no more
than what a trial has shown.
"""

import contextlib
import os
import time
from dataclasses import dataclass
from pathlib import Path

from berth.drivers.sandbox.records import Spec

GIB = 1024**3
PROCESSES_PER_VCPU = 512
MIN_PROCESSES = 1024
_PERIOD_US = 100_000
_CONTROLLERS = ("memory", "pids", "cpu")
_REMOVE_LIMIT_S = 1.0


@dataclass(frozen=True, slots=True)
class ControlGroup:
    """A directory below which we may make groups that carry limits."""

    directory: Path
    controller: str
    is_unified: bool


def process_limit(vcpu_count: int) -> int:
    return max(MIN_PROCESSES, PROCESSES_PER_VCPU * vcpu_count)


def find_control_groups() -> tuple[ControlGroup, ...]:
    """The groups that accepted a trial group with a limit, at most one per controller."""
    mounts = _mounts()
    found: list[ControlGroup] = []
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, names, path = line.split(":", 2)
        for controller in names.split(","):
            if controller in _CONTROLLERS and controller in mounts:
                root, mount = mounts[controller]
                found.append(ControlGroup(_below(mount, root, path), controller, is_unified=False))
        if not names and "" in mounts:
            root, mount = mounts[""]
            found.extend(_unified(_below(mount, root, path)))
    return tuple(group for group in found if _is_usable(group))


def enter(groups: tuple[ControlGroup, ...], name: str, spec: Spec) -> list[str]:
    """Makes the instance's groups with its limits; the answer is the files that a process joins them by."""
    files = []
    for group in groups:
        directory = group.directory / name
        directory.mkdir(exist_ok=True)
        _limit(directory, group, spec.vcpu_count, spec.ram_gb)
        joining = str(directory / "cgroup.procs")
        if joining not in files:
            files.append(joining)
    return files


def leave(groups: tuple[ControlGroup, ...], name: str) -> None:
    """Removes the instance's groups once its processes are gone."""
    deadline = time.monotonic() + _REMOVE_LIMIT_S
    for group in groups:
        directory = group.directory / name
        while directory.is_dir():
            try:
                directory.rmdir()
            except OSError:
                if time.monotonic() > deadline:
                    return
                time.sleep(0.005)


def sweep(groups: tuple[ControlGroup, ...], prefix: str, *, known: set[str]) -> None:
    """Removes empty groups that were left behind: names with `prefix` that are not `known`."""
    for group in groups:
        for directory in group.directory.glob(f"{prefix}*"):
            if directory.name not in known:
                # One that still holds processes refuses to be removed.
                with contextlib.suppress(OSError):
                    directory.rmdir()


def _limit(directory: Path, group: ControlGroup, vcpu_count: int, ram_gb: int) -> None:
    quota = vcpu_count * _PERIOD_US
    match group.controller, group.is_unified:
        case "memory", True:
            _write(directory / "memory.max", ram_gb * GIB)
        case "memory", False:
            _write(directory / "memory.limit_in_bytes", ram_gb * GIB)
        case "pids", _:
            _write(directory / "pids.max", process_limit(vcpu_count))
        case "cpu", True:
            _write(directory / "cpu.max", f"{quota} {_PERIOD_US}")
        case "cpu", False:
            _write(directory / "cpu.cfs_period_us", _PERIOD_US)
            _write(directory / "cpu.cfs_quota_us", quota)


def _write(path: Path, value: object) -> None:
    # Never created: a file that is not there is a controller that is not there.
    descriptor = os.open(path, os.O_WRONLY)
    try:
        os.write(descriptor, str(value).encode())
    finally:
        os.close(descriptor)


def _is_usable(group: ControlGroup) -> bool:
    trial = group.directory / f"berth-trial-{os.getpid()}"
    try:
        trial.mkdir()
    except OSError:
        return False
    try:
        _limit(trial, group, 1, 1)
    except OSError:
        return False
    finally:
        trial.rmdir()
    return True


def _unified(own: Path) -> list[ControlGroup]:
    candidates = [own]
    # A service manager that runs us in a subgroup has marked the group above as ours.
    if _is_delegated(own.parent):
        candidates.append(own.parent)
    for directory in candidates:
        for controller in _CONTROLLERS:
            # Refused where the group holds processes itself or the controller is not there.
            with contextlib.suppress(OSError):
                _write(directory / "cgroup.subtree_control", f"+{controller}")
        with contextlib.suppress(OSError):
            passed_on = (directory / "cgroup.subtree_control").read_text().split()
            if passed_on:
                return [
                    ControlGroup(directory, controller, is_unified=True)
                    for controller in _CONTROLLERS
                    if controller in passed_on
                ]
    return []


def _is_delegated(directory: Path) -> bool:
    for attribute in ("user.delegate", "trusted.delegate"):
        with contextlib.suppress(OSError):
            return os.getxattr(directory, attribute) == b"1"
    return False


def _mounts() -> dict[str, tuple[str, Path]]:
    """Root and mount point per controller; the unified hierarchy has the empty name."""
    found: dict[str, tuple[str, Path]] = {}
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        before, _, after = line.partition(" - ")
        root, mount = before.split()[3:5]
        kind, _, options = after.split()[:3]
        if kind == "cgroup2":
            found.setdefault("", (root, Path(mount)))
        elif kind == "cgroup":
            for controller in set(options.split(",")) & set(_CONTROLLERS):
                found.setdefault(controller, (root, Path(mount)))
    return found


def _below(mount: Path, root: str, path: str) -> Path:
    inside = path.removeprefix(root) if root != "/" else path
    return mount / inside.lstrip("/")

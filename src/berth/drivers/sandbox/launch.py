"""Turns a directory into a running instance: listener, launcher, bubblewrap, agent.

Leaves nothing half-started: either `run.json` names the new process or there is none.
"""

import contextlib
import errno
import json
import os
import select
import socket
import subprocess
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from berth.core.driver import Refused, Unreachable
from berth.drivers.sandbox import layout, limits, process, records
from berth.drivers.sandbox.host import Host
from berth.drivers.sandbox.layout import AGENT, LAUNCHER, Program, VolumeBind
from berth.drivers.sandbox.records import Run, Spec

STATUS_LIMIT_S = 5.0
BACKLOG = 64
LOG_LIMIT_BYTES = 2048
"""How much of an instance's log an operator is shown."""
_REAP_LIMIT_S = 1.0


class PortTaken(Exception):
    """Somebody listens on the instance's port: perhaps the instance itself."""


_children: dict[int, subprocess.Popen[bytes]] = {}
"""By process id, until they are reaped. The process's, not a driver's: they outlive a driver object."""


def launch(
    host: Host,
    directory: Path,
    disk: Path,
    spec: Spec,
    *,
    listen_host: str,
    has_network: bool,
    devices: Sequence[str],
    volumes: Sequence[VolumeBind],
) -> Run:
    """Starts the instance in `directory`, whose lock the caller holds, with the boot disk in `disk`.

    Raises PortTaken, Refused when the sandbox does not start, Unreachable when the host lacks room.
    """
    records.forget_run(directory)
    listener = _listen(listen_host, spec.port)
    try:
        # Our copy of the listener is closed: kept open, clients of a dead instance would hang.
        with contextlib.closing(listener):
            # Only now that the port is ours: nobody is in there any more.
            layout.prepare(host.runtime, directory, disk, volumes, layout=host.layout)
            program = _program(directory, spec, listener, devices=devices, volumes=volumes)
            outer, status = _start(host, directory, disk, spec, program, listener, has_network=has_network)
    except BaseException:
        limits.leave(host.control_groups, group_name(spec))
        raise
    try:
        run = _await_status(status, outer, directory, spec.port)
        records.write_run(directory, run)
    except BaseException:
        _abandon(outer, spec)
        limits.leave(host.control_groups, group_name(spec))
        raise
    finally:
        os.close(status)
    _children[outer.pid] = outer
    return run


def reap(*, expected_pid: int | None = None) -> None:
    """Takes leave of children that have ended, waiting a little for the one that must be about to."""
    expected = _children.get(expected_pid) if expected_pid is not None else None
    if expected is not None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            expected.wait(_REAP_LIMIT_S)
    for pid, child in list(_children.items()):
        if child.poll() is not None:
            _children.pop(pid, None)


def last_lines(directory: Path) -> list[str]:
    """The end of what bubblewrap and the agent said. An instance may have written it: shown escaped, if at all."""
    try:
        with os.fdopen(os.open(directory / "log", os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), "rb") as log:
            log.seek(max(0, os.fstat(log.fileno()).st_size - LOG_LIMIT_BYTES))
            return log.read(LOG_LIMIT_BYTES).decode(errors="replace").strip().splitlines()
    except OSError:
        return []


def group_name(spec: Spec) -> str:
    return f"berth-{spec.install_id}-{spec.instance_id}"


def is_port_free(listen_host: str, port: int) -> bool:
    try:
        _listen(listen_host, port).close()
    except PortTaken:
        return False
    return True


def _listen(listen_host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in listen_host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((listen_host, port))
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise PortTaken from None
        raise
    return listener


def _program(
    directory: Path,
    spec: Spec,
    listener: socket.socket,
    *,
    devices: Sequence[str],
    volumes: Sequence[VolumeBind],
) -> Program:
    label = f"{spec.install_id}/{spec.instance_id}"
    return Program(
        arguments=["/run/agent.py", "/run/agent", str(listener.fileno()), label],
        binds=[(AGENT, "/run/agent.py"), (directory / "agent.json", "/run/agent.json")],
        devices=devices,
        volumes=volumes,
    )


def _start(
    host: Host,
    directory: Path,
    disk: Path,
    spec: Spec,
    program: Program,
    listener: socket.socket,
    *,
    has_network: bool,
) -> tuple[subprocess.Popen[bytes], int]:
    """Starts the launcher. The answer is our child and the end of the pipe that its status arrives on."""
    joined = limits.enter(host.control_groups, group_name(spec), spec)
    status_read, status_write = os.pipe()
    try:
        program = replace(program, status_descriptor=status_write)
        line = layout.arguments(
            host.runtime, directory, disk, spec.hostname, program, layout=host.layout, has_network=has_network
        )
        order = json.dumps({"cgroups": joined, "rlimits": _rlimits(host, spec)})
        log = os.open(directory / "log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o600)
        try:
            outer = subprocess.Popen(
                [str(host.runtime.python), "-I", "-S", str(LAUNCHER), order, *line],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=(listener.fileno(), status_write),
                # Its own session: a signal to the control plane's group must not reach the instance.
                start_new_session=True,
                env={},
                cwd="/",
            )
        finally:
            os.close(log)
    except (FileNotFoundError, PermissionError) as error:
        os.close(status_read)
        raise Refused(
            f"the interpreter cannot be started: {error}", reason="The host could not start this instance."
        ) from error
    except BaseException:
        os.close(status_read)
        raise
    finally:
        os.close(status_write)
    return outer, status_read


def _rlimits(host: Host, spec: Spec) -> dict[str, int]:
    wanted = {"RLIMIT_NOFILE": 65_536, "RLIMIT_CORE": 0}
    has_memory_group = any(group.controller == "memory" for group in host.control_groups)
    # Per process, so no promise; and never with a GPU, whose runtime reserves huge address ranges.
    if not has_memory_group and spec.gpu_count == 0:
        wanted["RLIMIT_AS"] = spec.ram_gb * limits.GIB
    return wanted


def _await_status(status: int, outer: subprocess.Popen[bytes], directory: Path, port: int) -> Run:
    deadline = time.monotonic() + STATUS_LIMIT_S
    received = b""
    poll = select.poll()
    poll.register(status, select.POLLIN)
    while b"\n" not in received:
        left_s = deadline - time.monotonic()
        if left_s <= 0:
            raise _failure(directory, "no status within its limit")
        if poll.poll(left_s * 1000):
            chunk = os.read(status, 4096)
            if not chunk:
                raise _failure(directory, "it ended before it said anything")
            received += chunk
    pid = json.loads(received.split(b"\n", 1)[0])["child-pid"]
    identity = process.identify(pid)
    if identity is None:
        raise _failure(directory, "its first process ended at once")
    return Run(
        boot_id=identity.boot_id, pid=pid, start_ticks=identity.start_ticks, outer_pid=outer.pid, port=port
    )


def _failure(directory: Path, what: str) -> Refused | Unreachable:
    log = " ".join(last_lines(directory))[-500:]
    message = f"the sandbox did not start, {what}: {log}"
    if "No space left" in log or "Cannot allocate memory" in log:
        return Unreachable(message, reason="The host has no room for this instance at the moment.")
    return Refused(message, reason="The host could not start this instance.")


def _abandon(outer: subprocess.Popen[bytes], spec: Spec) -> None:
    """Ends what was started but is on no record."""
    found = process.scan(spec.install_id).get(spec.instance_id)
    if found is not None:
        process.end(found.identity, grace_s=0)
    outer.kill()
    with contextlib.suppress(subprocess.TimeoutExpired):
        outer.wait(process.KILL_LIMIT_S)

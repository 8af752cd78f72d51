"""The SSH server inside an instance: logs customers in with their keys, runs the startup script once.

One file without imports of our package, so that a restart after an upgrade needs nothing but this file.
It trusts nobody but the keys in its directory, which it reads again at each login. Any login name is
accepted, since there is one user.

    agent.py <directory of keys> <listening descriptor> <label>
"""

import asyncio
import contextlib
import fcntl
import json
import logging
import os
import pty
import signal
import socket
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

SETTINGS = Path("/run/agent.json")
"""`library_paths`, `environment` and `process_limit`: bound read-only, written by the driver at each start."""

if __name__ == "__main__":
    _settings = json.loads(SETTINGS.read_text())
    # The interpreter starts without site packages: nothing that lies in the instance is imported.
    sys.path.extend(_settings["library_paths"])

import asyncssh  # noqa: E402

if TYPE_CHECKING:
    Process = asyncssh.SSHServerProcess[bytes]

SHUTDOWN_LIMIT_S = 2.0
"""How long other programs have after SIGTERM before we leave and the kernel ends them."""
CHUNK = 65536

log = logging.getLogger("agent")


class Server(asyncssh.SSHServer):
    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        self._connection = conn

    def begin_auth(self, username: str) -> bool:  # noqa: ARG002
        try:
            self._connection.set_authorized_keys(str(self._directory / "authorized_keys"))
        except (OSError, ValueError):
            log.warning("no usable key: every login is refused")
        return True

    def connection_requested(self, *_: object) -> bool:
        # Forwarding is how a customer reaches a service of an instance that has no network.
        return True

    def server_requested(self, *_: object) -> bool:
        return True


class Files(asyncssh.SFTPServer):
    def exit(self) -> None:
        # The library closes without a status, which `scp` reports as a failure of a copy that went well.
        self.channel.exit(0)


async def serve(directory: Path, descriptor: int, environment: dict[str, str]) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    listener = socket.socket(fileno=descriptor)
    listener.setblocking(False)
    clients: set[Any] = set()

    async def session(process: "Process") -> None:
        clients.add(process)
        try:
            await run_session(process, environment)
        finally:
            clients.discard(process)

    server = await asyncssh.create_server(
        lambda: Server(directory),
        sock=listener,
        server_host_keys=[str(directory / "host_key")],
        process_factory=session,
        sftp_factory=Files,
        allow_scp=True,
        encoding=None,
        line_editor=False,
        keepalive_interval=60,
        gss_host=None,
    )
    (directory / "ready").touch()
    script = run_startup_script(directory, environment)
    await stop.wait()
    server.close()
    for client in list(clients):
        client.close()
    await end_everything()
    if script is not None:
        script.cancel()


async def run_session(process: "Process", environment: dict[str, str]) -> None:
    variables = environment | {
        name: value for name, value in process.env.items() if name == "LANG" or name.startswith("LC_")
    }
    with contextlib.suppress(OSError, asyncssh.Error):
        if process.term_type is not None:
            await run_with_terminal(process, variables | {"TERM": process.term_type})
        else:
            await run_with_pipes(process, variables)


async def run_with_terminal(process: "Process", variables: dict[str, str]) -> None:
    ours, theirs = pty.openpty()
    resize(ours, process.term_size)
    child = subprocess.Popen(  # noqa: ASYNC220
        shell(process.command),
        executable="/bin/bash",
        env=variables,
        cwd=variables["HOME"],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # noqa: PLW1509
    )
    os.close(theirs)
    os.set_blocking(ours, False)
    keyboard = asyncio.create_task(
        feed(process, lambda data: write_all(ours, data), child.pid, lambda size: resize(ours, size))
    )
    screen = asyncio.create_task(pump(ours, process.stdout))
    try:
        code = await ended(child, process)
        # A program left in the background may keep the terminal open; what was printed is there by now.
        await asyncio.wait({screen}, timeout=0.2)
        finish(process, code)
    finally:
        await cancel(keyboard, screen)
        os.close(ours)


async def run_with_pipes(process: "Process", variables: dict[str, str]) -> None:
    child = subprocess.Popen(  # noqa: ASYNC220
        shell(process.command),
        executable="/bin/bash",
        env=variables,
        cwd=variables["HOME"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        bufsize=0,
    )
    assert child.stdin is not None
    assert child.stdout is not None
    assert child.stderr is not None
    for pipe in (child.stdin, child.stdout, child.stderr):
        os.set_blocking(pipe.fileno(), False)
    stdin = child.stdin
    keyboard = asyncio.create_task(feed(process, lambda data: write_all(stdin.fileno(), data), child.pid))
    keyboard.add_done_callback(lambda _: stdin.close())
    screens = [
        asyncio.create_task(pump(child.stdout.fileno(), process.stdout)),
        asyncio.create_task(pump(child.stderr.fileno(), process.stderr)),
    ]
    try:
        code = await ended(child, process)
        gone = asyncio.create_task(process.channel.wait_closed())
        # As with any SSH server, a program in the background that keeps the pipes keeps the session.
        drained = asyncio.create_task(asyncio.wait(screens))
        await asyncio.wait({gone, drained}, return_when=asyncio.FIRST_COMPLETED)
        drained.cancel()
        gone.cancel()
        finish(process, code)
    finally:
        await cancel(keyboard, *screens)
        child.stdout.close()
        child.stderr.close()


def shell(command: str | None) -> list[str]:
    return ["-bash"] if command is None else ["bash", "-c", command]


def finish(process: "Process", code: int) -> None:
    process.exit(code if code >= 0 else 128 - code)


async def ended(child: subprocess.Popen[bytes], process: "Process") -> int:
    """Waits for the program; a client that hangs up ends it, as a closed terminal would."""
    gone = asyncio.create_task(process.channel.wait_closed())
    exited = asyncio.create_task(wait_for_exit(child))
    await asyncio.wait({gone, exited}, return_when=asyncio.FIRST_COMPLETED)
    if not exited.done():
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGHUP)
    gone.cancel()
    return await exited


async def wait_for_exit(child: subprocess.Popen[bytes]) -> int:
    descriptor = os.pidfd_open(child.pid)
    try:
        await readable(descriptor)
    finally:
        os.close(descriptor)
    return child.wait()


async def feed(
    process: "Process",
    write: Callable[[bytes], Awaitable[None]],
    group: int,
    on_resize: Callable[[tuple[int, int, int, int]], None] | None = None,
) -> None:
    """Carries what the client types, and its signals and window changes, to the program."""
    while True:
        try:
            data = await process.stdin.read(CHUNK)
        except asyncssh.TerminalSizeChanged as change:
            if on_resize is not None:
                on_resize(change.term_size)
            continue
        except asyncssh.SignalReceived as received:
            number = getattr(signal, f"SIG{received.signal}", None)
            if number is not None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(group, number)
            continue
        except asyncssh.BreakReceived:
            continue
        if not data:
            return
        try:
            await write(data)
        except OSError:
            return


async def pump(descriptor: int, writer: "asyncssh.SSHWriter[bytes]") -> None:
    while True:
        try:
            data = os.read(descriptor, CHUNK)
        except BlockingIOError:
            await readable(descriptor)
            continue
        except OSError:
            # A terminal whose last user has gone answers with an input/output error.
            return
        if not data:
            return
        try:
            writer.write(data)
            await writer.drain()
        except (OSError, asyncssh.Error):
            return


async def write_all(descriptor: int, data: bytes) -> None:
    while data:
        try:
            data = data[os.write(descriptor, data) :]
        except BlockingIOError:
            await writable(descriptor)


async def readable(descriptor: int) -> None:
    loop = asyncio.get_running_loop()
    event = asyncio.Event()
    loop.add_reader(descriptor, event.set)
    try:
        await event.wait()
    finally:
        loop.remove_reader(descriptor)


async def writable(descriptor: int) -> None:
    loop = asyncio.get_running_loop()
    event = asyncio.Event()
    loop.add_writer(descriptor, event.set)
    try:
        await event.wait()
    finally:
        loop.remove_writer(descriptor)


async def cancel(*tasks: "asyncio.Task[None]") -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def resize(terminal: int, size: tuple[int, int, int, int]) -> None:
    columns, rows, width, height = size
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, width, height))


def run_startup_script(directory: Path, environment: dict[str, str]) -> "asyncio.Task[None] | None":
    """Starts the script beside the server, at most once in the life of the instance."""
    script = directory / "startup.sh"
    if not script.exists():
        return None
    try:
        # Before running, so that a script that was killed half-way is not run a second time.
        os.close(os.open(directory / "startup.started", os.O_CREAT | os.O_EXCL, 0o600))
    except FileExistsError:
        return None
    return asyncio.create_task(_run_script(directory, script, environment))


async def _run_script(directory: Path, script: Path, environment: dict[str, str]) -> None:
    with (directory / "startup.log").open("wb") as output:
        try:
            child = subprocess.Popen(  # noqa: ASYNC220
                [str(script)],
                env=environment,
                cwd=environment["HOME"],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        except OSError as error:
            # Most often a script without a first line that names its interpreter.
            output.write(f"{error}; running it with bash\n".encode())
            output.flush()
            child = subprocess.Popen(  # noqa: ASYNC220
                ["/bin/bash", str(script)],
                env=environment,
                cwd=environment["HOME"],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
    code = await wait_for_exit(child)
    (directory / "startup.rc").write_text(f"{code}\n")


async def end_everything() -> None:
    """Asks every program in the instance to leave, and waits for them, for a while."""
    with contextlib.suppress(ProcessLookupError):
        # All but the first process and ourselves: the namespace holds nothing else.
        os.kill(-1, signal.SIGTERM)
        os.kill(-1, signal.SIGHUP)
    deadline = time.monotonic() + SHUTDOWN_LIMIT_S
    while others() and time.monotonic() < deadline:  # noqa: ASYNC110 - other programs set no event of ours
        await asyncio.sleep(0.01)


def others() -> bool:
    for entry in os.scandir("/proc"):
        if entry.name.isdecimal() and int(entry.name) not in (1, os.getpid()):
            with contextlib.suppress(OSError):
                state = Path(f"/proc/{entry.name}/stat").read_text(errors="replace").rpartition(")")[2]
                if state.split()[0] not in "ZX":
                    return True
    return False


_USUAL = (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT)


def main() -> None:
    directory, descriptor = Path(sys.argv[1]), int(sys.argv[2])
    logging.basicConfig(level=logging.WARNING)
    for number in _USUAL:
        # A server that was started by nohup, or in the background of a script, would have its customers' programs ignore them.
        signal.signal(number, signal.SIG_DFL)
    os.closerange(3, descriptor)
    os.closerange(descriptor + 1, 256)
    if _settings["process_limit"] is not None:
        import resource  # noqa: PLC0415

        # Set in here, the limit counts this instance's processes; set outside, all those of the host's user.
        limit = min(
            _settings["process_limit"], *(n for n in resource.getrlimit(resource.RLIMIT_NPROC) if n > 0)
        )
        resource.setrlimit(resource.RLIMIT_NPROC, (limit, limit))
    asyncio.run(serve(directory, descriptor, _settings["environment"]))


if __name__ == "__main__":
    main()

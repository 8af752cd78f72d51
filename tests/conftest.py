"""Every test that asks for `db` runs twice, on SQLite and on PostgreSQL, with a clock turned by hand.

A SQLite file is a copy of one that was migrated once, a PostgreSQL database is emptied and used again, so a
test pays milliseconds for it. The server is started when the first test needs it.
BERTH_REQUIRE_ALL=1 turns "cannot run here" into a failure.
"""

import asyncio
import inspect
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, settings

from berth import migrations
from berth.base.clock import SECOND, Instant, parse_rfc3339
from berth.base.db import Database, connect, sqlite_path
from tests import postgres

_EMPTY = """
DO $$
DECLARE name text;
BEGIN
    PERFORM pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid();
    FOR name IN SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'alembic_version' LOOP
        EXECUTE format('DELETE FROM %I', name);
    END LOOP;
    PERFORM setval(oid::regclass, 1, false) FROM pg_class WHERE relkind = 'S';
END $$
"""
"""Creating a database takes a fifth of a second, truncating its tables a twentieth, and this half of that."""
_TIDIED_AFTER = 25
"""Rows that were deleted take room until somebody tidies up."""
ENGINES = ("sqlite", "postgresql")
ASYNC_LIMIT_S = 60
_MEMORY = Path("/dev/shm")
_ROOM_BYTES = 1024**3

# The same examples in every run, so that a red run is about the change and not about luck; `explore` looks further.
_FIXTURES = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large]
settings.register_profile(
    "berth", deadline=None, derandomize=True, database=None, suppress_health_check=_FIXTURES, max_examples=50
)
settings.register_profile("explore", settings.get_profile("berth"), derandomize=False, max_examples=1000)
settings.load_profile("berth")


class FakeClock:
    """Stands still until it is turned: `clock.advance(seconds=600)`."""

    def __init__(self, start: str = "2026-04-03T10:00:00Z") -> None:
        self._now = parse_rfc3339(start)

    def now(self) -> Instant:
        return self._now

    def advance(self, *, seconds: float = 0, micros: int = 0) -> Instant:
        """Turns it forward; the instant it shows then."""
        self._now = Instant(self._now + round(seconds * SECOND) + micros)
        return self._now

    def set(self, instant: Instant) -> None:
        """Turns it to `instant`, backwards too."""
        self._now = instant


class Databases:
    """Hands out databases and takes them back."""

    def __init__(self, directory: Path, files: Path, stack: ExitStack) -> None:
        self._directory = directory
        self._files = files
        """Where SQLite's are."""
        self._stack = stack
        self._server: str | None = None
        self._template: str | None = None
        self._to_empty: list[str] = []
        self._emptyings = 0
        self._count = 0

    def empty(self, engine: str, *, encoding: str = "UTF8") -> str:
        """The URL of a database without a schema. `encoding` is PostgreSQL's."""
        if engine == "postgresql":
            return postgres.create_database(self._postgres(), encoding=encoding)
        self._count += 1
        return f"sqlite:///{self._files / f'{self._count}.sqlite3'}"

    def migrated(self, engine: str) -> str:
        """The URL of a database with the newest schema and no rows."""
        if engine == "postgresql":
            return self._emptied() or self._upgraded(engine)
        if self._template is None:
            self._template = self._upgraded(engine)
        url = self.empty(engine)
        shutil.copyfile(sqlite_path(self._template), sqlite_path(url))
        return url

    def take_back(self, url: str) -> None:
        """The test that had this migrated database, and changed nothing of its schema, has ended."""
        if url.startswith("postgresql:"):
            self._to_empty.append(url)
        else:
            self.drop(url)

    def drop(self, url: str) -> None:
        if url.startswith("postgresql:"):
            postgres.drop_database(self._postgres(), url)
            return
        path = sqlite_path(url)
        for leftover in path.parent.glob(f"{path.name}*"):
            leftover.unlink()

    def _upgraded(self, engine: str) -> str:
        url = self.empty(engine)
        migrations.upgrade(url)
        return url

    def _emptied(self) -> str | None:
        if not self._to_empty:
            return None
        url = self._to_empty.pop()
        self._emptyings += 1
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(_EMPTY)
            if self._emptyings % _TIDIED_AFTER == 0:
                connection.execute("VACUUM")
        return url

    def _postgres(self) -> str:
        if self._server is None:
            try:
                self._server = self._stack.enter_context(postgres.start(self._directory))
            except postgres.PostgresUnavailable as error:
                if os.environ.get("BERTH_REQUIRE_ALL") == "1":
                    raise
                pytest.skip(f"no PostgreSQL here: {error}")
        return self._server


def pytest_addoption(parser: pytest.Parser) -> None:
    """How many random histories are lived on SQLite, or which one: see tests/loops/test_histories.py."""
    parser.addoption("--histories", type=int, default=2000, metavar="COUNT", help="random histories to live")
    parser.addoption("--history", type=int, default=None, metavar="SEED", help="live this one alone")
    parser.addoption("--sessions", type=int, default=24, metavar="COUNT", help="sessions in the storm")


@pytest.fixture(scope="session")
def databases(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Databases]:
    directory = tmp_path_factory.mktemp("databases")
    with ExitStack() as stack:
        files = directory
        if _has_room(_MEMORY):
            files = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="berth-test-", dir=_MEMORY)))
        yield Databases(directory, files, stack)


def _has_room(directory: Path) -> bool:
    """Whether many small files can go there: no test is about power that fails, and most of their time is fsync."""
    return (
        directory.is_dir()
        and os.access(directory, os.W_OK)
        and shutil.disk_usage(directory).free > _ROOM_BYTES
    )


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> str:
    """`sqlite`, then `postgresql`: whatever asks for it, or for `db`, runs on both."""
    name: str = request.param
    return name


@pytest.fixture
def empty_url(databases: Databases, engine: str) -> Iterator[str]:
    """A database without a schema."""
    url = databases.empty(engine)
    yield url
    databases.drop(url)


@pytest.fixture
def database_url(databases: Databases, engine: str) -> Iterator[str]:
    """A migrated database with no rows in it, for a test that opens it itself or from several processes."""
    url = databases.migrated(engine)
    yield url
    databases.take_back(url)


@pytest.fixture
def clock() -> FakeClock:
    """2026-04-03T10:00:00Z until it is turned."""
    return FakeClock()


@pytest.fixture
def db(database_url: str, clock: FakeClock) -> Iterator[Database]:
    """A migrated database with no rows, whose `tx.now` is what `clock` shows."""
    database = connect(database_url, clock)
    yield database
    database.close()


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Runs `async def` tests, each in an event loop of its own."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    wanted = inspect.signature(pyfuncitem.obj).parameters
    arguments: dict[str, Any] = {name: pyfuncitem.funcargs[name] for name in wanted}
    asyncio.run(asyncio.wait_for(pyfuncitem.obj(**arguments), ASYNC_LIMIT_S))
    return True

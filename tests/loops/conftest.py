"""A world for each test, on both engines."""

from collections.abc import Iterator

import pytest
from structlog.testing import capture_logs
from structlog.typing import EventDict

from berth.base.db import Database, connect, is_postgresql
from tests.conftest import FakeClock
from tests.loops.able import ABLE
from tests.world import straight
from tests.world.provider import Provider
from tests.world.world import Turnable, World


@pytest.fixture(autouse=True)
def log() -> Iterator[list[EventDict]]:
    """What was logged: kept instead of printed, because a traceback in colours takes longer than a test."""
    with capture_logs() as entries:
        yield entries


@pytest.fixture
def db(database_url: str, clock: FakeClock) -> Iterator[Database]:
    """As everywhere, but PostgreSQL is asked in the thread of the test: a test here has a thousand transactions."""
    database = (
        straight.connect(database_url, clock) if is_postgresql(database_url) else connect(database_url, clock)
    )
    yield database
    database.close()


@pytest.fixture
def apart(engine: str) -> int:
    """How many calls lie between two deaths: SQLite dies at every call; PostgreSQL takes ten times as long for each."""
    return 1 if engine == "sqlite" else 3


@pytest.fixture
def provider(clock: Turnable) -> Provider:
    """The provider of `world`: one H100 offer with eight units, no faults."""
    return Provider(clock)


@pytest.fixture
def world(db: Database, clock: Turnable, provider: Provider) -> World:
    return World(db, clock, provider)


@pytest.fixture
def able(db: Database, clock: Turnable) -> World:
    """A world whose provider keeps disks and copies volumes."""
    return World(db, clock, Provider(clock, abilities=ABLE))

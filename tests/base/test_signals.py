"""Processes on one PostgreSQL tell each other what there is to do; whatever becomes of that, nobody is harmed."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import psycopg
import pytest
from structlog.testing import capture_logs

from berth.base.clock import Instant, SystemClock, after
from berth.base.db import connect
from berth.base.db_signals import CHANNEL, NAMES_AT_ONCE, Signals, heard
from tests.conftest import Databases

WITHIN_S = 20
_CUT = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
)


class Ear:
    """What one process heard."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.changed = asyncio.Event()

    def hear(self, name: str) -> None:
        self.names.append(name)
        self.changed.set()

    async def has(self, name: str) -> None:
        async with asyncio.timeout(WITHIN_S):
            while name not in self.names:
                self.changed.clear()
                await self.changed.wait()


@pytest.fixture
def url(databases: Databases) -> str:
    return databases.migrated("postgresql")


@asynccontextmanager
async def process(url: str) -> AsyncIterator[tuple[Signals, Ear]]:
    database, ear = connect(url, SystemClock()), Ear()
    signals = Signals(url, database, ear.hear)
    signals.start()
    try:
        async with asyncio.timeout(WITHIN_S):
            await signals.is_listening.wait()
        yield signals, ear
    finally:
        await signals.stop()
        database.close()


async def test_what_one_process_signals_the_others_hear_and_it_does_not(url: str) -> None:
    async with process(url) as (one, own), process(url) as (_, other), process(url) as (_, third):
        one.tell("provisioning")
        await other.has("provisioning")
        await third.has("provisioning")
        one.tell("volumes")
        await other.has("volumes")
        assert other.names == ["provisioning", "volumes"]
        assert own.names == []


async def test_many_signals_of_a_moment_are_one_notification(url: str) -> None:
    async with (
        process(url) as (one, _),
        process(url) as (_, other),
        await psycopg.AsyncConnection.connect(url, autocommit=True) as raw,
    ):
        await raw.execute(f"LISTEN {CHANNEL}")
        for _ in range(1000):
            one.tell("provisioning")
            one.tell("deliveries")
        await other.has("deliveries")
        payloads = [notice.payload async for notice in raw.notifies(timeout=0.5)]
        assert [payload.split(" ")[1:] for payload in payloads] == [["provisioning", "deliveries"]]


async def test_no_notification_is_longer_than_may_be(url: str) -> None:
    async with process(url) as (one, _), process(url) as (_, other):
        for number in range(NAMES_AT_ONCE + 10):
            one.tell("loop_" + "x" * (number % 30) + "abc"[number % 3])
        await other.has("loop_a")
        assert len(other.names) <= NAMES_AT_ONCE


@pytest.mark.parametrize(
    "payload",
    ["", "provisioning", "0123456z a", "01234567", "01234567 A", "01234567" + " a" * 33, "x" * 7000],
)
def test_what_is_no_signal_of_ours_says_nothing(payload: str) -> None:
    assert heard(payload, "76543210") == []


async def test_strangers_on_the_channel_end_nothing(url: str) -> None:
    async with (
        process(url) as (one, _),
        process(url) as (_, other),
        await psycopg.AsyncConnection.connect(url, autocommit=True) as raw,
    ):
        for payload in ("", "'; DROP TABLE entries", "x" * 7999):
            await raw.execute("SELECT pg_notify(%s, %s)", (CHANNEL, payload))
        one.tell("provisioning")
        await other.has("provisioning")
        assert other.names == ["provisioning"]


async def test_a_clock_that_goes_wrong_later_is_told_of_once(url: str) -> None:
    """Leases are told by it, so what was right when the process began has to stay right."""
    database, clock = connect(url, SystemClock()), _Drifting()
    signals = Signals(url, database, lambda _name: None, clock=clock, quiet_s=0.01)
    with capture_logs() as logs:
        signals.start()
        async with asyncio.timeout(WITHIN_S):
            await clock.is_read(3)
            assert logs == []
            for off_s in (10, 0, -10):
                clock.off_s = off_s
                await clock.is_read(3)
        await signals.stop()
    database.close()
    assert [log["event"] for log in logs] == ["clock_differs", "clock_differs"]
    assert all(9 < log["from_database_s"] < 11 for log in logs)


class _Drifting:
    """The host's clock, off by so many seconds."""

    def __init__(self) -> None:
        self.off_s = 0
        self._reads = 0

    def now(self) -> Instant:
        self._reads += 1
        return after(SystemClock().now(), seconds=self.off_s)

    async def is_read(self, times: int) -> None:
        until = self._reads + times
        while self._reads < until:
            await asyncio.sleep(0.01)


async def test_a_connection_that_was_cut_is_made_again(url: str) -> None:
    async with process(url) as (one, _), process(url) as (_, other):
        async with await psycopg.AsyncConnection.connect(url, autocommit=True) as raw:
            cut = await (await raw.execute(_CUT)).fetchall()
            assert len(cut) >= 2
        async with asyncio.timeout(WITHIN_S):
            while not other.names:  # what is told while nobody listens is lost
                one.tell("provisioning")
                await asyncio.sleep(0.1)
        assert set(other.names) == {"provisioning"}

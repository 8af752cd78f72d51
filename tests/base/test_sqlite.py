"""SQLite's writer: several verbs share a commit, and when that fails every one of them hears of it."""

import asyncio
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from berth.base.db import DatabaseUnavailable, Tx
from berth.base.sqlite import GROUP_LIMIT, SqliteDatabase
from tests.conftest import FakeClock
from tests.core.together import failed, succeeded

TABLES = (
    "CREATE TABLE things (name TEXT PRIMARY KEY)",
    "CREATE TABLE parts (thing TEXT REFERENCES things (name) DEFERRABLE INITIALLY DEFERRED)",
)


@pytest.fixture
def lite(tmp_path: Path, clock: FakeClock) -> Iterator[SqliteDatabase]:
    database = SqliteDatabase(tmp_path / "deeper" / "berth.sqlite3", clock)
    for statement in TABLES:
        database.write_now(run, statement)
    yield database
    database.close()


def run(tx: Tx, statement: str) -> None:
    tx.run(statement)


def put(tx: Tx, name: str) -> str:
    tx.run("INSERT INTO things (name) VALUES (:name)", name=name)
    return name


def put_part_of_nothing(tx: Tx) -> str:
    tx.run("INSERT INTO parts (thing) VALUES ('nothing')")
    return "part"


def names(tx: Tx) -> list[str]:
    return [row[0] for row in tx.all("SELECT name FROM things ORDER BY name")]


class Waiting:
    """Keeps the writer busy while verbs queue up behind it, then lets it take them all at once."""

    def __init__(self, lite: SqliteDatabase) -> None:
        self._lite = lite
        self._may_go = threading.Event()
        self._is_busy = threading.Event()
        self._threads: list[threading.Thread] = []
        self.outcomes: list[object] = []
        self.add(self._block)
        self._is_busy.wait(10)

    def _block(self, _tx: Tx) -> None:
        self._is_busy.set()
        self._may_go.wait(10)

    def add(self, verb: object, *values: object) -> None:
        number = len(self.outcomes)
        self.outcomes.append(None)
        before = self._lite._queue.qsize()

        def call() -> None:
            try:
                self.outcomes[number] = self._lite.write_now(verb, *values)  # type: ignore[arg-type]
            except Exception as error:  # noqa: BLE001 - it is what the test asks for
                self.outcomes[number] = error

        thread = threading.Thread(target=call, daemon=True)
        thread.start()
        self._threads.append(thread)
        while number and self._lite._queue.qsize() == before:
            threading.Event().wait(0.001)

    def go(self) -> list[object]:
        """The outcome of each verb that was added."""
        self._may_go.set()
        for thread in self._threads:
            thread.join(10)
        return self.outcomes[1:]


def test_verbs_that_wait_together_share_commits(lite: SqliteDatabase) -> None:
    statements: list[str] = []
    waiting = Waiting(lite)
    for number in range(GROUP_LIMIT + 5):
        waiting.add(put, f"{number:03}")
    lite._writer_connection.set_trace_callback(statements.append)
    assert waiting.go() == [f"{number:03}" for number in range(GROUP_LIMIT + 5)]
    lite._writer_connection.set_trace_callback(None)
    assert statements.count("COMMIT") == 3  # the one that kept it busy, a full group, and the rest


def test_a_commit_that_fails_is_told_to_every_caller_of_its_group(lite: SqliteDatabase) -> None:
    waiting = Waiting(lite)
    waiting.add(put, "a")
    waiting.add(put_part_of_nothing)
    waiting.add(put, "b")
    outcomes = waiting.go()
    assert [type(outcome) for outcome in outcomes] == [DatabaseUnavailable] * 3
    assert lite.read_now(names) == []
    lite.write_now(put, "c")
    assert lite.read_now(names) == ["c"]


def test_what_would_have_followed_a_failed_commit_does_not_happen(lite: SqliteDatabase) -> None:
    happened: list[str] = []

    def put_and_tell(tx: Tx) -> None:
        put_part_of_nothing(tx)
        tx.after_commit(lambda: happened.append("told"))

    with pytest.raises(DatabaseUnavailable):
        lite.write_now(put_and_tell)
    assert happened == []


def test_a_full_disk_refuses_what_does_not_fit_and_nothing_more(lite: SqliteDatabase) -> None:
    lite.write_now(put, "a")
    pages = lite.read_now(lambda tx: tx.all("PRAGMA page_count"))[0][0]
    lite._writer_connection.execute(f"PRAGMA max_page_count = {pages + 2}")
    with pytest.raises((DatabaseUnavailable, sqlite3.OperationalError), match="full"):
        lite.write_now(put, "b" * 1_000_000)
    lite.write_now(put, "c")
    assert lite.read_now(names) == ["a", "c"]


def test_a_file_that_somebody_else_holds_is_unavailable_and_comes_back(
    lite: SqliteDatabase, tmp_path: Path
) -> None:
    lite._writer_connection.execute("PRAGMA busy_timeout = 20")
    other = sqlite3.connect(tmp_path / "deeper" / "berth.sqlite3", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(DatabaseUnavailable, match="locked"):
        lite.write_now(put, "a")
    other.execute("ROLLBACK")
    other.close()
    lite.write_now(put, "b")
    assert lite.read_now(names) == ["b"]


def test_a_reader_is_not_held_up_by_the_writer(lite: SqliteDatabase) -> None:
    lite.write_now(put, "a")
    waiting = Waiting(lite)
    assert lite.read_now(names) == ["a"]
    waiting.go()


async def test_the_event_loop_s_reads_wait_for_no_other_thread(lite: SqliteDatabase) -> None:
    lite.write_now(put, "a")
    is_reading, is_read = threading.Event(), threading.Event()

    def take_long(tx: Tx) -> bool:
        names(tx)
        is_reading.set()
        return is_read.wait(5)

    other = asyncio.create_task(asyncio.to_thread(lite.read_now, take_long))
    await asyncio.to_thread(is_reading.wait, 5)
    assert await lite.read(names) == ["a"]
    is_read.set()
    assert await other, "the event loop waited until the other had read"


def test_commits_survive_the_loss_of_power(lite: SqliteDatabase) -> None:
    settings = {
        name: lite._writer_connection.execute(f"PRAGMA {name}").fetchone()[0]
        for name in ("journal_mode", "synchronous")
    }
    assert settings == {"journal_mode": "wal", "synchronous": 2}


def test_the_outcomes_of_a_group_go_to_those_who_asked(lite: SqliteDatabase) -> None:
    waiting = Waiting(lite)
    for number in range(20):
        waiting.add(put, f"{number % 10:03}")
    outcomes = [one if isinstance(one, (str, Exception)) else AssertionError(one) for one in waiting.go()]
    assert succeeded(outcomes) == [f"{number:03}" for number in range(10)]
    assert len(failed(outcomes, sqlite3.IntegrityError)) == 10

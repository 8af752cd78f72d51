"""Verbs on both engines: one transaction each, answered after its commit, undone by an exception."""

import asyncio
import threading
from functools import partial

import pytest

from berth.base.db import Database, DatabaseUnavailable, Tx, connect, sqlite_path
from tests.conftest import FakeClock
from tests.core.together import failed, succeeded, together


def put(tx: Tx, key: str, value: str = "x") -> str:
    tx.run("INSERT INTO installation (key, value) VALUES (:key, :value)", key=key, value=value)
    return key


def keys(tx: Tx) -> list[str]:
    return [row[0] for row in tx.all("SELECT key FROM installation ORDER BY key")]


class Refused(Exception):
    pass


def put_and_refuse(tx: Tx, key: str) -> str:
    put(tx, key)
    raise Refused(key)


def test_what_a_verb_wrote_is_there_when_it_answers(db: Database) -> None:
    assert db.write_now(put, "a") == "a"
    assert db.read_now(keys) == ["a"]


def test_an_exception_undoes_all_of_a_verb_and_reaches_the_caller(db: Database) -> None:
    with pytest.raises(Refused, match="b"):
        db.write_now(put_and_refuse, "b")
    assert db.read_now(keys) == []


def test_a_broken_statement_undoes_its_verb_and_leaves_the_database_usable(db: Database) -> None:
    db.write_now(put, "a")
    with pytest.raises(Exception, match=r"(?i)unique"):
        db.write_now(put, "a")
    db.write_now(put, "b")
    assert db.read_now(keys) == ["a", "b"]


async def test_one_refusal_leaves_its_neighbours_alone(db: Database) -> None:
    verbs = [db.write(put_and_refuse if n % 3 == 1 else put, f"{n:03}") for n in range(200)]
    answers = await asyncio.gather(*verbs, return_exceptions=True)
    assert [isinstance(answer, Refused) for answer in answers] == [n % 3 == 1 for n in range(200)]
    assert await db.read(keys) == [f"{n:03}" for n in range(200) if n % 3 != 1]


def test_many_threads_write_at_once(db: Database) -> None:
    failed(together([partial(db.write_now, put, f"{n:03}") for n in range(60)]))
    assert db.read_now(keys) == [f"{n:03}" for n in range(60)]


def test_a_read_cannot_write(db: Database) -> None:
    with pytest.raises(Exception, match=r"(?i)read.?only"):
        db.read_now(put, "a")
    assert db.read_now(keys) == []
    db.write_now(put, "b")


def test_a_read_sees_one_moment(db: Database) -> None:
    """A write between two statements of a read is not seen by the second."""
    began, written = threading.Event(), threading.Event()

    def look_twice(tx: Tx) -> tuple[list[str], list[str]]:
        first = keys(tx)
        began.set()
        written.wait(10)
        return first, keys(tx)

    def write() -> tuple[list[str], list[str]]:
        began.wait(10)
        db.write_now(put, "a")
        written.set()
        return [], []

    assert succeeded(together([partial(db.read_now, look_twice), write]))[0] == ([], [])


def test_now_stands_still_within_a_verb(db: Database, clock: FakeClock) -> None:
    def look(tx: Tx) -> bool:
        before = tx.now
        clock.advance(seconds=5)
        return tx.now == before

    assert db.write_now(look)
    assert db.write_now(lambda tx: tx.now) == clock.now()


def test_statements_speak_with_names_and_answer_rows(db: Database) -> None:
    def speak(tx: Tx) -> tuple[object, ...]:
        tx.run_many(
            "INSERT INTO installation (key, value) VALUES (:key, :value)",
            [{"key": f"{n}", "value": "50%:x"} for n in range(3)],
        )
        changed = tx.run("UPDATE installation SET value = '100%' WHERE key <> :key", key="0")
        none = tx.one("SELECT value FROM installation WHERE key = :key", key="9")
        one = tx.one("DELETE FROM installation WHERE key = '2' RETURNING value")
        return changed, none, one, tx.all("SELECT key, value FROM installation ORDER BY key")

    assert db.write_now(speak) == (2, None, ("100%",), [("0", "50%:x"), ("1", "100%")])


def test_what_follows_a_commit_happens_after_it_and_only_then(db: Database) -> None:
    seen: list[list[str]] = []

    def put_and_look(tx: Tx, key: str, *, is_refused: bool) -> None:
        put(tx, key)
        tx.after_commit(lambda: seen.append(db.read_now(keys)))
        if is_refused:
            raise Refused(key)

    db.write_now(put_and_look, "a", is_refused=False)
    with pytest.raises(Refused):
        db.write_now(put_and_look, "b", is_refused=True)
    assert seen == [["a"]]


def test_a_signal_is_heard_after_the_commit_and_only_then(db: Database) -> None:
    heard: list[tuple[str, list[str]]] = []
    db.on_signal = lambda name: heard.append((name, db.read_now(keys)))

    def put_and_signal(tx: Tx, key: str, *, is_refused: bool) -> None:
        put(tx, key)
        tx.signal("deliveries")
        if is_refused:
            raise Refused(key)

    db.write_now(put_and_signal, "a", is_refused=False)
    with pytest.raises(Refused):
        db.write_now(put_and_signal, "b", is_refused=True)
    assert heard == [("deliveries", ["a"])]


def fail_afterwards(tx: Tx, key: str) -> None:
    put(tx, key)

    def fail() -> None:
        raise Refused(key)

    tx.after_commit(fail)


async def test_a_failure_after_the_commit_reaches_its_caller_and_nobody_else(db: Database) -> None:
    calls = [db.write(put, "a"), db.write(fail_afterwards, "b"), db.write(put, "c")]
    answers = await asyncio.gather(*calls, return_exceptions=True)
    assert [isinstance(answer, Refused) for answer in answers] == [False, True, False]
    with pytest.raises(Refused):
        await asyncio.to_thread(db.write_now, fail_afterwards, "d")
    await db.write(put, "e")
    assert await db.read(keys) == ["a", "b", "c", "d", "e"]


async def test_what_follows_a_commit_happens_also_when_the_caller_has_gone(db: Database) -> None:
    followed, is_open, may_end = asyncio.Event(), threading.Event(), threading.Event()

    def slow(tx: Tx) -> None:
        put(tx, "a")
        tx.after_commit(followed.set)
        is_open.set()
        may_end.wait(10)

    caller = asyncio.create_task(db.write(slow))
    await asyncio.to_thread(is_open.wait, 10)
    caller.cancel()
    may_end.set()
    with pytest.raises(asyncio.CancelledError):
        await caller
    await asyncio.wait_for(followed.wait(), 10)
    assert await db.read(keys) == ["a"]


async def test_closing_finishes_what_was_accepted(database_url: str, clock: FakeClock) -> None:
    database = connect(database_url, clock)
    writes = [asyncio.create_task(database.write(put, f"{n:03}")) for n in range(100)]
    await asyncio.sleep(0)
    await asyncio.to_thread(database.close)
    assert [await write for write in writes] == [f"{n:03}" for n in range(100)]
    again = connect(database_url, clock)
    assert len(again.read_now(keys)) == 100
    again.close()


def test_a_closed_database_says_so(database_url: str, clock: FakeClock) -> None:
    database = connect(database_url, clock)
    database.close()
    database.close()
    for call in (
        lambda: database.write_now(put, "a"),
        lambda: database.read_now(keys),
        lambda: asyncio.run(database.write(put, "a")),
        lambda: asyncio.run(database.read(keys)),
    ):
        with pytest.raises(DatabaseUnavailable):
            call()


def test_writers_that_meet_a_close_are_all_answered(database_url: str, clock: FakeClock) -> None:
    database = connect(database_url, clock)
    writers = [partial(database.write_now, put, f"{n:03}") for n in range(30)]
    outcomes = together([*writers, database.close])
    errors = failed(outcomes, DatabaseUnavailable)
    again = connect(database_url, clock)
    assert len(again.read_now(keys)) == 30 - len(errors)
    again.close()


def test_an_address_of_nothing_we_know_is_refused(clock: FakeClock) -> None:
    for url in ("mysql://x", "sqlite://", "sqlite:///", "", "/tmp/x"):
        with pytest.raises(ValueError, match="address"):
            connect(url, clock)
    assert str(sqlite_path("sqlite:////tmp/x.db")) == "/tmp/x.db"

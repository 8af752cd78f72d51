"""PostgreSQL alone: a verb that loses a race is run again, and a server that is gone is said to be."""

import asyncio
import threading
from collections.abc import Callable
from functools import partial
from urllib.parse import quote

import psycopg
import pytest
from psycopg import errors

from berth.base.db import DatabaseUnavailable, Tx, connect
from berth.base.postgres import CONNECTIONS, PostgresDatabase, connection_options
from tests.conftest import Databases, FakeClock
from tests.core.together import failed, together


@pytest.fixture
def engine() -> str:
    return "postgresql"


@pytest.fixture
def grown(database_url: str, clock: FakeClock) -> PostgresDatabase:
    database = PostgresDatabase(database_url, clock)
    for key in "ab":
        database.write_now(put, key)
    return database


def put(tx: Tx, key: str) -> None:
    tx.run("INSERT INTO installation (key, value) VALUES (:key, '0')", key=key)


def add_one(tx: Tx, key: str) -> None:
    tx.run(
        "UPDATE installation SET value = CAST(CAST(value AS BIGINT) + 1 AS TEXT) WHERE key = :key", key=key
    )


def values(tx: Tx) -> list[str]:
    return [row[0] for row in tx.all("SELECT value FROM installation ORDER BY key")]


def test_of_two_that_wait_for_each_other_both_get_through(grown: PostgresDatabase) -> None:
    tries: list[str] = []
    both_hold_one = threading.Barrier(2)

    def cross(tx: Tx, first: str, second: str) -> None:
        tries.append(first)
        add_one(tx, first)
        if len(tries) <= 2:
            both_hold_one.wait(10)
        add_one(tx, second)

    failed(together([partial(grown.write_now, cross, "a", "b"), partial(grown.write_now, cross, "b", "a")]))
    assert grown.read_now(values) == ["2", "2"]
    assert len(tries) >= 3
    grown.close()


@pytest.mark.parametrize("lost", [errors.SerializationFailure, errors.DeadlockDetected])
def test_a_verb_that_lost_is_run_again_on_a_clean_slate(
    grown: PostgresDatabase, lost: type[psycopg.OperationalError]
) -> None:
    tries: list[int] = []
    happened: list[str] = []

    def lose_twice(tx: Tx) -> str:
        tries.append(len(tries))
        add_one(tx, "a")
        tx.after_commit(lambda: happened.append("once"))
        if len(tries) < 3:
            raise lost("made up")
        return "done"

    assert grown.write_now(lose_twice) == "done"
    assert grown.read_now(values) == ["1", "0"]
    assert (len(tries), happened) == (3, ["once"])
    grown.close()


def test_a_verb_that_always_loses_gives_up(grown: PostgresDatabase) -> None:
    tries: list[int] = []

    def lose(tx: Tx) -> None:
        tries.append(1)
        add_one(tx, "a")
        raise errors.SerializationFailure("made up")

    with pytest.raises(DatabaseUnavailable):
        grown.write_now(lose)
    assert grown.read_now(values) == ["0", "0"]
    assert 2 <= len(tries) <= 10
    grown.close()


def test_a_connection_that_breaks_in_a_verb_is_unavailable_and_replaced(grown: PostgresDatabase) -> None:
    def cut_own_line(tx: Tx) -> None:
        add_one(tx, "a")
        tx.one("SELECT pg_terminate_backend(pg_backend_pid())")

    with pytest.raises(DatabaseUnavailable):
        grown.write_now(cut_own_line)
    grown.write_now(add_one, "b")
    assert grown.read_now(values) == ["0", "1"]
    grown.close()


def test_two_replicas_see_each_other(grown: PostgresDatabase, database_url: str, clock: FakeClock) -> None:
    other = connect(database_url, clock)
    other.write_now(add_one, "a")
    assert grown.read_now(values) == ["1", "0"]
    assert grown.is_shared
    assert other.is_shared
    other.close()
    grown.close()


def test_a_fresh_database_is_another_database(databases: Databases) -> None:
    first, second = databases.empty("postgresql"), databases.empty("postgresql")
    assert first != second
    databases.drop(first)
    databases.drop(second)


def test_a_connection_that_the_server_closed_costs_nothing(
    grown: PostgresDatabase, database_url: str
) -> None:
    """As after a restart: every connection of a full pool is dead, and nobody has noticed."""
    all_are_open = threading.Barrier(CONNECTIONS)

    def fill(tx: Tx) -> None:
        tx.one("SELECT 1")
        all_are_open.wait(10)

    verbs: list[Callable[[], object]] = [
        lambda: grown.read_now(values),
        lambda: grown.write_now(add_one, "a"),
    ]
    for verb in verbs:
        failed(together([partial(grown.read_now, fill) for _ in range(CONNECTIONS)]))
        _cut_all(database_url)
        verb()
    assert grown.read_now(values) == ["1", "0"]
    grown.close()


def test_a_verb_whose_connection_is_cut_is_run_again_once_it_can_have_left_nothing(
    grown: PostgresDatabase, database_url: str
) -> None:
    tries: list[int] = []

    def cut(tx: Tx) -> None:
        add_one(tx, "a")
        tries.append(1)
        if len(tries) == 1:
            _cut_all(database_url)
        add_one(tx, "b")

    grown.write_now(cut)
    assert grown.read_now(values) == ["1", "1"]
    assert len(tries) == 2
    grown.close()


def test_a_commit_whose_answer_is_lost_is_not_repeated(grown: PostgresDatabase, database_url: str) -> None:
    tries: list[int] = []

    def cut_last(tx: Tx) -> None:
        tries.append(1)
        add_one(tx, "a")
        _cut_all(database_url)

    with pytest.raises(DatabaseUnavailable):
        grown.write_now(cut_last)
    assert len(tries) == 1
    assert grown.read_now(values) == ["0", "0"]
    grown.close()


def test_one_that_is_frozen_in_a_transaction_loses_its_locks_to_the_others(
    grown: PostgresDatabase, database_url: str, clock: FakeClock
) -> None:
    options = "-c idle_in_transaction_session_timeout=300ms"
    freezing = PostgresDatabase(f"{database_url}&options={quote(options)}", clock)
    is_frozen, wakes = threading.Event(), threading.Event()
    tries: list[int] = []

    def freeze(tx: Tx) -> None:
        tries.append(1)
        add_one(tx, "a")
        if len(tries) == 1:
            is_frozen.set()
            wakes.wait(30)
        add_one(tx, "b")

    thread = threading.Thread(target=freezing.write_now, args=(freeze,))
    thread.start()
    assert is_frozen.wait(30)
    grown.write_now(add_one, "a")
    wakes.set()
    thread.join()
    assert grown.read_now(values) == ["2", "1"]
    assert len(tries) == 2
    freezing.close()
    grown.close()


async def test_a_server_that_is_away_makes_the_hundredth_wait_no_longer_than_the_first(
    grown: PostgresDatabase, database_url: str, clock: FakeClock
) -> None:
    """Each waited its turn for the whole patience of those before it: a request got its 503 after minutes."""
    away = PostgresDatabase("postgresql://berth@/berth?host=/nowhere", clock, patience_s=1.0)
    async with asyncio.timeout(8):
        outcomes = await asyncio.gather(
            *(away.read(values) for _ in range(10 * CONNECTIONS)),
            away.write(put, "c"),
            return_exceptions=True,
        )
    assert all(isinstance(outcome, DatabaseUnavailable) for outcome in outcomes)
    away._pool.conninfo = database_url  # as when the server is back where it was
    async with asyncio.timeout(8):
        while True:
            try:
                assert await away.read(values) == ["0", "0"]
            except DatabaseUnavailable:
                continue
            break
    assert away._patience_s() == 1.0  # a short outage may be waited for again
    away.close()
    grown.close()


def test_what_an_operator_says_of_connections_goes_before_what_we_say(database_url: str) -> None:
    chosen = connection_options(f"{database_url}&application_name=a&options={quote('-c lock_timeout=1s')}")
    with psycopg.connect(database_url, **chosen) as connection:
        shown = [
            connection.execute(f"SHOW {name}").fetchone()
            for name in ("idle_in_transaction_session_timeout", "lock_timeout")
        ]
    assert shown == [("10s",), ("1s",)]


def _cut_all(database_url: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )

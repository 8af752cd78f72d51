"""PostgreSQL alone: a verb that loses a race is run again, and a server that is gone is said to be."""

import threading
from functools import partial

import psycopg
import pytest
from psycopg import errors

from berth.base.db import DatabaseUnavailable, Tx, connect
from berth.base.postgres import PostgresDatabase
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

"""Databases whose work is done in the thread that asks, so that a seed has the same story every time.

The engines are the real ones, one verb in one commit. Only the hand-over to other threads is left out, and on
SQLite what makes a file safe and shared: thousands of histories are lived on one, which is emptied before each.
"""

from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any, Concatenate

import psycopg

from berth.base.clock import Clock
from berth.base.db import Database, P, R, Row, Tx, is_postgresql, sqlite_path
from berth.base.postgres import PostgresDatabase, PostgresTx
from berth.base.sqlite import SqliteDatabase, _Job, _Reader


class StraightSqlite(SqliteDatabase):
    """Its writer thread stands idle, and what is written may be lost with the host."""

    def __init__(self, path: Path, clock: Clock) -> None:
        super().__init__(path, clock)
        for reader in (self._loop_reader, self._reader):
            reader.close()
        # One connection that keeps the file to itself: the locks of several would take most of the time.
        self._loop_reader = self._reader = _Reader(self._writer_connection, clock)
        for pragma in ("journal_mode = MEMORY", "locking_mode = EXCLUSIVE", "synchronous = OFF"):
            self._writer_connection.execute(f"PRAGMA {pragma}")

    def changes(self) -> int:
        """Rows that were ever written here. The same count twice: nothing happened in between."""
        return self._writer_connection.total_changes

    async def write(self, verb: Callable[Concatenate[Tx, P], R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        return self.write_now(verb, *args, **kwargs)

    def write_now(self, verb: Callable[Concatenate[Tx, P], R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        job = _Job(lambda tx: verb(tx, *args, **kwargs), None)
        self._commit_group([job])
        job.answer()
        done: Future[Any] = job.future
        result: R = done.result()
        return result


class StraightPostgres(PostgresDatabase):
    """Its threads stand idle. Nobody else writes, so that what is read needs no transaction to be of one moment."""

    def __init__(self, url: str, clock: Clock) -> None:
        super().__init__(url, clock)
        self._reader: psycopg.Connection[Row] = psycopg.connect(url, autocommit=True)

    async def write(self, verb: Callable[Concatenate[Tx, P], R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        return self.write_now(verb, *args, **kwargs)

    async def read(self, verb: Callable[Concatenate[Tx, P], R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        return self.read_now(verb, *args, **kwargs)

    def read_now(self, verb: Callable[Concatenate[Tx, P], R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        return verb(PostgresTx(self._reader, self._clock.now()), *args, **kwargs)

    def close(self) -> None:
        self._reader.close()
        super().close()


def connect(url: str, clock: Clock) -> Database:
    """Opens a migrated database."""
    return StraightPostgres(url, clock) if is_postgresql(url) else StraightSqlite(sqlite_path(url), clock)


def tables(db: Database, url: str) -> list[str]:
    """Every table that holds rows of ours."""
    statement = (
        "SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'alembic_version'"
        if is_postgresql(url)
        else "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%'"
        " AND name <> 'alembic_version'"
    )
    return [row[0] for row in db.read_now(lambda tx: tx.all(statement))]


def empty(db: Database, names: list[str]) -> None:
    """Forgets everything that was lived on it."""

    def forget(tx: Tx) -> None:
        for name in names:
            tx.run(f"DELETE FROM {name}")

    db.write_now(forget)

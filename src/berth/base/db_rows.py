"""Every row of a database as it is at one instant, and rows into an empty one, whichever engine either is.

Both engines have one schema, of whole numbers and texts, so what is taken from one goes into the other.
"""

import contextlib
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

import psycopg
from psycopg import IsolationLevel

from berth.base.db import DatabaseUnavailable, Row, is_postgresql, sqlite_path
from berth.base.postgres import connection_options

_BATCH = 2000
_VERSION = "alembic_version"
_REVISION = f"SELECT version_num FROM {_VERSION}"


class Snapshot(Protocol):
    """One instant, however long it is read and whatever is written meanwhile."""

    def revision(self) -> str | None:
        """Of the schema; None where there is none of ours."""

    def columns(self, table: str) -> list[str]:
        """Empty for a table that does not exist."""

    def rows(self, table: str, columns: Sequence[str]) -> Iterator[Row]: ...


class Target(Protocol):
    """One transaction, kept when its block ends well."""

    def tables(self) -> list[str]:
        """Ours and those of others, but for the schema's own revision."""

    def is_empty(self, table: str) -> bool: ...

    def load(self, table: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None: ...

    def clear(self, table: str) -> None: ...


@contextmanager
def snapshot(url: str) -> Iterator[Snapshot]:
    """Raises DatabaseUnavailable, also for a file that is not there."""
    with _translated():
        if is_postgresql(url):
            options = connection_options(url, idle_s=0)
            with psycopg.connect(url, **options) as connection:
                connection.isolation_level = IsolationLevel.REPEATABLE_READ
                connection.read_only = True
                yield _PostgresRows(connection)
        else:
            path = sqlite_path(url)
            with contextlib.closing(
                sqlite3.connect(f"file:{path}?mode=ro", uri=True, isolation_level=None)
            ) as file:
                file.execute("BEGIN")
                yield _SqliteRows(file)


@contextmanager
def target(url: str) -> Iterator[Target]:
    """Raises DatabaseUnavailable. The schema must be there already."""
    with _translated():
        if is_postgresql(url):
            with psycopg.connect(url, **connection_options(url, idle_s=0)) as connection:
                yield _PostgresRows(connection)
        else:
            with contextlib.closing(sqlite3.connect(sqlite_path(url), isolation_level=None)) as file:
                file.execute("BEGIN IMMEDIATE")
                yield _SqliteRows(file)
                file.execute("COMMIT")


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except (psycopg.Error, sqlite3.Error) as error:
        raise DatabaseUnavailable(str(error)) from error


class _SqliteRows:
    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def revision(self) -> str | None:
        found = self._connection.execute(_REVISION).fetchone() if self.columns(_VERSION) else None
        return None if found is None else str(found[0])

    def tables(self) -> list[str]:
        found = self._connection.execute(
            "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name"
        )
        return [name for (name,) in found if name != _VERSION]

    def columns(self, table: str) -> list[str]:
        return [row[0] for row in self._connection.execute("SELECT name FROM pragma_table_info(?)", (table,))]

    def rows(self, table: str, columns: Sequence[str]) -> Iterator[Row]:
        found = self._connection.execute(f"SELECT {_listed(columns)} FROM {_quoted(table)}")
        while batch := found.fetchmany(_BATCH):
            yield from batch

    def is_empty(self, table: str) -> bool:
        return self._connection.execute(f"SELECT 1 FROM {_quoted(table)} LIMIT 1").fetchone() is None

    def clear(self, table: str) -> None:
        self._connection.execute(f"DELETE FROM {_quoted(table)}")

    def load(self, table: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
        places = ", ".join("?" for _ in columns)
        self._connection.executemany(
            f"INSERT INTO {_quoted(table)} ({_listed(columns)}) VALUES ({places})", rows
        )


class _PostgresRows:
    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self._connection = connection

    def revision(self) -> str | None:
        found = self._connection.execute(_REVISION).fetchone() if self.columns(_VERSION) else None
        return None if found is None else str(found[0])

    def tables(self) -> list[str]:
        found = self._connection.execute(
            "SELECT tablename FROM pg_tables WHERE schemaname = current_schema() ORDER BY tablename"
        )
        return [name for (name,) in found if name != _VERSION]

    def columns(self, table: str) -> list[str]:
        found = self._connection.execute(
            "SELECT column_name FROM information_schema.columns"
            " WHERE table_schema = current_schema() AND table_name = %s ORDER BY ordinal_position",
            (table,),
        )
        return [name for (name,) in found]

    def rows(self, table: str, columns: Sequence[str]) -> Iterator[Row]:
        with self._connection.cursor(name="rows") as cursor:
            cursor.itersize = _BATCH
            cursor.execute(_statement(f"SELECT {_listed(columns)} FROM {_quoted(table)}"))
            yield from cursor

    def is_empty(self, table: str) -> bool:
        statement = _statement(f"SELECT 1 FROM {_quoted(table)} LIMIT 1")
        return self._connection.execute(statement).fetchone() is None

    def clear(self, table: str) -> None:
        self._connection.execute(_statement(f"DELETE FROM {_quoted(table)}"))

    def load(self, table: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
        with (
            self._connection.cursor() as cursor,
            cursor.copy(_statement(f"COPY {_quoted(table)} ({_listed(columns)}) FROM STDIN")) as copy,
        ):
            for row in rows:
                copy.write_row(row)
        for column in columns:
            self._count_on(table, column)

    def _count_on(self, table: str, column: str) -> None:
        """Numbers that the database gives go on after those that rows came with."""
        found = self._connection.execute(
            "SELECT pg_get_serial_sequence(%s, %s)", (_quoted(table), column)
        ).fetchone()
        if found is not None and found[0] is not None:
            highest = _statement(
                f"SELECT setval('{found[0]}', MAX({_quoted(column)})) FROM {_quoted(table)}"
                f" HAVING MAX({_quoted(column)}) IS NOT NULL"
            )
            self._connection.execute(highest)


def _quoted(name: str) -> str:
    """A name as both engines quote it. Those of a backup are compared with the schema's own before they get here."""
    return '"' + name.replace('"', '""') + '"'


def _listed(columns: Sequence[str]) -> str:
    return ", ".join(map(_quoted, columns))


def _statement(text: str) -> bytes:
    """As bytes because psycopg types strings as literals only."""
    return text.encode()

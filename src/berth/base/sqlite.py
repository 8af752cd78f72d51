"""SQLite: one writer thread that commits verbs in groups, and readers beside it.

The writer takes what is waiting, runs each verb in a savepoint of its own and makes the whole group
durable with one fsync; a verb that refuses leaves its neighbours alone. An answer is given only
after that commit. Reads run on connections of their own, on the last committed snapshot: one for the
event loop, which must not wait until other threads have read, and one for those.
"""

import asyncio
import contextlib
import queue
import sqlite3
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any, Concatenate

from berth.base.clock import Clock, Instant
from berth.base.db import DatabaseUnavailable, P, R, Row, Tx, ignore_signal, pressure
from berth.base.meters import Reading

GROUP_LIMIT = 64
"""Verbs in one commit: enough to share an fsync widely, few enough to answer soon."""
QUEUE_LIMIT = 10_000
"""Verbs waiting for the writer before new ones are refused."""
_BUSY_TIMEOUT_MS = 10_000
_STATEMENTS_KEPT = 512


class SqliteTx:
    """A transaction on one connection; several verbs of a group share the connection, never the object."""

    for_update = ""
    skip_locked = ""

    def __init__(
        self, connection: sqlite3.Connection, now: Instant, on_signal: Callable[[str], None] = ignore_signal
    ) -> None:
        self.now = now
        self.actions: list[Callable[[], None]] = []
        self._on_signal = on_signal
        self._execute = connection.execute
        self._execute_many = connection.executemany

    def run(self, statement: str, /, **values: Any) -> int:
        return self._execute(statement, values).rowcount

    def run_many(self, statement: str, rows: list[dict[str, Any]], /) -> None:
        self._execute_many(statement, rows)

    def one(self, statement: str, /, **values: Any) -> Row | None:
        rows = self._execute(statement, values).fetchmany(1)
        return rows[0] if rows else None

    def all(self, statement: str, /, **values: Any) -> list[Row]:
        return self._execute(statement, values).fetchall()

    def after_commit(self, action: Callable[[], None]) -> None:
        self.actions.append(action)

    def signal(self, name: str) -> None:
        self.actions.append(partial(self._on_signal, name))


class _Job:
    """A verb on its way through the writer thread, and where its outcome goes."""

    __slots__ = ("actions", "error", "future", "loop", "result", "verb")

    def __init__(self, verb: Callable[[Tx], Any], loop: asyncio.AbstractEventLoop | None) -> None:
        self.verb = verb
        self.loop = loop
        self.future: Any = Future() if loop is None else loop.create_future()
        self.result: Any = None
        self.error: BaseException | None = None
        self.actions: list[Callable[[], None]] = []

    def answer(self) -> None:
        try:
            for action in self.actions:
                action()
        except BaseException as error:  # noqa: BLE001 - it belongs to the caller, not to those answered after it
            self.error = error
        if self.future.done():
            return  # the caller went away; its work is committed all the same
        if self.error is None:
            self.future.set_result(self.result)
        else:
            self.future.set_exception(self.error)


class _Reader:
    """A connection that only reads, for one thread at a time."""

    def __init__(self, connection: sqlite3.Connection, clock: Clock) -> None:
        self._connection = connection
        self._clock = clock
        self._lock = threading.Lock()
        self._is_closed = False

    def read(self, verb: Callable[Concatenate[Tx, P], R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        connection = self._connection
        with self._lock:
            if self._is_closed:
                raise DatabaseUnavailable("the database is closed")
            connection.execute("BEGIN")
            try:
                return verb(SqliteTx(connection, self._clock.now()), *args, **kwargs)
            finally:
                connection.execute("ROLLBACK")

    def close(self) -> None:
        with self._lock:
            self._is_closed = True
            self._connection.close()


class SqliteDatabase:
    """One file, written by this process alone (short commands of an operator excepted)."""

    is_shared = False

    def __init__(self, path: Path, clock: Clock) -> None:
        self.on_signal: Callable[[str], None] = ignore_signal
        self._clock = clock
        path.parent.mkdir(parents=True, exist_ok=True)
        self._writer_connection = _open(path)
        self._loop_reader = _Reader(_open_to_read(path), clock)
        self._reader = _Reader(_open_to_read(path), clock)
        self._queue: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._writer = threading.Thread(target=self._serve, name="sqlite-writer", daemon=True)
        self._groups = 0
        self._seconds = 0.0
        self._is_closed = False
        self._closing = threading.Lock()
        self._writer.start()

    async def write(self, verb: Callable[Concatenate[Tx, P], R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        job = _Job(lambda tx: verb(tx, *args, **kwargs), asyncio.get_running_loop())
        self._enqueue(job)
        result: R = await job.future
        return result

    def write_now(self, verb: Callable[Concatenate[Tx, P], R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        job = _Job(lambda tx: verb(tx, *args, **kwargs), None)
        self._enqueue(job)
        result: R = job.future.result()
        return result

    async def read(self, verb: Callable[Concatenate[Tx, P], R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        # In the event loop on purpose: our reads are bounded and take less time than a thread's hand-over.
        return self._loop_reader.read(verb, *args, **kwargs)

    def read_now(self, verb: Callable[Concatenate[Tx, P], R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        return self._reader.read(verb, *args, **kwargs)

    def readings(self) -> Sequence[Reading]:
        return pressure(waiting=self._queue.qsize(), transactions=self._groups, seconds=self._seconds)

    def close(self) -> None:
        with self._closing:
            if self._is_closed:
                return
            self._is_closed = True
            self._queue.put(None)
        self._writer.join()
        self._loop_reader.close()
        self._reader.close()
        self._writer_connection.close()

    def _enqueue(self, job: _Job) -> None:
        if self._queue.qsize() >= QUEUE_LIMIT:
            raise DatabaseUnavailable("too many writes are waiting")
        with self._closing:  # nothing may be put behind the mark that ends the writer
            if self._is_closed:
                raise DatabaseUnavailable("the database is closed")
            self._queue.put(job)

    def _serve(self) -> None:
        is_open = True
        while is_open:
            group: list[_Job] = []
            job = self._queue.get()
            while job is not None:
                group.append(job)
                if len(group) == GROUP_LIMIT:
                    break
                try:
                    job = self._queue.get_nowait()
                except queue.Empty:
                    break
            is_open = job is not None
            if group:
                began = perf_counter()
                self._commit_group(group)
                self._groups += 1
                self._seconds += perf_counter() - began
                _answer(group)

    def _commit_group(self, group: list[_Job]) -> None:
        connection = self._writer_connection
        try:
            connection.execute("BEGIN IMMEDIATE")
            for job in group:
                self._run_job(connection, job)
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            # A full or failing disk: nothing of the group was kept, and every caller must know.
            with contextlib.suppress(sqlite3.Error):
                connection.execute("ROLLBACK")
            for job in group:
                job.error = DatabaseUnavailable(f"the group was not committed: {error}")
                job.actions = []

    def _run_job(self, connection: sqlite3.Connection, job: _Job) -> None:
        connection.execute("SAVEPOINT verb")
        try:
            tx = SqliteTx(connection, self._clock.now(), self.on_signal)
            job.result = job.verb(tx)
            job.actions = tx.actions
        except BaseException as error:
            if (
                not connection.in_transaction
            ):  # SQLite undid the whole group itself, as it does on a full disk
                raise sqlite3.OperationalError(str(error)) from error
            connection.execute("ROLLBACK TO verb")
            job.error = error
        connection.execute("RELEASE verb")


def _answer(group: list[_Job]) -> None:
    """Wakes each event loop once for all of its answers: waking costs more than answering."""
    by_loop: dict[asyncio.AbstractEventLoop | None, list[_Job]] = {}
    for job in group:
        by_loop.setdefault(job.loop, []).append(job)
    for loop, jobs in by_loop.items():
        if loop is None:
            _answer_all(jobs)
        else:
            with contextlib.suppress(RuntimeError):  # that loop has ended; the work is committed
                loop.call_soon_threadsafe(_answer_all, jobs)


def _answer_all(jobs: list[_Job]) -> None:
    for job in jobs:
        job.answer()


def _open_to_read(path: Path) -> sqlite3.Connection:
    connection = _open(path)
    connection.execute("PRAGMA query_only = ON")
    return connection


def _open(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(
        path,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=_STATEMENTS_KEPT,
        timeout=_BUSY_TIMEOUT_MS / 1000,
    )
    for pragma in (
        "journal_mode = WAL",
        "synchronous = FULL",
        "foreign_keys = ON",
        "temp_store = MEMORY",
        "cache_size = -65536",
        f"busy_timeout = {_BUSY_TIMEOUT_MS}",
    ):
        connection.execute(f"PRAGMA {pragma}")
    return connection

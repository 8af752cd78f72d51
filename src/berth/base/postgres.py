"""PostgreSQL: a pool of connections served by threads, running the same verbs as SQLite does.

Any number of replicas may share one database. A verb that loses to another (a deadlock, a
serialization failure) is run again from its start, which is safe because it has no effect but rows.
"""

import asyncio
import re
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache, partial
from threading import Lock
from time import perf_counter
from typing import Any, Concatenate

import psycopg
from psycopg import IsolationLevel, conninfo, errors
from psycopg_pool import ConnectionPool, PoolTimeout

from berth.base.clock import Clock, Instant
from berth.base.db import DatabaseUnavailable, P, R, Row, Tx, ignore_signal, pressure
from berth.base.meters import Reading

CONNECTIONS = 16
_ATTEMPTS = 5
"""Of a verb that began and lost a race, or its connection."""
_TURNS = CONNECTIONS + _ATTEMPTS
"""With those in which it could not begin: after a restart of the server every connection of the pool is dead."""
_POOL_TIMEOUT_S = 10.0
_AWAY_TIMEOUT_S = 0.05
"""As that, once it was waited out in vain and until the server answers: those that queue must not each wait so long."""
_STATEMENTS_KEPT = 2048
_RECONNECT_S = 5.0
"""How long the pool tries by itself; the next verb has it try again, without the long pauses it had got to."""
_LOST_RACE = (errors.DeadlockDetected, errors.SerializationFailure)
_GONE = (psycopg.OperationalError, errors.IdleInTransactionSessionTimeout)
_IDLE_S = 10
_OPTIONS = (
    # A process that is frozen in the middle of a transaction must not keep its locks from the others.
    "-c idle_in_transaction_session_timeout={idle_s}s -c lock_timeout=20s"
    # The server notices soon when this host is gone.
    " -c tcp_keepalives_idle=15 -c tcp_keepalives_interval=5 -c tcp_keepalives_count=3"
)
_PARAMETER = re.compile(r"(?<![:\w]):([a-z_][a-z0-9_]*)")


class PostgresTx:
    for_update = " FOR UPDATE"
    skip_locked = " FOR UPDATE SKIP LOCKED"

    def __init__(
        self,
        connection: psycopg.Connection[Row],
        now: Instant,
        on_signal: Callable[[str], None] = ignore_signal,
    ) -> None:
        self.now = now
        self.actions: list[Callable[[], None]] = []
        self._on_signal = on_signal
        self._connection = connection

    def run(self, statement: str, /, **values: Any) -> int:
        return self._connection.execute(_translated(statement), values).rowcount

    def run_many(self, statement: str, rows: list[dict[str, Any]], /) -> None:
        with self._connection.cursor() as cursor:
            cursor.executemany(_translated(statement), rows)

    def one(self, statement: str, /, **values: Any) -> Row | None:
        return self._connection.execute(_translated(statement), values).fetchone()

    def all(self, statement: str, /, **values: Any) -> list[Row]:
        return self._connection.execute(_translated(statement), values).fetchall()

    def after_commit(self, action: Callable[[], None]) -> None:
        self.actions.append(action)

    def signal(self, name: str) -> None:
        self.actions.append(partial(self._on_signal, name))


class PostgresDatabase:
    is_shared = True

    def __init__(self, url: str, clock: Clock, *, patience_s: float = _POOL_TIMEOUT_S) -> None:
        """`patience_s`: how long a verb waits for a server that answered the one before it."""
        self._usual_patience_s = patience_s
        self.on_signal: Callable[[str], None] = ignore_signal
        self._clock = clock
        self._pool: ConnectionPool[psycopg.Connection[Row]] = ConnectionPool(
            url,
            kwargs=connection_options(url),
            min_size=1,
            max_size=CONNECTIONS,
            timeout=patience_s,
            reconnect_timeout=_RECONNECT_S,
            open=True,
        )
        self._is_closed = False
        self._is_away = False
        self._counting = Lock()
        self._transactions = 0
        self._seconds = 0.0
        self._threads = ThreadPoolExecutor(CONNECTIONS, thread_name_prefix="postgres")

    async def write(self, verb: Callable[Concatenate[Tx, P], R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        work: Callable[[], tuple[R, list[Callable[[], None]]]] = partial(
            self._write, lambda tx: verb(tx, *args, **kwargs)
        )

        committed = self._in_thread(work)

        async def follow() -> R:
            result, actions = await committed
            _act(actions)
            return result

        # A task of its own, so that a caller who goes away does not take along what must follow the commit.
        return await asyncio.shield(asyncio.create_task(follow()))

    def write_now(self, verb: Callable[Concatenate[Tx, P], R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        result, actions = self._write(lambda tx: verb(tx, *args, **kwargs))
        _act(actions)
        return result

    async def read(self, verb: Callable[Concatenate[Tx, P], R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        work: Callable[[], R] = partial(self.read_now, verb, *args, **kwargs)
        return await self._in_thread(work)

    def read_now(self, verb: Callable[Concatenate[Tx, P], R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        begun: list[Tx] = []

        def begin(tx: Tx) -> R:
            begun.append(tx)
            self._is_away = False
            return verb(tx, *args, **kwargs)

        for turn in range(1, _TURNS + 1):
            connection: psycopg.Connection[Row] | None = None
            try:
                with self._pool.connection(self._patience_s()) as connection:
                    return self._read(connection, begin)
            except (*_GONE, PoolTimeout) as error:
                self._is_away |= isinstance(error, PoolTimeout)
                if turn == _TURNS or len(begun) == _ATTEMPTS or not _is_broken(connection):
                    raise DatabaseUnavailable(str(error)) from error
        raise AssertionError("unreachable")

    def _patience_s(self) -> float:
        return _AWAY_TIMEOUT_S if self._is_away else self._usual_patience_s

    def _read(self, connection: psycopg.Connection[Row], verb: Callable[[Tx], R]) -> R:
        connection.read_only = True
        connection.isolation_level = IsolationLevel.REPEATABLE_READ
        try:
            with connection.transaction():
                return verb(PostgresTx(connection, self._clock.now()))
        finally:
            if not connection.broken:
                connection.read_only = None
                connection.isolation_level = None

    def _in_thread(self, work: Callable[[], R]) -> "asyncio.Future[R]":
        if self._is_closed:
            raise DatabaseUnavailable("the database is closed")
        return asyncio.get_running_loop().run_in_executor(self._threads, work)

    def readings(self) -> Sequence[Reading]:
        waiting = self._threads._work_queue.qsize()  # noqa: SLF001 - nothing else tells
        return pressure(waiting=waiting, transactions=self._transactions, seconds=self._seconds)

    def close(self) -> None:
        self._is_closed = True
        self._threads.shutdown(wait=True)
        self._pool.close()

    def _write(self, verb: Callable[[Tx], R]) -> tuple[R, list[Callable[[], None]]]:
        begun = 0
        for turn in range(1, _TURNS + 1):
            connection: psycopg.Connection[Row] | None = None
            is_committing = False
            try:
                with self._pool.connection(self._patience_s()) as connection:
                    began = perf_counter()
                    with connection.transaction():
                        begun += 1
                        self._is_away = False
                        tx = PostgresTx(connection, self._clock.now(), self.on_signal)
                        result = verb(tx)
                        is_committing = True
                with self._counting:
                    self._transactions += 1
                    self._seconds += perf_counter() - began
                return result, tx.actions
            except _LOST_RACE as error:
                if begun == _ATTEMPTS or turn == _TURNS:
                    raise DatabaseUnavailable(f"lost {begun} races in a row: {error}") from error
            except (*_GONE, PoolTimeout) as error:
                self._is_away |= isinstance(error, PoolTimeout)
                # A connection that was lost before the commit was sent, as by a restart of the server, left nothing.
                is_last = begun == _ATTEMPTS or turn == _TURNS
                if is_last or is_committing or not _is_broken(connection):
                    raise DatabaseUnavailable(str(error)) from error
        raise AssertionError("unreachable")


def connection_options(url: str, *, idle_s: int = _IDLE_S) -> dict[str, Any]:
    """What every connection is opened with beside its address, whose own options come after ours.

    In a transaction it may do nothing for `idle_s` seconds; 0: for ever.
    """
    own = conninfo.conninfo_to_dict(url)
    defaults: dict[str, Any] = {
        "connect_timeout": 10,
        "keepalives_idle": 15,
        "keepalives_interval": 5,
        "keepalives_count": 3,
        "fallback_application_name": "berth",
    }
    chosen = {name: value for name, value in defaults.items() if name not in own}
    # Whatever the environment says: an answer in another encoding would be bytes, or not be at all.
    chosen["client_encoding"] = "UTF8"
    return {**chosen, "options": f"{_OPTIONS.format(idle_s=idle_s)} {own.get('options') or ''}".rstrip()}


def _is_broken(connection: "psycopg.Connection[Row] | None") -> bool:
    return connection is not None and connection.broken


def _act(actions: list[Callable[[], None]]) -> None:
    for action in actions:
        action()


@lru_cache(_STATEMENTS_KEPT)
def _translated(statement: str) -> bytes:
    """`:name` to the driver's own form, as bytes because psycopg types strings as literals only."""
    return _PARAMETER.sub(r"%(\1)s", statement.replace("%", "%%")).encode()

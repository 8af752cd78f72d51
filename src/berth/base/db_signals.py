"""Tells the other processes on one PostgreSQL database which loops have work, and hears it from them.

Only time is won by it: a signal may be lost, late or doubled, and whoever is told looks for itself. What is told
within a moment goes out as one notification, apart from the transactions that gave cause for it, because
PostgreSQL lets the commits of notifying transactions take turns.
"""

import asyncio
import contextlib
import re
from collections.abc import Callable
from typing import Any

import psycopg
import structlog

from berth.base import secrets
from berth.base.clock import SECOND, Clock, SystemClock
from berth.base.db import Database, DatabaseUnavailable, Tx
from berth.base.postgres import connection_options

CHANNEL = "berth_signals"
NAMES_AT_ONCE = 32
_GATHER_S = 0.05
QUIET_S = 20.0
"""How long it is listened before the connection is asked whether it still lives, and for the time."""
_ANSWER_S = 10.0
_PAUSE_FIRST_S, _PAUSE_MOST_S = 0.2, 10.0
CLOCKS_APART_S = 2
"""By how much clocks may differ before anybody is told."""
_PAYLOAD = re.compile(r"(?P<sender>[0-9a-f]{8})(?P<names>( [a-z_]{1,40}){1,32})", re.ASCII)
_log = structlog.get_logger()


class Signals:
    """One process's ear and mouth. Lives in the event loop's thread; listens on one connection of its own."""

    def __init__(
        self,
        url: str,
        db: Database,
        hear: Callable[[str], None],
        *,
        clock: Clock | None = None,
        quiet_s: float = QUIET_S,
    ) -> None:
        self._url = url
        # Not the process's own, which stands still rather than run backwards.
        self._clock_of: Callable[[], Clock] = SystemClock if clock is None else lambda: clock
        self._quiet_s = quiet_s
        self._is_clock_wrong = False
        self._db = db
        self._hear = hear
        self._sender = secrets.token()
        self._untold: dict[str, None] = {}
        self._telling: asyncio.Task[None] | None = None
        self._listening: asyncio.Task[None] | None = None
        self.is_listening = asyncio.Event()
        """Set while others are heard."""

    def start(self) -> None:
        self._listening = asyncio.create_task(self._listen(), name="signals")

    def tell(self, name: str) -> None:
        """Has the others told soon. Names beyond what one notification holds are left to be found."""
        if len(self._untold) < NAMES_AT_ONCE:
            self._untold[name] = None
        if self._telling is None:
            self._telling = asyncio.get_running_loop().create_task(self._tell_soon())

    async def stop(self) -> None:
        tasks = [task for task in (self._listening, self._telling) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _tell_soon(self) -> None:
        await asyncio.sleep(_GATHER_S)
        names, self._untold, self._telling = " ".join(self._untold), {}, None
        with contextlib.suppress(DatabaseUnavailable):
            await self._db.write(_notify, f"{self._sender} {names}")

    async def _listen(self) -> None:
        pause_s = _PAUSE_FIRST_S
        while True:
            try:
                await self._hear_others()
            except (psycopg.Error, OSError, TimeoutError) as error:
                if self.is_listening.is_set():
                    pause_s = _PAUSE_FIRST_S
                    _log.warning("signals_lost", error=str(error))
            finally:
                self.is_listening.clear()
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, _PAUSE_MOST_S)

    async def _hear_others(self) -> None:
        """Until the connection is lost."""
        options = connection_options(self._url)
        async with await psycopg.AsyncConnection.connect(self._url, autocommit=True, **options) as connection:
            await connection.execute(f"LISTEN {CHANNEL}")
            self.is_listening.set()
            while True:
                async with asyncio.timeout(_ANSWER_S):
                    await self._compare_clocks(connection)
                async for notice in connection.notifies(timeout=self._quiet_s):
                    for name in heard(notice.payload, self._sender):
                        self._hear(name)

    async def _compare_clocks(self, connection: psycopg.AsyncConnection[Any]) -> None:
        """Leases are told by each host's own: one that goes wrong takes from others too early, or holds too long."""
        answer = await connection.execute(
            "SELECT CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS BIGINT)"
        )
        row = await answer.fetchone()
        apart_s = 0.0 if row is None else abs(row[0] - self._clock_of().now()) / SECOND
        was_wrong, self._is_clock_wrong = self._is_clock_wrong, apart_s >= CLOCKS_APART_S
        if self._is_clock_wrong and not was_wrong:
            _log.error("clock_differs", from_database_s=round(apart_s, 1))


def heard(payload: str, own: str) -> list[str]:
    """Pure: the names in a notification of somebody else. What is written otherwise says nothing."""
    found = _PAYLOAD.fullmatch(payload)
    return [] if found is None or found["sender"] == own else found["names"].split()


def _notify(tx: Tx, payload: str) -> None:
    tx.one("SELECT pg_notify(:channel, :payload)", channel=CHANNEL, payload=payload)

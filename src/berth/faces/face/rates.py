"""How often a project may ask: so many requests a minute in all, and so many for each method and path.

Minutes are those of the clock, so a limit is exact within one and lets through at most twice as much around its
end. One process counts in memory. Replicas add what they let through to common counts, every second and at the
latest after a tenth of a limit: together they exceed one by at most a tenth for each replica beyond the first.
"""

import asyncio
import math
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple, Protocol

import structlog

from berth.base.clock import MINUTE, SECOND, Clock, Instant
from berth.base.db import Database, DatabaseUnavailable
from berth.core import projects
from berth.core.errors import RateLimited

WINDOW_S = 60
_WINDOW = MINUTE
_EXCHANGE_S = 1.0
_TENTH = 10
_BATCH = 500
_MOST_COUNTS = 200_000
"""More than the routes that could be asked for in a minute; beyond, counting begins anew."""
_ALL = ("", "")
"""In place of a route: all of a project's requests."""

_log = structlog.get_logger()


class Rate(StrEnum):
    """Which limit on requests counts a route."""

    READ = "read"
    LIST = "list"
    WRITE = "write"
    DEPLOY = "deploy"


class Limited(Protocol):
    """What is counted: one method and path template, or path."""

    @property
    def method(self) -> str: ...

    @property
    def path(self) -> str: ...

    @property
    def rate(self) -> Rate: ...


@dataclass(frozen=True, slots=True)
class Limits:
    """How a face's requests are counted, and what the two limits are called in headers."""

    all_word: bytes = b"account"
    one_word: bytes = b"route"
    counts_paths: bool = False
    """Each full path has a count of its own, instead of each template."""
    exempts: str | None = None
    """Who is not counted, by what stands for a key's id."""


_USUAL = Limits()


class Counted(NamedTuple):
    """A full path, counted by itself."""

    method: str
    path: str
    rate: Rate


_Place = tuple[str, str, str]
"""Project, method and path template."""


@dataclass(frozen=True, slots=True)
class Quotas:
    """Requests of one project in a minute."""

    account: int = 500
    """In all."""
    route: int = 60
    """To one method and path template."""
    listing: int = 120
    """To one that lists."""
    deploy: int = 10

    def of(self, rate: Rate) -> int:
        match rate:
            case Rate.LIST:
                return self.listing
            case Rate.DEPLOY:
                return self.deploy
            case _:
                return self.route


@dataclass(slots=True)
class _Count:
    everywhere: int = 0
    """Of all replicas, when they were last asked."""
    here: int = 0
    """Ours since."""

    @property
    def made(self) -> int:
        return self.everywhere + self.here


class Rates:
    """Counts requests and refuses those above the quotas. Lives in the event loop's thread."""

    def __init__(self, quotas: Quotas, clock: Clock, db: Database) -> None:
        self._quotas = quotas
        self._clock = clock
        self._db = db
        self._window = 0
        self._counts: dict[_Place, _Count] = {}
        self._unsent: dict[_Place, _Count] = {}
        self._exchanging: asyncio.Task[None] | None = None
        self._sender: asyncio.Task[None] | None = None

    async def admit(self, project: str, route: Limited) -> None:
        """Counts one request. Raises RateLimited when there were as many as may be."""
        quota = self._quotas.of(route.rate)
        self._check(project, route, quota)
        if self._db.is_shared and self._must_tell(project, route, quota):
            await self._exchange()
            self._check(project, route, quota)
        for place in ((project, *_ALL), (project, route.method, route.path)):
            count = self._count(place)
            count.here += 1
            if self._db.is_shared:
                self._unsent[place] = count
        if self._db.is_shared and self._sender is None:
            self._sender = asyncio.get_running_loop().create_task(self._send_soon())

    def headers(
        self, project: str, route: Limited, limits: Limits = _USUAL
    ) -> tuple[tuple[bytes, bytes], tuple[bytes, bytes]]:
        """What is allowed and what is left of it, as the IETF draft on rate limit headers writes them."""
        every, one = limits.all_word, limits.one_word
        quota = self._quotas.of(route.rate)
        seconds = self._seconds_left()
        policy = b'"%b";q=%d;w=%d, "%b";q=%d;w=%d' % (
            every,
            self._quotas.account,
            WINDOW_S,
            one,
            quota,
            WINDOW_S,
        )
        left = b'"%b";r=%d;t=%d, "%b";r=%d;t=%d' % (
            every,
            max(0, self._quotas.account - self._count((project, *_ALL)).made),
            seconds,
            one,
            max(0, quota - self._count((project, route.method, route.path)).made),
            seconds,
        )
        return (b"ratelimit-policy", policy), (b"ratelimit", left)

    async def settle(self) -> None:
        """Tells the other replicas what they do not know yet."""
        if self._sender is not None:
            self._sender.cancel()
            self._sender = None
        await self._exchange()

    def _check(self, project: str, route: Limited, quota: int) -> None:
        self._turn()
        if (
            self._count((project, *_ALL)).made < self._quotas.account
            and self._count((project, route.method, route.path)).made < quota
        ):
            return
        seconds = self._seconds_left()
        raise RateLimited(
            "rate_limited", f"Too many requests; try again in {seconds} seconds.", retry_after_s=seconds
        )

    def _turn(self) -> None:
        """Begins anew with each minute."""
        window = self._clock.now() // _WINDOW
        if window != self._window or len(self._counts) >= _MOST_COUNTS:
            self._window = window
            self._counts = {}
            self._unsent = {}

    def _seconds_left(self) -> int:
        return math.ceil((_WINDOW - self._clock.now() % _WINDOW) / SECOND)

    def _count(self, place: _Place) -> _Count:
        count = self._counts.get(place)
        if count is None:
            count = self._counts[place] = _Count()
        return count

    def _must_tell(self, project: str, route: Limited, quota: int) -> bool:
        return (
            self._count((project, *_ALL)).here * _TENTH >= self._quotas.account
            or self._count((project, route.method, route.path)).here * _TENTH >= quota
        )

    async def _send_soon(self) -> None:
        await asyncio.sleep(_EXCHANGE_S)
        self._sender = None
        await self._exchange()

    async def _exchange(self) -> None:
        """Waits until what is unsent was added to the common counts; whoever comes meanwhile waits for the same."""
        if self._exchanging is None:
            self._exchanging = asyncio.get_running_loop().create_task(self._add())
        await asyncio.shield(self._exchanging)

    async def _add(self) -> None:
        try:
            while self._unsent:
                window_at = Instant(self._window * _WINDOW)
                batch = [self._unsent.popitem() for _ in range(min(_BATCH, len(self._unsent)))]
                made = [(project, f"{method} {path}", count.here) for (project, method, path), count in batch]
                totals = await self._db.write(projects.count_requests, window_at, made)
                for (_, count), (_, _, sent), total in zip(batch, made, totals, strict=True):
                    count.everywhere = total
                    count.here -= sent
        except DatabaseUnavailable as error:
            _log.warning("requests not counted", error=str(error))
        finally:
            self._exchanging = None

"""Work under a lease: it may take longer than the lease, which is renewed meanwhile, and ends when that is lost.

Leases are short, so that what a dead process held is soon taken up. Whoever could not renew in time, being frozen
or cut off, begins nothing more at a provider, because others may be at it, and writes nothing more.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Concatenate, Protocol, TypeVar, cast

import structlog

from berth.base import leases, permits
from berth.base.clock import SECOND, Clock, Instant
from berth.base.db import DatabaseUnavailable, P, R, Tx
from berth.base.leases import Lease
from berth.core.driver import Driver
from berth.loops.world import World

_RENEWALS = 3
"""How often a lease is renewed within its time, so that one renewal may fail."""
_SPARED = 6
"""What part of a lease, its last, nothing is begun in: others' clocks may be ahead, and a call takes a while to arrive."""
_log = structlog.get_logger()


class LeaseLost(Exception):
    """The lease has ended, or somebody else has it: nothing more may be begun or written under it."""


class Hold:
    """A lease, and until when anything may be begun under it."""

    def __init__(self, clock: Clock, until: Instant) -> None:
        self._clock = clock
        self.until = until

    def check(self) -> None:
        """Raises LeaseLost."""
        if self._clock.now() >= self.until:
            raise LeaseLost

    def guard(self, driver: Driver) -> Driver:
        """The driver, of whom nothing is asked any more once the lease may have ended."""
        return cast("Driver", _Guarded(driver, self))


class _Guarded:
    """Passes everything on, after a look at the lease."""

    def __init__(self, driver: Driver, hold: Hold) -> None:
        self._driver = driver
        self._hold = hold

    def __getattr__(self, name: str) -> Any:
        member = getattr(self._driver, name)
        if not callable(member):
            return member

        async def call(*args: Any, **kwargs: Any) -> Any:
            self._hold.check()
            # One verb may be many calls to the provider, each of which may come after a freeze.
            with permits.under(self._hold.check):
                return await member(*args, **kwargs)

        return call


@contextlib.asynccontextmanager
async def held(
    world: World,
    *,
    since: Instant,
    seconds: int,
    renew: Callable[[], Awaitable[bool]],
    give_back: Callable[[], Awaitable[object]] | None = None,
) -> AsyncIterator[Hold]:
    """Renews a lease of `seconds` that was taken at `since` or later, for as long as the work in it goes on.

    `renew` says whether the lease is still ours. When it is not, or nobody could be asked before it ended, the work
    is cut off with LeaseLost. Work that is cut off because the process ends leaves `give_back` to be called once
    nothing of it can be under way any more.
    """
    hold = Hold(world.clock, _until(since, seconds))
    limit = asyncio.timeout(seconds)
    try:
        async with limit:
            renewing = asyncio.create_task(_keep_renewing(world, hold, limit, seconds, renew))
            try:
                yield hold
            finally:
                renewing.cancel()
    except TimeoutError as error:
        if limit.expired():
            raise LeaseLost from error
        raise
    except asyncio.CancelledError:
        if give_back is not None:
            world.unfinished.append(give_back)
        raise


class Row(Protocol):
    """What carries a lease of its own."""

    @property
    def id(self) -> str: ...


RowT = TypeVar("RowT", bound=Row)


@contextlib.asynccontextmanager
async def held_row(
    world: World,
    row: RowT,
    since: Instant,
    renew: Callable[..., bool],
    give_back: Callable[[Tx, RowT], None],
) -> AsyncIterator[Hold]:
    """Holds a row by the verbs of its noun, for one step. Work whose lease is lost ends there: others go on with it.

    Raises TimeoutError where the step takes longer than one may.
    """
    seconds = world.patience.lease_s
    lease = held(
        world,
        since=since,
        seconds=seconds,
        renew=lambda: world.db.write(renew, row, seconds=seconds),
        give_back=lambda: world.db.write(give_back, row),
    )
    try:
        async with lease as hold, asyncio.timeout(world.patience.step_s):
            yield hold
    except LeaseLost:
        _log.warning("lease_lost", id=row.id)


def _until(since: Instant, seconds: int) -> Instant:
    return Instant(since + seconds * SECOND * (_SPARED - 1) // _SPARED)


async def _keep_renewing(
    world: World, hold: Hold, limit: asyncio.Timeout, seconds: int, renew: Callable[[], Awaitable[bool]]
) -> None:
    running = asyncio.get_running_loop()
    while True:
        await asyncio.sleep(seconds / _RENEWALS)
        # Both before the question: whatever the answer took is not ours.
        asked_at, until = running.time(), _until(world.clock.now(), seconds)
        try:
            is_ours = await renew()
        except DatabaseUnavailable as error:
            _log.warning("lease_not_renewed", error=str(error))
            continue
        with contextlib.suppress(RuntimeError):  # the work has just ended
            limit.reschedule(asked_at + seconds if is_ours else running.time())
        if not is_ours:
            hold.until = world.clock.now()
            return
        hold.until = until


@contextlib.asynccontextmanager
async def watching(world: World, name: str, *, period_s: float) -> AsyncIterator[tuple[Lease, Hold] | None]:
    """Holds the lease of what one process at a time looks after, again and again; None while another does.

    It outlasts the period, so that the same process goes on, and ends soon after that with a process that died.
    """
    seconds = int(period_s) + world.patience.lease_s
    since = world.clock.now()
    lease = await world.db.write(leases.acquire, name, holder=world.holder, seconds=seconds)
    if lease is None:
        yield None
        return

    async def renew() -> bool:
        again = await world.db.write(leases.acquire, name, holder=world.holder, seconds=seconds)
        return again is not None and again.token == lease.token

    async with held(world, since=since, seconds=seconds, renew=renew) as hold:
        yield lease, hold


def under(
    tx: Tx, lease: Lease, verb: Callable[Concatenate[Tx, P], R], /, *args: P.args, **kwargs: P.kwargs
) -> R:
    """Runs the verb while the lease is ours, which it stays until the commit. Raises LeaseLost."""
    if not leases.is_held(tx, lease):
        raise LeaseLost
    return verb(tx, *args, **kwargs)

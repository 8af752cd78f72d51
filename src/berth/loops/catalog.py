"""Keeps true: the catalogue says what providers sell now, or, while one is silent, what it said last.

Each provider has its own time to be asked, at once with whoever else is due, and for a limited time: none waits for
another, and one that fails is asked less and less often. Of several processes one asks, by a lease for each provider.
"""

import asyncio
from dataclasses import dataclass

import structlog

from berth.base.clock import Instant, after
from berth.base.leases import Lease
from berth.core import catalog
from berth.core.driver import Driver, DriverError, RateLimited
from berth.loops.holding import LeaseLost, under, watching
from berth.loops.world import Report, World

PERIOD_S = 30.0
"""How often providers are asked that have no period of their own."""
WORKERS = 4
"""So many less one may be slow and the others are asked in time all the same."""
_log = structlog.get_logger()


async def tick(world: World) -> Report:
    """Refreshes every provider that is due; one that fails leaves the others alone."""
    return await _ask(world, is_forced=False)


async def tick_all(world: World) -> Report:
    """Refreshes every provider, due or not: when a process starts."""
    return await _ask(world, is_forced=True)


async def _ask(world: World, *, is_forced: bool) -> Report:
    idle = [name for name in world.drivers if name not in world.asking]
    outcomes = await asyncio.gather(
        *(_refresh(world, name, world.drivers[name], is_forced=is_forced) for name in idle),
        return_exceptions=True,
    )
    failures = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
    if failures:
        raise BaseExceptionGroup("catalog", failures)
    asked = [outcome for outcome in outcomes if isinstance(outcome, _Asked)]
    return Report(
        done=sum(outcome.note is None and outcome.was_asked for outcome in asked),
        notes=tuple(outcome.note for outcome in asked if outcome.note is not None),
        wake_at=min(
            (outcome.due_at for outcome in asked if outcome.due_at > world.clock.now()), default=None
        ),
    )


@dataclass(frozen=True, slots=True)
class _Asked:
    """What became of one provider's turn, and when its next is."""

    due_at: Instant
    note: str | None = None
    was_asked: bool = True


async def _refresh(world: World, provider: str, driver: Driver, *, is_forced: bool) -> _Asked | None:
    """None where another process has it."""
    world.asking.add(provider)
    try:
        return await _refresh_alone(world, provider, driver, is_forced=is_forced)
    finally:
        world.asking.discard(provider)


async def _refresh_alone(world: World, provider: str, driver: Driver, *, is_forced: bool) -> _Asked | None:
    # By everybody who has it, also while another asks: a provider that nobody has is cleared up after.
    await world.db.write(catalog.introduce, provider, driver.abilities)
    try:
        async with watching(world, f"catalog:{provider}", period_s=PERIOD_S) as watch:
            if watch is None:
                return None
            lease, hold = watch
            return await _take_turn(world, provider, hold.guard(driver), lease, is_forced=is_forced)
    except LeaseLost:
        _log.warning("lease_lost", loop="catalog", provider=provider)
        return _Asked(world.clock.now(), note=f"{provider}: the lease was lost")


async def _take_turn(world: World, provider: str, driver: Driver, lease: Lease, *, is_forced: bool) -> _Asked:
    due_at = await world.db.read(catalog.due_at, provider)
    if not is_forced and due_at > world.clock.now():
        return _Asked(due_at, was_asked=False)
    listed_at = world.clock.now()
    period_s = world.periods.get(provider, 0)
    try:
        async with asyncio.timeout(world.patience.catalogue_s):
            offered = await driver.catalogue()
    except (DriverError, TimeoutError) as error:
        _log.warning("catalogue_not_refreshed", provider=provider, error=repr(error))
        retry_s = int(error.retry_after_s or 0) if isinstance(error, RateLimited) else 0
        due_at = await world.db.write(
            catalog.note_failure, provider, repr(error), period_s=period_s, retry_s=retry_s
        )
        return _Asked(due_at, note=f"{provider}: {error!r}")
    sold = await asyncio.to_thread(catalog.stock, offered, margin_percent=world.margins.get(provider, 0))
    await world.db.write(
        under, lease, catalog.take_in, provider, sold, listed_at=listed_at, period_s=period_s
    )
    return _Asked(after(listed_at, seconds=period_s))

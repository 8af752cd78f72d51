"""Keeps true: the catalogue says what providers sell now, or, while one is silent, what it said last."""

import asyncio

import structlog

from berth.base.leases import Lease
from berth.core import catalog
from berth.core.driver import Driver, DriverError
from berth.loops.holding import LeaseLost, under, watching
from berth.loops.world import Report, World

PERIOD_S = 30.0
_log = structlog.get_logger()


async def tick(world: World) -> Report:
    """Refreshes every provider once; one that fails leaves the others alone."""
    outcomes = await asyncio.gather(
        *(_refresh(world, name, driver) for name, driver in world.drivers.items()), return_exceptions=True
    )
    failures = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
    if failures:
        raise BaseExceptionGroup("catalog", failures)
    notes = tuple(outcome for outcome in outcomes if isinstance(outcome, str))
    return Report(done=len(outcomes) - len(notes), notes=notes)


async def _refresh(world: World, provider: str, driver: Driver) -> str | None:
    """Says what went wrong, if anything did."""
    # By everybody who has it, also while another asks: a provider that nobody has is cleared up after.
    await world.db.write(catalog.introduce, provider, driver.abilities)
    try:
        async with watching(world, f"catalog:{provider}", period_s=PERIOD_S) as watch:
            if watch is None:
                return None
            lease, hold = watch
            return await _ask(world, provider, hold.guard(driver), lease)
    except LeaseLost:
        _log.warning("lease_lost", loop="catalog", provider=provider)
        return f"{provider}: the lease was lost"


async def _ask(world: World, provider: str, driver: Driver, lease: Lease) -> str | None:
    listed_at = world.clock.now()
    try:
        async with asyncio.timeout(world.patience.call_s):
            offered = await driver.catalogue()
    except (DriverError, TimeoutError) as error:
        _log.warning("catalogue_not_refreshed", provider=provider, error=repr(error))
        await world.db.write(catalog.note_failure, provider, repr(error))
        return f"{provider}: {error!r}"
    margin = world.margins.get(provider, 0)
    await world.db.write(
        under, lease, catalog.refresh, provider, offered, listed_at=listed_at, margin_percent=margin
    )
    return None

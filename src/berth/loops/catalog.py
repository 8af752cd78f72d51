"""Keeps true: the catalogue says what providers sell now, or, while one is silent, what it said last."""

import asyncio

import structlog

from berth.base import leases
from berth.base.clock import Instant
from berth.base.db import Tx
from berth.base.leases import Lease
from berth.core import catalog
from berth.core.driver import Abilities, Catalogue, Driver, DriverError
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
    lease = await world.db.write(
        _begin, provider, driver.abilities, holder=world.holder, seconds=world.patience.lease_s
    )
    if lease is None:
        return None
    listed_at = world.clock.now()
    try:
        async with asyncio.timeout(world.patience.call_s):
            offered = await driver.catalogue()
    except (DriverError, TimeoutError) as error:
        _log.warning("catalogue_not_refreshed", provider=provider, error=repr(error))
        await world.db.write(catalog.note_failure, provider, repr(error))
        return f"{provider}: {error!r}"
    await world.db.write(_apply, lease, provider, offered, listed_at, world.margins.get(provider, 0))
    return None


def _begin(tx: Tx, provider: str, abilities: Abilities, *, holder: str, seconds: int) -> Lease | None:
    catalog.introduce(tx, provider, abilities)
    return leases.acquire(tx, f"catalog:{provider}", holder=holder, seconds=seconds)


def _apply(tx: Tx, lease: Lease, provider: str, offered: Catalogue, listed_at: Instant, margin: int) -> None:
    if leases.is_held(tx, lease):
        catalog.refresh(tx, provider, offered, listed_at=listed_at, margin_percent=margin)

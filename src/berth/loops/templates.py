"""Keeps true: the templates on offer are those that their providers keep, as of an hour ago at most.

While a provider is silent, what it said last stands.
"""

import asyncio
from collections.abc import Sequence

import structlog

from berth.base import leases
from berth.base.clock import HOUR, Instant
from berth.base.db import Tx
from berth.base.leases import Lease
from berth.core import catalog
from berth.core.driver import Driver, DriverError, ProviderTemplate
from berth.loops.world import Report, World

PERIOD_S = 300.0
"""How soon a provider that was silent is asked again."""
_KEPT_FOR = HOUR
_log = structlog.get_logger()


async def tick(world: World) -> Report:
    """Asks every provider whose templates are an hour old; one that fails leaves the others alone."""
    keepers = {name: driver for name, driver in world.drivers.items() if driver.abilities.templates}
    outcomes = await asyncio.gather(
        *(_refresh(world, name, driver) for name, driver in keepers.items()), return_exceptions=True
    )
    failures = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
    if failures:
        raise BaseExceptionGroup("templates", failures)
    notes = tuple(outcome for outcome in outcomes if isinstance(outcome, str))
    return Report(done=len(outcomes) - len(notes), notes=notes)


async def _refresh(world: World, provider: str, driver: Driver) -> str | None:
    """Says what went wrong, if anything did."""
    # Longer than the one call can take.
    seconds = int(world.patience.call_s) + world.patience.lease_s
    lease = await world.db.write(_begin, provider, holder=world.holder, seconds=seconds)
    if lease is None:
        return None
    try:
        async with asyncio.timeout(world.patience.call_s):
            kept = await driver.templates()
    except (DriverError, TimeoutError) as error:
        _log.warning("templates_not_refreshed", provider=provider, error=repr(error))
        return f"{provider}: {error!r}"
    await world.db.write(_apply, lease, provider, kept)
    return None


def _begin(tx: Tx, provider: str, *, holder: str, seconds: int) -> Lease | None:
    refreshed_at = catalog.templates_refreshed_at(tx, provider)
    if refreshed_at is not None and refreshed_at > Instant(tx.now - _KEPT_FOR):
        return None
    return leases.acquire(tx, f"templates:{provider}", holder=holder, seconds=seconds)


def _apply(tx: Tx, lease: Lease, provider: str, kept: Sequence[ProviderTemplate]) -> None:
    if leases.is_held(tx, lease):
        catalog.refresh_templates(tx, provider, kept)

"""Keeps true: what our rows say exists of volumes is what the providers say exists.

A failed or partial listing proves nothing. A complete one that lacks a volume is asked for twice, and the volume
itself is asked for, before it counts as gone. What carries our label and no row accounts for is an orphan.
"""

import asyncio
from collections.abc import Sequence
from enum import StrEnum

import structlog

from berth.base.clock import Instant, after, seconds_between
from berth.base.leases import Lease
from berth.core import instances, volumes
from berth.core.driver import Driver, DriverError, VolumeListing, VolumeSighting
from berth.core.volumes import Orphan, Volume
from berth.loops.holding import LeaseLost, under, watching
from berth.loops.world import Report, World

PERIOD_S = 20.0
_log = structlog.get_logger()


class Verdict(StrEnum):
    """What a listing says of one volume."""

    FINE = "fine"
    MISSING = "missing"
    STILL_MISSING = "still_missing"
    BACK = "back"


def judge(volume: Volume, *, is_listed: bool, is_complete: bool, asked_at: Instant, grace_s: int) -> Verdict:
    """Pure: what to make of what the provider said, or did not say, of `volume`."""
    if volume.updated_at > asked_at:
        return Verdict.FINE  # the answer is older than the row
    if is_listed:
        return Verdict.FINE if volume.missing_since is None else Verdict.BACK
    is_young = volume.create_sent_at is None or volume.create_sent_at > after(asked_at, seconds=-grace_s)
    # What is to be purged is watched by the loop that purges it.
    if not is_complete or is_young or volume.is_permanently_deleted:
        return Verdict.FINE
    return Verdict.MISSING if volume.missing_since is None else Verdict.STILL_MISSING


async def tick(world: World) -> Report:
    """Looks at every provider once; one that fails leaves the others alone."""
    outcomes = await asyncio.gather(
        *(_observe(world, name, driver) for name, driver in world.drivers.items()), return_exceptions=True
    )
    failures = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
    if failures:
        raise BaseExceptionGroup("volume_observation", failures)
    notes = tuple(outcome for outcome in outcomes if isinstance(outcome, str))
    return Report(done=len(outcomes), notes=notes)


async def _observe(world: World, provider: str, driver: Driver) -> str | None:
    try:
        async with watching(world, f"volume_observation:{provider}", period_s=PERIOD_S) as watch:
            if watch is None:
                return None
            lease, hold = watch
            return await _look(world, provider, hold.guard(driver), lease)
    except LeaseLost:
        _log.warning("lease_lost", loop="volume_observation", provider=provider)
        return f"{provider}: the lease was lost"


async def _look(world: World, provider: str, driver: Driver, lease: Lease) -> str | None:
    asked_at = world.clock.now()
    try:
        async with asyncio.timeout(world.patience.call_s):
            listing = await driver.list_own_volumes(world.install_id)
    except (DriverError, TimeoutError) as error:
        _log.warning("volumes_not_observed", provider=provider, error=repr(error))
        return f"{provider}: {error!r}"
    previous = None
    if listing.is_complete:
        previous = await world.db.write(under, lease, volumes.listed, provider)
    await _compare(world, provider, driver, listing, asked_at, previous or asked_at)
    await _sweep_orphans(world, provider, driver, listing.sightings)
    return None


async def _compare(
    world: World,
    provider: str,
    driver: Driver,
    listing: VolumeListing,
    asked_at: Instant,
    seen_before: Instant,
) -> None:
    handles = {sighting.handle for sighting in listing.sightings}
    grace_s = max(world.patience.missing_grace_s, driver.abilities.appears_within_s)
    after_id = ""
    while page := await world.db.read(volumes.at_provider, provider, after_id=after_id):
        after_id = page[-1].id
        for volume in page:
            verdict = judge(
                volume,
                is_listed=volume.handle in handles,
                is_complete=listing.is_complete,
                asked_at=asked_at,
                grace_s=grace_s,
            )
            if verdict is Verdict.MISSING:
                await world.db.write(volumes.missing, volume, since=seen_before)
            elif verdict is Verdict.BACK:
                await world.db.write(volumes.back, volume)
            elif verdict is Verdict.STILL_MISSING:
                await _confirm_lost(world, driver, volume)


async def _confirm_lost(world: World, driver: Driver, volume: Volume) -> None:
    try:
        async with asyncio.timeout(world.patience.call_s):
            sighting = await driver.inspect_volume(volume.label(world.install_id), volume.handle)
    except (DriverError, TimeoutError) as error:
        _log.warning("volume_absence_not_confirmed", volume=volume.id, error=repr(error))
        return
    if sighting is not None:
        await world.db.write(volumes.back, volume)
        return
    _log.error("volume_lost", volume=volume.id, provider=volume.provider)
    await world.db.write(instances.volume_lost, volume, seen_at=volume.missing_since or world.clock.now())


async def _sweep_orphans(
    world: World, provider: str, driver: Driver, sightings: Sequence[VolumeSighting]
) -> None:
    for sighting in sightings:
        label = sighting.label
        # Exactly: an id that is written otherwise is another installation's, whatever brought it into the listing.
        if label is None or label.install_id != world.install_id:
            continue
        given_up = await world.db.read(volumes.given_up, sighting)
        if given_up is not None:
            await world.db.write(volumes.back, given_up)
            continue
        if not await world.db.read(volumes.is_orphan, provider, sighting):
            continue
        orphan = await world.db.write(volumes.report_orphan, provider, sighting)
        _log.warning("orphan_volume_found", provider=provider, handle=orphan.handle, volume=orphan.volume_id)
        if seconds_between(orphan.first_seen_at, world.clock.now()) >= world.patience.orphan_grace_s:
            await _destroy_orphan(world, driver, orphan, sighting)


async def _destroy_orphan(world: World, driver: Driver, orphan: Orphan, sighting: VolumeSighting) -> None:
    # Looked at once more, now: between the listing and here a create may have been resolved to this very handle.
    if not await world.db.read(volumes.is_orphan, orphan.provider, sighting):
        return
    try:
        async with asyncio.timeout(world.patience.call_s):
            for instance_handle in sighting.attached_to:
                await driver.detach_volume(instance_handle, orphan.handle)
            await driver.destroy_volume(orphan.handle)
    except (DriverError, TimeoutError) as error:
        _log.warning("orphan_volume_not_destroyed", handle=orphan.handle, error=repr(error))
        return
    await world.db.write(volumes.orphan_destroyed, orphan)

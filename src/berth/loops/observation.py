"""Keeps true: what our rows say exists is what the providers say exists.

A failed or partial listing proves nothing. A complete one that lacks an instance is asked for twice, and the
instance itself is asked for, before it counts as gone.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import structlog

from berth.base.clock import Instant, after, seconds_between
from berth.base.leases import Lease
from berth.base.money import USD
from berth.core import instances, measures, sessions
from berth.core.driver import Driver, DriverError, Listing, Power, Sighting
from berth.core.instances import STANDING, Instance, Orphan, Status, Wanted, because
from berth.loops import counting
from berth.loops.holding import LeaseLost, under, watching
from berth.loops.proof import is_served
from berth.loops.world import Report, World

PERIOD_S = 20.0
_SETTLED = frozenset({Power.RUNNING, Power.STOPPED, Power.FAILED})
_log = structlog.get_logger()


class Verdict(StrEnum):
    """What a listing says of one instance."""

    FINE = "fine"
    UNREACHABLE = "unreachable"
    """It exists, and its host is not heard from."""
    MISSING = "missing"
    STILL_MISSING = "still_missing"
    BACK = "back"
    WENT_DOWN = "went_down"
    CAME_UP = "came_up"
    MOVED = "moved"


@dataclass(frozen=True, slots=True)
class Seen:
    """One complete or partial answer of a provider."""

    listing: Listing
    asked_at: Instant


def judge(
    instance: Instance, sighting: Sighting | None, *, is_complete: bool, asked_at: Instant, grace_s: int
) -> Verdict:
    """Pure: what to make of what the provider said, or did not say, of `instance`."""
    if instance.updated_at > asked_at:
        return Verdict.FINE  # the answer is older than the row
    if sighting is not None and sighting.is_unreachable:
        is_news = instance.missing_since is None and instance.status in STANDING
        return Verdict.UNREACHABLE if is_news else Verdict.FINE
    if sighting is not None:
        if instance.missing_since is not None:
            return Verdict.BACK if sighting.power in _SETTLED else Verdict.FINE
        if (
            sighting.power in {Power.STOPPED, Power.FAILED}
            and instance.status is Status.RUNNING
            and instance.wanted is Wanted.RUNNING
        ):
            return Verdict.WENT_DOWN if not instance.is_restart_wanted else Verdict.FINE
        if (
            sighting.power is Power.RUNNING
            and instance.status is Status.OFFLINE
            and instance.wanted is Wanted.OFFLINE
        ):
            return Verdict.CAME_UP
        return Verdict.MOVED if _is_elsewhere(instance, sighting) else Verdict.FINE
    is_young = instance.create_sent_at is None or instance.create_sent_at > after(asked_at, seconds=-grace_s)
    # What is on its way in or out is watched by the provisioning loop, which knows how far it is.
    if not is_complete or is_young or instance.status not in STANDING:
        return Verdict.FINE
    return Verdict.MISSING if instance.missing_since is None else Verdict.STILL_MISSING


def _is_elsewhere(instance: Instance, sighting: Sighting) -> bool:
    """Whether it runs, as it is to, and is reached at another address than its owner was told."""
    if sighting.power is not Power.RUNNING or instance.status is not Status.RUNNING:
        return False
    if instance.wanted is not Wanted.RUNNING or not sighting.ip:
        return False
    if instance.launch is not None and is_served(instance):
        served = next(iter(instance.launch.ports), 0)
        port, known_port = sighting.ports.get(served), instance.ports.get(served)
    else:
        port, known_port = sighting.ssh_port, instance.ssh_port
    return bool(port) and (sighting.ip, port) != (instance.ip, known_port)


async def tick(world: World) -> Report:
    """Looks at every provider once; one that fails leaves the others alone."""
    outcomes = await asyncio.gather(
        *(_observe(world, name, driver) for name, driver in world.drivers.items()), return_exceptions=True
    )
    failures = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
    if failures:
        raise BaseExceptionGroup("observation", failures)
    return Report(
        done=len(outcomes), notes=tuple(outcome for outcome in outcomes if isinstance(outcome, str))
    )


async def _observe(world: World, provider: str, driver: Driver) -> str | None:
    try:
        async with watching(world, f"observation:{provider}", period_s=PERIOD_S) as watch:
            if watch is None:
                await _note_others(world, provider)
                return None
            lease, hold = watch
            return await _look(world, provider, hold.guard(driver), lease)
    except LeaseLost:
        _log.warning("lease_lost", loop="observation", provider=provider)
        return f"{provider}: the lease was lost"


async def _look(world: World, provider: str, driver: Driver, lease: Lease) -> str | None:
    asked_at = world.clock.now()
    try:
        async with asyncio.timeout(world.patience.call_s):
            listing = await driver.list_own(world.install_id)
    except (DriverError, TimeoutError) as error:
        _log.warning("provider_not_observed", provider=provider, error=repr(error))
        return f"{provider}: {error!r}"
    previous = None
    if listing.is_complete:
        previous = await world.db.write(under, lease, instances.listed, provider)
    await _compare(world, provider, driver, Seen(listing, asked_at), previous or asked_at)
    orphans = await _sweep_orphans(world, provider, driver, listing.sightings)
    if listing.is_complete:
        # The handles of all that there are.
        await world.db.write(under, lease, instances.settle_orphans, provider, orphans)
        world.readiness.done(provider)
    return None


async def _note_others(world: World, provider: str) -> None:
    """Another replica looks at this provider: what it saw since we began is as good as what we would see."""
    if provider in world.readiness.waits_for:
        listed_at = await world.db.read(instances.last_listed, provider)
        if listed_at is not None and listed_at >= world.readiness.since:
            world.readiness.done(provider)


async def _compare(world: World, provider: str, driver: Driver, seen: Seen, seen_before: Instant) -> None:
    by_handle = {sighting.handle: sighting for sighting in seen.listing.sightings}
    after_id = ""
    while page := await world.db.read(instances.at_provider, provider, after_id=after_id):
        after_id = page[-1].id
        await _notice_use(world, provider, page, by_handle, seen.asked_at)
        for instance in page:
            sighting = by_handle.get(instance.handle or "")
            grace_s = max(world.patience.missing_grace_s, driver.abilities.appears_within_s)
            verdict = judge(
                instance,
                sighting,
                is_complete=seen.listing.is_complete,
                asked_at=seen.asked_at,
                grace_s=grace_s,
            )
            if verdict is not Verdict.FINE:
                await _act(world, driver, instance, sighting, verdict, seen_before)
            if sighting is not None and sighting.evicts_at is not None:
                await world.db.write(instances.will_be_taken, instance, evicts_at=sighting.evicts_at)


async def _notice_use(
    world: World, provider: str, page: Sequence[Instance], by_handle: Mapping[str, Sighting], now: Instant
) -> None:
    """Keeps since when those are idle that end when they are idle for long."""
    if all(sighting.use_percent is None for sighting in by_handle.values()):
        return
    await _notice_sessions(world, provider, page, by_handle)
    watched = await world.db.read(instances.watched, provider, first_id=page[0].id, last_id=page[-1].id)
    for instance in page:
        sighting = by_handle.get(instance.handle or "")
        if instance.id not in watched or sighting is None or sighting.use_percent is None:
            continue
        is_idle, was_idle = sighting.use_percent == 0, watched[instance.id] is not None
        if is_idle != was_idle:
            await world.db.write(instances.noticed_use, instance.id, idle_since=now if is_idle else None)
            world.poke("reservations")


async def _notice_sessions(
    world: World, provider: str, page: Sequence[Instance], by_handle: Mapping[str, Sighting]
) -> None:
    """What the provider says of sessions that end when idle is one of several voices: what becomes of it is theirs."""
    rented = [instance for instance in page if instance.is_session]
    if not rented:
        return
    watched = await world.db.read(
        sessions.watched, provider, first_id=page[0].id, last_id=page[-1].id, limit=len(page)
    )
    for instance in rented:
        sighting = by_handle.get(instance.handle or "")
        if instance.id in watched and sighting is not None and sighting.use_percent is not None:
            await world.db.write(sessions.provider_said, instance.id, sighting.use_percent, world.rules)


async def _act(
    world: World,
    driver: Driver,
    instance: Instance,
    sighting: Sighting | None,
    verdict: Verdict,
    seen_before: Instant,
) -> None:
    world.meters.add(measures.MISMATCHES)
    if verdict is Verdict.MISSING:
        await world.db.write(instances.missing, instance, since=seen_before)
    elif verdict is Verdict.UNREACHABLE:
        await world.db.write(instances.unreachable, instance, since=seen_before)
    elif verdict is Verdict.MOVED and sighting is not None:
        await world.db.write(instances.moved, instance, sighting)
    elif verdict is Verdict.BACK and sighting is not None:
        await world.db.write(instances.back, instance, sighting)
        world.poke("provisioning")
    elif verdict is Verdict.WENT_DOWN:
        await world.db.write(instances.went_down, instance, seen_at=seen_before)
        world.poke("provisioning")
    elif verdict is Verdict.CAME_UP and instance.handle is not None:
        await _stop_again(world, driver, instance, instance.handle)
    elif verdict is Verdict.STILL_MISSING:
        await _confirm_gone(world, driver, instance)


async def _stop_again(world: World, driver: Driver, instance: Instance, handle: str) -> None:
    """It is to be off and came up by itself, for example with its host."""
    if not await world.db.read(instances.is_as_seen, instance):
        return  # its owner has just asked for something
    try:
        async with asyncio.timeout(world.patience.call_s):
            await driver.stop(handle, release=not instance.is_reserved)
    except (DriverError, TimeoutError) as error:
        _log.warning("not_stopped_again", instance=instance.id, error=repr(error))


async def _confirm_gone(world: World, driver: Driver, instance: Instance) -> None:
    try:
        async with asyncio.timeout(world.patience.call_s):
            sighting = await driver.inspect(instance.label(world.install_id), instance.handle)
    except (DriverError, TimeoutError) as error:
        _log.warning("absence_not_confirmed", instance=instance.id, error=repr(error))
        return
    if sighting is not None:
        await world.db.write(instances.back, instance, sighting)
        return
    reason = because("instance_lost")
    lost = await world.db.write(
        instances.vanished, instance, seen_at=instance.missing_since or world.clock.now(), reason=reason
    )
    world.meters.add(measures.GHOSTS)
    if not instance.is_spot:
        counting.offer_failed(world, instance, lost, reason)


async def _sweep_orphans(
    world: World, provider: str, driver: Driver, sightings: Sequence[Sighting]
) -> frozenset[str]:
    """The handles of those that there are."""
    found = set()
    for sighting in sightings:
        label = sighting.label
        # Exactly: an id that begins like ours, or is written otherwise, is another installation's.
        if label is None or label.install_id != world.install_id:
            continue
        if sighting.power is Power.DELETING or not await world.db.read(
            instances.is_orphan, provider, sighting
        ):
            continue
        orphan = await world.db.write(instances.report_orphan, provider, sighting)
        found.add(orphan.handle)
        if orphan.is_new:
            world.meters.add(measures.ORPHANS)
            world.meters.add(measures.MISMATCHES)
        _log.warning("orphan_found", provider=provider, handle=orphan.handle, instance=orphan.instance_id)
        if seconds_between(orphan.first_seen_at, world.clock.now()) >= world.patience.orphan_grace_s:
            await _destroy_orphan(world, driver, orphan, sighting)
    return frozenset(found)


async def _destroy_orphan(world: World, driver: Driver, orphan: Orphan, sighting: Sighting) -> None:
    # Looked at once more, now: between the listing and here a create may have been resolved to this very handle.
    if not await world.db.read(instances.is_orphan, orphan.provider, sighting):
        return
    keeps = await world.db.read(instances.has_kept_disk, orphan.provider, sighting)
    try:
        async with asyncio.timeout(world.patience.call_s):
            await driver.destroy(orphan.handle, keep_disk=keeps)
    except (DriverError, TimeoutError) as error:
        failures = await world.db.write(instances.orphan_not_destroyed, orphan)
        log = _log.error if failures >= instances.FAILURES_TO_ALERT else _log.warning
        log("orphan_not_destroyed", handle=orphan.handle, failures=failures, error=repr(error))
        return
    cost = await world.db.write(instances.orphan_destroyed, orphan)
    world.meters.add(measures.ORPHANS_DESTROYED, provider=orphan.provider)
    world.meters.add(measures.ORPHAN_USD, cost / USD, provider=orphan.provider)

"""Keeps true: every volume someone wants exists at its provider, once, as large as wanted and attached where wanted.

Takes no input: it may be woken early, never told what to do. What boots with an instance, or leaves with one, is
attached and detached by the provisioning loop's own calls; everything else here. It may crash anywhere: what it
was doing is read off the row.
"""

import asyncio
from collections.abc import Awaitable, Callable
from enum import StrEnum

import structlog

from berth.base.clock import Instant, seconds_between
from berth.core import instances, volumes
from berth.core.driver import (
    BadCredentials,
    Driver,
    DriverError,
    NoCapacity,
    NotSupported,
    OutcomeUnknown,
    RateLimited,
    Refused,
    Unreachable,
    VolumeOrder,
    VolumeSighting,
)
from berth.core.instances import STANDING
from berth.core.volumes import Attachment, Link, Volume, Wanted
from berth.loops.calls import SENT_WITHIN_S, pause_s, wait_s
from berth.loops.holding import held_row
from berth.loops.world import Report, World

PERIOD_S = 5.0
BATCH = 8
_UNREACHABLE_TRIES = 10
"""Creates that never reached the provider before the volume is given up: most of a minute, with the pauses."""
_log = structlog.get_logger()


class Step(StrEnum):
    """What to do for a volume next."""

    NOTHING = "nothing"
    CREATE = "create"
    RESOLVE = "resolve"
    """A create was sent and its answer is unknown: look for the label."""
    COPY = "copy"
    """It is being copied at its provider: look whether that is done."""
    DETACH = "detach"
    RESIZE = "resize"
    ATTACH = "attach"
    DESTROY = "destroy"


def plan(volume: Volume, now: Instant) -> Step:
    """Pure: reads the next step off the row."""
    if volume.is_boot_disk or volume.gone_at is not None:
        return Step.NOTHING
    if volume.wanted is not Wanted.KEPT and not volume.attachments:
        is_over = volume.wanted is Wanted.PURGED or (volume.purge_at is not None and volume.purge_at <= now)
        if is_over:
            return Step.DESTROY
        if volume.is_unresolved:
            return Step.RESOLVE
        return Step.RESIZE if volume.is_growing else Step.NOTHING
    if volume.handle is None:
        if volume.wanted is not Wanted.KEPT:
            return Step.NOTHING
        return Step.CREATE if volume.create_sent_at is None else Step.RESOLVE
    if volume.cloning_from is not None:
        return Step.COPY
    next_link = volumes.work(volume)
    if next_link is not None and next_link.link is Link.DETACHING:
        return Step.DETACH
    if volume.is_growing:
        return Step.RESIZE
    return Step.NOTHING if next_link is None else Step.ATTACH


async def tick(world: World) -> Report:
    """One step for up to `BATCH` volumes that are due."""
    now = world.clock.now()
    providers = list(world.drivers)
    due_at = await world.db.read(volumes.next_due, providers=providers)
    if due_at is None or due_at > now:
        return Report(wake_at=due_at)
    leased = await world.db.write(
        volumes.lease_due, limit=BATCH, seconds=world.patience.lease_s, providers=providers
    )
    outcomes = await asyncio.gather(*(_step(world, each, now) for each in leased), return_exceptions=True)
    failures = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
    if failures:
        # Their rows stay leased, so each is tried again no sooner than its lease ends.
        raise BaseExceptionGroup("volumes", failures)
    next_at = await world.db.read(volumes.next_due, providers=providers)
    return Report(done=len(leased), has_more=len(leased) == BATCH, wake_at=next_at)


async def _step(world: World, volume: Volume, since: Instant) -> None:
    driver = world.drivers.get(volume.provider)
    step = plan(volume, world.clock.now())
    if driver is None:
        _log.error("provider_not_configured", provider=volume.provider, volume=volume.id)
        await _look_again(world, volume)
        return
    try:
        async with held_row(world, volume, since, volumes.renew_lease, volumes.give_back) as hold:
            await _ACTIONS[step](world, hold.guard(driver), volume)
    except (DriverError, TimeoutError) as error:
        _log.warning("volume_step_failed", step=step.value, volume=volume.id, error=repr(error))
        retry_s = wait_s(error) if isinstance(error, RateLimited) else _pause(world, volume)
        await world.db.write(volumes.look_again, volume, retry_s=retry_s)


async def _nothing(world: World, _driver: Driver, volume: Volume) -> None:
    await _look_again(world, volume)


async def _create(world: World, driver: Driver, volume: Volume) -> None:
    source = None
    if volume.cloning_from is not None:
        source = await world.db.read(volumes.source_of, volume)
        if source is None:
            await _not_copied(world, volume, "its source is gone")
            return
    intended = await world.db.write(volumes.intend_create, volume)
    if intended is None:
        await _look_again(world, volume)
        return
    if _age_s(world, intended) > SENT_WITHIN_S:
        # We were frozen meanwhile, and others may be about to conclude that our call never went out.
        await world.db.write(volumes.did_not_happen, intended, retry_s=0)
        return
    await _send(
        world, driver, intended, volumes.volume_order(intended, install_id=world.install_id, source=source)
    )


async def _send(world: World, driver: Driver, intended: Volume, order: VolumeOrder) -> None:
    try:
        async with asyncio.timeout(world.patience.call_s):
            sighting = await driver.create_volume(order)
    except (NoCapacity, Refused, BadCredentials, NotSupported) as error:
        code = "no_capacity" if isinstance(error, NoCapacity) else "refused"
        await _give_up(world, intended, code, error)
    except RateLimited as error:
        await world.db.write(volumes.did_not_happen, intended, retry_s=wait_s(error))
    except Unreachable as error:
        if intended.attempt < _UNREACHABLE_TRIES:
            await world.db.write(volumes.did_not_happen, intended, retry_s=_pause(world, intended))
        else:
            await _give_up(world, intended, "provider_unreachable", error)
    except (OutcomeUnknown, TimeoutError) as error:
        _log.warning("volume_create_outcome_unknown", volume=intended.id, error=repr(error))
        await _look_again(world, intended)
    else:
        await _created(world, intended, sighting)


async def _give_up(world: World, volume: Volume, code: str, error: DriverError) -> None:
    _log.error("volume_not_created", volume=volume.id, provider=volume.provider, error=repr(error))
    await world.db.write(instances.volume_not_created, volume, reason=volumes.because(code, error.reason))
    await _wake_booting(world, volume)


async def _created(world: World, volume: Volume, sighting: VolumeSighting) -> None:
    await world.db.write(volumes.created, volume, sighting)
    await _wake_booting(world, volume)


async def _copy(world: World, driver: Driver, volume: Volume) -> None:
    sighting, is_gone = await _look_for(world, driver, volume)
    if sighting is not None and sighting.is_ready:
        await world.db.write(volumes.created, volume, sighting)
    elif sighting is None and is_gone:
        await _not_copied(world, volume, "the provider has given it up")
    else:
        await _look_again(world, volume)


async def _not_copied(world: World, volume: Volume, why: str) -> None:
    _log.error("volume_not_copied", volume=volume.id, provider=volume.provider, error=why)
    await world.db.write(instances.volume_not_created, volume, reason=volumes.because("clone_failed"))


async def _wake_booting(world: World, volume: Volume) -> None:
    """What waits for this volume to boot need not wait out its pause."""
    for attachment in volume.attachments:
        if attachment.link is Link.BOOT:
            await _wake(world, attachment.instance_id)


async def _wake(world: World, instance_id: str) -> None:
    await world.db.write(instances.hurry, instance_id)
    world.poke("provisioning")


async def _resolve(world: World, driver: Driver, volume: Volume) -> None:
    """Either our label is there, or, once it would surely show, nothing was made and creating is safe again."""
    sighting, is_gone = await _look_for(world, driver, volume)
    if sighting is not None:
        await _created(world, volume, sighting)
    elif is_gone:
        await world.db.write(volumes.did_not_happen, volume, retry_s=0)
    else:
        await _look_again(world, volume)


async def _attach(world: World, driver: Driver, volume: Volume) -> None:
    attachment = _next_of(volume, Link.ATTACHING)
    handle = await _handle_of(world, attachment)
    if handle is None:
        await _look_again(world, volume)  # its instance is on its way out, and says so itself
        return
    try:
        async with asyncio.timeout(world.patience.call_s):
            await driver.attach_volume(handle, volumes.mount_of(volume, attachment))
    except (NoCapacity, Refused, NotSupported) as error:
        _log.error("volume_not_attached", volume=volume.id, error=repr(error))
        sighting = await _despite_refusal(world, driver, volume)
        if sighting is None:
            await _look_again(world, volume)
        elif handle in sighting.attached_to:
            await world.db.write(volumes.attached, volume, attachment.instance_id)
        else:
            reason = volumes.because("attach_refused", error.reason)
            await world.db.write(instances.volume_not_attached, volume, attachment.instance_id, reason=reason)
    else:
        await world.db.write(volumes.attached, volume, attachment.instance_id)
    await _wake(world, attachment.instance_id)


async def _detach(world: World, driver: Driver, volume: Volume) -> None:
    attachment = _next_of(volume, Link.DETACHING)
    handle = await _handle_of(world, attachment)
    if handle is None or volume.handle is None:
        await _look_again(world, volume)
        return
    try:
        async with asyncio.timeout(world.patience.call_s):
            await driver.detach_volume(handle, volume.handle)
    except (Refused, NotSupported) as error:
        _log.error("volume_not_detached", volume=volume.id, error=repr(error))
        sighting = await _despite_refusal(world, driver, volume)
        if sighting is None:
            await _look_again(world, volume)
        elif handle not in sighting.attached_to:
            await world.db.write(volumes.detached, volume, attachment.instance_id)
        else:
            reason = volumes.because("detach_refused", error.reason)
            await world.db.write(instances.volume_not_detached, volume, attachment.instance_id, reason=reason)
    else:
        await world.db.write(volumes.detached, volume, attachment.instance_id)
    await _wake(world, attachment.instance_id)


async def _resize(world: World, driver: Driver, volume: Volume) -> None:
    assert volume.handle is not None
    try:
        async with asyncio.timeout(world.patience.call_s):
            await driver.resize_volume(volume.handle, volume.wanted_size_gb)
    except (NoCapacity, Refused, NotSupported) as error:
        _log.error("volume_not_resized", volume=volume.id, error=repr(error))
        sighting = await _despite_refusal(world, driver, volume)
        if sighting is None:
            await _look_again(world, volume)
        elif sighting.size_gb > volume.size_gb:
            await world.db.write(volumes.resized, volume, sighting.size_gb)
        else:
            reason = volumes.because("resize_refused", error.reason)
            await world.db.write(volumes.not_resized, volume, reason=reason)
    else:
        await world.db.write(volumes.resized, volume, volume.wanted_size_gb)


async def _despite_refusal(world: World, driver: Driver, volume: Volume) -> VolumeSighting | None:
    """What there is: an attempt before the refused one, whose answer was lost, may have gone through."""
    return await driver.inspect_volume(volume.label(world.install_id), volume.handle)


async def _destroy(world: World, driver: Driver, volume: Volume) -> None:
    doomed = await world.db.write(volumes.intend_destroy, volume)
    if doomed is None:
        await _look_again(world, volume)
        return
    if doomed.handle is None:
        sighting, is_gone = (None, True) if not doomed.may_exist else await _look_for(world, driver, doomed)
        if sighting is None:
            await _end(world, doomed, is_gone=is_gone)
            return
        kept = await world.db.write(volumes.found, doomed, sighting)
        if kept is None:
            return
        doomed = kept
    assert doomed.handle is not None
    await driver.destroy_volume(doomed.handle)
    left = await driver.inspect_volume(doomed.label(world.install_id), doomed.handle)
    await _end(world, doomed, is_gone=left is None and _would_show(world, driver, doomed))


async def _end(world: World, volume: Volume, *, is_gone: bool) -> None:
    if is_gone:
        await world.db.write(volumes.gone, volume)
    else:
        await _look_again(world, volume)


async def _handle_of(world: World, attachment: Attachment) -> str | None:
    """The provider's id of an instance that stands there; None for one that is coming or going."""
    instance = await world.db.read(instances.find, attachment.instance_id)
    return instance.handle if instance is not None and instance.status in STANDING else None


def _next_of(volume: Volume, link: Link) -> Attachment:
    return next(attachment for attachment in volume.attachments if attachment.link is link)


async def _look_for(world: World, driver: Driver, volume: Volume) -> tuple[VolumeSighting | None, bool]:
    """What the provider has of it and, when that is nothing, whether it is certain.

    One answer proves no absence: a complete listing must lack it too, after a new volume would surely show.
    """
    label, handle = volume.label(world.install_id), volume.handle
    sighting = await driver.inspect_volume(label, handle)
    if sighting is not None or not _would_show(world, driver, volume):
        return sighting, False
    listing = await driver.list_own_volumes(world.install_id)
    for listed in listing.sightings:
        if listed.handle == handle or (handle is None and listed.label == label):
            return listed, False
    return None, listing.is_complete


def _would_show(world: World, driver: Driver, volume: Volume) -> bool:
    """Whether something that the create of `create_sent_at` made would certainly be found by now."""
    lag_s = driver.abilities.appears_within_s
    return lag_s == 0 or _age_s(world, volume) > SENT_WITHIN_S + world.patience.call_s + lag_s


def _age_s(world: World, volume: Volume) -> int:
    """Seconds since the create was intended."""
    sent_at = volume.create_sent_at
    return 0 if sent_at is None else seconds_between(sent_at, world.clock.now())


async def _look_again(world: World, volume: Volume) -> None:
    await world.db.write(volumes.look_again, volume, retry_s=_pause(world, volume))


def _pause(world: World, volume: Volume) -> float:
    return pause_s(world.patience, volume.attempt)


_ACTIONS: dict[Step, Callable[[World, Driver, Volume], Awaitable[None]]] = {
    Step.NOTHING: _nothing,
    Step.CREATE: _create,
    Step.RESOLVE: _resolve,
    Step.COPY: _copy,
    Step.DETACH: _detach,
    Step.RESIZE: _resize,
    Step.ATTACH: _attach,
    Step.DESTROY: _destroy,
}

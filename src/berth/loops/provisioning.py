"""Keeps true: every instance someone wants exists at its provider, once, and nothing else of ours does.

Takes no input: it may be woken early, never told what to do. Each step is one short stretch: what is about to
happen is committed, the provider is called with no transaction open, and the answer is applied only if the
row is still ours. It may crash anywhere: what it was doing is read off the row.
"""

import asyncio
from collections.abc import Awaitable, Callable
from enum import StrEnum

import structlog

from berth.base.clock import Instant, after, seconds_between
from berth.core import instances, measures, sessions
from berth.core.driver import (
    BadCredentials,
    Driver,
    DriverError,
    NoCapacity,
    NotSupported,
    OutcomeUnknown,
    Power,
    RateLimited,
    Refused,
    Sighting,
    Unreachable,
)
from berth.core.instances import FAILED, Instance, Status, Wanted, because
from berth.loops import counting, looking, proof
from berth.loops.calls import SENT_WITHIN_S, pause_s, wait_s
from berth.loops.holding import held_row
from berth.loops.proof import Proof
from berth.loops.world import Report, World

PERIOD_S = 5.0
BATCH = 8
_UNREACHABLE_TRIES = 10
"""Creates that never reached the provider before another offer is tried: most of a minute, with the pauses."""
_GIVE_UP_S = 300
"""How long a failed boot may take to be gone before its order fails; it is destroyed all the same."""
_ADRIFT_RETRY_S = 600.0
_DOWN = frozenset({Power.STOPPED, Power.STOPPING})
_log = structlog.get_logger()


class Step(StrEnum):
    """What to do for an instance next."""

    NOTHING = "nothing"
    CREATE = "create"
    RESOLVE = "resolve"
    """A create was sent and its answer is unknown: look for the label."""
    VERIFY = "verify"
    GIVE_UP = "give_up"
    STOP = "stop"
    START = "start"
    RESTART = "restart"
    DESTROY = "destroy"
    CONFIRM_GONE = "confirm_gone"


def plan(instance: Instance, now: Instant) -> Step:
    """Pure: reads the next step off the row."""
    if instance.status is Status.DELETED:
        return Step.NOTHING
    if instance.status in FAILED:
        return Step.DESTROY if instance.may_exist else Step.NOTHING
    if instance.wanted is Wanted.DELETED:
        return Step.DESTROY if instance.may_exist else Step.CONFIRM_GONE
    if instance.status in {Status.ORDERED, Status.PROVISIONING}:
        return _plan_boot(instance, now)
    if instance.status is Status.RUNNING:
        if instance.wanted is Wanted.OFFLINE:
            return Step.STOP
        return Step.RESTART if instance.is_restart_wanted else Step.NOTHING
    if instance.wanted is Wanted.RUNNING:
        return Step.START
    return Step.STOP if instances.gives_back(instance) else Step.NOTHING


def _plan_boot(instance: Instance, now: Instant) -> Step:
    if _is_late(instance, now):
        return Step.GIVE_UP
    if instance.handle is not None:
        return Step.VERIFY
    return Step.CREATE if instance.create_sent_at is None else Step.RESOLVE


def _is_late(instance: Instance, now: Instant) -> bool:
    return instance.deadline_at is not None and instance.deadline_at <= now


async def tick(world: World) -> Report:
    """One step for up to `BATCH` instances that are due."""
    now = world.clock.now()
    due_at = await world.db.read(instances.next_due, providers=list(world.drivers))
    if due_at is None or due_at > now:
        return Report(wake_at=due_at)
    leased = await world.db.write(
        instances.lease_due, limit=BATCH, seconds=world.patience.lease_s, providers=list(world.drivers)
    )
    if len(leased) == BATCH:
        world.poke("provisioning")  # there may be more, and a worker to spare
    outcomes = await asyncio.gather(*(_step(world, each, now) for each in leased), return_exceptions=True)
    failures = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
    if failures:
        # Their rows stay leased, so each is tried again no sooner than its lease ends.
        raise BaseExceptionGroup("provisioning", failures)
    return Report(
        done=len(leased),
        has_more=len(leased) == BATCH,
        wake_at=await world.db.read(instances.next_due, providers=list(world.drivers)),
    )


async def _step(world: World, instance: Instance, since: Instant) -> None:
    driver = world.drivers.get(instance.provider)
    step = plan(instance, world.clock.now())
    if driver is None:
        await _adrift(world, instance, step)
        return
    try:
        async with held_row(world, instance, since, instances.renew_lease, instances.give_back) as hold:
            await _ACTIONS[step](world, hold.guard(driver), instance)
    except (DriverError, TimeoutError) as error:
        _log.warning("step_failed", step=step.value, instance=instance.id, error=repr(error))
        if step is Step.DESTROY:
            await world.db.write(instances.destroy_failed, instance)
        retry_s = wait_s(error) if isinstance(error, RateLimited) else _pause(world, instance)
        await world.db.write(instances.look_again, instance, retry_s=retry_s)


async def _adrift(world: World, instance: Instance, step: Step) -> None:
    """Its provider is configured nowhere any more. What exists there waits for an operator."""
    _log.error("provider_not_configured", instance=instance.id, provider=instance.provider, step=step.value)
    if instance.may_exist:
        await world.db.write(instances.look_again, instance, retry_s=_ADRIFT_RETRY_S)
    elif step is Step.CONFIRM_GONE:
        await world.db.write(instances.gone, instance, world.rules)
    else:
        await _fail_over(world, instance, because("provider_unavailable"))


async def _nothing(world: World, _driver: Driver, instance: Instance) -> None:
    await _look_again(world, instance)


async def _create(world: World, driver: Driver, instance: Instance) -> None:
    if instance.volume_ids and not await _has_luggage(world, instance):
        return
    timeout_s = await world.db.read(instances.boot_timeout_s, instance)
    intended = await world.db.write(instances.intend_create, instance, boot_timeout_s=timeout_s)
    if intended is None:
        await _look_again(world, instance)
        return
    order = await world.db.read(instances.create_order, intended, install_id=world.install_id)
    if looking.age_s(world, intended) > SENT_WITHIN_S:
        # We were frozen meanwhile, and others may be about to conclude that our call never went out.
        await world.db.write(instances.did_not_happen, intended, retry_s=0)
        return
    try:
        async with asyncio.timeout(world.patience.call_s):
            sighting = await driver.create(order)
    except NoCapacity as error:
        await _fail_over(world, intended, because("no_capacity", error.reason), is_sold_out=True)
    except (Refused, BadCredentials, NotSupported) as error:
        _log.error("create_refused", instance=instance.id, provider=instance.provider, error=repr(error))
        is_ours = isinstance(error, BadCredentials) and instance.is_session  # nothing is wrong with the order
        code = "provider_unavailable" if is_ours else "refused"
        await _fail_over(world, intended, because(code, error.reason))
    except RateLimited as error:
        await world.db.write(instances.did_not_happen, intended, retry_s=wait_s(error))
    except Unreachable as error:
        await _not_reached(world, intended, error)
    except (OutcomeUnknown, TimeoutError) as error:
        _log.warning("create_outcome_unknown", instance=instance.id, error=repr(error))
        await world.db.write(instances.look_again, intended, retry_s=_pause(world, intended))
    else:
        await _made(world, intended, sighting)


async def _made(world: World, instance: Instance, sighting: Sighting) -> None:
    await world.db.write(instances.created, instance, sighting)
    world.meters.add(measures.CREATED, provider=instance.provider)


async def _has_luggage(world: World, instance: Instance) -> bool:
    """Whether the volumes that it is to boot with are there. One that cannot be had takes it to another provider."""
    luggage = await world.db.read(instances.luggage, instance)
    if luggage.is_lost:
        reason = because("volume_failed", luggage.reason)
        await _fail_over(world, instance, reason, elsewhere=True)
    elif luggage.is_waiting:
        timeout_s = await world.db.read(instances.boot_timeout_s, instance)
        if seconds_between(instance.created_at, world.clock.now()) < timeout_s:
            await _look_again(world, instance)
        else:
            reason = because("provisioning_timeout", "The volumes of the order could not be made in time.")
            await world.db.write(instances.fail, instance, reason=reason)
    return not luggage.is_lost and not luggage.is_waiting


async def _not_reached(world: World, instance: Instance, error: Unreachable) -> None:
    if instance.attempt < _UNREACHABLE_TRIES:
        await world.db.write(instances.did_not_happen, instance, retry_s=_pause(world, instance))
    else:
        await _fail_over(world, instance, because("provider_unreachable", error.reason))


async def _resolve(world: World, driver: Driver, instance: Instance) -> None:
    """Either our label is there, or, once it would surely show, nothing was made and creating is safe again."""
    sighting, is_gone = await looking.look_for(world, driver, instance)
    if sighting is not None:
        await _made(world, instance, sighting)
    elif is_gone:
        await world.db.write(instances.did_not_happen, instance, retry_s=0)
    else:
        await _look_again(world, instance)


async def _verify(world: World, driver: Driver, instance: Instance) -> None:
    sighting, is_gone = await looking.look_for(world, driver, instance)
    if sighting is None and is_gone and instance.handle is not None:
        # Should it be there after all, it must not live beside the one that takes its place.
        await _end_at_provider(world, driver, instance, instance.handle)
        reason = because("instance_lost", "The provider ended the instance while it was booting.")
        await _fail_over(world, instance, reason)
    elif sighting is None:
        await _look_again(world, instance)
    elif sighting.power is Power.FAILED or (instance.is_session and sighting.power in _DOWN):
        code = "boot_failed" if sighting.power is Power.FAILED else "instance_stopped"
        reason = because(code, sighting.reason)
        _log.error("boot_failed", instance=instance.id, provider=instance.provider, reason=reason)
        await world.db.write(instances.boot_failed, instance, reason=reason)
    elif sighting.power is Power.CREATING and driver.abilities.finishes_creates:
        await _finish(world, driver, instance, sighting.handle)
    else:
        await _reach(world, instance, sighting)


async def _finish(world: World, driver: Driver, instance: Instance, handle: str) -> None:
    """Its create broke off: the same once more goes on from there."""
    order = await world.db.read(instances.create_order, instance, install_id=world.install_id)
    try:
        async with asyncio.timeout(world.patience.call_s):
            sighting = await driver.create(order)
    except (NoCapacity, Refused) as error:
        is_sold_out = isinstance(error, NoCapacity)
        await _end_at_provider(world, driver, instance, handle)
        reason = because("no_capacity" if is_sold_out else "refused", error.reason)
        await _fail_over(world, instance, reason, is_sold_out=is_sold_out)
    else:
        await _reach(world, instance, sighting)


async def _reach(world: World, instance: Instance, sighting: Sighting) -> None:
    """Running means reachable."""
    running_since = None
    if sighting.running_for_us is not None:
        running_since = Instant(world.clock.now() - sighting.running_for_us)
    seen = await proof.seek(world, instance, sighting)
    if seen is Proof.GIVEN:
        found = await world.db.write(
            instances.reachable,
            instance,
            sighting,
            bills_boot=world.rules.bills_boot,
            running_since=running_since,
        )
        await counting.booted(world, instance, found)
    elif seen is Proof.REFUSED:
        await world.db.write(instances.login_refused, instance, sighting)
    else:
        least_s = proof.HEALTH_EVERY_S if proof.is_served(instance) else 0.0
        retry_s = max(least_s, _pause(world, instance))
        await world.db.write(instances.look_again, instance, retry_s=retry_s, sighting=sighting)


async def _give_up(world: World, driver: Driver, instance: Instance) -> None:
    """This boot came to nothing: what there is of it is destroyed, and only then the next offer tried."""
    code = "api_timeout" if proof.is_served(instance) else "provisioning_timeout"
    reason = instance.status_reason or because(code)
    counting.boot_given_up(world, instance)
    _log.error("boot_given_up", instance=instance.id, provider=instance.provider, reason=reason)
    if instance.deadline_at is not None and instance.deadline_at <= after(
        world.clock.now(), seconds=-_GIVE_UP_S
    ):
        failed = await world.db.write(instances.fail, instance, reason=reason)
        counting.offer_failed(world, instance, failed, reason)
    elif instance.may_exist and not await _is_destroyed(world, driver, instance):
        await _look_again(world, instance)
    else:
        await _fail_over(world, instance, reason)


async def _fail_over(
    world: World, instance: Instance, reason: str, *, is_sold_out: bool = False, elsewhere: bool = False
) -> None:
    """This offer came to nothing. A session goes to another only if it asked for that, in its own way."""
    if instance.is_session:
        found = await world.db.write(
            sessions.place_again, instance, is_sold_out=is_sold_out, reason=reason, dice=world.dice
        )
    else:
        found = await world.db.write(
            instances.fail_over, instance, is_sold_out=is_sold_out, reason=reason, elsewhere=elsewhere
        )
    await counting.failed_over(world, instance, found, reason)


async def _is_destroyed(world: World, driver: Driver, instance: Instance) -> bool:
    """Destroys what a boot left; True once that is certainly gone."""
    sighting, is_gone = await looking.look_for(world, driver, instance)
    if sighting is not None:
        await _end_at_provider(world, driver, instance, sighting.handle)
        sighting, is_gone = await looking.look_for(world, driver, instance)
    return sighting is None and is_gone


async def _stop(world: World, driver: Driver, instance: Instance) -> None:
    label, handle, releases = instance.label(world.install_id), instance.handle, not instance.keeps_hardware
    sighting = None if handle is None else await driver.inspect(label, handle)
    if handle is None or sighting is None:
        await _look_again(world, instance)  # what is missing altogether is for the observation loop to judge
        return
    # Also what is off already: it may be off with its hardware kept.
    await driver.stop(handle, release=releases)
    sighting = await driver.inspect(label, handle)
    if sighting is not None and sighting.power is Power.STOPPED:
        await world.db.write(instances.stopped, instance, releases_hardware=releases)
    else:
        await _look_again(world, instance)


async def _start(world: World, driver: Driver, instance: Instance) -> None:
    handle = instance.handle
    if handle is None or _is_late(instance, world.clock.now()):
        reason = because("start_timeout")
        await _leave_off(world, driver, instance, reason)
        return
    if not await _has_deadline(world, instance):
        return
    sighting = await driver.inspect(instance.label(world.install_id), handle)
    if sighting is None:
        await _look_again(world, instance)
        return
    if sighting.power in {Power.STOPPED, Power.FAILED}:
        if await world.db.read(instances.awaits_volumes, instance):
            await _look_again(world, instance)
            return
        order = await world.db.read(instances.create_order, instance, install_id=world.install_id)
        try:
            await driver.start(handle, order)
        except (NoCapacity, Refused, NotSupported) as error:
            code = "no_capacity" if isinstance(error, NoCapacity) else "start_refused"
            await _leave_off(world, driver, instance, because(code, error.reason))
            return
        sighting = await driver.inspect(instance.label(world.install_id), handle) or sighting
    await _reach(world, instance, sighting)


async def _leave_off(world: World, driver: Driver, instance: Instance, reason: str) -> None:
    """What cannot be started holds no hardware, unless its owner pays for keeping it."""
    _log.error("start_failed", instance=instance.id, provider=instance.provider, reason=reason)
    releases = not instance.is_reserved
    if instance.handle is not None:
        await driver.stop(instance.handle, release=releases)
    await world.db.write(instances.start_failed, instance, reason=reason, releases_hardware=releases)


async def _restart(world: World, driver: Driver, instance: Instance) -> None:
    handle = instance.handle
    if handle is None or _is_late(instance, world.clock.now()):
        await _give_up_restart(world, driver, instance)
        return
    if instance.deadline_at is None:
        # Before the deadline is kept, so that a crash between the two restarts twice rather than never.
        try:
            await driver.restart(handle)
        except (NoCapacity, Refused, NotSupported) as error:
            reason = because("restart_refused", error.reason)
            await world.db.write(instances.restart_unconfirmed, instance, reason=reason)
            return
        if not await _has_deadline(world, instance):
            return
    sighting = await driver.inspect(instance.label(world.install_id), handle)
    if sighting is None:
        await _look_again(world, instance)
    else:
        await _reach(world, instance, sighting)


async def _give_up_restart(world: World, driver: Driver, instance: Instance) -> None:
    """Up without SSH is the customer's to mend, and runs on; down is off, and not paid for."""
    reason = because("restart_timeout")
    _log.error("restart_failed", instance=instance.id, provider=instance.provider)
    sighting = await driver.inspect(instance.label(world.install_id), instance.handle)
    if sighting is not None and sighting.power in {Power.STOPPED, Power.FAILED}:
        await driver.stop(sighting.handle, release=True)
        await world.db.write(
            instances.down_after_restart,
            instance,
            boot_timeout_s=await world.db.read(instances.boot_timeout_s, instance),
            reason=reason,
        )
    else:
        await world.db.write(instances.restart_unconfirmed, instance, reason=reason)


async def _destroy(world: World, driver: Driver, instance: Instance) -> None:
    if instance.handle is None:
        sighting, is_gone = await looking.look_for(world, driver, instance)
        if sighting is None:
            await (_confirm_gone if is_gone else _nothing)(world, driver, instance)
            return
        # Kept first: the bill depends on whether anything ever existed.
        kept = await world.db.write(instances.found, instance, sighting)
        if kept is None:
            return
        instance = kept
    handle = instance.handle
    assert handle is not None
    if (
        instance.is_metered
        and seconds_between(instance.status_changed_at, world.clock.now()) >= instances.METERED_MOST_S
    ):
        await world.db.write(instances.end_accepted, instance)  # nobody pays for an end that takes so long
    await _end_at_provider(world, driver, instance, handle)
    if instance.is_metered:
        await world.db.write(instances.end_accepted, instance)
    sighting = await driver.inspect(instance.label(world.install_id), handle)
    if sighting is not None and instance.attempt >= instances.DESTROYS_FAILED:
        await world.db.write(instances.destroy_failed, instance)
    has_shown = instance.first_running_at is not None or looking.would_show(world, driver, instance)
    await (_confirm_gone if sighting is None and has_shown else _nothing)(world, driver, instance)


async def _end_at_provider(world: World, driver: Driver, instance: Instance, handle: str) -> None:
    """Destroys it, each time with its boot disk or without as its row says."""
    keeps = await world.db.read(instances.keeps_disk, instance)
    await driver.destroy(handle, keep_disk=keeps)


async def _confirm_gone(world: World, _driver: Driver, instance: Instance) -> None:
    await world.db.write(instances.gone, instance, world.rules)
    reason = instances.code_of(instance.status_reason) or "requested"
    world.meters.add(measures.DESTROYED, provider=instance.provider, reason=reason)


async def _has_deadline(world: World, instance: Instance) -> bool:
    """Makes sure that waiting for SSH ends some time; False when the row is no longer ours."""
    if instance.deadline_at is not None:
        return True
    timeout_s = await world.db.read(instances.boot_timeout_s, instance)
    return await world.db.write(instances.wait_for_boot, instance, boot_timeout_s=timeout_s) is not None


async def _look_again(world: World, instance: Instance) -> None:
    await world.db.write(instances.look_again, instance, retry_s=_pause(world, instance))


def _pause(world: World, instance: Instance) -> float:
    return pause_s(world.patience, instance.attempt)


_ACTIONS: dict[Step, Callable[[World, Driver, Instance], Awaitable[None]]] = {
    Step.NOTHING: _nothing,
    Step.CREATE: _create,
    Step.RESOLVE: _resolve,
    Step.VERIFY: _verify,
    Step.GIVE_UP: _give_up,
    Step.STOP: _stop,
    Step.START: _start,
    Step.RESTART: _restart,
    Step.DESTROY: _destroy,
    Step.CONFIRM_GONE: _confirm_gone,
}

"""Keeps true: every instance someone wants exists at its provider, once, and nothing else of ours does.

Takes no input: it may be woken early, never told what to do. Each step is one short stretch: what is about to
happen is committed, the provider is called with no transaction open, and the answer is applied only if the
row is still ours. It may crash anywhere: what it was doing is read off the row.
"""

import asyncio
from collections.abc import Awaitable, Callable
from enum import StrEnum

import structlog

from berth.base.clock import Instant, seconds_between
from berth.core import instances
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
from berth.core.instances import FAILED, Instance, Status, Wanted
from berth.loops.world import Report, World

PERIOD_S = 5.0
BATCH = 8
_UNREACHABLE_TRIES = 5
"""Creates that never reached the provider before another offer is tried."""
_DOUBLINGS = 20
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
    return Step.START if instance.wanted is Wanted.RUNNING else Step.NOTHING


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
    due_at = await world.db.read(instances.next_due)
    if due_at is None or due_at > now:
        return Report(wake_at=due_at)
    leased = await world.db.write(instances.lease_due, limit=BATCH, seconds=world.patience.lease_s)
    outcomes = await asyncio.gather(*(_step(world, instance) for instance in leased), return_exceptions=True)
    failures = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
    if failures:
        # Their rows stay leased, so each is tried again no sooner than its lease ends.
        raise BaseExceptionGroup("provisioning", failures)
    return Report(
        done=len(leased), has_more=len(leased) == BATCH, wake_at=await world.db.read(instances.next_due)
    )


async def _step(world: World, instance: Instance) -> None:
    driver = world.drivers.get(instance.provider)
    step = plan(instance, world.clock.now())
    if driver is None:
        _log.error("provider_not_configured", provider=instance.provider, instance=instance.id)
        await _look_again(world, instance)
        return
    action = _ACTIONS[step]
    try:
        async with asyncio.timeout(world.patience.lease_s * 2 / 3):
            await action(world, driver, instance)
    except (DriverError, TimeoutError) as error:
        _log.warning("step_failed", step=step.value, instance=instance.id, error=repr(error))
        retry_s = error.retry_after_s if isinstance(error, RateLimited) else _pause(world, instance)
        await world.db.write(instances.look_again, instance, retry_s=retry_s)


async def _nothing(world: World, _driver: Driver, instance: Instance) -> None:
    await _look_again(world, instance)


async def _create(world: World, driver: Driver, instance: Instance) -> None:
    timeout_s = await world.db.read(instances.boot_timeout_s, instance)
    intended = await world.db.write(instances.intend_create, instance, boot_timeout_s=timeout_s)
    if intended is None:
        await _look_again(world, instance)
        return
    order = await world.db.read(instances.create_order, intended, install_id=world.install_id)
    try:
        async with asyncio.timeout(world.patience.call_s):
            sighting = await driver.create(order)
    except NoCapacity as error:
        await world.db.write(
            instances.fail_over, intended, is_sold_out=True, reason=_reason("no_capacity", error)
        )
    except (Refused, BadCredentials, NotSupported) as error:
        _log.error("create_refused", instance=instance.id, provider=instance.provider, error=repr(error))
        await world.db.write(
            instances.fail_over, intended, is_sold_out=False, reason=_reason("refused", error)
        )
    except RateLimited as error:
        await world.db.write(instances.did_not_happen, intended, retry_s=error.retry_after_s)
    except Unreachable as error:
        await _not_reached(world, intended, error)
    except (OutcomeUnknown, TimeoutError) as error:
        _log.warning("create_outcome_unknown", instance=instance.id, error=repr(error))
        await world.db.write(instances.look_again, intended, retry_s=_pause(world, intended))
    else:
        await world.db.write(instances.created, intended, sighting)


async def _not_reached(world: World, instance: Instance, error: Unreachable) -> None:
    if instance.attempt < _UNREACHABLE_TRIES:
        await world.db.write(instances.did_not_happen, instance, retry_s=_pause(world, instance))
    else:
        await world.db.write(
            instances.fail_over, instance, is_sold_out=False, reason=_reason("provider_unreachable", error)
        )


async def _resolve(world: World, driver: Driver, instance: Instance) -> None:
    """Either our label is there, or, once it would surely show, nothing was made and creating is safe again."""
    sighting = await driver.inspect(instance.label(world.install_id), None)
    if sighting is not None:
        await world.db.write(instances.created, instance, sighting)
    elif _would_show(world, driver, instance):
        await world.db.write(instances.did_not_happen, instance, retry_s=0)
    else:
        await _look_again(world, instance)


async def _verify(world: World, driver: Driver, instance: Instance) -> None:
    sighting = await driver.inspect(instance.label(world.install_id), instance.handle)
    if sighting is None:
        if _would_show(world, driver, instance):
            await world.db.write(
                instances.fail_over,
                instance,
                is_sold_out=False,
                reason="instance_lost: The provider ended the instance while it was booting.",
            )
        else:
            await _look_again(world, instance)
    elif sighting.power is Power.FAILED:
        reason = sighting.reason or "The provider could not boot the instance."
        await world.db.write(instances.fail, instance, reason=f"boot_failed: {reason}")
    else:
        await _reach(world, instance, sighting)


async def _reach(world: World, instance: Instance, sighting: Sighting) -> None:
    """Running means reachable."""
    ip, port = sighting.ip, sighting.ssh_port
    if (
        sighting.power is Power.RUNNING
        and ip
        and port
        and await world.probe(ip, port, world.patience.probe_s)
    ):
        await world.db.write(instances.reachable, instance, sighting)
    else:
        await world.db.write(
            instances.look_again, instance, retry_s=_pause(world, instance), sighting=sighting
        )


async def _give_up(world: World, _driver: Driver, instance: Instance) -> None:
    await world.db.write(
        instances.fail,
        instance,
        reason="provisioning_timeout: The instance did not become reachable over SSH in time.",
    )


async def _stop(world: World, driver: Driver, instance: Instance) -> None:
    label, handle = instance.label(world.install_id), instance.handle
    if handle is None:
        await _look_again(world, instance)
        return
    sighting = await driver.inspect(label, handle)
    if sighting is not None and sighting.power is not Power.STOPPED:
        await driver.stop(handle)
        sighting = await driver.inspect(label, handle)
    if sighting is not None and sighting.power is Power.STOPPED:
        releases = driver.abilities.stop_releases_hardware
        await world.db.write(instances.stopped, instance, releases_hardware=releases)
    else:
        await _look_again(world, instance)  # what is missing altogether is for the observation loop to judge


async def _start(world: World, driver: Driver, instance: Instance) -> None:
    handle = instance.handle
    if handle is None or _is_late(instance, world.clock.now()):
        if handle is not None:
            await driver.stop(handle)
        reason = "start_timeout: The instance did not become reachable over SSH in time."
        await world.db.write(instances.start_failed, instance, reason=reason)
        return
    if not await _has_deadline(world, instance):
        return
    sighting = await driver.inspect(instance.label(world.install_id), handle)
    if sighting is None:
        await _look_again(world, instance)
        return
    if sighting.power in {Power.STOPPED, Power.FAILED}:
        try:
            await driver.start(handle)
        except (NoCapacity, Refused, NotSupported) as error:
            code = "no_capacity" if isinstance(error, NoCapacity) else "start_refused"
            await world.db.write(instances.start_failed, instance, reason=_reason(code, error))
            return
        sighting = await driver.inspect(instance.label(world.install_id), handle) or sighting
    await _reach(world, instance, sighting)


async def _restart(world: World, driver: Driver, instance: Instance) -> None:
    handle = instance.handle
    if handle is None or _is_late(instance, world.clock.now()):
        reason = "restart_timeout: The instance did not answer over SSH after its restart."
        await world.db.write(instances.restart_unconfirmed, instance, reason=reason)
        return
    if instance.deadline_at is None:
        # Before the deadline is kept, so that a crash between the two restarts twice rather than never.
        await driver.restart(handle)
        if not await _has_deadline(world, instance):
            return
    sighting = await driver.inspect(instance.label(world.install_id), handle)
    if sighting is None:
        await _look_again(world, instance)
    else:
        await _reach(world, instance, sighting)


async def _destroy(world: World, driver: Driver, instance: Instance) -> None:
    label = instance.label(world.install_id)
    sighting = await driver.inspect(label, instance.handle)
    if sighting is not None:
        if instance.handle is None:
            # Kept first: the bill depends on whether anything ever existed.
            kept = await world.db.write(instances.found, instance, sighting)
            if kept is None:
                return
            instance = kept
        await driver.destroy(sighting.handle)
        sighting = await driver.inspect(label, sighting.handle)
    if sighting is None and (instance.handle is not None or _would_show(world, driver, instance)):
        await world.db.write(instances.gone, instance, world.rules)
    else:
        await _look_again(world, instance)


async def _confirm_gone(world: World, _driver: Driver, instance: Instance) -> None:
    await world.db.write(instances.gone, instance, world.rules)


async def _has_deadline(world: World, instance: Instance) -> bool:
    """Makes sure that waiting for SSH ends some time; False when the row is no longer ours."""
    if instance.deadline_at is not None:
        return True
    timeout_s = await world.db.read(instances.boot_timeout_s, instance)
    return await world.db.write(instances.wait_for_boot, instance, boot_timeout_s=timeout_s) is not None


async def _look_again(world: World, instance: Instance) -> None:
    await world.db.write(instances.look_again, instance, retry_s=_pause(world, instance))


def _would_show(world: World, driver: Driver, instance: Instance) -> bool:
    """Whether something created at `create_sent_at` would certainly be found by now."""
    sent_at = instance.create_sent_at
    if sent_at is None:
        return True
    return seconds_between(sent_at, world.clock.now()) >= driver.abilities.appears_within_s


def _pause(world: World, instance: Instance) -> float:
    patience = world.patience
    doublings = min(max(instance.attempt - 1, 0), _DOUBLINGS)
    return min(patience.retry_first_s * (1 << doublings), patience.retry_most_s)


def _reason(code: str, error: DriverError) -> str:
    return f"{code}: {error.reason}" if error.reason else code


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

"""Keeps true: an account whose balance is used up is told, then stopped, then cleared out; one that pays is let be.

A survey names the accounts with which something is to be done, in one statement over all. Each is taken on by itself:
its state in one transaction, then what follows from it in small ones, each of which looks at the account again
before it commits. Killed anywhere, the next tick goes on from the rows.
"""

import asyncio
from collections.abc import Callable, Sequence
from functools import partial

from berth.base.clock import Instant
from berth.base.db import DatabaseUnavailable, Tx
from berth.core import billing, events, instances, volumes
from berth.core.billing import EMPTY, STOPPED, Rules, Standing, State
from berth.core.errors import Conflict, InsufficientCredits
from berth.loops.world import Report, World

PERIOD_S = 60.0
ACCOUNTS_AT_ONCE = 10_000
ROWS_AT_ONCE = 1000
ANNOUNCED_AT_ONCE = 100
STEPS_AT_ONCE = 16
ACTOR = "loop:credit"
NO_CREDIT = "insufficient_credits"
OVER_BUDGET = "budget_reached"


class _Overtaken(Exception):
    """The account is no longer as it was when this was decided: the step is undone."""


async def tick(world: World) -> Report:
    """Looks at every account that may need it. One that fails does not keep the others waiting."""
    done, after, wake_at = 0, "", None
    failures: list[Exception] = []
    has_more = True
    while has_more:
        survey = await world.db.read(billing.survey, world.rules, after=after, limit=ACCOUNTS_AT_ONCE)
        for account in survey.accounts:
            try:
                standing = await _take_on(world, account)
            except DatabaseUnavailable:
                raise
            except Exception as error:  # noqa: BLE001 - raised again once the others have had their turn
                failures.append(error)
            else:
                done += 1
                wake_at = _sooner(wake_at, standing.credit.stops_at)
        after, has_more = survey.last, survey.has_more
    if failures:
        raise ExceptionGroup("accounts that could not be taken on", failures)
    return Report(done=done, wake_at=wake_at)


async def _take_on(world: World, account: str) -> Standing:
    standing = await world.db.write(billing.advance, account, world.rules)
    credit = standing.credit
    try:
        if credit.state is State.DEPLETED:
            await _announce_stops(world, standing)
        if credit.state in STOPPED:
            await _cut_off(world, standing, reason=NO_CREDIT)
        elif standing.must_stop_for_budget:
            await _cut_off(world, standing, reason=OVER_BUDGET)
        if credit.state is State.SUSPENDED:
            await _warn(world, standing)
        if credit.state is State.PURGING:
            await _delete_offline(world, standing)
            await _trash_volumes(world, standing)
        if credit.is_resuming and credit.state not in EMPTY:
            await _resume(world, standing)
    except _Overtaken:
        world.poke("credit")
    return standing


async def _announce_stops(world: World, standing: Standing) -> None:
    """Tells of every instance when it will be stopped, in the order of their ids, so that each is told once."""
    last = standing.credit.announced_to
    while ids := await world.db.read(
        instances.spending, standing.account, reason=None, after_id=last, limit=ANNOUNCED_AT_ONCE
    ):
        await world.db.write(_announce, standing, ids, after_id=last)
        last = ids[-1]


def _announce(tx: Tx, standing: Standing, ids: Sequence[str], *, after_id: str) -> None:
    stops_at = standing.credit.stops_at
    assert stops_at is not None
    for instance_id in ids:
        instances.announce_stop(tx, standing.account, instance_id, stops_at=stops_at, reason=NO_CREDIT)
    if not billing.announced(tx, standing, after_id=after_id, to_id=ids[-1]):
        raise _Overtaken


async def _cut_off(world: World, standing: Standing, *, reason: str) -> None:
    """Stops all, not some: what runs, what will, and what is off and keeps hardware."""
    step = partial(_cut_off_one, standing=standing, rules=world.rules, reason=reason)
    find = partial(instances.spending, project=standing.account, reason=reason, limit=ROWS_AT_ONCE)
    if await _each(world, find, step):
        world.poke("provisioning")


def _cut_off_one(tx: Tx, instance_id: str, *, standing: Standing, rules: Rules, reason: str) -> None:
    # However many there are and whatever delays us: nobody owes more than what had run when all were to stop.
    at = standing.credit.since_at if reason == NO_CREDIT else None
    if not instances.cut_off(tx, standing.account, instance_id, rules, reason=reason, at=at):
        return
    if not billing.is_still(tx, standing, for_budget=reason == OVER_BUDGET):
        raise _Overtaken


async def _warn(world: World, standing: Standing) -> None:
    """Says once more when what is kept will be deleted, if that is due: of each volume, then to the account."""
    if not billing.is_warning_due(standing.credit, world.clock.now()):
        return
    account, last = standing.account, standing.credit.announced_to
    while found := await world.db.read(volumes.live_of, account, after_id=last, limit=ANNOUNCED_AT_ONCE):
        ids = [volume.id for volume in found]
        await world.db.write(_warn_of, standing, ids, after_id=last)
        last = ids[-1]
    await world.db.write(_warned, standing)


def _warn_of(tx: Tx, standing: Standing, ids: Sequence[str], *, after_id: str) -> None:
    deletes_at = standing.credit.purges_at
    assert deletes_at is not None
    by = events.system(standing.account, ACTOR)
    for volume_id in ids:
        volumes.announce_deletion(tx, by, volume_id, deletes_at=deletes_at, reason=NO_CREDIT)
    if not billing.announced(tx, standing, after_id=after_id, to_id=ids[-1]):
        raise _Overtaken


def _warned(tx: Tx, standing: Standing) -> None:
    kept = len(volumes.live_of(tx, standing.account, limit=ROWS_AT_ONCE))
    off = len(instances.offline(tx, standing.account, limit=ROWS_AT_ONCE))
    if not billing.warned(tx, standing, volumes=kept, instances=off):
        raise _Overtaken


async def _trash_volumes(world: World, standing: Standing) -> None:
    """What is attached still is left to a later tick: first the instance that has it goes."""
    step = partial(_trash_one, standing=standing)
    find = partial(_volumes_of, project=standing.account, limit=ROWS_AT_ONCE)
    if await _each(world, find, step):
        world.poke("volumes")


def _volumes_of(tx: Tx, project: str, *, after_id: str, limit: int) -> Sequence[str]:
    found = volumes.live_of(tx, project, after_id=after_id, limit=limit)
    return [volume.id for volume in found]


def _trash_one(tx: Tx, volume_id: str, *, standing: Standing) -> None:
    try:
        volumes.trash(tx, events.system(standing.account, ACTOR), volume_id)
    except Conflict:
        return
    if not billing.is_still(tx, standing):
        raise _Overtaken


async def _delete_offline(world: World, standing: Standing) -> None:
    step = partial(_delete_one, standing=standing, rules=world.rules)
    find = partial(instances.offline, project=standing.account, limit=ROWS_AT_ONCE)
    if await _each(world, find, step):
        world.poke("provisioning")


def _delete_one(tx: Tx, instance_id: str, *, standing: Standing, rules: Rules) -> None:
    if not instances.delete_offline(tx, standing.account, instance_id, rules, reason=NO_CREDIT):
        return
    if not billing.is_still(tx, standing):
        raise _Overtaken


async def _resume(world: World, standing: Standing) -> None:
    """Starts what was cut off, in the order it was ordered in; what is still being stopped waits for the next tick."""
    last, is_all = "", True
    while found := await world.db.read(
        instances.cut_off_for, standing.account, NO_CREDIT, after_id=last, limit=ROWS_AT_ONCE
    ):
        for instance_id, is_off in found:
            if not is_off:
                is_all = False
                continue
            try:
                await world.db.write(_resume_one, instance_id, standing=standing)
            except InsufficientCredits:
                return
        last = found[-1][0]
    world.poke("provisioning")
    if is_all:
        await world.db.write(billing.resumed, standing.account)


def _resume_one(tx: Tx, instance_id: str, *, standing: Standing) -> None:
    instances.resume(tx, standing.account, instance_id)
    if not billing.is_still(tx, standing):
        raise _Overtaken


async def _each(world: World, find: Callable[..., Sequence[str]], step: Callable[[Tx, str], None]) -> int:
    """Does `step` with everything that `find` finds, page by page, each in a transaction of its own."""
    done, last = 0, ""
    while ids := await world.db.read(find, after_id=last):
        for start in range(0, len(ids), STEPS_AT_ONCE):
            some = ids[start : start + STEPS_AT_ONCE]
            outcomes = await asyncio.gather(
                *(world.db.write(step, each) for each in some), return_exceptions=True
            )
            for outcome in outcomes:
                if outcome is not None:
                    raise outcome
            done += len(some)
        last = ids[-1]
    return done


def _sooner(one: Instant | None, other: Instant | None) -> Instant | None:
    known = [each for each in (one, other) if each is not None]
    return min(known, default=None)

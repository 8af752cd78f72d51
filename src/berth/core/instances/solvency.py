"""What an empty balance does to instances: what is announced, cut off, brought back, and deleted in the end.

For the loop that watches accounts. Each verb is about one instance and safe to repeat; whether the account still
stands as it did is for the caller to ask, last, in the same transaction.
"""

from collections.abc import Sequence
from dataclasses import replace

from berth.base.clock import Instant
from berth.base.db import Tx
from berth.base.money import Micros
from berth.core import billing, catalog, events
from berth.core.billing import Rules
from berth.core.errors import Conflict, InsufficientCredits, NoCapacity
from berth.core.events import Actor
from berth.core.instances import resting, service, states, storage, store
from berth.core.instances.affording import check_hourly
from berth.core.instances.announcing import announce
from berth.core.instances.model import Instance, Status, Wanted
from berth.core.instances.reasons import RESUMING
from berth.core.volumes import Fate

_ACTOR = "loop:credit"
_UNSTARTED = frozenset({Status.ORDERED, Status.PROVISIONING})


def spending(tx: Tx, project: str, *, reason: str | None, after_id: str = "", limit: int) -> Sequence[str]:
    """Those that run, will run, or are off and keep hardware, by id; without what is being stopped for `reason`."""
    return store.spending(tx, project, reason=reason or "", after_id=after_id, limit=limit)


def offline(tx: Tx, project: str, *, after_id: str = "", limit: int) -> Sequence[str]:
    """Those that are off and stay so, by id."""
    return store.offline(tx, project, after_id=after_id, limit=limit)


def cut_off_for(
    tx: Tx, project: str, reason: str, *, after_id: str = "", limit: int
) -> Sequence[tuple[str, bool]]:
    """Those that were stopped for `reason` and were not asked to start since, in the order they were ordered in: their
    ids, and whether they are off already.
    """
    return store.cut_off_for(tx, project, reason, after_id=after_id, limit=limit)


def announce_stop(tx: Tx, project: str, instance_id: str, *, stops_at: Instant, reason: str) -> None:
    """Tells its owner when it will be stopped."""
    found = store.find(tx, project, instance_id, lock=True)
    if found is None or found.wanted is Wanted.DELETED:
        return
    by = events.system(project, _ACTOR)
    announce(tx, by, "instance.stop_scheduled", _counted(tx, found), reason=reason, stops_at=stops_at)


def cut_off(
    tx: Tx, project: str, instance_id: str, rules: Rules, *, reason: str, at: Instant | None = None
) -> bool:
    """Stops it so that nothing more is spent: its clock stops `at` (now if not given), whatever its provider takes.
    One that never ran is deleted, free of charge. Returns whether there was anything to stop.
    """
    by = events.system(project, _ACTOR)
    found = store.find(tx, project, instance_id, lock=True)
    if found is None or found.wanted is Wanted.DELETED:
        return False
    if found.status in _UNSTARTED:
        free = replace(rules, minimum_on_cancel=False)
        service.end(tx, by, found, free, reason=reason, keeps_volumes=True)
        # A create whose outcome is unknown would be billed once it is known: here it is nobody's.
        billing.finish(tx, project, found.id, found.price, tx.now, with_minimum=False)
        return True
    if found.status not in states.STANDING:
        return False
    if found.is_session:
        # It ends with the credit: nothing brings a session back whose time may be over by then.
        return _end_session(tx, by, found, rules, reason, at or tx.now)
    service.stop(tx, by, found.id, reason=reason, at=at)
    billing.pause(tx, project, found.id, min(found.missing_since or tx.now, at or tx.now, tx.now))
    return True


def _end_session(tx: Tx, by: Actor, found: Instance, rules: Rules, reason: str, at: Instant) -> bool:
    if found.ends_off and found.wanted is Wanted.OFFLINE:
        return False
    if found.ends_off:
        resting.switch_off(tx, by, found, reason=reason, at=at)
    else:
        resting.end_now(tx, by, found, rules, reason=reason, at=at)
    return True


def resume(tx: Tx, project: str, instance_id: str) -> None:
    """Starts what was cut off, or says why that cannot be; a member of a cluster with all others, or none.

    Raises InsufficientCredits when the balance is used up.
    """
    by = events.system(project, _ACTOR)
    together = _together(tx, project, instance_id)
    try:
        if len(together) > 1:
            _reclaim_all(tx, together)
        for each in together:
            service.start(tx, by, each.id, reason=RESUMING)
    except (NoCapacity, Conflict) as refusal:
        code = refusal.code
    except InsufficientCredits as refusal:
        if refusal.code != "spend_limit":
            raise
        code = refusal.code
    else:
        return
    for each in together:
        found = store.find(tx, project, each.id, lock=True)
        if found is not None:
            store.update(tx, found.id, status_reason=code)
            announce(tx, by, "instance.resume_failed", _counted(tx, found), reason=code)


def _together(tx: Tx, project: str, instance_id: str) -> Sequence[Instance]:
    """What is started with it: itself, or all members of its cluster. While some of those are on, none.

    One member stands for all that were stopped for the same reason, so that they are tried once, and told once.
    """
    seen = store.find(tx, project, instance_id)
    if seen is None or seen.cluster_id is None:
        return () if seen is None else (seen,)
    members = store.of_clusters(tx, [seen.cluster_id], lock=True)
    is_off = all(member.status is Status.OFFLINE and member.wanted is Wanted.OFFLINE for member in members)
    here = next(member for member in members if member.id == instance_id)
    first = next(member for member in members if member.status_reason == here.status_reason)
    return members if is_off and first.id == instance_id else ()


def _reclaim_all(tx: Tx, members: Sequence[Instance]) -> None:
    """Makes sure that each has its unit and may cost what it does. Raises as `start`, and then none has more than before."""
    for member in members:
        storage.check_start(tx, member)
    taken: list[Instance] = []
    for kind in sorted({member.instance_type for member in members}):
        # Before the first unit: whoever grants what others wait for has the line when it comes to that.
        catalog.lock_line(tx, kind)
    for member in sorted(members, key=lambda member: (member.offer_id, member.id)):
        if not catalog.reclaim(tx, member.offer_id, member.id):
            _give_back(tx, taken)
            raise NoCapacity("no_capacity", "The hardware is taken by others now. Try again later.")
        taken.append(member)
    try:
        check_hourly(tx, members[0].project, Micros(sum(member.price for member in members)))
    except InsufficientCredits:
        _give_back(tx, taken)
        raise


def _give_back(tx: Tx, members: Sequence[Instance]) -> None:
    for member in members:
        if not member.is_reserved:
            catalog.release(tx, member.id)


def delete_offline(tx: Tx, project: str, instance_id: str, rules: Rules, *, reason: str) -> bool:
    """Deletes what nobody paid for; whether it was off, and is deleted now.

    Its volumes are kept, whatever is set for its end, and its boot disk goes to the trash where it can be kept: what
    becomes of them is announced, and can be taken back for a while.
    """
    found = store.find(tx, project, instance_id, lock=True)
    if found is None or found.status is not Status.OFFLINE or found.wanted is not Wanted.OFFLINE:
        return False
    by = events.system(project, _ACTOR)
    service.end(tx, by, found, rules, reason=reason, keeps_volumes=True, os_volume=Fate.TRASH)
    return True


def _counted(tx: Tx, found: Instance) -> Instance:
    """The row with one more event to its name."""
    changed = replace(found, sequence=found.sequence + 1, updated_at=tx.now)
    store.update(tx, changed.id, sequence=changed.sequence, updated_at=changed.updated_at)
    return changed

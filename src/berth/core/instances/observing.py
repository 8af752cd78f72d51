"""The verbs of the observation loop: what a provider's listing proves, and what it does not.

Only a complete listing can show that something is missing, and even then it is asked for twice. What carries
our label and has no live row is an orphan: it is reported, and destroyed only after a grace.
"""

from collections.abc import Collection, Sequence
from dataclasses import replace

from berth.base.clock import MINUTE, Instant
from berth.base.db import Tx
from berth.base.money import Micros
from berth.core import billing, catalog, events, volumes
from berth.core.driver import Power, Sighting
from berth.core.instances import charging, launching, states, store
from berth.core.instances.announcing import announce
from berth.core.instances.model import Instance, Orphan, Status, Wanted
from berth.core.instances.writing import with_address

_PAGE = 1000
_DOWN = frozenset({Power.STOPPED, Power.FAILED})
_INTERRUPTION = "instance.interruption_notice"
FAILURES_TO_ALERT = 3
"""In a row, of an orphan's end: then an event says so, and again each time as many more have failed."""
_MOST_MICROS_PER_HOUR = 10**12
_NOBODY = "berth"
"""The project under which events are kept that concern no customer."""


def at_provider(tx: Tx, provider: str, *, after_id: str = "") -> Sequence[Instance]:
    """A page of the instances that exist, or may exist, at `provider`, by id; empty after the last."""
    return store.at_provider(tx, provider, after_id=after_id, limit=_PAGE)


def listed(tx: Tx, provider: str) -> Instant | None:
    """Notes that a complete listing was had; returns when the one before was."""
    return store.mark_listed(tx, provider)


def missing(tx: Tx, instance: Instance, *, since: Instant) -> None:
    """A complete listing lacks it, for the first time: it was last seen at `since`."""
    current = store.find_any(tx, instance.id)
    if current is not None and current.missing_since is None and current.status is not Status.DELETED:
        store.update(tx, instance.id, missing_since=since)
        by = events.system(current.project, "loop:observation")
        _record(tx, by, current, "instance.unreachable")


def unreachable(tx: Tx, instance: Instance, *, since: Instant) -> None:
    """Its host is not heard from: what it may be doing since it was last seen, at `since`, is not charged."""
    current = store.find_any(tx, instance.id)
    if current is None or current.missing_since is not None or current.status not in states.STANDING:
        return
    if current.status is Status.RUNNING:
        billing.pause(tx, current.project, current.id, since)
    store.update(tx, instance.id, missing_since=since)
    _record(tx, events.system(current.project, "loop:observation"), current, "instance.unreachable")


def back(tx: Tx, instance: Instance, sighting: Sighting) -> None:
    """It was missing, or its host was, and is there again. Where it runs, its clock does from now on.

    Where it is off and is to run, it is started again: by us, or by its host before we come to it.
    """
    current = store.find_any(tx, instance.id)
    if current is None or current.missing_since is None:
        return
    runs = current.status is Status.RUNNING and current.wanted is Wanted.RUNNING
    if runs and sighting.power is Power.RUNNING:
        charging.start_clock(tx, current, bills_boot=False)
    changed = with_address(current, sighting)
    store.update(tx, instance.id, missing_since=None, ip=changed.ip, ssh_port=changed.ssh_port)
    by = events.system(current.project, "loop:observation")
    changed = _record(tx, by, changed, "instance.recovered")
    if runs and sighting.power in _DOWN and not current.is_restart_wanted:
        _is_down(tx, changed, seen_at=current.missing_since)
    elif runs and (changed.ip, changed.ssh_port) != (current.ip, current.ssh_port):
        _record(tx, by, changed, "instance.moved")


def moved(tx: Tx, instance: Instance, sighting: Sighting) -> None:
    """It runs and is reached at another address than it was: its provider took it to another host."""
    current = store.find_any(tx, instance.id)
    if current is None or current.sequence != instance.sequence or current.status is not Status.RUNNING:
        return
    changed = with_address(current, sighting)
    ports = launching.written_ports(changed.ports)
    store.update(tx, instance.id, ip=changed.ip, ssh_port=changed.ssh_port, ports=ports)
    _record(tx, events.system(current.project, "loop:observation"), changed, "instance.moved")


def will_be_taken(tx: Tx, instance: Instance, *, evicts_at: Instant) -> None:
    """Its provider says that it takes it away, or off its host, at `evicts_at`.

    Told once, and again when that moves by a minute or more.
    """
    current = store.find_any(tx, instance.id)
    if current is None or current.status in states.ENDED or current.wanted is Wanted.DELETED:
        return
    told = events.find_latest(tx, current.id, _INTERRUPTION)
    # Some count down in seconds, so that the time they mean is never quite the same.
    if told is not None and abs(int(str(told.data["evicts_at"])) - evicts_at) < MINUTE:
        return
    by = events.system(current.project, "loop:observation")
    _record(tx, by, current, _INTERRUPTION, evicts_at=evicts_at)


def is_as_seen(tx: Tx, instance: Instance) -> bool:
    """Whether nothing has happened to it since it was read."""
    current = store.find_any(tx, instance.id, lock=False)
    return current is not None and current.sequence == instance.sequence


def hurry(tx: Tx, instance_id: str) -> None:
    """What it waited for is there: it need not wait out its pause."""
    current = store.find_any(tx, instance_id)
    if current is not None and current.due_at is not None and current.due_at > tx.now:
        store.update(tx, instance_id, due_at=tx.now)


def went_down(tx: Tx, instance: Instance, *, seen_at: Instant) -> None:
    """It stopped by itself, for example with its host: its clock stops where it was last seen, and it is started again."""
    current = store.find_any(tx, instance.id)
    if current is None or current.sequence != instance.sequence or current.status is not Status.RUNNING:
        return
    _is_down(tx, current, seen_at=seen_at)


def is_orphan(tx: Tx, provider: str, sighting: Sighting) -> bool:
    """Whether no live row accounts for what was sighted. One that is just being created has a row."""
    if sighting.label is None:
        return False
    instance = store.find_any(tx, sighting.label.instance_id, lock=False)
    if instance is None or instance.status is Status.DELETED:
        return True
    if instance.provider != provider:
        return True
    if instance.status in states.FAILED and not instance.may_exist:
        return True  # it was given up for lost, and is back
    return instance.handle is not None and instance.handle != sighting.handle


def has_kept_disk(tx: Tx, provider: str, sighting: Sighting) -> bool:
    """Whether an orphan boots from a disk that is somebody's volume: that outlives it."""
    return sighting.disk_handle is not None and volumes.is_kept_disk(tx, provider, sighting.disk_handle)


def report_orphan(tx: Tx, provider: str, sighting: Sighting) -> Orphan:
    """Remembers since when it was seen; the first time an event says so."""
    instance_id = "" if sighting.label is None else sighting.label.instance_id
    orphan = store.upsert_orphan(
        tx,
        provider,
        sighting.handle,
        instance_id,
        began_at=_began_at(tx, sighting),
        cost_per_hour=_cost_per_hour(tx, instance_id, sighting),
    )
    if orphan.is_new:
        _record_orphan(tx, orphan, "orphan.found")
    return orphan


def orphan_destroyed(tx: Tx, orphan: Orphan) -> Micros:
    """Returns what it has cost since it began, rounded to a micro-dollar; 0 where nobody knows its price."""
    cost = orphan.cost(tx.now)
    store.end_orphan(tx, orphan, cost)
    _record_orphan(tx, orphan, "orphan.destroyed", cost_micros=cost, began_at=orphan.began_at)
    return cost


def orphan_not_destroyed(tx: Tx, orphan: Orphan) -> int:
    """Its provider did not end it; returns how many times that was so."""
    failures = store.count_orphan_failure(tx, orphan)
    store.count_destroy_failure(tx, orphan.provider)
    if failures % FAILURES_TO_ALERT == 0:
        _record_orphan(
            tx, orphan, "orphan.destroy_failed", failures=failures, cost_micros=orphan.cost(tx.now)
        )
    return failures


def settle_orphans(tx: Tx, provider: str, handles: Collection[str]) -> None:
    """A complete listing has only these orphans: the others ended without us, or a row accounts for them again."""
    for orphan in store.standing_orphans(tx, provider):
        if orphan.handle not in handles:
            store.end_orphan(tx, orphan, Micros(0))


def orphans_now(tx: Tx) -> tuple[int, Micros]:
    """How many there are now, and what they have cost until now."""
    found = store.standing_orphans(tx)
    return len(found), Micros(sum(orphan.cost(tx.now) for orphan in found))


def last_listed(tx: Tx, provider: str) -> Instant | None:
    """When the last complete listing was had; None: never."""
    return store.last_listed(tx, provider)


def _began_at(tx: Tx, sighting: Sighting) -> Instant:
    """Since when it costs: a provider's clock may be ahead of ours."""
    return tx.now if sighting.created_at is None else min(sighting.created_at, tx.now)


def _cost_per_hour(tx: Tx, instance_id: str, sighting: Sighting) -> int | None:
    """What the provider says that it costs, or what its row was bought for."""
    known = sighting.cost_micros_per_hour
    if known is None:
        row = store.find_any(tx, instance_id, lock=False)
        known = None if row is None else row.cost
    return None if known is None or not 0 <= known <= _MOST_MICROS_PER_HOUR else known


def _record(
    tx: Tx, by: events.Actor, instance: Instance, event: str, *, evicts_at: Instant | None = None
) -> Instance:
    sequence = instance.sequence + 1
    store.update(tx, instance.id, sequence=sequence, updated_at=tx.now)
    changed = replace(instance, sequence=sequence)
    if evicts_at is None:
        announce(tx, by, event, changed)
    else:
        announce(tx, by, event, changed, evicts_at=evicts_at)
    return changed


def _record_orphan(tx: Tx, orphan: Orphan, event: str, **details: int) -> None:
    events.record(
        tx,
        events.system(_NOBODY, "loop:observation"),
        event,
        subject=f"orphan:{orphan.provider}:{orphan.handle}",
        data={
            "provider": orphan.provider,
            "handle": orphan.handle,
            "instance_id": orphan.instance_id,
            "cost_micros_per_hour": orphan.cost_per_hour,
            **details,
        },
    )


def _is_down(tx: Tx, current: Instance, *, seen_at: Instant) -> None:
    # Its provider counts the unit as free from now on, and it is still claimed.
    catalog.uncount_claim(tx, current.id)
    billing.pause(tx, current.project, current.id, seen_at)
    store.count_move(tx, current, Status.OFFLINE)
    store.update(
        tx,
        current.id,
        status=Status.OFFLINE.value,
        status_changed_at=tx.now,
        restart_wanted=0,
        deadline_at=None,
        due_at=tx.now,
    )
    _record(
        tx,
        events.system(current.project, "loop:observation"),
        replace(current, status=Status.OFFLINE),
        "instance.offline",
    )

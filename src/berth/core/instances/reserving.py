"""The verbs of what ends instances by themselves."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from berth.base.clock import Instant
from berth.base.db import Tx
from berth.core import billing, catalog, events
from berth.core.billing import Rules
from berth.core.errors import Conflict
from berth.core.events import Actor
from berth.core.instances import endings, guards, resting, service, states, storage, store, terms
from berth.core.instances.announcing import announce
from berth.core.instances.model import AutoDelete, Instance, Reservation, Wanted
from berth.core.instances.reasons import because

_ACTOR = "loop:reservations"
_WATCHED = 1000


def reserve(tx: Tx, by: Actor, instance_id: str, wanted: AutoDelete) -> Instance:
    """Replaces what ends the instance by itself; with nothing in `wanted` it ends only when it is deleted.

    Raises NotFound, Invalid naming the member, and Conflict for what has ended.
    """
    instance = service.locked(tx, by, instance_id)
    guards.check_power(instance)
    if instance.wanted is Wanted.DELETED or instance.status in states.ENDED:
        raise Conflict("invalid_state", "This instance has ended.", status=instance.status.value)
    endings.check(wanted, tx.now)
    reports_use = catalog.abilities(tx, instance.provider).reports_use
    endings.check_offer(wanted, instance.price, reports_use=reports_use)
    if wanted == AutoDelete():
        store.delete_reservation(tx, instance.id)
    else:
        store.put_reservation(tx, instance.id, wanted)
    return told(tx, by, instance, "instance.auto_delete_changed")


def reservation(tx: Tx, instance_id: str) -> Reservation | None:
    """What ends it by itself, if anything does."""
    return store.find_reservation(tx, instance_id)


def due_to_end(tx: Tx, *, limit: int) -> Sequence[str]:
    """Ids of instances that `attend` is to look at, the longest due first."""
    return store.due_reservations(tx, limit=limit)


def next_end(tx: Tx) -> Instant | None:
    """When the next one is due."""
    return store.next_reservation(tx)


def attend(tx: Tx, instance_id: str, rules: Rules) -> None:
    """Ends the instance if its time has come, or tells its owner when that is near."""
    instance = store.find_any(tx, instance_id)
    kept = store.find_reservation(tx, instance_id)
    if instance is None or kept is None:
        return
    if instance.wanted is Wanted.DELETED:
        store.plan_reservation(tx, instance_id, next_at=None, stops_at=None)
        return
    plan = endings.plan(instance, kept, billing.bill(tx, instance_id), tx.now)
    if plan is None:
        store.plan_reservation(tx, instance_id, next_at=None, stops_at=None)
    elif plan.at <= tx.now:
        end(tx, instance, plan.code, rules)
    elif plan.at - endings.NOTICE <= tx.now:
        if kept.stops_at != plan.at:
            by = events.system(instance.project, _ACTOR)
            told(tx, by, instance, "instance.stop_scheduled", reason=because(plan.code), stops_at=plan.at)
        store.plan_reservation(tx, instance_id, next_at=plan.at, stops_at=plan.at)
    else:
        notice_at = Instant(plan.at - endings.NOTICE)
        store.plan_reservation(tx, instance_id, next_at=notice_at, stops_at=None)


def watched(tx: Tx, provider: str, *, first_id: str, last_id: str) -> Mapping[str, Instant | None]:
    """Which running instances at `provider` end when idle, from one id to another, and since when each has been idle."""
    return store.watched(tx, provider, first_id=first_id, last_id=last_id, limit=_WATCHED)


def noticed_use(tx: Tx, instance_id: str, *, idle_since: Instant | None) -> None:
    """It was seen to do nothing for the first time, at `idle_since`, or, with None, to do something again."""
    store.set_idle(tx, instance_id, idle_since)


def end(tx: Tx, instance: Instance, code: str, rules: Rules) -> Instance:
    """It ends by itself, for the reason of that code; the caller has locked it."""
    by = events.system(instance.project, _ACTOR)
    if code == "idle":
        instance = told(tx, by, instance, "instance.idle", reason=because(code))
    if instance.ends_off:
        return resting.switch_off(tx, by, instance, reason=because(code))
    instance = terms.catch_up(tx, instance)
    disk = storage.fate_of_itself(instance)
    ended = service.end(tx, by, instance, rules, reason=because(code), os_volume=disk)
    terms.end_early(tx, instance)  # it was its owner who ordered that
    store.plan_reservation(tx, instance.id, next_at=None, stops_at=tx.now)
    return ended


def told(
    tx: Tx,
    by: Actor,
    instance: Instance,
    event: str,
    *,
    reason: str | None = None,
    stops_at: Instant | None = None,
) -> Instance:
    """Records `event` for what is locked, with its sequence counted up."""
    changed = replace(instance, sequence=instance.sequence + 1, updated_at=tx.now)
    store.update(tx, instance.id, sequence=changed.sequence, updated_at=tx.now)
    if stops_at is None:
        announce(tx, by, event, changed, reason=reason)
    else:
        announce(tx, by, event, changed, reason=reason, stops_at=stops_at)
    return changed

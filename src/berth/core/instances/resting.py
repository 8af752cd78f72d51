"""How a session's instance ends: switched off with its disk kept, or deleted."""

from berth.base.clock import Instant
from berth.base.db import Tx
from berth.core import billing, catalog
from berth.core.billing import Rules
from berth.core.events import Actor
from berth.core.instances import service, store
from berth.core.instances.model import Instance, Status, Wanted
from berth.core.volumes import Fate

_UNSTARTED = frozenset({Status.ORDERED, Status.PROVISIONING})


def switch_off(
    tx: Tx, by: Actor, instance: Instance, *, reason: str | None, at: Instant | None = None
) -> Instance:
    """It ends, and its disk is kept: its bill is closed now, or `at`, whatever its provider's stop takes.

    What never ran has nothing to keep, and is deleted. The caller has locked it.
    """
    if instance.status in _UNSTARTED or not catalog.abilities(tx, instance.provider).stop:
        return end_now(tx, by, instance, Rules(), reason=reason, at=at)
    ended_at = min(instance.missing_since or tx.now, at or tx.now)
    billing.finish(tx, instance.project, instance.id, instance.price, ended_at, with_minimum=False)
    store.plan_reservation(tx, instance.id, next_at=None, stops_at=tx.now)
    if instance.wanted is Wanted.OFFLINE:
        return instance
    return service.want_off(tx, by, instance, keeps=False, reason=reason)


def end_now(
    tx: Tx,
    by: Actor,
    instance: Instance,
    rules: Rules,
    *,
    reason: str | None,
    at: Instant | None = None,
) -> Instance:
    """It is deleted, and its disk with it; its clock stops now, or `at`. The caller has locked it, and it has not ended."""
    store.plan_reservation(tx, instance.id, next_at=None, stops_at=tx.now)
    return service.end(tx, by, instance, rules, reason=reason, os_volume=Fate.PURGE, stopped_at=at)

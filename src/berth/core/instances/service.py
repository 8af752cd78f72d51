"""The verbs a customer has of an instance: look, start, stop, restart, delete. They write what is wanted."""

from dataclasses import replace

from berth.base.db import Tx
from berth.base.paging import After, Page
from berth.core import billing, catalog, events
from berth.core.billing import Rules
from berth.core.errors import NoCapacity, NotFound
from berth.core.events import Actor
from berth.core.instances import states, store
from berth.core.instances.model import Action, Instance, Status, Version, Wanted

_NOT_FOUND = ("instance_not_found", "Instance not found.")


def get(tx: Tx, by: Actor, instance_id: str) -> Instance:
    """Raises NotFound, also for another project's."""
    by.may("deployments:read")
    return _existing(store.find(tx, by.project, instance_id))


def list_page(tx: Tx, by: Actor, *, status: Status | None, after: After | None, limit: int) -> Page[Instance]:
    """Newest first. Without `status` all but the deleted."""
    by.may("deployments:read")
    rows = store.page(tx, by.project, status=status, after_row=after, limit=limit + 1)
    return Page(rows[:limit], len(rows) > limit, store.total(tx, by.project, status))


def list_versions(
    tx: Tx, by: Actor, *, status: Status | None, after: After | None, limit: int
) -> Page[Version]:
    """The same page as `list_page`, for a caller that keeps what instances look like."""
    by.may("deployments:read")
    rows = store.page_of_versions(tx, by.project, status=status, after_row=after, limit=limit + 1)
    return Page(rows[:limit], len(rows) > limit, store.total(tx, by.project, status))


def start(tx: Tx, by: Actor, instance_id: str) -> Instance:
    """Raises NotFound, Conflict, InsufficientCredits, and NoCapacity when its hardware went to somebody else."""
    instance = _lock(tx, by, instance_id)
    if not states.changes(instance, Action.START):
        return instance
    billing.require_credit(tx, instance.project)
    if not catalog.reclaim(tx, instance.offer_id, instance.id):
        raise NoCapacity("no_capacity", "The hardware is taken by others now. Try again later.")
    return _want(tx, by, instance, Wanted.RUNNING, "instance.start_wanted")


def stop(tx: Tx, by: Actor, instance_id: str) -> Instance:
    """Raises NotFound, Conflict. Stopping what is stopped changes nothing."""
    instance = _lock(tx, by, instance_id)
    if not states.changes(instance, Action.STOP):
        return instance
    return _want(tx, by, instance, Wanted.OFFLINE, "instance.stop_wanted")


def restart(tx: Tx, by: Actor, instance_id: str) -> Instance:
    """Raises NotFound, Conflict. The clock keeps running: the hardware stays allocated."""
    instance = _lock(tx, by, instance_id)
    if not states.changes(instance, Action.RESTART):
        return instance
    return _want(tx, by, instance, Wanted.RUNNING, "instance.restart_wanted", is_restart_wanted=True)


def delete(tx: Tx, by: Actor, instance_id: str, rules: Rules) -> Instance:
    """Accepts the end of an instance: its clock stops now, whatever the provider's teardown takes.

    Raises NotFound. Deleting twice is one delete.
    """
    instance = _lock(tx, by, instance_id)
    if not states.changes(instance, Action.DELETE):
        return instance
    _settle_delete(tx, instance, rules)
    changed = replace(
        instance,
        status=Status.DELETING,
        wanted=Wanted.DELETED,
        is_restart_wanted=False,
        status_changed_at=tx.now,
        # Why it failed stays: it is what makes it free of charge.
        status_reason=instance.status_reason if instance.status in states.FAILED else None,
    )
    store.count_move(tx, instance.project, instance.status, Status.DELETING)
    return _write(tx, by, changed, "instance.deleting", previous=instance.status)


_ACTIONS = {Action.START: start, Action.STOP: stop, Action.RESTART: restart}


def act(tx: Tx, by: Actor, instance_id: str, action: Action, rules: Rules) -> Instance:
    """Any of the four actions by name."""
    if action is Action.DELETE:
        return delete(tx, by, instance_id, rules)
    return _ACTIONS[action](tx, by, instance_id)


def _settle_delete(tx: Tx, instance: Instance, rules: Rules) -> None:
    """What the delete costs. While it is unknown whether anything was created, the bill waits for that answer."""
    if instance.status in states.FAILED:
        return  # settled when it failed
    if instance.first_running_at is None and instance.handle is None and instance.create_sent_at is not None:
        return
    if instance.missing_since is not None:
        # Its provider has lost sight of it: nobody pays for what may have been down since.
        ended_at, with_minimum = instance.missing_since, False
    else:
        ran = instance.first_running_at is not None
        ended_at = tx.now
        with_minimum = ran or (instance.handle is not None and rules.minimum_on_cancel)
    billing.finish(tx, instance.project, instance.id, instance.price, ended_at, with_minimum=with_minimum)


def _want(
    tx: Tx, by: Actor, instance: Instance, wanted: Wanted, event: str, *, is_restart_wanted: bool = False
) -> Instance:
    changed = replace(
        instance, wanted=wanted, is_restart_wanted=is_restart_wanted, deadline_at=None, status_reason=None
    )
    return _write(tx, by, changed, event, previous=instance.status)


def _write(tx: Tx, by: Actor, instance: Instance, event: str, *, previous: Status) -> Instance:
    """Writes what is wanted and makes the row due at once."""
    changed = replace(instance, sequence=instance.sequence + 1, updated_at=tx.now, due_at=tx.now, attempt=0)
    store.update(
        tx,
        changed.id,
        status=changed.status.value,
        wanted=changed.wanted.value,
        restart_wanted=int(changed.is_restart_wanted),
        status_reason=changed.status_reason,
        status_changed_at=changed.status_changed_at,
        deadline_at=changed.deadline_at,
        sequence=changed.sequence,
        updated_at=changed.updated_at,
        due_at=changed.due_at,
        attempt=changed.attempt,
    )
    data = {"status": changed.status.value, "previous_status": previous.value}
    events.record(tx, by, event, subject=changed.id, sequence=changed.sequence, data=data)
    return changed


def _lock(tx: Tx, by: Actor, instance_id: str) -> Instance:
    by.may("deployments:write")
    return _existing(store.find(tx, by.project, instance_id, lock=True))


def _existing(found: Instance | None) -> Instance:
    if found is None:
        raise NotFound(*_NOT_FOUND)
    return found

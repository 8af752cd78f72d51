"""The verbs a customer has of an instance: look, start, stop, restart, delete. They write what is wanted."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from berth.base.clock import Instant
from berth.base.db import Tx
from berth.base.paging import After, Page
from berth.core import billing, catalog
from berth.core.billing import Rules
from berth.core.driver import Abilities
from berth.core.errors import Conflict, Invalid, NoCapacity, NotFound
from berth.core.events import Actor
from berth.core.instances import charging, guards, states, storage, store, terms
from berth.core.instances.affording import check_hourly
from berth.core.instances.announcing import announce
from berth.core.instances.model import Action, Instance, Status, Version, Wanted
from berth.core.volumes import Fate

_COUNTED = 10_000
_NOT_FOUND = ("instance_not_found", "Instance not found.")


def get(tx: Tx, by: Actor, instance_id: str) -> Instance:
    """Raises NotFound, also for another project's."""
    by.may("deployments:read")
    return _existing(store.find(tx, by.project, instance_id))


def find(tx: Tx, instance_id: str) -> Instance | None:
    """Whoever's it is. For loops only."""
    return store.find_any(tx, instance_id, lock=False)


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


def of_project(
    tx: Tx, project: str, *, statuses: Collection[Status], after_id: str = "", limit: int
) -> Sequence[Instance]:
    """A page of a project's instances in these statuses, in the order they were ordered in. For loops only."""
    return store.of_project(tx, project, statuses=statuses, after_id=after_id, limit=limit)


def abilities(tx: Tx, instance: Instance) -> Abilities:
    """What the provider of `instance` can do."""
    return catalog.abilities(tx, instance.provider)


def ssh_key_uses(tx: Tx, by: Actor) -> Mapping[str, int]:
    """How many instances have each SSH key, among the newest ten thousand that are not deleted."""
    by.may("ssh_keys:read")
    return Counter(
        key_id for keys in store.ssh_keys_in_use(tx, by.project, limit=_COUNTED) for key_id in keys
    )


def is_paid(tx: Tx, instance: Instance) -> bool:
    """Whether its bill is closed: it ended, and nothing will be charged for it any more."""
    has_ended = instance.status in states.ENDED or instance.status is Status.DELETING
    return (
        has_ended and not billing.has_hold(tx, instance.id) and not billing.bill(tx, instance.id).is_charging
    )


def start(tx: Tx, by: Actor, instance_id: str, *, reason: str | None = None) -> Instance:
    """`reason` is why, where it was not its owner who asked.

    Raises NotFound, Conflict, InsufficientCredits, and NoCapacity when its hardware went to somebody else.
    """
    instance = locked(tx, by, instance_id, may_be_member=reason is not None)
    guards.check_power(instance, is_asked=reason is None)
    if not states.changes(instance, Action.START, abilities(tx, instance)):
        return instance
    storage.check_start(tx, instance)
    billing.require_credit(tx, instance.project)
    if not catalog.reclaim(tx, instance.offer_id, instance.id, is_spot=instance.is_spot):
        raise NoCapacity("no_capacity", "The hardware is taken by others now. Try again later.")
    check_hourly(tx, instance.project, instance.price)
    # Hardware that was about to be given back is its own again, and given back if the start fails.
    held = replace(instance, is_reserved=instance.is_reserved and instance.keeps_hardware)
    return _want(tx, by, held, Wanted.RUNNING, "instance.start_wanted", reason=reason)


def stop(
    tx: Tx,
    by: Actor,
    instance_id: str,
    *,
    keep_reserved: bool = False,
    reason: str | None = None,
    at: Instant | None = None,
) -> Instance:
    """Switches it off. Stopping what is stopped changes nothing, except that hardware kept so far may be given back.

    With `keep_reserved`, or where a plain stop does not release it, the hardware stays claimed and billed.
    With a `reason` (a code, shown as `status_reason`) it is Berth that stops, so that nothing more is spent: the
    hardware is always given back, also that of what is off already, and a start or restart under way is overridden;
    what cannot be stopped at its provider is deleted, and its clock stops `at`, now if not given. Raises NotFound, Conflict.
    """
    instance = locked(tx, by, instance_id, may_be_member=reason is not None)
    able = abilities(tx, instance)
    guards.check_power(instance, is_asked=reason is None)
    if reason is not None:
        return _end_spending(tx, by, instance, able, reason, at)
    if keep_reserved and not (able.stop_keeps_hardware or not able.stop_releases_hardware):
        raise Conflict("not_supported", "Hardware cannot be kept reserved through a stop where this one is.")
    keeps = keep_reserved or not able.stop_releases_hardware
    if keeps and _is_cut_off(tx, instance):
        if keep_reserved:
            raise Conflict(
                "invalid_state", "Its hardware is being given back: no credit was left to keep it."
            )
        return instance
    if states.changes(instance, Action.STOP, able) or states.changes_hold(instance, keeps=keeps):
        return want_off(tx, by, instance, keeps=keeps)
    return instance


def restart(tx: Tx, by: Actor, instance_id: str) -> Instance:
    """Raises NotFound, Conflict. The clock keeps running: the hardware stays allocated."""
    instance = locked(tx, by, instance_id)
    if not states.changes(instance, Action.RESTART, abilities(tx, instance)):
        return instance
    return _want(tx, by, instance, Wanted.RUNNING, "instance.restart_wanted", is_restart_wanted=True)


def delete(
    tx: Tx,
    by: Actor,
    instance_id: str,
    rules: Rules,
    *,
    delete_volumes: Collection[str] | None = (),
    is_permanent: bool = False,
    os_volume: Fate = Fate.PURGE,
) -> Instance:
    """Accepts the end of an instance: its clock stops now, whatever the provider's teardown takes.

    A long term that is not over yet is paid as if there had been none. Its data volumes are kept, but for those that are set to end with it and `delete_volumes` (None: all), which go
    to the trash, or end for good with `is_permanent`. `os_volume` says what becomes of its boot disk, once it has
    run: where that cannot be kept, trash is the same as purge. Raises NotFound, Invalid, and Conflict
    `not_supported` for a boot disk to detach that cannot be kept. Deleting twice is one delete.
    """
    instance = locked(tx, by, instance_id)
    if not states.changes(instance, Action.DELETE, abilities(tx, instance)):
        return instance
    ending = storage.doomed(tx, instance, delete_volumes)
    instance = terms.catch_up(tx, instance)
    deleted = end(
        tx,
        by,
        instance,
        rules,
        ending=ending,
        is_permanent=is_permanent,
        os_volume=os_volume,
        by_owner=True,
    )
    terms.end_early(tx, instance)
    return deleted


def _end_spending(
    tx: Tx, by: Actor, instance: Instance, able: Abilities, reason: str, at: Instant | None
) -> Instance:
    if instance.status not in states.STANDING or instance.wanted is Wanted.DELETED:
        states.changes(instance, Action.STOP, able)  # raises: there is nothing to stop
        return instance
    if not able.stop:
        # Whoever ran out of credit keeps what they stored.
        return end(
            tx,
            by,
            instance,
            Rules(),
            reason=reason,
            keeps_volumes=True,
            os_volume=Fate.DETACH,
            stopped_at=at,
        )
    is_off = instance.wanted is Wanted.OFFLINE and not instance.keeps_hardware
    if is_off or not states.spends(instance):
        return instance
    return want_off(tx, by, instance, keeps=False, reason=reason)


def _is_cut_off(tx: Tx, instance: Instance) -> bool:
    """Whether it is about to give back hardware that nobody pays for any more: its clock stopped ahead of it."""
    if instance.wanted is not Wanted.OFFLINE or instance.keeps_hardware or not states.spends(instance):
        return False
    return not billing.bill(tx, instance.id).is_charging


def want_off(tx: Tx, by: Actor, instance: Instance, *, keeps: bool, reason: str | None = None) -> Instance:
    """Switches off what was locked before, at a provider that can."""
    # One that is being started has its hardware claimed again, and may be on already: it has to be switched off.
    is_reserved = instance.is_reserved or instance.status is Status.OFFLINE
    wanted = replace(instance, keeps_hardware=keeps, is_reserved=is_reserved)
    return _want(tx, by, wanted, Wanted.OFFLINE, "instance.stop_wanted", reason=reason)


def end(
    tx: Tx,
    by: Actor,
    instance: Instance,
    rules: Rules,
    *,
    reason: str | None = None,
    ending: frozenset[str] | None = frozenset(),
    keeps_volumes: bool = False,
    is_permanent: bool = False,
    os_volume: Fate = Fate.PURGE,
    is_eviction: bool = False,
    by_owner: bool = False,
    stopped_at: Instant | None = None,
) -> Instance:
    """Deletes what was locked before; `reason` says why, where it was not its owner.

    Of its data volumes `ending` (None: all) go to the trash, or for good with `is_permanent`, the others by what is
    set for each; with `keeps_volumes` all are kept. `is_eviction`: its provider takes it away, which costs no
    minimum, and its volumes and boot disk go by what is set for that. With `stopped_at` its clock stopped then.
    """
    storage.leave(
        tx,
        by,
        instance,
        ending=ending,
        keeps_all=keeps_volumes,
        is_permanent=is_permanent,
        is_eviction=is_eviction,
    )
    storage.decide_disk(tx, instance, os_volume, is_eviction=is_eviction, by_owner=by_owner)
    _settle_delete(tx, instance, rules, is_eviction=is_eviction, stopped_at=stopped_at)
    changed = replace(
        instance,
        status=Status.DELETING,
        wanted=Wanted.DELETED,
        is_restart_wanted=False,
        status_changed_at=tx.now,
        status_reason=instance.status_reason if instance.status in states.FAILED else reason,
    )
    store.count_move(tx, instance, Status.DELETING)
    return _write(tx, by, changed, "instance.deleting", previous=instance.status)


_ACTIONS = {Action.START: start, Action.RESTART: restart}


def act(
    tx: Tx,
    by: Actor,
    instance_id: str,
    action: Action,
    rules: Rules,
    *,
    keep_reserved: bool = False,
    delete_volumes: Collection[str] | None = (),
) -> Instance:
    """Any of the four actions by name. `keep_reserved` is for a stop, `delete_volumes` for a delete."""
    if keep_reserved and action is not Action.STOP:
        raise Invalid(
            "invalid_field", "keep_reserved: goes with the action stop only.", field="keep_reserved"
        )
    if action is Action.DELETE:
        return delete(tx, by, instance_id, rules, delete_volumes=delete_volumes)
    if delete_volumes is None or delete_volumes:
        raise Invalid(
            "invalid_field", "delete_volumes: goes with the action delete only.", field="delete_volumes"
        )
    if action is Action.STOP:
        return stop(tx, by, instance_id, keep_reserved=keep_reserved)
    return _ACTIONS[action](tx, by, instance_id)


def _settle_delete(
    tx: Tx, instance: Instance, rules: Rules, *, is_eviction: bool, stopped_at: Instant | None
) -> None:
    """What the delete costs. While it is unknown whether anything was created, the bill waits for that answer."""
    if instance.status in states.FAILED:
        return  # settled when it failed
    is_unresolved = instance.handle is None and instance.create_sent_at is not None
    if instance.first_running_at is None and is_unresolved and not is_eviction:
        return
    if states.boot_is_over(instance, tx.now):
        ended_at, with_minimum = tx.now, False
    elif instance.missing_since is not None:
        # Its provider has lost sight of it: nobody pays for what may have been down since.
        ended_at, with_minimum = instance.missing_since, False
    else:
        ran = instance.first_running_at is not None
        ended_at = tx.now
        is_owed = not is_eviction and (ran or (instance.handle is not None and rules.minimum_on_cancel))
        if is_owed and not ran:
            charging.charge_boot(tx, instance, rules, until=tx.now)
        with_minimum = is_owed and not instance.is_session
        if instance.is_metered and ran and is_owed and stopped_at is None:
            return  # it ends when its provider takes that: see `charging.end_metered`
    if stopped_at is not None:
        ended_at = min(ended_at, stopped_at)
    billing.finish(tx, instance.project, instance.id, instance.price, ended_at, with_minimum=with_minimum)


def _want(
    tx: Tx,
    by: Actor,
    instance: Instance,
    wanted: Wanted,
    event: str,
    *,
    is_restart_wanted: bool = False,
    reason: str | None = None,
) -> Instance:
    changed = replace(
        instance, wanted=wanted, is_restart_wanted=is_restart_wanted, deadline_at=None, status_reason=reason
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
        keeps_hardware=int(changed.keeps_hardware),
        is_reserved=int(changed.is_reserved),
        status_reason=changed.status_reason,
        status_changed_at=changed.status_changed_at,
        deadline_at=changed.deadline_at,
        sequence=changed.sequence,
        updated_at=changed.updated_at,
        due_at=changed.due_at,
        attempt=changed.attempt,
    )
    announce(tx, by, event, changed, previous=previous, reason=changed.status_reason)
    return changed


def locked(tx: Tx, by: Actor, instance_id: str, *, may_be_member: bool = False) -> Instance:
    """For a change. Raises NotFound, Forbidden, and Conflict for a member of a cluster."""
    by.may("deployments:write")
    instance = _existing(store.find(tx, by.project, instance_id, lock=True))
    if not may_be_member:
        guards.check_alone(instance)
    return instance


def _existing(found: Instance | None) -> Instance:
    if found is None:
        raise NotFound(*_NOT_FOUND)
    return found

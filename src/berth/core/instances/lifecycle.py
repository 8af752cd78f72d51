"""The verbs of the provisioning loop. They write what is seen, and only under the lease the row was taken with.

Each takes the instance as it was leased. If the lease is no longer ours, nothing is written and None comes back:
whoever holds the row now looks again. Since the owner may have changed their mind meanwhile, each verb starts
from the row as it is now, never from the one that was leased.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace

from berth.base.clock import Instant, after
from berth.base.db import Tx
from berth.core import billing, catalog, idempotency
from berth.core.billing import Rules
from berth.core.driver import CreateOrder, Hardware, Sighting
from berth.core.instances import charging, replacing, states, storage, store
from berth.core.instances.model import Instance, Status, Wanted
from berth.core.instances.reasons import because
from berth.core.instances.writing import again_at, by_loop, current_of, keep, move, with_address
from berth.core.volumes import Fate

OFFERS_TRIED = 5
"""How many offers one order is placed at before it fails."""
ADRIFT_AFTER_S = 3600
"""A provider that no process had configured for so long is one that anybody may clear up after."""
Place = Callable[[Tx, Instance], Instance | None]
"""Finds what is still to boot another offer, claims its unit, and returns the row as it is to be written."""
READY_LOOK_S = 15
"""How often a member that waits for the others of its cluster is looked at."""


def lease_due(tx: Tx, *, limit: int, seconds: int, providers: Collection[str]) -> Sequence[Instance]:
    """Takes up to `limit` instances that something is to be done for, for `seconds` at most.

    They are at `providers`, whom the caller can ask, or at one that nobody has asked for `ADRIFT_AFTER_S`.
    """
    adrift = catalog.forgotten_providers(tx, after(tx.now, seconds=-ADRIFT_AFTER_S))
    return store.lease_due(tx, limit=limit, seconds=seconds, providers={*providers, *adrift})


def release_leases(tx: Tx) -> None:
    """Takes every row back from whoever held it. Only for a process that knows that it is alone, when it starts."""
    store.release_leases(tx)


def next_due(tx: Tx, *, providers: Collection[str]) -> Instant | None:
    """When the next instance that `lease_due` would take is due, or None when everything is as wanted."""
    adrift = catalog.forgotten_providers(tx, after(tx.now, seconds=-ADRIFT_AFTER_S))
    return store.next_due(tx, providers={*providers, *adrift})


def boot_timeout_s(tx: Tx, instance: Instance) -> int:
    """How long it may take from create to what shows that it runs."""
    if instance.boot_timeout_s is not None:
        return instance.boot_timeout_s
    return catalog.get_type(tx, by_loop(instance), instance.instance_type).boot_timeout_s


def create_order(tx: Tx, instance: Instance, *, install_id: str) -> CreateOrder:
    """What the provider is told, put together from what was ordered."""
    offer = catalog.known_offer(tx, instance.offer_id)
    disk = storage.disk_of(tx, instance)
    specs = instance.specs
    return CreateOrder(
        label=instance.label(install_id),
        provider_offer_id=offer.provider_offer_id,
        hardware=Hardware(
            instance.instance_type,
            specs.gpu_model,
            specs.gpu_count,
            specs.gpu_vram_gb,
            specs.vcpu_count,
            specs.ram_gb,
            specs.storage_gb,
        ),
        hostname=instance.hostname,
        image_slug=instance.image_slug,
        ssh_user=instance.ssh_user,
        location=instance.location,
        ssh_public_keys=instance.ssh_public_keys,
        os_volume_gb=instance.os_volume_gb,
        startup_script=instance.startup_script,
        is_spot=instance.is_spot,
        mounts=storage.mounts(tx, instance),
        disk_label=None if disk is None else disk.label(install_id),
        boot_volume=None if disk is None or instance.boot_volume_id is None else disk.handle,
        environment=dict(instance.environment),
        launch=instance.launch,
    )


def intend_create(tx: Tx, leased: Instance, *, boot_timeout_s: int) -> Instance | None:
    """Commits that something may exist at the provider from now on: always before the call that makes it."""
    current = current_of(tx, leased)
    if current is None or current.wanted is not Wanted.RUNNING or current.create_sent_at is not None:
        return None
    changed = replace(
        current,
        create_sent_at=tx.now,
        deadline_at=current.deadline_at or after(tx.now, seconds=boot_timeout_s),
    )
    if current.status is Status.ORDERED:
        return move(tx, changed, Status.PROVISIONING, keep_lease=True)
    return keep(tx, changed, keep_lease=True)


def created(tx: Tx, leased: Instance, sighting: Sighting) -> Instance | None:
    """The provider made it, or has it: its handle is known from now on."""
    current = current_of(tx, leased)
    if current is None:
        return None
    storage.disk_seen(tx, current, sighting)
    catalog.count_claim(tx, current.id)
    changed = with_address(replace(current, handle=sighting.handle, missing_since=None), sighting)
    return keep(tx, replace(changed, due_at=tx.now))


def found(tx: Tx, leased: Instance, sighting: Sighting) -> Instance | None:
    """What is about to be destroyed did exist: kept before it goes, and the row stays leased."""
    current = current_of(tx, leased)
    if current is None:
        return None
    storage.disk_seen(tx, current, sighting)
    return keep(tx, replace(current, handle=sighting.handle), keep_lease=True)


def did_not_happen(tx: Tx, leased: Instance, *, retry_s: float) -> Instance | None:
    """The create certainly made nothing: it may be tried again after `retry_s`."""
    current = current_of(tx, leased)
    if current is None:
        return None
    return keep(tx, replace(current, create_sent_at=None, due_at=again_at(tx, leased, current, retry_s)))


def look_again(
    tx: Tx, leased: Instance, *, retry_s: float, sighting: Sighting | None = None
) -> Instance | None:
    """Nothing new to act on: the row is due again after `retry_s`."""
    current = current_of(tx, leased)
    if current is None:
        return None
    changed = replace(current, due_at=again_at(tx, leased, current, retry_s))
    if sighting is not None:
        storage.disk_seen(tx, current, sighting)
        changed = with_address(changed, sighting)
    return keep(tx, changed)


def fail_over(
    tx: Tx,
    leased: Instance,
    *,
    is_sold_out: bool,
    reason: str,
    offers_allowed: int = OFFERS_TRIED,
    elsewhere: bool = False,
    place: Place | None = None,
) -> Instance | None:
    """This offer will not do and made nothing: claims the next one that costs us no more than the order pays,
    or fails the order. `elsewhere`: this provider will not do at all. `place` finds another offer in its own way.
    """
    current = current_of(tx, leased)
    if current is None:
        return None
    catalog.lock_line(tx, current.instance_type)
    storage.hold(tx, current)
    catalog.release(tx, current.id)
    if is_sold_out:
        catalog.suppress(tx, current.offer_id, is_spot=current.is_spot)
    replacing.blame(tx, current, reason)
    cleared = replace(
        current,
        handle=None,
        create_sent_at=None,
        deadline_at=None,
        status_reason=None,
        ip=None,
        ssh_port=None,
    )
    if current.wanted is Wanted.DELETED:
        return keep(tx, replace(cleared, due_at=tx.now))
    if place is not None:
        placed = place(tx, cleared)
    elif len(current.tried_offers) < offers_allowed:
        placed = replacing.place(tx, cleared, current.provider if elsewhere else None)
    else:
        placed = None
    if placed is None:
        status = Status.FAILED_NO_CAPACITY if is_sold_out else Status.ERROR
        return _fail(tx, cleared, status, reason)
    return keep(tx, replace(placed, attempt=0, due_at=tx.now), event="instance.placed_again", reason=reason)


def boot_failed(tx: Tx, leased: Instance, *, reason: str) -> Instance | None:
    """This boot will come to nothing: its time is over now, and the row says why."""
    current = current_of(tx, leased)
    if current is None:
        return None
    if current.wanted is Wanted.DELETED:
        return keep(tx, replace(current, due_at=tx.now))  # its owner was first, and that is why it ends
    return give_up_boot(tx, current, reason=reason)


def give_up_boot(tx: Tx, current: Instance, *, reason: str) -> Instance:
    """As `boot_failed`, for what is locked."""
    deadline_at = min(current.deadline_at or tx.now, tx.now)
    return keep(tx, replace(current, deadline_at=deadline_at, status_reason=reason, due_at=tx.now))


def fail(tx: Tx, leased: Instance, *, reason: str) -> Instance | None:
    """The order failed for good and costs nothing. What is left at the provider is still to be destroyed."""
    current = current_of(tx, leased)
    if current is None:
        return None
    if current.wanted is Wanted.DELETED:
        return keep(tx, replace(current, due_at=tx.now))
    if current.create_sent_at is not None:
        replacing.blame(tx, current, reason)
    return _fail(tx, current, Status.ERROR, reason)


def reachable(
    tx: Tx,
    leased: Instance,
    sighting: Sighting,
    *,
    bills_boot: bool = False,
    running_since: Instant | None = None,
) -> Instance | None:
    """Its SSH server answered: it runs, and its clock with it, as if since the order if it `bills_boot`.

    `running_since` is when its provider says that it began to run: a session pays from then, as we do.
    """
    current = current_of(tx, leased)
    if current is None:
        return None
    changed = with_address(current, sighting)
    if current.wanted is not Wanted.RUNNING:
        return keep(tx, replace(changed, due_at=tx.now))
    changed = replace(
        changed,
        is_restart_wanted=False,
        keeps_hardware=False,
        is_reserved=False,
        deadline_at=None,
        status_reason=None,
        missing_since=None,
        logins_refused=0,
    )
    if current.status is Status.RUNNING:
        # Its clock may have stopped when its host was lost.
        charging.start_clock(tx, current, bills_boot=False)
        return keep(tx, changed, event="instance.restarted" if current.is_restart_wanted else None)
    storage.disk_seen(tx, current, sighting)
    if current.cluster_id is not None and current.first_running_at is None:
        # It runs once all members of its cluster can: before that nobody pays for any.
        waiting = replace(
            changed, ready_at=current.ready_at or tx.now, due_at=after(tx.now, seconds=READY_LOOK_S)
        )
        return keep(tx, waiting, event="instance.ready" if current.ready_at is None else None)
    if current.is_session and running_since is not None and current.first_running_at is None:
        changed = replace(changed, is_metered=True)
    return runs(tx, current, changed, bills_boot=bills_boot, running_since=running_since)


def runs(
    tx: Tx,
    current: Instance,
    changed: Instance,
    *,
    bills_boot: bool,
    running_since: Instant | None = None,
) -> Instance:
    """From now on it runs, and costs. `changed` is what `current`, which is locked, is to be written as."""
    if current.first_running_at is None:
        storage.arrived(tx, by_loop(current), current)
    catalog.count_claim(tx, current.id)
    charging.start_clock(tx, changed, bills_boot=bills_boot, running_since=running_since)
    store.wake_reservation(tx, current.id)
    changed = replace(changed, first_running_at=current.first_running_at or tx.now)
    return move(tx, changed, Status.RUNNING)


def stopped(tx: Tx, leased: Instance, *, releases_hardware: bool) -> Instance | None:
    """It is off. Where that gives the hardware back, the clock stops and the unit is free for others."""
    current = current_of(tx, leased)
    if current is None:
        return None
    if current.wanted is not Wanted.OFFLINE:
        return keep(tx, replace(current, due_at=tx.now))
    if releases_hardware:
        catalog.release(tx, current.id)
        billing.pause(tx, current.project, current.id, tx.now)
    changed = replace(current, deadline_at=None, is_reserved=not releases_hardware)
    if current.status is Status.OFFLINE:
        released = current.is_reserved and releases_hardware
        return keep(tx, changed, event="instance.hardware_released" if released else None)
    return move(tx, changed, Status.OFFLINE)


def start_failed(tx: Tx, leased: Instance, *, reason: str, releases_hardware: bool = True) -> Instance | None:
    """It could not be started: it stays off, and says why."""
    current = current_of(tx, leased)
    if current is None:
        return None
    if current.wanted is not Wanted.RUNNING:
        return keep(tx, replace(current, due_at=tx.now))
    if releases_hardware:
        catalog.release(tx, current.id)
        billing.pause(tx, current.project, current.id, tx.now)
    changed = replace(current, wanted=Wanted.OFFLINE, status_reason=reason, deadline_at=None)
    return keep(tx, changed, event="instance.resume_failed", reason=reason)


def restart_unconfirmed(tx: Tx, leased: Instance, *, reason: str) -> Instance | None:
    """It was restarted and does not answer: its disk is the customer's, so it is left as it is, and says why."""
    current = current_of(tx, leased)
    if current is None:
        return None
    if current.status is not Status.RUNNING or current.wanted is not Wanted.RUNNING:
        return keep(tx, replace(current, due_at=tx.now))  # its owner was first, and that is why it ends
    changed = replace(current, is_restart_wanted=False, deadline_at=None, status_reason=reason, due_at=tx.now)
    return keep(tx, changed, event="instance.unreachable", reason=reason)


def down_after_restart(tx: Tx, leased: Instance, *, boot_timeout_s: int, reason: str) -> Instance | None:
    """It was restarted and never came up again: it is off, and its clock stops where the restart began.

    Nobody asked for that, so that nobody pays for its hardware: it was given back.
    """
    current = current_of(tx, leased)
    if current is None:
        return None
    if current.status is not Status.RUNNING or current.wanted is not Wanted.RUNNING:
        return keep(tx, replace(current, due_at=tx.now))
    catalog.release(tx, current.id)
    down_since = after(current.deadline_at or tx.now, seconds=-boot_timeout_s)
    billing.pause(tx, current.project, current.id, min(down_since, tx.now))
    changed = replace(
        current, wanted=Wanted.OFFLINE, is_restart_wanted=False, deadline_at=None, status_reason=reason
    )
    return move(tx, changed, Status.OFFLINE)


def wait_for_boot(tx: Tx, leased: Instance, *, boot_timeout_s: int) -> Instance | None:
    """Starts the deadline of a start or restart; the row stays leased."""
    current = current_of(tx, leased)
    if current is None:
        return None
    deadline_at = current.deadline_at or after(tx.now, seconds=boot_timeout_s)
    return keep(tx, replace(current, deadline_at=deadline_at), keep_lease=True)


def end_accepted(tx: Tx, leased: Instance) -> Instance | None:
    """Its provider took the end of a session that pays by the provider's clock."""
    current = current_of(tx, leased)
    if current is None:
        return None
    if current.is_metered and current.status is Status.DELETING:
        charging.end_metered(tx, current)
    return current


def gone(tx: Tx, leased: Instance, rules: Rules) -> Instance | None:
    """The provider confirms that nothing is left. Only now is a delete complete and the unit free."""
    current = current_of(tx, leased)
    if current is None:
        return None
    current = storage.left(tx, by_loop(current), current)
    catalog.release(tx, current.id)
    storage.free_disk(tx, by_loop(current), current)
    if current.status is not Status.DELETING:
        return keep(tx, replace(current, handle=None, create_sent_at=None))
    if current.is_metered:
        charging.end_metered(tx, current)
    elif billing.has_hold(tx, current.id) and current.first_running_at is None:
        # A delete that met a create in flight waited for this answer: did anything exist?
        given_up_at = current.status_changed_at
        existed = current.handle is not None and not states.boot_is_over(current, given_up_at)
        if existed:
            charging.charge_boot(tx, current, rules, until=given_up_at)
        billing.finish(
            tx,
            current.project,
            current.id,
            current.price,
            tx.now,
            with_minimum=existed and rules.minimum_on_cancel and not current.is_session,
        )
    changed = replace(current, handle=None, create_sent_at=None, deleted_at=tx.now, ip=None, ssh_port=None)
    idempotency.unpin(tx, changed.id)
    return move(tx, changed, Status.DELETED)


def vanished(tx: Tx, instance: Instance, *, seen_at: Instant, reason: str) -> Instance | None:
    """It ended without anybody asking. It pays up to when it was last seen, and no minimum for our fault.

    What its provider may take away, it took: a spot instance was evicted, and is deleted. So is a session that had ended
    and whose disk was kept: it has not failed, there is only nothing left of it.
    """
    current = store.find_any(tx, instance.id)
    if current is None or current.sequence != instance.sequence or current.status not in states.STANDING:
        return None
    if current.is_spot:
        storage.leave(tx, by_loop(current), current, is_eviction=True)
    current = storage.left(tx, by_loop(current), current)
    # Nobody asked for its end: what its disk holds is kept, if that is still there.
    storage.decide_disk(tx, current, Fate.DETACH, is_eviction=current.is_spot, by_owner=False)
    catalog.release(tx, current.id)
    if not current.is_spot:
        replacing.blame(tx, current, reason)
    storage.free_disk(tx, by_loop(current), current)
    billing.finish(tx, current.project, current.id, current.price, seen_at, with_minimum=False)
    is_deleted = current.is_spot or _is_kept_disk(current)
    if is_deleted:
        idempotency.unpin(tx, current.id)
    changed = replace(
        current,
        wanted=Wanted.DELETED if is_deleted else Wanted.OFFLINE,
        status_reason=because("evicted") if current.is_spot else reason,
        deleted_at=tx.now if is_deleted else None,
        handle=None,
        create_sent_at=None,
        missing_since=None,
        ip=None,
        ssh_port=None,
        is_restart_wanted=False,
        deadline_at=None,
        # Whoever is at work on it was told by a provider that still had it: what they bring back is void.
        lease_token=current.lease_token + 1,
    )
    return move(tx, changed, Status.DELETED if is_deleted else Status.ERROR)


def _is_kept_disk(instance: Instance) -> bool:
    """Whether it is what a session left: off, for good, with a disk that its owner may still delete."""
    return instance.ends_off and instance.status is Status.OFFLINE and instance.wanted is Wanted.OFFLINE


def _fail(tx: Tx, current: Instance, status: Status, reason: str) -> Instance:
    seen_at = tx.now
    current = storage.failed(tx, by_loop(current), current)
    # Units before accounts, as everywhere: whoever takes both takes them in one order.
    if not current.may_exist:
        catalog.release(tx, current.id)
        storage.free_disk(tx, by_loop(current), current)
    billing.finish(tx, current.project, current.id, current.price, seen_at, with_minimum=False)
    return move(tx, replace(current, status_reason=reason, deadline_at=None, is_restart_wanted=False), status)

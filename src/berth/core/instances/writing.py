"""Writing what a loop saw of an instance, under the lease that it was taken with."""

from dataclasses import replace

from berth.base.clock import SECOND, Instant, after
from berth.base.db import Tx
from berth.core import events
from berth.core.driver import Sighting
from berth.core.events import Actor
from berth.core.instances import launching, states, store
from berth.core.instances.announcing import announce
from berth.core.instances.model import Instance, Status

_ACTOR = "loop:provisioning"


def by_loop(instance: Instance) -> Actor:
    return events.system(instance.project, _ACTOR)


def renew_lease(tx: Tx, leased: Instance, *, seconds: int) -> bool:
    """Keeps the row for `seconds` from now; False when it is no longer ours."""
    return store.renew_lease(tx, leased.id, leased.lease_token, until=after(tx.now, seconds=seconds))


def give_back(tx: Tx, leased: Instance) -> None:
    """Lets others take the row at once. One that was lost stays as it is."""
    store.give_back(tx, leased.id, leased.lease_token)


def current_of(tx: Tx, leased: Instance) -> Instance | None:
    """The row now, locked; None when another holder has it."""
    current = store.find_any(tx, leased.id)
    if current is None or current.lease_token != leased.lease_token:
        return None
    return current


def with_address(instance: Instance, sighting: Sighting) -> Instance:
    return replace(
        instance,
        ip=sighting.ip or instance.ip,
        ssh_port=sighting.ssh_port or instance.ssh_port,
        ssh_user=sighting.ssh_user or instance.ssh_user,
        private_ip=sighting.private_ip or instance.private_ip,
        ports=sighting.ports or instance.ports,
    )


def again_at(tx: Tx, leased: Instance, current: Instance, retry_s: float) -> Instant:
    """After the pause, or at once when its owner asked for something since it was leased."""
    if current.sequence != leased.sequence:
        return tx.now
    return Instant(tx.now + int(retry_s * SECOND))


def move(tx: Tx, instance: Instance, status: Status, *, keep_lease: bool = False) -> Instance:
    """A new status: counted, dated, recorded."""
    store.count_move(tx, instance, status)
    previous = instance.status
    changed = replace(instance, status=status, status_changed_at=tx.now, attempt=0, due_at=tx.now)
    return keep(
        tx,
        changed,
        keep_lease=keep_lease,
        event=f"instance.{status.value}",
        previous=previous,
        reason=instance.status_reason,
    )


def keep(
    tx: Tx,
    instance: Instance,
    *,
    keep_lease: bool = False,
    event: str | None = None,
    previous: Status | None = None,
    reason: str | None = None,
) -> Instance:
    """Writes the row, ends the lease unless the step goes on, and makes it due again unless all is as wanted."""
    changed = instance
    if event is not None:
        changed = replace(changed, sequence=changed.sequence + 1)
        announce(tx, by_loop(changed), event, changed, previous=previous, reason=reason)
    if states.is_settled(changed):
        changed = replace(changed, due_at=None)
    columns: dict[str, object] = {
        "offer_id": changed.offer_id,
        "provider": changed.provider,
        "cost_micros_per_hour": changed.cost,
        "tried_offers": store.json_list(changed.tried_offers),
        "volume_ids": store.json_list(changed.volume_ids),
        "handle": changed.handle,
        "status": changed.status.value,
        "wanted": changed.wanted.value,
        "status_reason": changed.status_reason,
        "status_changed_at": changed.status_changed_at,
        "restart_wanted": int(changed.is_restart_wanted),
        "keeps_hardware": int(changed.keeps_hardware),
        "is_reserved": int(changed.is_reserved),
        "ip": changed.ip,
        "ssh_port": changed.ssh_port,
        "ssh_user": changed.ssh_user,
        "updated_at": tx.now,
        "first_running_at": changed.first_running_at,
        "deleted_at": changed.deleted_at,
        "create_sent_at": changed.create_sent_at,
        "deadline_at": changed.deadline_at,
        "missing_since": changed.missing_since,
        "ready_at": changed.ready_at,
        "private_ip": changed.private_ip,
        "ports": launching.written_ports(changed.ports),
        "logins_refused": changed.logins_refused,
        "is_metered": int(changed.is_metered),
        "lease_token": changed.lease_token,
        "sequence": changed.sequence,
        "attempt": changed.attempt,
    }
    if not keep_lease:
        columns |= {"due_at": changed.due_at, "lease_expires_at": 0}
    store.update(tx, changed.id, **columns)
    return changed

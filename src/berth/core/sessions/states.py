"""What a session is, read off its instance. Pure."""

from collections.abc import Mapping

from berth.core import instances
from berth.core.instances import FAILED, Instance, Wanted
from berth.core.sessions.model import Failure, Status

_FAILURES: Mapping[str, Failure] = {
    "no_capacity": Failure.STALE_INVENTORY,
    "refused": Failure.INVALID_REQUEST,
    "provider_unreachable": Failure.PROVIDER_UNAVAILABLE,
    "provider_unavailable": Failure.PROVIDER_UNAVAILABLE,
    "boot_failed": Failure.PROVISION_FAILED,
    "volume_failed": Failure.PROVISION_FAILED,
    "instance_stopped": Failure.INSTANCE_STOPPED,
    "provisioning_timeout": Failure.SSH_TIMEOUT,
    "api_timeout": Failure.PROVISION_FAILED,
    "login_refused": Failure.AUTH_FAILED,
    "instance_lost": Failure.INSTANCE_VANISHED,
    "evicted": Failure.INSTANCE_STOPPED,
    "start_refused": Failure.INSTANCE_STOPPED,
    "start_timeout": Failure.INSTANCE_STOPPED,
    "restart_timeout": Failure.INSTANCE_STOPPED,
    "restart_refused": Failure.INSTANCE_STOPPED,
}
"""By the code that `status_reason` begins with."""
_AGREED = frozenset({"expired", "hard_max_reached", "idle", "max_spend_reached"})
"""Ends that were ordered, and are no error."""


def status_of(instance: Instance) -> Status:
    """In the words of sessions. Off is over; while what is off is being started again it is provisioning."""
    status = instance.status
    if status in FAILED:
        return Status.FAILED
    if status is instances.Status.ORDERED:
        return Status.PENDING
    if status is instances.Status.PROVISIONING:
        return Status.PROVISIONING
    if status is instances.Status.RUNNING:
        return Status.RUNNING if instance.wanted is Wanted.RUNNING else Status.STOPPING
    if status is instances.Status.OFFLINE:
        if instance.wanted is Wanted.RUNNING:
            return Status.PROVISIONING
        return Status.STOPPED if instance.ends_off else Status.STOPPING
    return Status.STOPPING if status is instances.Status.DELETING else Status.STOPPED


def failure_of(reason: str | None) -> Failure | None:
    """What a `status_reason` comes to; None where nothing went wrong."""
    return None if reason is None else _FAILURES.get(reason.partition(":")[0])


def outcome_of(instance: Instance) -> Failure | None:
    """What went wrong with it, once it has; what had run and found its hardware taken was stopped, whatever the word."""
    if error_of(instance) is None:
        return None
    failure = failure_of(instance.status_reason)
    if failure is Failure.STALE_INVENTORY and instance.first_running_at is not None:
        return Failure.INSTANCE_STOPPED
    return failure


def error_of(instance: Instance) -> str | None:
    """Why it failed, or ended without having been ordered to."""
    reason, status = instance.status_reason, status_of(instance)
    if reason is None or status not in {Status.STOPPING, Status.STOPPED, Status.FAILED}:
        return None
    code, _, sentence = reason.partition(": ")
    return None if code in _AGREED else sentence or code.replace("_", " ")

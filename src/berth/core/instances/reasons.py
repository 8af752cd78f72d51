"""Why an instance failed, or ended by itself: every code that `status_reason` can begin with. docs/failures.md tells more.

`status_reason` is the code, a colon and a sentence that a customer may read. What stops or deletes an instance for
another noun brings its own code, for example `insufficient_credits`.
"""

from collections.abc import Mapping

from berth.core.catalog import FailureKind

RESUMING = "credit_restored"
"""It is being started again because there is credit again: if that fails, its owner is told so."""
SENTENCES: Mapping[str, str] = {
    "no_capacity": "The hardware is taken by others now.",
    "refused": "No provider accepted the order.",
    "provider_unreachable": "The provider did not answer.",
    "provider_unavailable": "The provider is not available any more.",
    "boot_failed": "The provider could not boot the instance.",
    "provisioning_timeout": "The instance did not become reachable over SSH in time.",
    "instance_lost": "The provider no longer has this instance.",
    "instance_stopped": "The provider stopped the instance while it was booting.",
    "login_refused": "Its SSH server let nobody in with the keys of its order.",
    "api_timeout": "Its own server did not answer over HTTP in time.",
    "hard_max_reached": "It is as old as a session may be.",
    "cluster_failed": "Another member of its cluster failed.",
    "cluster_ended": "Another member of its cluster was ended.",
    "volume_failed": "A volume of the order could not be made.",
    "start_refused": "The provider did not start the instance.",
    "start_timeout": "The instance did not become reachable over SSH in time after its start.",
    "restart_refused": "The provider did not restart the instance.",
    "restart_timeout": "The instance did not answer over SSH after its restart.",
    "expired": "It was ordered to be deleted at this time.",
    "max_spend_reached": "It has cost as much as it was ordered to cost at most.",
    "evicted": "Its provider took it away, as it may with spot.",
    "term_ended": "Its long term ended, and it was ordered to end with it.",
    "idle": "It was idle for as long as it was ordered to be at most.",
}

REASONS = frozenset(SENTENCES) | {"insufficient_credits"}
"""Codes that are counted by."""


def because(code: str, sentence: str | None = None) -> str:
    """The `status_reason` for `code`, in the provider's own words where it has any."""
    return f"{code}: {sentence or SENTENCES[code]}"


def code_of(reason: str | None) -> str | None:
    """The code that a `status_reason` begins with, where it is one that is counted by."""
    code = (reason or "").partition(":")[0]
    return code if code in REASONS else None


def fault_of(reason: str) -> FailureKind | None:
    """What the offer did wrong. None for what its provider did, or we: that says nothing of the offer."""
    return _FAULTS.get(reason.partition(":")[0])


_FAULTS = {
    "no_capacity": FailureKind.STALE_INVENTORY,
    "boot_failed": FailureKind.INSTANCE_STOPPED,
    "instance_stopped": FailureKind.INSTANCE_STOPPED,
    "login_refused": FailureKind.AUTH_FAILED,
    "api_timeout": FailureKind.UNKNOWN,
    "provisioning_timeout": FailureKind.SSH_TIMEOUT,
    "instance_lost": FailureKind.INSTANCE_VANISHED,
}

"""The events that customers can be told of: core's names for them, and when each happens.

Whatever else is recorded stays in the house.
"""

from collections.abc import Mapping

EVERY_EVENT = "*"
TEST = "webhook.test"
DISABLED = "webhook.disabled"
CATALOGUE: Mapping[str, str] = {
    "instance.ordered": "An order was accepted.",
    "instance.provisioning": "It is being created at its provider.",
    "instance.running": "It is reachable over SSH.",
    "instance.offline": "It is off and can be started again.",
    "instance.error": "It failed; status_reason says why.",
    "instance.failed_no_capacity": "No offer had capacity for it.",
    "instance.deleting": "Its deletion was accepted and the clock stopped.",
    "instance.deleted": "Its provider confirms that nothing of it is left.",
    "instance.stop_scheduled": "It will be stopped at stops_at.",
    "instance.resume_failed": "It could not be started again, most often for want of capacity; status_reason says why.",
    "instance.interruption_notice": "Its provider will take it away at evicts_at.",
    "instance.unreachable": "It no longer answers.",
    "instance.recovered": "It answers again.",
    "instance.moved": "It goes on elsewhere and is reached at another address.",
    "instance.idle": "Its GPUs have had nothing to do for the configured time.",
    "gpu.available": "Capacity that a waitlist entry waits for is there, and held until claim_expires_at.",
    "waitlist.fulfilled": "A waitlist entry got what it waited for.",
    "waitlist.failed": "A waitlist entry failed for good.",
    "waitlist.blocked": "A waitlist entry cannot be served for a reason that its owner can mend.",
    "waitlist.expired": "A waitlist entry expired; an e-mail says so two days before.",
    "volume.created": "A volume is there.",
    "volume.attached": "A volume was attached.",
    "volume.detached": "A volume was detached.",
    "volume.deleted": "A volume is gone.",
    "volume.deletion_scheduled": "A volume will be deleted at the time given unless somebody acts.",
    "billing.low_balance": "The balance or the time that it lasts fell below a threshold.",
    "billing.depleted": "The balance is used up; instances are stopped at stops_at.",
    "billing.suspended": "Instances were stopped for want of credit.",
    "billing.restored": "The balance is positive again.",
    "billing.credited": "Credit was added.",
    "api_key.created": "An API key was created.",
    "api_key.revoked": "An API key was revoked.",
    TEST: "Somebody asked for a test delivery.",
    DISABLED: "Another webhook of the project was disabled.",
}
"""By type, in the order in which they are shown."""
PATTERNS = frozenset(CATALOGUE) | {f"{name.partition('.')[0]}.*" for name in CATALOGUE} | {EVERY_EVENT}
"""Everything that can be subscribed to."""


def matches(patterns: frozenset[str], event_type: str) -> bool:
    """Whether one of `patterns` stands for `event_type`."""
    return (
        event_type in patterns or EVERY_EVENT in patterns or f"{event_type.partition('.')[0]}.*" in patterns
    )

"""When the clock of an instance starts: when it runs, or as if with its order, for operators who sell the boot too.

What never runs for our fault is never charged: nothing is, before it runs or its owner gives it up.
"""

from berth.base.clock import Instant
from berth.base.db import Tx
from berth.core import billing
from berth.core.billing import Rules
from berth.core.instances.model import Instance


def start_clock(tx: Tx, instance: Instance, *, bills_boot: bool) -> None:
    """It runs. Its boot is charged with the first start, if at all."""
    billing.start(
        tx,
        instance.project,
        instance.id,
        instance.price,
        cost_micros_per_hour=instance.cost,
        since=instance.created_at if bills_boot and instance.first_running_at is None else None,
    )


def charge_boot(tx: Tx, instance: Instance, rules: Rules, *, until: Instant) -> None:
    """Its owner gave up at `until` what was created and never ran: what the boot took is charged, if boots are."""
    if rules.bills_boot and rules.minimum_on_cancel:
        billing.charge_past(
            tx,
            instance.project,
            instance.id,
            instance.price,
            cost_micros_per_hour=instance.cost,
            since=instance.created_at,
            until=until,
        )

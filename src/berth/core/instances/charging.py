"""When the clock of an instance starts: when it runs, or as if with its order, for operators who sell the boot too.

What never runs for our fault is never charged: nothing is, before it runs or its owner gives it up.
"""

from berth.base.clock import SECOND, Instant
from berth.base.db import Tx
from berth.core import billing
from berth.core.billing import Rules
from berth.core.instances.model import Instance

METERED_MOST_S = 30
"""The longest that a session pays on after its end was asked for: what takes longer is our own delay."""


def start_clock(
    tx: Tx, instance: Instance, *, bills_boot: bool, running_since: Instant | None = None
) -> None:
    """It runs, as written. Its boot is charged with the first start, if at all."""
    since = None
    if instance.first_running_at is None:
        if bills_boot:
            since = instance.created_at
        elif instance.is_metered and running_since is not None:
            # Not before it was asked for there: what offers before it took in vain costs nothing.
            since = max(running_since, instance.create_sent_at or instance.created_at)
    billing.start(
        tx,
        instance.project,
        instance.id,
        instance.price,
        cost_micros_per_hour=instance.cost,
        since=since,
    )


def end_metered(tx: Tx, instance: Instance) -> None:
    """Now its provider's clock stops, and so does its own, if it is not closed yet."""
    until = min(tx.now, Instant(instance.status_changed_at + METERED_MOST_S * SECOND))
    billing.finish(tx, instance.project, instance.id, instance.price, until, with_minimum=False)


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

"""What waits and stands now, over all projects: for the operator's instruments."""

from collections.abc import Sequence
from dataclasses import dataclass

from berth.base.clock import MINUTE, Instant
from berth.base.db import Tx
from berth.base.money import Micros
from berth.core import instances
from berth.core.reports.store import backlog
from berth.core.reports.store.costs import accrued

LATE = 10 * MINUTE
"""How long an end may take before it is one to look into."""


@dataclass(frozen=True, slots=True)
class Backlog:
    """Counts end at ten thousand: whoever has more has a problem whatever the number."""

    instances: Sequence[tuple[str, str, int]]
    """(provider, status, how many) of those that are not deleted."""
    instances_due: int
    late_endings: int
    """Instances whose end was asked for ten minutes ago and that nobody confirms to be gone."""
    deliveries: Sequence[tuple[str, int]]
    """By stage."""
    notices: int
    waitlist: int
    balances: Micros
    holds: Micros
    owing: int
    """Projects below zero."""
    orphans: int
    orphans_cost: Micros
    """Of those that are there now, until now."""
    accrued: Sequence[tuple[str, Micros]]
    """By provider, what sessions whose instances are still there have cost until now."""


def backlog_of_all(tx: Tx) -> Backlog:
    """One look, made of bounded counts."""
    balances, holds, owing = backlog.balances(tx)
    orphans, cost = instances.orphans_now(tx)
    return Backlog(
        instances=[(provider, status, count) for provider, status, count in backlog.instances_by_status(tx)],
        instances_due=backlog.instances_due(tx),
        late_endings=backlog.late_endings(tx, Instant(tx.now - LATE)),
        deliveries=backlog.deliveries_by_stage(tx),
        notices=backlog.notices_waiting(tx),
        waitlist=backlog.waitlist_entries(tx),
        balances=Micros(balances),
        holds=Micros(holds),
        owing=owing,
        orphans=orphans,
        orphans_cost=cost,
        accrued=accrued(tx, tx.now),
    )

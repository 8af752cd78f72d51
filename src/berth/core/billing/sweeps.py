"""Charging every tick that fell due since the last sweep, set by set, for either meter.

Run twice it charges once: the instant swept to is kept, and commits together with the rows.
"""

from dataclasses import dataclass

from berth.base.clock import HOUR, Instant
from berth.base.db import Tx
from berth.core import ledger
from berth.core.billing import store, ticks
from berth.core.billing.store import storage
from berth.core.ledger import Code


@dataclass(frozen=True, slots=True)
class Meter:
    """What is charged regularly: each subject once in `period`, by the rows that `charges` selects."""

    name: str
    code: Code
    period: int
    charges: str


INSTANCES = Meter("ticks", Code.USAGE, store.TICK, store.CHARGES_DUE)
STORAGE = Meter("storage", Code.STORAGE, HOUR, storage.CHARGES_DUE)


def sweep(tx: Tx, meter: Meter) -> int:
    """Charges what is due of `meter`, over all accounts. Returns rows written."""
    swept_from = store.lock_swept_at(tx, meter.name)
    if tx.now <= swept_from:
        return 0
    count = 0
    for window in ticks.windows(swept_from, tx.now, period=meter.period):
        count += ledger.post_sweep(
            tx,
            meter.code,
            meter.charges,
            swept_from=window.start,
            swept_to=window.end,
            above=window.above,
            up_to=window.up_to,
        )
    store.set_swept_at(tx, meter.name, tx.now)
    return count


def swept_at(tx: Tx, meter: Meter) -> Instant:
    """When `meter` was swept last."""
    return store.read_swept_at(tx, meter.name)

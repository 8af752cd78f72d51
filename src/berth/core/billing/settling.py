"""Charging what was used up to now, all at once and without stopping any clock."""

from berth.base.db import Tx
from berth.core import ledger
from berth.core.billing import rates, storage, store
from berth.core.ledger import Code


def settle(tx: Tx, account: str) -> int:
    """Charges everything open of `account` to the last whole second. Returns the rows written.

    Each subject goes on in a new segment that begins where its row ends, so that what it pays in all stays the exact
    difference of cumulative totals, and whatever sweeps come later find nothing of this.
    """
    ledger.lock(tx, account)
    count = ledger.post_sweep(tx, Code.USAGE, store.UNCHARGED, account=account, used_to=tx.now)
    store.split_charged(tx, account, used_to=tx.now)
    ledger.release_charged(tx, tick_s=rates.TICK_S)
    return count + storage.settle_storage(tx, account)

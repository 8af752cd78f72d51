"""Units: the only place where capacity is granted, so that the list, the probe and the deploy agree.

A unit is claimed when an instance is ordered and given back when the provider confirms that it is gone. The
provider's own count of what is free arrives with each refresh; claims it cannot know of yet are taken off.
"""

from berth.base.clock import after
from berth.base.db import Tx
from berth.core.catalog import store
from berth.core.catalog.model import Offer

SUPPRESSED_S = 60
"""How long an offer that turned out empty is not sold from."""


def claim(tx: Tx, offer: Offer, subject: str) -> bool:
    """Takes one unit for `subject`; False when the last one has just gone. A subject has at most one."""
    if not store.take_unit(tx, offer.id):
        return False
    store.insert_claim(tx, subject, offer.id)
    return True


def count_claim(tx: Tx, subject: str) -> None:
    """From now on the provider's own listing counts this unit as used."""
    store.count_claim(tx, subject)


def uncount_claim(tx: Tx, subject: str) -> None:
    """The provider's listing no longer counts this unit as used, though it is kept for `subject`."""
    store.uncount_claim(tx, subject)


def release(tx: Tx, subject: str) -> None:
    """Gives the unit back. Releasing twice gives back one."""
    offer_id = store.delete_claim(tx, subject)
    if offer_id is not None:
        store.give_unit(tx, offer_id)


def suppress(tx: Tx, offer_id: str) -> None:
    """Stops selling from an offer whose provider just said that nothing is left."""
    store.suppress(tx, offer_id, after(tx.now, seconds=SUPPRESSED_S))


def reclaim(tx: Tx, offer_id: str, subject: str) -> bool:
    """Makes sure that `subject` has a unit of the offer: the one it kept, or a free one; False when there is none."""
    if store.has_claim(tx, subject):
        return True
    if not store.take_unit(tx, offer_id):
        return False
    store.insert_claim(tx, subject, offer_id)
    return True

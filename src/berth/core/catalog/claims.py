"""Units: the only place where capacity is granted, so that the list, the probe and the deploy agree.

A unit is claimed when an instance is ordered and given back when the provider confirms that it is gone. The
provider's own count of what is free arrives with each refresh; claims it cannot know of yet are taken off.
Those who wait in line come first: a claim out of turn finds only what is owed to nobody.
"""

from berth.base.clock import after
from berth.base.db import Tx
from berth.core.catalog import store
from berth.core.catalog.lines import spare_units, units_to_grant
from berth.core.catalog.model import Offer

SUPPRESSED_S = 60
"""How long an offer that turned out empty is not sold from."""


def claim(tx: Tx, offer: Offer, subject: str, *, in_turn: bool = False) -> bool:
    """Takes one unit for `subject`; False when the last one has just gone, or is owed to those who wait for it.

    `in_turn` says that the subject is the one it is owed to, or exchanges what it was granted before; what is
    reserved is not even theirs, and the caller holds the lock of the type. A subject has at most one.
    """
    is_apart = offer.is_spot and offer.spot_free_units is not None
    if is_apart:
        # Nobody waits for these: who stands in line is owed units that are not taken away again.
        is_taken = store.take_spot_unit(tx, offer.id)
    else:
        is_taken = _take_unreserved_unit(tx, offer) if in_turn else _take_spare_unit(tx, offer)
    if is_taken:
        store.insert_claim(tx, subject, offer.id, is_spot=is_apart)
        tx.signal("inventory")
    return is_taken


def count_claim(tx: Tx, subject: str) -> None:
    """From now on the provider's own listing counts this unit as used."""
    store.count_claim(tx, subject)


def uncount_claim(tx: Tx, subject: str) -> None:
    """The provider's listing no longer counts this unit as used, though it is kept for `subject`."""
    store.uncount_claim(tx, subject)


def release(tx: Tx, subject: str) -> None:
    """Gives the unit back. Releasing twice gives back one."""
    claimed = store.delete_claim(tx, subject)
    if claimed is None:
        return
    offer_id, is_apart = claimed
    tx.signal("inventory")
    if is_apart:
        store.give_spot_unit(tx, offer_id)
    else:
        store.give_unit(tx, offer_id)
        store.set_free_syncs(tx, offer_id, store.PROVEN_SYNCS)  # it was had, so it is real
        tx.signal("waitlist")


def suppress(tx: Tx, offer_id: str, *, is_spot: bool = False) -> None:
    """Stops selling from an offer whose provider just said that nothing is left.

    Where spot units are counted apart, and it was one of those that was asked for, only they are gone.
    """
    tx.signal("inventory")
    if is_spot and store.empty_spot_units(tx, offer_id):
        return
    store.suppress(tx, offer_id, after(tx.now, seconds=SUPPRESSED_S))
    store.set_free_syncs(tx, offer_id, 0)


def reclaim(tx: Tx, offer_id: str, subject: str, *, is_spot: bool = False) -> bool:
    """Makes sure that `subject` has a unit of the offer: the one it kept, or a free one; False when there is none."""
    if store.has_claim(tx, subject):
        return True
    offer = store.find_offer(tx, offer_id)
    if offer is None or (is_spot and offer.spot_price is None):
        return False
    return claim(tx, offer.as_spot() if is_spot else offer, subject)


def _take_unreserved_unit(tx: Tx, offer: Offer) -> bool:
    return units_to_grant(tx, offer.instance_type, offer.location) > 0 and store.take_unit(tx, offer.id)


def _take_spare_unit(tx: Tx, offer: Offer) -> bool:
    """One that is owed to nobody. Where nobody waits it is one statement; who comes too late waits for no lock."""
    if store.take_unwaited_unit(tx, offer.id):
        return True
    if spare_units(tx, offer.instance_type, offer.location) <= 0:
        return False
    store.lock_line(tx, offer.instance_type)
    return spare_units(tx, offer.instance_type, offer.location) > 0 and store.take_unit(tx, offer.id)

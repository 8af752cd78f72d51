"""An offer that came to nothing: what takes its place, and what is held against it."""

from dataclasses import replace

from berth.base.db import Tx
from berth.core import catalog
from berth.core.catalog import FailureKind, Offer
from berth.core.errors import Invalid
from berth.core.instances import storage, store
from berth.core.instances.model import Instance
from berth.core.instances.writing import by_loop


def place(tx: Tx, current: Instance, avoided: str | None) -> Instance | None:
    """What is still to boot, at the next offer that will do, its unit claimed; None where there is none.

    No other offer of the provider `avoided` will do.
    """
    offer = _next_offer(tx, current, avoided)
    if offer is None:
        return None
    return replace(
        storage.placed(tx, by_loop(current), current, offer.provider),
        offer_id=offer.id,
        provider=offer.provider,
        cost=offer.cost,
        tried_offers=(*current.tried_offers, offer.id),
    )


def blame(tx: Tx, current: Instance, reason: str) -> None:
    """Notes what failed by the fault of the offer. What failed by its provider's, or by ours, says nothing of it."""
    kind = _FAULTS.get(reason.partition(":")[0])
    if kind is not None:
        catalog.note_offer_failure(tx, current.offer_id, kind, reason)


_FAULTS = {
    "no_capacity": FailureKind.STALE_INVENTORY,
    "boot_failed": FailureKind.INSTANCE_STOPPED,
    "instance_stopped": FailureKind.INSTANCE_STOPPED,
    "login_refused": FailureKind.AUTH_FAILED,
    "api_timeout": FailureKind.UNKNOWN,
    "provisioning_timeout": FailureKind.SSH_TIMEOUT,
    "instance_lost": FailureKind.INSTANCE_VANISHED,
}


def _next_offer(tx: Tx, current: Instance, avoided: str | None) -> Offer | None:
    if current.cluster_id is not None:
        return None  # its cluster stays together
    kind = catalog.get_type(tx, by_loop(current), current.instance_type)
    try:
        if current.boot_volume_id is not None:
            image = catalog.image_on_disk(tx, current.image_id, kind, current.provider)
        else:
            image = catalog.pick_image(tx, current.image_id, kind)
    except Invalid:  # nobody boots it any more, or not on this type
        return None
    for offer in catalog.candidates(
        tx, current.instance_type, current.location, image, is_spot=current.is_spot
    ):
        is_new = offer.id not in current.tried_offers and offer.provider != avoided
        fits = _ends_as_ordered(tx, current, offer) and storage.can_be_at(tx, current, offer.provider)
        will_do = is_new and offer.cost <= current.price and fits
        # It was granted a unit before those who wait now: this one is in exchange. What is kept for somebody is not.
        if will_do and catalog.claim(tx, offer, current.id, in_turn=True):
            return offer
    return None


def _ends_as_ordered(tx: Tx, current: Instance, offer: Offer) -> bool:
    """Whether the offer's provider tells what is to be known to end the instance by itself."""
    kept = store.find_reservation(tx, current.id)
    return kept is None or kept.wanted.idle_s is None or catalog.abilities(tx, offer.provider).reports_use

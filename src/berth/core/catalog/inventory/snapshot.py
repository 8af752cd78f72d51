"""The offers of one moment, ready to be searched. Nothing of it changes: a later moment is another inventory."""

from collections.abc import Callable, Iterable, Mapping

import numpy as np

from berth.base.clock import Instant
from berth.core.catalog.inventory.columns import Columns, Table
from berth.core.catalog.inventory.model import Found, Listed, Order, Seller, Wanted


class Inventory:
    """Every known offer as it was at `taken_at`: those that could be ordered in order, the others to be found by id.

    Confidence, and the order by it, are those of that moment too. While some of it fades with age or failures, a new
    inventory is made every few seconds: faster than anybody could tell, and searching need not know about time.
    """

    def __init__(
        self, offers: Iterable[Listed] = (), *, sellers: Iterable[Seller] = (), taken_at: int = 0
    ) -> None:
        self.taken_at = Instant(taken_at)
        self.sellers: Mapping[str, Seller] = {seller.provider: seller for seller in sellers}
        self._by_id = {offer.id: offer for offer in offers}
        available = [offer for offer in self._by_id.values() if offer.is_available]
        available.sort(key=lambda offer: offer.id)
        table = Table(available)
        confidence, price = -table.ranks["confidence"].astype(np.int64), table.ranks["price"]
        # The last key counts first; what is equal by both stays in the order of the ids.
        sorts = {Order.CONFIDENCE: (price, confidence), Order.PRICE: (confidence, price)}
        self._columns = {order: Columns(table, np.lexsort(keys)) for order, keys in sorts.items()}

    def search(self, wanted: Wanted) -> Found:
        """What matches and could be ordered, a page of it."""
        if wanted.ids is None:
            return self._columns[wanted.order].search(wanted)
        named = [self._by_id[each] for each in wanted.ids if each in self._by_id]
        return scan(named, wanted)

    def find(self, offer_id: str) -> Listed | None:
        """By `Listed.id`. One that can no longer be had is still found for a while, not `is_available`."""
        return self._by_id.get(offer_id)

    def __len__(self) -> int:
        """How many are known, available or not."""
        return len(self._by_id)


def scan(offers: Iterable[Listed], wanted: Wanted) -> Found:
    """The same as a search, by looking at every one: for the few that are named by their ids."""
    matching = [offer for offer in offers if offer.is_available and _matches(offer, wanted)]
    matching.sort(key=_ORDERS[wanted.order])
    end = None if wanted.limit is None else wanted.offset + wanted.limit
    return Found(matching[wanted.offset : end], len(matching) if wanted.counts else None)


_ORDERS: dict[Order, Callable[[Listed], tuple[float | int | str, ...]]] = {
    Order.CONFIDENCE: lambda offer: (-offer.confidence, offer.price, offer.id),
    Order.PRICE: lambda offer: (offer.price, -offer.confidence, offer.id),
}


def _matches(offer: Listed, wanted: Wanted) -> bool:
    return (
        (wanted.provider is None or offer.provider == wanted.provider)
        and (wanted.gpu_type is None or offer.gpu_type == wanted.gpu_type)
        and (wanted.location is None or wanted.location.casefold() in offer.location.casefold())
        and (wanted.min_vram_gb is None or offer.vram_gb >= wanted.min_vram_gb)
        and (wanted.max_price is None or offer.price <= wanted.max_price)
        and (wanted.min_gpu_count is None or offer.gpu_count >= wanted.min_gpu_count)
        and (wanted.gpu_count is None or offer.gpu_count == wanted.gpu_count)
        and (wanted.min_reliability is None or offer.reliability >= wanted.min_reliability)
        and (wanted.min_confidence is None or offer.confidence >= wanted.min_confidence)
        and (
            wanted.min_cuda is None
            or (offer.cuda_version is not None and offer.cuda_version >= wanted.min_cuda)
        )
        and (wanted.ids is None or offer.id in wanted.ids)
        and (wanted.fits is None or wanted.fits(offer))
    )

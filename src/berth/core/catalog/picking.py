"""One offer by the name that shoppers know it by, and others that could take its place."""

from collections.abc import Sequence

from berth.base.db import Tx
from berth.core.catalog import store
from berth.core.catalog.model import Alternative, Offer


def find_offer_named(tx: Tx, provider: str, provider_offer_id: str) -> Offer | None:
    """By its provider's own name for it, whether it is still sold or not; None where nobody ever named it so."""
    return store.find_offer_named(tx, provider, provider_offer_id)


def is_sold_now(tx: Tx, offer: Offer) -> bool:
    """Whether its provider names it still, something of it is free, and it is not set aside."""
    return store.is_sold_now(tx, offer.id)


def alternatives(
    tx: Tx,
    *,
    gpu_model: str | None,
    least_gpu_count: int,
    least_vram_gb: int,
    is_exact: bool,
    max_price: int,
    limit: int,
) -> Sequence[Alternative]:
    """Offers with something free that cost at most `max_price` an hour, cheapest first.

    `gpu_model` None: of any. With `is_exact` they have exactly as many GPUs, of exactly that memory each; else at least.
    """
    found = store.alternatives(
        tx,
        gpu_model=gpu_model,
        least_gpu_count=least_gpu_count,
        least_vram_gb=least_vram_gb,
        is_exact=is_exact,
        max_price=max_price,
        limit=limit,
    )
    kinds = {name: store.find_type(tx, name) for name in {offer.instance_type for offer in found}}
    return [Alternative(offer, kind) for offer in found if (kind := kinds[offer.instance_type]) is not None]

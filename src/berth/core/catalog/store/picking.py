"""Statements that find one offer by its provider's name for it, and others that could take its place."""

from berth.base.db import Tx
from berth.core.catalog.model import Offer
from berth.core.catalog.store import offers

_OFFER = offers.OFFER


def find_offer_named(tx: Tx, provider: str, provider_offer_id: str) -> Offer | None:
    """Listed or not."""
    row = tx.one(
        f"SELECT {_OFFER} FROM offers WHERE provider = :provider AND provider_offer_id = :name",
        provider=provider,
        name=provider_offer_id,
    )
    return None if row is None else offers.offer_of(row)


def is_sold_now(tx: Tx, offer_id: str) -> bool:
    row = tx.one(
        "SELECT 1 FROM offers WHERE id = :id AND is_listed = 1 AND free_units > 0 AND suppressed_until <= :now",
        id=offer_id,
        now=tx.now,
    )
    return row is not None


def alternatives(
    tx: Tx,
    *,
    gpu_model: str | None,
    least_gpu_count: int,
    least_vram_gb: int,
    is_exact: bool,
    max_price: int,
    limit: int,
) -> list[Offer]:
    """What is free now, cheapest first."""
    sizes = "= " if is_exact else ">= "
    model = "" if gpu_model is None else " AND gpu_model = :gpu_model"
    rows = tx.all(
        f"SELECT {_OFFER} FROM offers WHERE instance_type IN (SELECT name FROM instance_types"
        f" WHERE gpu_count {sizes}:gpu_count AND gpu_vram_gb {sizes}:vram_gb{model})"
        " AND is_listed = 1 AND free_units > 0 AND suppressed_until <= :now"
        " AND price_micros_per_hour <= :max_price ORDER BY price_micros_per_hour, id LIMIT :limit",
        gpu_count=least_gpu_count,
        vram_gb=least_vram_gb,
        max_price=max_price,
        limit=limit,
        now=tx.now,
        **({} if gpu_model is None else {"gpu_model": gpu_model}),
    )
    return [offers.offer_of(row) for row in rows]

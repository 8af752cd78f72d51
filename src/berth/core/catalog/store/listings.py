"""Statements that take in what a provider lists: what is known of its offers, and what of that has changed."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from berth.base import ids
from berth.base.clock import Instant
from berth.base.db import Tx
from berth.core.driver import ProviderOffer

_LIMIT = 1_000_000
_CHUNK = 500
"""Rows that one statement names."""


@dataclass(frozen=True, slots=True)
class Listing:
    """One offer as it is to be kept."""

    offer: ProviderOffer
    price: int
    market: str | None
    """JSON of what a marketplace says of it."""
    digest: str
    """Of all but its units: while it stays the same there is nothing else to write."""


@dataclass(frozen=True, slots=True)
class Known:
    """One offer as it is kept. `claimed` units and `spot_claimed` ones the listing cannot have counted."""

    id: str
    digest: str
    is_listed: bool
    free_units: int
    spot_free_units: int | None
    free_syncs: int
    claimed: int
    spot_claimed: int


def _uncounted(is_spot: int) -> str:
    return (
        f"(SELECT COUNT(*) FROM claims WHERE claims.offer_id = offers.id AND is_spot = {is_spot}"
        " AND (counted_at IS NULL OR counted_at >= :counted_before))"
    )


def known_offers(tx: Tx, provider: str, *, counted_before: Instant) -> dict[str, Known]:
    """By the provider's own names, in one statement: units and claims of the same moment."""
    rows = tx.all(
        "SELECT provider_offer_id, id, digest, is_listed, free_units, spot_free_units, free_syncs,"
        f" CASE WHEN was_claimed = 0 THEN 0 ELSE {_uncounted(0)} END,"
        f" CASE WHEN was_claimed = 0 OR spot_free_units IS NULL THEN 0 ELSE {_uncounted(1)} END"
        f" FROM offers WHERE provider = :provider LIMIT {_LIMIT}",
        provider=provider,
        counted_before=counted_before,
    )
    return {row[0]: Known(row[1], row[2], bool(row[3]), *row[4:]) for row in rows}


def lock_offers(tx: Tx, offer_ids: Collection[str]) -> None:
    """No unit of them is taken or given until the commit.

    Statements of their own, so that those after them see every claim that was made before.
    """
    if not tx.for_update:
        return
    for chunk in _chunks(sorted(offer_ids)):
        names = {f"id_{number}": offer_id for number, offer_id in enumerate(chunk)}
        marks = ", ".join(f":{name}" for name in names)
        tx.all(f"SELECT 1 FROM offers WHERE id IN ({marks}) ORDER BY id{tx.for_update}", **names)


def _left(column: str, *, is_spot: int) -> str:
    """What a listing counts as free, less what was claimed of it and cannot be counted yet."""
    claimed = _uncounted(is_spot)
    return f"CASE WHEN excluded.{column} > {claimed} THEN excluded.{column} - {claimed} ELSE 0 END"


def upsert_offers(tx: Tx, provider: str, listings: Collection[Listing], *, counted_before: Instant) -> None:
    """Units claimed but not yet counted by the provider's listing are taken off what it reports."""
    if not listings:
        return
    tx.run_many(
        "INSERT INTO offers (id, provider, provider_offer_id, instance_type, location, price_micros_per_hour,"
        " spot_price_micros_per_hour, cost_micros_per_hour, free_units, is_simulated, suppressed_until, observed_at,"
        " spot_cost_micros_per_hour, spot_free_units, is_listed, free_syncs, market, digest, changed_at, was_claimed)"
        " VALUES (:id, :provider, :provider_offer_id, :instance_type, :location, :price, :spot_price, :cost,"
        " :free_units, :is_simulated, 0, :now, :spot_cost, :spot_free_units, 1, :free_syncs, :market, :digest, :now, 0)"
        " ON CONFLICT (provider, provider_offer_id) DO UPDATE SET instance_type = excluded.instance_type,"
        " location = excluded.location, price_micros_per_hour = excluded.price_micros_per_hour,"
        " spot_price_micros_per_hour = excluded.spot_price_micros_per_hour,"
        " spot_cost_micros_per_hour = excluded.spot_cost_micros_per_hour,"
        " cost_micros_per_hour = excluded.cost_micros_per_hour,"
        " is_simulated = excluded.is_simulated, observed_at = excluded.observed_at, is_listed = 1,"
        " market = excluded.market, digest = excluded.digest,"
        " changed_at = CASE WHEN offers.digest <> excluded.digest OR offers.is_listed = 0 THEN excluded.changed_at"
        " ELSE offers.changed_at END,"
        " free_syncs = CASE WHEN excluded.free_units = 0 THEN 0 WHEN offers.free_syncs < 2"
        " THEN offers.free_syncs + 1 ELSE offers.free_syncs END,"
        f" free_units = {_left('free_units', is_spot=0)},"
        " spot_free_units = CASE WHEN excluded.spot_free_units IS NULL THEN NULL"
        f" ELSE {_left('spot_free_units', is_spot=1)} END",
        [_values(tx, provider, listing, counted_before) for listing in listings],
    )


def unlist_offers(tx: Tx, offer_ids: Collection[str]) -> None:
    if offer_ids:
        tx.run_many(
            "UPDATE offers SET is_listed = 0, changed_at = :now WHERE id = :id",
            [{"id": offer_id, "now": tx.now} for offer_id in sorted(offer_ids)],
        )


def forget_offers(tx: Tx, *, before: Instant, limit: int) -> int:
    """Deletes offers of marketplaces that nobody ever took, that none has failed with, and not listed since `before`."""
    return tx.run(
        "DELETE FROM offers WHERE id IN (SELECT id FROM offers WHERE is_listed = 0 AND market IS NOT NULL"
        " AND was_claimed = 0 AND changed_at < :before AND NOT EXISTS"
        " (SELECT 1 FROM offer_failures WHERE offer_failures.offer_id = offers.id) ORDER BY changed_at LIMIT :limit)"
        # Once more, on the row as it is now: it may have been taken meanwhile.
        " AND was_claimed = 0 AND is_listed = 0",
        before=before,
        limit=limit,
    )


def _values(tx: Tx, provider: str, listing: Listing, counted_before: Instant) -> dict[str, object]:
    offer = listing.offer
    return {
        "id": ids.new(tx.now),
        "provider": provider,
        "provider_offer_id": offer.provider_offer_id,
        "instance_type": offer.hardware.name,
        "location": offer.place.code,
        "price": listing.price,
        "spot_price": offer.spot_price_micros_per_hour,
        "spot_cost": offer.spot_cost_micros_per_hour,
        "cost": offer.cost_micros_per_hour,
        "free_units": offer.free_units,
        "spot_free_units": offer.spot_free_units,
        "is_simulated": int(offer.is_simulated),
        "free_syncs": int(offer.free_units > 0),
        "market": listing.market,
        "digest": listing.digest,
        "now": tx.now,
        "counted_before": counted_before,
    }


def _chunks(each: Sequence[str]) -> Iterator[Sequence[str]]:
    remaining = iter(each)
    while chunk := tuple(islice(remaining, _CHUNK)):
        yield chunk

"""Statements that the inventory is taken from: what every offer is like now, and all of those that have changed."""

from collections.abc import Sequence

from berth.base.clock import Instant
from berth.base.db import Row, Tx

_LIMIT = 2_000_000
_CHUNK = 500
_FACTS = (
    "id, digest, provider, provider_offer_id, instance_type, location, price_micros_per_hour,"
    " cost_micros_per_hour, is_simulated, market, changed_at"
)


def offer_marks(tx: Tx, *, unlisted_since: Instant) -> list[Row]:
    """(id, digest, free units, suppressed until, is listed) of what is listed, or was until lately."""
    return tx.all(
        "SELECT id, digest, free_units, suppressed_until, is_listed FROM offers"
        f" WHERE is_listed = 1 OR changed_at > :since LIMIT {_LIMIT}",
        since=unlisted_since,
    )


def offer_facts(tx: Tx, offer_ids: Sequence[str]) -> list[Row]:
    """What stays the same while the digest does, and when the offer was first or last seen with it."""
    rows: list[Row] = []
    for start in range(0, len(offer_ids), _CHUNK):
        names = {f"id_{number}": each for number, each in enumerate(offer_ids[start : start + _CHUNK])}
        marks = ", ".join(f":{name}" for name in names)
        rows += tx.all(f"SELECT {_FACTS} FROM offers WHERE id IN ({marks})", **names)
    return rows


def providers_seen(tx: Tx) -> list[tuple[str, Instant | None, str | None]]:
    """(name, when it said last what it sells, why it could not be asked)."""
    rows = tx.all("SELECT name, refreshed_at, failure FROM providers ORDER BY name LIMIT 1000")
    return [(row[0], row[1], row[2]) for row in rows]

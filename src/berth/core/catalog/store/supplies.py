"""Statements that add offers up: few rows, however many offers there are."""

from berth.base.db import Tx
from berth.core.catalog.model import Supply

_LIMIT = 100_000
_USABLE = "suppressed_until <= :now"
_HAS_FREE = f"free_units > 0 AND {_USABLE}"


def supplies(tx: Tx, *, instance_type: str | None = None, location: str | None = None) -> list[Supply]:
    """What is listed, by type and location, in their order."""
    conditions = ["is_listed = 1"]
    values: dict[str, object] = {"now": tx.now}
    for column, value in (("instance_type", instance_type), ("location", location)):
        if value is not None:
            conditions.append(f"{column} = :{column}")
            values[column] = value
    observed = []
    for number, (provider, refreshed_at) in enumerate(_refreshed(tx)):
        observed.append(f" WHEN :provider_{number} THEN CAST(:at_{number} AS BIGINT)")
        values |= {f"provider_{number}": provider, f"at_{number}": refreshed_at}
    observed_at = f"CASE provider{''.join(observed)} ELSE 0 END" if observed else "0"
    rows = tx.all(
        "SELECT instance_type, location,"
        f" CAST(SUM(CASE WHEN {_USABLE} THEN free_units ELSE 0 END) AS BIGINT),"
        f" COALESCE(MIN(CASE WHEN {_HAS_FREE} THEN price_micros_per_hour END), MIN(price_micros_per_hour)),"
        f" CASE WHEN MAX(CASE WHEN {_HAS_FREE} THEN 1 ELSE 0 END) = 1"
        f" THEN MIN(CASE WHEN {_HAS_FREE} THEN spot_price_micros_per_hour END)"
        " ELSE MIN(spot_price_micros_per_hour) END,"
        f" MAX({observed_at}), MIN(is_simulated),"
        f" MAX(CASE WHEN {_USABLE} AND spot_price_micros_per_hour IS NOT NULL AND spot_free_units > 0"
        " THEN 1 ELSE 0 END),"
        f" MAX(CASE WHEN {_HAS_FREE} AND spot_price_micros_per_hour IS NOT NULL AND spot_free_units IS NULL"
        " THEN 1 ELSE 0 END)"
        f" FROM offers WHERE {' AND '.join(conditions)} GROUP BY instance_type, location"
        f" ORDER BY instance_type, location LIMIT {_LIMIT}",
        **values,
    )
    return [Supply(*row[:6], *map(bool, row[6:])) for row in rows]


def sellers(tx: Tx) -> list[tuple[str, str, str]]:
    """(type, provider, location) of what is listed."""
    rows = tx.all(
        "SELECT DISTINCT instance_type, provider, location FROM offers WHERE is_listed = 1"
        f" ORDER BY instance_type, provider, location LIMIT {_LIMIT}"
    )
    return [(row[0], row[1], row[2]) for row in rows]


def _refreshed(tx: Tx) -> list[tuple[str, int]]:
    rows = tx.all(
        "SELECT name, refreshed_at FROM providers WHERE refreshed_at IS NOT NULL ORDER BY name LIMIT 1000"
    )
    return [(row[0], row[1]) for row in rows]

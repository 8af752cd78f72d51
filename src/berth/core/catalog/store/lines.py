"""Statements of the lines in which people wait for a type in a location; location '' is the line for any."""

from berth.base.db import Tx

_LIMIT = 100_000
_SELLABLE = "is_listed = 1 AND free_units > 0 AND suppressed_until <= :now"
PROVEN_SYNCS = 2
"""Listings in a row that said that something is free, before it is believed."""


def take_unwaited_unit(tx: Tx, offer_id: str) -> bool:
    """As `take_unit`, but only where nobody waits: one statement, so that nothing can come between."""
    return (
        tx.run(
            "UPDATE offers SET free_units = free_units - 1, was_claimed = 1 WHERE id = :id AND free_units > 0 AND NOT EXISTS"
            " (SELECT 1 FROM waiting_lines WHERE waiting_lines.instance_type = offers.instance_type"
            " AND waiting_lines.location IN (offers.location, '') AND owed + reserved > 0)",
            id=offer_id,
        )
        == 1
    )


def lock_line(tx: Tx, instance_type: str) -> None:
    """Until the commit nobody else joins, leaves or is granted anything in the lines for the type."""
    tx.run(
        "INSERT INTO waiting_lines (instance_type, location, length, owed, reserved) VALUES (:type, '', 0, 0, 0)"
        " ON CONFLICT (instance_type, location) DO NOTHING",
        type=instance_type,
    )
    tx.one(
        "SELECT 1 FROM waiting_lines WHERE instance_type = :type AND location = ''" + tx.for_update,
        type=instance_type,
    )


def count_in_line(tx: Tx, instance_type: str, location: str, length: int, owed: int, reserved: int) -> None:
    tx.run(
        "INSERT INTO waiting_lines (instance_type, location, length, owed, reserved)"
        " VALUES (:type, :location, :length, :owed, :reserved) ON CONFLICT (instance_type, location) DO UPDATE"
        " SET length = waiting_lines.length + excluded.length, owed = waiting_lines.owed + excluded.owed,"
        " reserved = waiting_lines.reserved + excluded.reserved",
        type=instance_type,
        location=location,
        length=length,
        owed=owed,
        reserved=reserved,
    )


def list_lines(tx: Tx, *, instance_type: str | None = None) -> list[tuple[str, str, int, int, int]]:
    """(type, location, length, owed, reserved) of each line somebody stands in."""
    condition = "" if instance_type is None else " AND instance_type = :type"
    rows = tx.all(
        "SELECT instance_type, location, length, owed, reserved FROM waiting_lines"
        f" WHERE length + owed + reserved > 0{condition} ORDER BY instance_type, location LIMIT {_LIMIT}",
        **({} if instance_type is None else {"type": instance_type}),
    )
    return [(row[0], row[1], row[2], row[3], row[4]) for row in rows]


def free_units(tx: Tx, instance_type: str, location: str) -> int:
    """What could be sold there now if nobody waited."""
    row = tx.one(
        "SELECT CAST(COALESCE(SUM(free_units), 0) AS BIGINT) FROM offers"
        f" WHERE instance_type = :type AND location = :location AND {_SELLABLE}",
        type=instance_type,
        location=location,
        now=tx.now,
    )
    return 0 if row is None else row[0]


def is_proven(tx: Tx, instance_type: str, location: str) -> bool:
    row = tx.one(
        f"SELECT 1 FROM offers WHERE instance_type = :type AND location = :location AND {_SELLABLE}"
        " AND free_syncs >= :proven LIMIT 1",
        type=instance_type,
        location=location,
        now=tx.now,
        proven=PROVEN_SYNCS,
    )
    return row is not None


def set_free_syncs(tx: Tx, offer_id: str, count: int) -> None:
    tx.run("UPDATE offers SET free_syncs = :count WHERE id = :id", id=offer_id, count=count)


def pairs_with_units(tx: Tx) -> list[tuple[str, str]]:
    """(type, location) where somebody stands in line and a unit is free."""
    rows = tx.all(
        "SELECT DISTINCT o.instance_type, o.location FROM waiting_lines l JOIN offers o"
        " ON o.instance_type = l.instance_type AND (l.location = o.location OR l.location = '')"
        " WHERE l.length > 0 AND o.is_listed = 1 AND o.free_units > 0 AND o.suppressed_until <= :now"
        f" ORDER BY o.instance_type, o.location LIMIT {_LIMIT}",
        now=tx.now,
    )
    return [(row[0], row[1]) for row in rows]


def places_of(tx: Tx, instance_type: str) -> list[str]:
    rows = tx.all(
        "SELECT DISTINCT location FROM offers WHERE instance_type = :type AND is_listed = 1"
        f" ORDER BY location LIMIT {_LIMIT}",
        type=instance_type,
    )
    return [row[0] for row in rows]

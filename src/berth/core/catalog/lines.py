"""The lines in which people wait for a type in a location: only how many, never who.

Whoever keeps the entries counts them in and out here, under the lock of the type. A unit is *owed* to everyone
who waits and could take it, and *reserved* for whoever was told to come; only what is beyond both is spare.
"""

from collections.abc import Sequence

from berth.base.db import Tx
from berth.core.catalog import store
from berth.core.catalog.model import Line

ANYWHERE = ""
"""The line of those who take any location; it counts in every location."""
_NOBODY = Line(0, 0, 0)


def lock_line(tx: Tx, instance_type: str) -> None:
    """Until the commit nobody else joins, leaves or is granted anything in the lines for the type.

    Taken after an instance's row and before projects, entries, offers and accounts.
    """
    store.lock_line(tx, instance_type)


def count_in_line(tx: Tx, instance_type: str, location: str, change: Line) -> None:
    """Adds `change` to one line; the caller holds its lock."""
    store.count_in_line(tx, instance_type, location, change.length, change.owed, change.reserved)


def line(tx: Tx, instance_type: str, location: str) -> Line:
    """Who counts for a unit there: the line of the location and the one for any."""
    return lines(tx, instance_type=instance_type).at(instance_type, location)


def lines(tx: Tx, *, instance_type: str | None = None) -> "Lines":
    """All lines, to be asked by type and location."""
    return Lines(store.list_lines(tx, instance_type=instance_type))


def all_lines(tx: Tx) -> Sequence[tuple[str, str, int, int, int]]:
    """(type, location, length, owed, reserved) of each line that somebody stands in, to be checked."""
    return store.list_lines(tx)


def spare_units(tx: Tx, instance_type: str, location: str) -> int:
    """What anybody may take there now; negative when more is owed than there is."""
    there = line(tx, instance_type, location)
    return store.free_units(tx, instance_type, location) - there.owed - there.reserved


def units_to_grant(tx: Tx, instance_type: str, location: str) -> int:
    """What those in line may be given there now: all that is free and reserved for nobody."""
    return store.free_units(tx, instance_type, location) - line(tx, instance_type, location).reserved


def is_proven(tx: Tx, instance_type: str, location: str) -> bool:
    """Whether what is free there was so in two listings, or was given back by an instance that had it."""
    return store.is_proven(tx, instance_type, location)


def pairs_with_units(tx: Tx) -> Sequence[tuple[str, str]]:
    """(type, location) where somebody stands in line and something is free."""
    return store.pairs_with_units(tx)


def places_of(tx: Tx, instance_type: str) -> Sequence[str]:
    """Where the type is listed, sold out or not."""
    return store.places_of(tx, instance_type)


class Lines:
    """Lines as they were read, each location's joined with the one for any."""

    def __init__(self, rows: Sequence[tuple[str, str, int, int, int]]) -> None:
        self._lines = {(kind, location): Line(*counts) for kind, location, *counts in rows}

    def at(self, instance_type: str, location: str) -> Line:
        here = self._lines.get((instance_type, location), _NOBODY)
        anywhere = self._lines.get((instance_type, ANYWHERE), _NOBODY)
        return Line(
            here.length + anywhere.length, here.owed + anywhere.owed, here.reserved + anywhere.reserved
        )

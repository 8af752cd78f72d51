"""Periods that somebody can bind themselves for, and what that takes off a price. Pure."""

from dataclasses import dataclass
from datetime import UTC, date, datetime
from enum import StrEnum

from berth.base.clock import DAY, HOUR, Instant
from berth.base.money import Micros

_EPOCH_DAYS = datetime(1970, 1, 1, tzinfo=UTC).toordinal()
_MONTHS = 12
_PERCENT = 100


class Unit(StrEnum):
    HOUR = "hour"
    DAY = "day"
    WEEK = "week"
    MONTH = "month"
    YEAR = "year"


_LENGTHS = {Unit.HOUR: HOUR, Unit.DAY: DAY, Unit.WEEK: 7 * DAY}


@dataclass(frozen=True, slots=True)
class Period:
    """So long, for so much less."""

    code: str
    """For example `3_MONTHS`."""
    name: str
    unit: Unit
    unit_value: int
    """How many units."""
    discount_percentage: int
    """What is taken off the list price, 0 to 100."""
    is_enabled: bool = True
    """False: nobody can order it any more."""


PERIODS = (
    Period("1_MONTH", "1 month", Unit.MONTH, 1, 8),
    Period("3_MONTHS", "3 months", Unit.MONTH, 3, 14),
    Period("6_MONTHS", "6 months", Unit.MONTH, 6, 20),
    Period("1_YEAR", "1 year", Unit.YEAR, 1, 27),
    Period("2_YEARS", "2 years", Unit.YEAR, 2, 33),
)
"""What is sold unless the operator says otherwise."""


def discounted(price_micros: int, percentage: int) -> Micros:
    """The price less `percentage` of it, rounded half up."""
    return Micros((price_micros * (_PERCENT - percentage) + _PERCENT // 2) // _PERCENT)


def ends_at(since: Instant, unit: Unit, unit_value: int, *, terms: int = 1) -> Instant:
    """When the last of `terms` periods in a row ends that began at `since`.

    A month ends at the same time of the same day of the month, or on the month's last day where it has no such.
    """
    count = unit_value * terms
    if unit in _LENGTHS:
        return Instant(since + count * _LENGTHS[unit])
    days, time_of_day = divmod(since, DAY)
    return Instant(_months_later(days, count * (_MONTHS if unit is Unit.YEAR else 1)) * DAY + time_of_day)


def _months_later(days: int, months: int) -> int:
    began = date.fromordinal(_EPOCH_DAYS + days)
    year, month = divmod(began.year * _MONTHS + began.month - 1 + months, _MONTHS)
    following = date(year + (month + 1) // _MONTHS, (month + 1) % _MONTHS + 1, 1)
    last = date.fromordinal(following.toordinal() - 1)
    return last.replace(day=min(began.day, last.day)).toordinal() - _EPOCH_DAYS

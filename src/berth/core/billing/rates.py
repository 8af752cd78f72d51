"""What a stretch of time costs: pure integers, differences of cumulative totals, so nothing ever drifts."""

from berth.base.clock import HOUR, SECOND, Instant
from berth.base.money import Micros

TICK_S = 600
"""A running subject is charged each time it has used this many more seconds, counted from its own start."""
MINIMUM_S = 600
"""The least that a subject pays for once it has run at all."""
MONTH_S = 730 * 3600
"""Seconds of the month that prices of storage are for."""
STORAGE_GRACE = 600 * SECOND
"""A tick so soon after a volume's start is left to the next one: a start that commits while a sweep runs, or by a
clock that is behind, is not passed over."""
_HOUR_S = 3600


def total(price_micros_per_hour: int, seconds: int) -> Micros:
    """The exact price of `seconds` in all, rounded half up once."""
    return Micros((price_micros_per_hour * seconds + _HOUR_S // 2) // _HOUR_S)


def seconds_for(price_micros_per_hour: int, amount: int) -> int:
    """The fewest seconds that cost `amount` or more. The price is more than zero."""
    return max(0, -((_HOUR_S // 2 - amount * _HOUR_S) // price_micros_per_hour))


def minimum(price_micros_per_hour: int, seconds: int) -> Micros:
    """What is added when `seconds` fall short of the minimum."""
    if seconds >= MINIMUM_S:
        return Micros(0)
    return Micros(total(price_micros_per_hour, MINIMUM_S) - total(price_micros_per_hour, seconds))


def monthly(micros_per_month: int, seconds: int) -> Micros:
    """The exact price of `seconds` of storage, rounded half up once."""
    return Micros((micros_per_month * seconds + MONTH_S // 2) // MONTH_S)


def hourly(micros_per_month: int) -> int:
    """For people, rounded half up; nothing is charged by it."""
    return (micros_per_month + 365) // 730


def storage_paid_s(started_at: Instant, phase: int, at: Instant) -> int:
    """Seconds of a stretch of storage that the ticks up to `at` have charged."""
    ticked_at = at - (at - phase) % HOUR
    return (ticked_at - started_at) // SECOND if ticked_at - started_at >= STORAGE_GRACE else 0

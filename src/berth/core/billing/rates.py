"""What a stretch of time costs: pure integers, differences of cumulative totals, so nothing ever drifts."""

from berth.base.money import Micros

TICK_S = 600
"""A running subject is charged each time it has used this many more seconds, counted from its own start."""
MINIMUM_S = 600
"""The least that a subject pays for once it has run at all."""
_HOUR_S = 3600


def total(price_micros_per_hour: int, seconds: int) -> Micros:
    """The exact price of `seconds` in all, rounded half up once."""
    return Micros((price_micros_per_hour * seconds + _HOUR_S // 2) // _HOUR_S)


def minimum(price_micros_per_hour: int, seconds: int) -> Micros:
    """What is added when `seconds` fall short of the minimum."""
    if seconds >= MINIMUM_S:
        return Micros(0)
    return Micros(total(price_micros_per_hour, MINIMUM_S) - total(price_micros_per_hour, seconds))

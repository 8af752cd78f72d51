"""Costs: dates as windows, and sums in this API's words."""

from collections.abc import Mapping
from datetime import date
from decimal import ROUND_HALF_UP, Decimal

from berth.base import clock
from berth.base.clock import DAY, Instant
from berth.base.money import Micros
from berth.core.errors import Invalid
from berth.core.reports import Costs
from berth.faces.shopper import words
from berth.faces.shopper.costs import wire

_EPOCH = date(1970, 1, 1).toordinal()
_FIRST_DAY = (date.min.toordinal() - _EPOCH) * DAY
"""No day, and no month, comes before it."""
_MORE_THAN_A_MONTH = 32 * DAY
_LAST_YEAR = 9998
"""The month after the one that a date is in must be one too."""
_HOUR_S = 3600
_SHOWN_HOURS = Decimal("0.0001")
"""A second is more than two of these, so that none is lost."""

Window = tuple[Instant, Instant]


def window(query: wire.CostsQuery, now: Instant) -> Window:
    """The first instant that counts and the first that no longer does. Raises Invalid naming the parameter."""
    if query.period == "daily":
        start = Instant(now - now % DAY)
        return start, Instant(start + DAY)
    if query.period == "monthly" or not (query.start_date or query.end_date):
        return month(now)
    if not query.end_date:
        first = _date("start_date", query.start_date)
        return first, month(first)[1]
    end = _date("end_date", query.end_date)
    if end <= _FIRST_DAY:
        raise Invalid(
            "invalid_field", "end_date must be after 0001-01-01", field="end_date", sent=query.end_date
        )
    if not query.start_date:
        # An end on the first of a month is the end of the month before it.
        return clock.month_start(Instant(end - DAY)), end
    start = _date("start_date", query.start_date)
    if start >= end:
        raise Invalid(
            "invalid_field",
            f"end_date must be after start_date, which is {query.start_date}",
            field="end_date",
            sent=query.end_date,
        )
    return start, end


def month(at: Instant) -> Window:
    """The calendar month of `at`, UTC."""
    start = clock.month_start(at)
    return start, clock.month_start(Instant(start + _MORE_THAN_A_MONTH))


def summary(consumer: str, costs: Costs, shown: Window) -> wire.CostSummary:
    return wire.CostSummary(
        consumer_id=consumer,
        total_cost=words.price(costs.total),
        session_count=costs.sessions,
        hours_used=hours(costs.used_s),
        by_provider=_prices(costs.by_provider),
        by_gpu_type=_prices(costs.by_gpu_type),
        period_start=words.time(shown[0]),
        period_end=words.time(shown[1]),
    )


def hours(seconds: int) -> Decimal:
    """To the ten thousandth, rounded half up, without trailing zeros."""
    exact = (Decimal(seconds) / _HOUR_S).quantize(_SHOWN_HOURS, rounding=ROUND_HALF_UP)
    whole = exact.to_integral_value()
    return whole if exact == whole else exact.normalize()


def _prices(amounts: Mapping[str, Micros]) -> dict[str, Decimal]:
    return {name: words.price(amount) for name, amount in amounts.items()}


def _date(name: str, text: str) -> Instant:
    """Midnight, UTC, when that day begins."""
    try:
        day = date.fromisoformat(text)
    except ValueError:
        day = None
    if day is None or day.isoformat() != text or day.year > _LAST_YEAR:
        raise Invalid("invalid_field", f"{name} must be a date as YYYY-MM-DD", field=name, sent=text)
    return Instant((day.toordinal() - _EPOCH) * DAY)

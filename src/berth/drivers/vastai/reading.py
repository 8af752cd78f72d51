"""Reads members of the provider's answers. Pure; what is missing or of another type reads as nothing.

Amounts come as JSON numbers in dollars, read as decimals, and become whole micro-dollars without a float in between.
"""

from collections.abc import Mapping, Sequence
from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal, DecimalException
from typing import Any

Json = Mapping[str, Any]

_EXACT = Context(prec=40)
_MICROS = 1_000_000
_MOST = Decimal(10**12)
"""Beyond this no number of theirs means anything."""


def rows(answer: object) -> Sequence[Json]:
    """The objects of a list."""
    return [each for each in answer if isinstance(each, Mapping)] if isinstance(answer, list) else ()


def part(row: Json, member: str) -> Json:
    value = row.get(member)
    return value if isinstance(value, Mapping) else {}


def text(row: Json, member: str) -> str:
    """A member that is text, without white space around it; some answers have line ends there."""
    value = row.get(member)
    return value.strip() if isinstance(value, str) else ""


def number(value: object) -> Decimal | None:
    """A number, also one that comes as text; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, str | int | float | Decimal):
        return None
    try:
        exact = Decimal(str(value).strip())
    except DecimalException:
        return None
    return exact if exact.is_finite() and abs(exact) <= _MOST else None


def whole(value: object) -> int:
    """A number without what is behind its point; 0 for anything else."""
    return int(number(value) or 0)


def micros(dollars: object) -> int | None:
    """A price or cost, in whole micro-dollars, rounded up; None for what is no amount."""
    exact = number(dollars)
    if exact is None or exact < 0:
        return None
    return int((_EXACT.multiply(exact, _MICROS)).to_integral_value(rounding=ROUND_CEILING))


def balance_micros(dollars: object) -> int | None:
    """What an account has, less than nothing included, rounded down."""
    exact = number(dollars)
    if exact is None:
        return None
    return int((_EXACT.multiply(exact, _MICROS)).to_integral_value(rounding=ROUND_FLOOR))


def instant(seconds: object) -> int | None:
    """A moment given in seconds since the epoch, in microseconds; None without one."""
    exact = number(seconds)
    return int(exact * _MICROS) if exact is not None and exact > 0 else None

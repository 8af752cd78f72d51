"""Money: whole micro-dollars (10^-6 USD). Never a float, not even on the way to the wire."""

from decimal import (
    ROUND_HALF_UP,
    Context,
    Decimal,
    DecimalException,
    Inexact,
    InvalidOperation,
    Overflow,
    Underflow,
)
from typing import NewType

Micros = NewType("Micros", int)
"""Micro-dollars: 1 USD = 1_000_000."""

USD = 1_000_000
MAX_MICROS = 10**15
"""A billion dollars: a bound on any single amount, far inside 64 bits even when summed."""
_EXACT = Context(prec=40, traps=[InvalidOperation, Inexact, Overflow, Underflow])
"""Refuses what it would have to round."""


def from_usd(text: str) -> Micros:
    """Reads a decimal amount of dollars such as `12.5`. Raises ValueError if it is not exact in micros."""
    try:
        scaled = _EXACT.create_decimal(text).scaleb(6, _EXACT)
    except DecimalException:
        raise ValueError(f"not an amount of dollars: {text!r}") from None
    if not scaled.is_finite() or scaled != scaled.to_integral_value():
        raise ValueError(f"not an exact amount of micro-dollars: {text!r}")
    if abs(scaled) > MAX_MICROS:
        raise ValueError(f"amount out of range: {text!r}")
    return Micros(int(scaled))


def usd(micros: int) -> Decimal:
    """The exact number of dollars, without trailing zeros, for a JSON number."""
    value = Decimal(micros).scaleb(-6)
    whole = value.to_integral_value()
    return whole if value == whole else value.normalize()


def cents(micros: int) -> int:
    """Whole cents, rounded half up (half away from zero below zero)."""
    return int((Decimal(micros) / 10_000).quantize(Decimal(1), rounding=ROUND_HALF_UP))


def show(micros: int) -> str:
    """`$12.50` for people: at least two, at most six decimals."""
    sign = "-" if micros < 0 else ""
    whole, fraction = divmod(abs(micros), USD)
    digits = f"{fraction:06d}".rstrip("0").ljust(2, "0")
    return f"{sign}${whole}.{digits}"

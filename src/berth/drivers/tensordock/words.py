"""Members of TensorDock's JSON, whatever is really in them. Pure; unknown and missing members are tolerated."""

from collections.abc import Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any

Json = Mapping[str, Any]

_MICROS = 1_000_000
_MOST = 1_000_000_000


def rows(value: object) -> Sequence[Json]:
    """The objects of a list; none where it is no list."""
    return [each for each in value if isinstance(each, Mapping)] if isinstance(value, list) else ()


def part(row: Json, member: str) -> Json:
    value = row.get(member)
    return value if isinstance(value, Mapping) else {}


def text(row: Json, member: str) -> str:
    """A member that is text, or a number as text; empty for anything else."""
    value = row.get(member)
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return value.strip() if isinstance(value, str) else ""


def whole(value: object) -> int:
    """A number from 0 up that may come as text or with a point, rounded down; 0 for anything else."""
    exact = number(value)
    return 0 if exact is None else int(exact)


def number(value: object) -> Decimal | None:
    """A number from 0 up that may come as text; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, str | int | float | Decimal):
        return None
    try:
        exact = Decimal(str(value))
    except InvalidOperation:
        return None
    return exact if exact.is_finite() and 0 <= exact <= _MOST else None


def micros(dollars: Decimal) -> int:
    """In whole micro-dollars, rounded up."""
    return int((dollars * _MICROS).to_integral_value(rounding="ROUND_CEILING"))

"""Which hosts a template runs on, by its `extra_filters`: JSON of property to operator to value.

Pure. What a host does not say of itself it is not measured by; what cannot be read fits nothing.
"""

import json
from collections.abc import Callable, Mapping
from functools import lru_cache
from math import isfinite
from typing import Any, NoReturn

Value = str | int | float | bool
Clauses = tuple[tuple[str, str, Any], ...]
"""Property, operator, value: all of them have to hold."""

_LONGEST = 20_000
_NEXT_VERSION = 0.1
OPERATORS = ("eq", "neq", "gt", "gte", "lt", "lte", "in", "notin")


@lru_cache(4096)
def parse(text: str) -> Clauses | None:
    """The clauses in `text`: none where it is empty or `null`. None where it is nothing that a template may say."""
    if len(text) > _LONGEST:
        return None
    if not text.strip():
        return ()
    try:
        found = json.loads(text, parse_constant=_no_number)
    except (ValueError, RecursionError):
        return None
    if found is None:
        return ()
    if not isinstance(found, dict):
        return None
    clauses = []
    for name, conditions in found.items():
        if not isinstance(conditions, dict):
            return None
        for operator, value in conditions.items():
            if operator not in OPERATORS or (operator in {"in", "notin"}) != isinstance(value, list):
                return None
            clauses.append((name, operator, value))
    return tuple(clauses)


def fits(clauses: Clauses, host: Mapping[str, Value]) -> bool:
    """Whether every clause holds of which the host says the property."""
    return all(holds(host[name], operator, value) for name, operator, value in clauses if name in host)


@lru_cache(4096)
def fitting(text: str) -> Callable[[Mapping[str, Value]], bool]:
    """Whether a host fits, for many hosts: the same object for the same filters."""
    clauses = parse(text)
    return lambda host: clauses is not None and fits(clauses, host)


def holds(ours: Value, operator: str, wanted: Any) -> bool:
    """One clause, of a property that the host has."""
    match operator:
        case "in":
            return any(_is_same(ours, each) for each in wanted)
        case "notin":
            return not any(_is_same(ours, each) for each in wanted)
        case "eq":
            return _is_same(ours, wanted)
        case "neq":
            return not _is_same(ours, wanted)
        case _:
            return _is_ordered(ours, operator, wanted)


def least_cuda(clauses: Clauses) -> float | None:
    """The oldest CUDA that a template asks for: above a version means from the next one on."""
    bounds = []
    for name, operator, value in clauses:
        number = _number(value)
        if name == "cuda_max_good" and operator in {"gt", "gte"} and number is not None:
            bounds.append(round(number + _NEXT_VERSION, 4) if operator == "gt" else number)
    return max(bounds, default=None)


def _is_same(ours: Value, wanted: Any) -> bool:
    if isinstance(ours, str) and isinstance(wanted, str):
        return ours == wanted
    left, right = _number(ours), _number(wanted)
    return left is not None and left == right


def _is_ordered(ours: Value, operator: str, wanted: Any) -> bool:
    left: Any = ours
    right: Any = wanted
    if not (isinstance(ours, str) and isinstance(wanted, str)):
        left, right = _number(ours), _number(wanted)
        if left is None or right is None:
            return False
    match operator:
        case "gt":
            return bool(left > right)
        case "gte":
            return bool(left >= right)
        case "lt":
            return bool(left < right)
        case _:
            return bool(left <= right)


def _number(value: Any) -> float | None:
    """Numbers, truths, and text that says one of them: some hosts give the count of their GPUs as text."""
    if isinstance(value, str) and value.lower() in {"true", "false"}:
        return float(value.lower() == "true")
    if not isinstance(value, str | int | float):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if isfinite(number) else None


def _no_number(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON")

"""Filters as the service understands them: numbers and text are taken for each other."""

from collections.abc import Mapping
from typing import Any

OPERATORS = {"eq", "neq", "gt", "gte", "lt", "lte", "in", "notin"}
_SCOPES = {"datacenter", "order", "type", "limit", "allocated_storage", "disable_bundling", "extra_ids"}


def is_understood(filters: Mapping[str, Any]) -> bool:
    return all(
        isinstance(clause, Mapping) and set(clause) <= OPERATORS
        for member, clause in filters.items()
        if member not in _SCOPES
    )


def matches(row: Mapping[str, Any], filters: Mapping[str, Any]) -> bool:
    return all(
        _holds(_value(row, member), operator, wanted)
        for member, clause in filters.items()
        if member not in _SCOPES
        for operator, wanted in clause.items()
    )


def _value(row: Mapping[str, Any], member: str) -> Any:
    if member == "id" and "ask_contract_id" in row:
        return None  # as observed: a search by this finds nothing
    if member == "geolocation":
        return str(row.get(member) or "").rpartition(", ")[2]
    return row.get(member)


def _holds(value: Any, operator: str, wanted: Any) -> bool:
    if operator in {"in", "notin"}:
        return any(_same(value, each) for each in wanted) == (operator == "in")
    if operator in {"eq", "neq"}:
        return _same(value, wanted) == (operator == "eq")
    one, other = _number(value), _number(wanted)
    if one is None or other is None:
        return False
    return {"gt": one > other, "gte": one >= other, "lt": one < other, "lte": one <= other}[operator]


def _same(value: Any, wanted: Any) -> bool:
    one, other = _number(value), _number(wanted)
    if one is not None and other is not None:
        return one == other
    return (value or None) == (wanted or None)


def _number(value: Any) -> float | None:
    if isinstance(value, str) and value.casefold() in {"true", "false"}:
        return float(value.casefold() == "true")
    try:
        return float(value)
    except (TypeError, ValueError):
        return None

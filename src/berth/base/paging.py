"""Cursors: base64url of compact JSON that names the last row of a page and what was being listed."""

import base64
import binascii
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")
_LONGEST = 512


class MalformedCursor(ValueError):
    """Not a cursor of ours, or minted for another list."""


@dataclass(frozen=True, slots=True)
class After:
    """Where a page ends: the keyset (time, id) of its last row."""

    time: int
    id: str


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """Some rows, whether more follow, and how many there are in all for this filter."""

    rows: Sequence[T]
    has_more: bool
    total: int


def encode(last: After, listing: str) -> str:
    """A cursor for what follows `last` in `listing` (the collection and its filters, as text)."""
    text = json.dumps({"id": last.id, "t": last.time, "f": _mark(listing)}, separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode()


def decode(cursor: str, listing: str) -> After:
    """Raises MalformedCursor when it is not one of `listing`."""
    if len(cursor) > _LONGEST:
        raise MalformedCursor("too long")
    try:
        padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
        fields = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
    except (binascii.Error, UnicodeError, ValueError, RecursionError):
        raise MalformedCursor("not base64 of JSON") from None
    if not isinstance(fields, dict) or fields.get("f") != _mark(listing):
        raise MalformedCursor("minted for another list")
    time, row_id = fields.get("t"), fields.get("id")
    if type(time) is not int or abs(time) >= 2**63 or not isinstance(row_id, str) or "\0" in row_id:
        raise MalformedCursor("names no row")
    return After(time, row_id)


def _mark(listing: str) -> str:
    return hashlib.sha256(listing.encode()).hexdigest()[:8]

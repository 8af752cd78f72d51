"""Ids: 128 bits, sortable by the time they were made, written as 26 Crockford base-32 characters.

The same 128 bits can be shown as a UUID, so a face may choose its own form and still find the row.
"""

import os

from berth.base.clock import Instant

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_PAIRS = [high + low for high in _ALPHABET for low in _ALPHABET]
_LENGTH = 26


def new(now: Instant) -> str:
    """A fresh id: 48 bits of milliseconds, then 80 random bits."""
    return _written((now // 1000) << 80 | int.from_bytes(os.urandom(10)))


def lowest(at: Instant) -> str:
    """What comes before every id made at `at` or later, and after every one made a millisecond earlier."""
    return _written((at // 1000) << 80)


def is_id(text: str) -> bool:
    """Whether `text` could have come from `new`."""
    # 26 characters hold 130 bits: the first is never more than 7.
    return len(text) == _LENGTH and text[0] < "8" and not set(text) - set(_ALPHABET)


def _written(value: int) -> str:
    pairs = [_PAIRS[value >> shift & 0x3FF] for shift in range(120, -1, -10)]
    return "".join(pairs)

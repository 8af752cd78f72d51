"""Ids: 128 bits, sortable by the time they were made, written as 26 Crockford base-32 characters.

The same 128 bits can be shown as a UUID, so a face may choose its own form and still find the row.
"""

import os
import re
from uuid import UUID

from berth.base.clock import Instant

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_PAIRS = [high + low for high in _ALPHABET for low in _ALPHABET]
_LENGTH = 26
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII | re.IGNORECASE)
_NUMBER_LENGTH = 13
"""65 bits: with a first character up to 7 they are 63."""


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


def to_uuid(text: str) -> str:
    """The same 128 bits as `text`, an id, written as a UUID in lower case."""
    value = 0
    for character in text:
        value = value << 5 | _ALPHABET.index(character)
    return str(UUID(int=value))


def of_uuid(text: str) -> str | None:
    """The id that `to_uuid` wrote as `text`, in whichever case; None for anything else."""
    if not _UUID.fullmatch(text):
        return None
    return _written(int(text.replace("-", ""), 16))


def of_number(number: int) -> str:
    """A row's number as an id that looks like one: 13 characters, which sort as the numbers do."""
    return "".join(_PAIRS[number >> shift & 0x3FF] for shift in range(60, -1, -10))[1:]


def number_of(text: str) -> int | None:
    """The number that `of_number` wrote; None for anything else."""
    if len(text) != _NUMBER_LENGTH or text[0] > "7" or set(text) - set(_ALPHABET):
        return None
    number = 0
    for character in text:
        number = number << 5 | _ALPHABET.index(character)
    return number


def _written(value: int) -> str:
    pairs = [_PAIRS[value >> shift & 0x3FF] for shift in range(120, -1, -10)]
    return "".join(pairs)

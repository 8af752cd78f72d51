"""Ids, times and cursors as the retail API writes them, and back."""

import re

from berth.base import ids, paging
from berth.base.clock import Instant, parse_rfc3339, rfc3339
from berth.core.errors import Invalid, NotFound

DEPLOYMENT, OFFER, IMAGE, SSH_KEY, API_KEY, EVENT = "dep_", "off_", "img_", "sk_", "ak_", "evt_"
VOLUME, TRANSACTION = "vol_", "txn_"
WAITLIST = "wr_"
MINTED_KEY = "hudl_"
"""How the Idempotency-Keys begin that the vendor's own client makes up afresh for each attempt."""
VOLUME, WAITLIST, WEBHOOK, MESSAGE = "vol_", "wr_", "wh_", "msg_"
_FAMILIES = {"instance": "deployment", "deployment": "instance"}
_SAFE = re.compile(r"[A-Za-z0-9._:+-]{1,128}")
_NUMBER = re.compile(r"[0-9]{1,18}")
_ID_LIMIT = 64


def core_id(prefix: str, text: str, what: str) -> str:
    """The id in a path, with or without its prefix. Raises NotFound for what cannot be one."""
    if len(text) > _ID_LIMIT or not _SAFE.fullmatch(text):
        raise NotFound("not_found", f"{what} not found.")
    return text.removeprefix(prefix)


def name_in_path(text: str, what: str) -> str:
    """Raises NotFound for what cannot name anything."""
    if not _SAFE.fullmatch(text):
        raise NotFound("not_found", f"{what} not found.")
    return text


def optional_time(at: Instant | None) -> str | None:
    return None if at is None else rfc3339(at)


def after(cursor: str | None, listing: str) -> paging.After | None:
    """Raises Invalid for a cursor that is not one of `listing`."""
    if cursor is None:
        return None
    try:
        return paging.decode(cursor, listing)
    except paging.MalformedCursor:
        raise Invalid("invalid_cursor", "cursor is not one of this list.", field="cursor") from None


def after_number(cursor: str | None, listing: str) -> paging.After | None:
    """As `after`, for a list whose rows are numbered: anybody can write a cursor that names no number."""
    last = after(cursor, listing)
    if last is not None and not _NUMBER.fullmatch(last.id):
        raise Invalid("invalid_cursor", "cursor is not one of this list.", field="cursor")
    return last


def event_word(name: str) -> str:
    """A type of event, or a pattern of them, from core's words to this API's, or back.

    The one family that goes by two names is swapped, so that core's own name for it means nothing from outside.
    """
    family, dot, rest = name.partition(".")
    return f"{_FAMILIES.get(family, family)}{dot}{rest}"


def deployment_id(text: str) -> str:
    """The core id of the deployment in a path. Raises NotFound."""
    return core_id(DEPLOYMENT, text, "Deployment")


def transaction_id(seq: int) -> str:
    return TRANSACTION + ids.of_number(seq)


def transaction_seq(text: str) -> int:
    """The row that an id in a path means. Raises NotFound."""
    seq = ids.number_of(text.removeprefix(TRANSACTION))
    if seq is None:
        raise NotFound("transaction_not_found", "Transaction not found.")
    return seq


def instant(text: str | None, field: str) -> Instant | None:
    """Raises Invalid for what is no RFC 3339 timestamp."""
    if text is None:
        return None
    try:
        return parse_rfc3339(text)
    except (ValueError, OverflowError):
        raise Invalid(
            "invalid_field", f"{field} must be a time such as 2026-04-03T10:00:00Z.", field=field
        ) from None

"""Ids, times, prices and names of members as this API writes them, and back."""

import re
from collections.abc import Sequence
from decimal import Decimal
from uuid import UUID, uuid5

from berth.base import ids, money
from berth.base.clock import Instant, rfc3339_millis
from berth.core.errors import Invalid, NotFound

_NAMES = UUID("6f2c1a0e-5b0e-4a57-9d3c-1f9a54b3e0d7")
"""Where the UUIDs of what has a name alone come from. Never changes: customers keep them."""
_DEPLOYMENT = re.compile(r"(\b[Aa] )?(?<![\w/'.-])([Dd])eployment(_id|s)?\b(?!-)")
"""As a word of ours, and not as a part of a path or of what somebody sent."""
_MEMBERS = {
    "location": "location_code",
    "public_key": "key",
    "page_size": "pageSize",
    "delete_volumes": "volume_ids",
}
_OPENING = re.compile(rf"({'|'.join(_MEMBERS)})(?=[ :])")
_ID = re.compile(r"\b[0-7][0-9A-HJKMNP-TV-Z]{25}\b")
_WHOLE = re.compile(r"[0-9]{1,9}", re.ASCII)


def shown(core_id: str) -> str:
    """A core id as a UUID."""
    return ids.to_uuid(core_id)


def shown_all(core_ids: Sequence[str]) -> list[str]:
    return [ids.to_uuid(core_id) for core_id in core_ids]


def named(kind: str, name: str) -> str:
    """The UUID of what core knows by its name alone."""
    return str(uuid5(_NAMES, f"{kind}/{name}"))


def in_path(text: str, refusal: NotFound) -> str:
    """The core id that a path means. Raises `refusal` for what cannot be one."""
    found = ids.of_uuid(text)
    if found is None:
        raise refusal
    return found


def in_body(text: str, field: str, what: str = "id") -> str:
    """The core id that a member means. Raises Invalid for what cannot be one."""
    found = ids.of_uuid(text)
    if found is None:
        raise Invalid("invalid_field", f"{field}: invalid {what}.", field=field)
    return found


def listed(given: str | Sequence[str] | None) -> list[str]:
    """One or several, as a list."""
    if given is None:
        return []
    return [given] if isinstance(given, str) else list(given)


def several(given: str | Sequence[str], field: str = "id") -> list[str]:
    """The ids as they were sent, each once. Raises Invalid for none."""
    found = list(dict.fromkeys(listed(given)))
    if not found:
        raise Invalid("invalid_field", f"{field} must name at least one.", field=field)
    return found


def optional(text: str | None) -> str | None:
    """What was sent empty was not sent."""
    return text or None


def size_gb(given: float | str, field: str = "size") -> int:
    """A size as number or digits. Raises Invalid."""
    if isinstance(given, str):
        if not _WHOLE.fullmatch(given):
            raise Invalid("invalid_field", f"{field} must be a whole number of GB.", field=field)
        return int(given)
    if given != given // 1 or abs(given) >= 10**9:
        raise Invalid("invalid_field", f"{field} must be a whole number of GB.", field=field)
    return int(given)


def time(at: Instant) -> str:
    return rfc3339_millis(at)


def price_text(micros: int) -> str:
    """Dollars as the catalogue writes them: `3.17`."""
    return format(money.usd(micros), "f")


def price(micros: int) -> Decimal:
    return money.usd(micros)


def sentence(message: str) -> str:
    """A sentence of core's in the words of this API."""
    if opening := _OPENING.match(message):
        message = _MEMBERS[opening[1]] + message[opening.end() :]
    message = _ID.sub(lambda found: ids.to_uuid(found[0]), message)
    return _DEPLOYMENT.sub(_instance, message)


def _instance(found: re.Match[str]) -> str:
    article, opening, ending = found.groups(default="")
    return f"{article.replace(' ', 'n ')}{'I' if opening == 'D' else 'i'}nstance{ending}"

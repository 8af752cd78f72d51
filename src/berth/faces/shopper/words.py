"""Ids, times, prices and reflected text as this API writes them."""

import re
import uuid
from collections.abc import Collection
from decimal import Decimal

from berth.base import ids, money
from berth.base.clock import Instant, rfc3339
from berth.core.errors import Invalid, NotFound

SESSION = "sess-"
REFLECTED = 128
"""Characters of what was sent that a message repeats."""
_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,128}")
_UNSAFE = re.compile(r"[\x00-\x1f\x7f-\x9f<>\u2028\u2029\u202a-\u202e\u2066-\u2069]")
"""What no message holds: control characters, what turns text around, and what a page might take for a tag."""
_NOUN = re.compile(r"\b([Aa] |[Aa]n )?(Deployment|deployment|Instance|instance)(s?)\b(?!:)")


def request_id(given: bytes | None) -> str:
    """The caller's own id for the request where it is a sane one, else a fresh UUID."""
    if given is not None and _REQUEST_ID.fullmatch(given):
        return given.decode("ascii")
    return str(uuid.uuid4())


def plain(text: str) -> str:
    """Without anything that a terminal or a page would obey."""
    return _UNSAFE.sub("", text)


def reflected(value: object) -> str:
    """What was sent, as a message may repeat it: short and plain."""
    return plain(str(value)[: 2 * REFLECTED])[:REFLECTED]


def sentence(message: str) -> str:
    """A sentence of core's in the words of this API."""
    return plain(_NOUN.sub(_session, message))


def session_id(instance_id: str) -> str:
    return SESSION + instance_id.lower()


def instance_id(shown: str) -> str:
    """Raises NotFound for what is no id of a session."""
    found = shown.removeprefix(SESSION).upper()
    if session_id(found) != shown or not ids.is_id(found):
        raise NotFound("session_not_found", "session not found")
    return found


def check_provider(provider: str | None, known: Collection[str]) -> None:
    """Raises Invalid for one that is not set up."""
    if provider and provider not in known:
        raise Invalid("invalid_field", f"provider not found: {reflected(provider)}", field="provider")


def time(at: Instant) -> str:
    return rfc3339(at)


def price(micros: int) -> Decimal:
    """Exact dollars, for a JSON number."""
    return money.usd(micros)


def _session(found: re.Match[str]) -> str:
    article, noun, plural = found.groups(default="")
    shown = "Session" if noun[0].isupper() else "session"
    return f"{article[:1] + ' ' if article else ''}{shown}{plural}"

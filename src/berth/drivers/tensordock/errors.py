"""TensorDock's refusals as the driver's: each is named for what the caller does next.

They come as a text, as an array of what does not fit, as JSON:API errors, and as any of these in an answer of 200.
"""

import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from berth.core.driver import (
    BadCredentials,
    DriverError,
    NoCapacity,
    OutcomeUnknown,
    RateLimited,
    Refused,
    Unreachable,
)

_SOLD_OUT = (
    "no nodes available",
    "no available nodes",
    "nodes unavailable",
    "insufficient capacity",
    "not enough capacity",
    "out of stock",
    "gpu not available",
    "gpu is not available",
    "gpu unavailable",
    "gpu is unavailable",
    "no gpus available",
    "no matching gpu",
    "sold out",
    "fully allocated",
    "at capacity",
    "no capacity",
    "cannot allocate",
    "allocation failed",
    "no public ip",
    "no available public ip",
    "hostnode unavailable",
)
"""Said of the hardware, whatever the status: nothing was made."""
_ACCOUNT = ("quota exceeded", "limit reached", "limit exceeded", "maximum", "balance")
"""About the operator's account: another offer of it meets the same, and this one is as good as before."""
_SOLD_OUT_TOO = (
    "resource unavailable",
    "requested gpu",
    "location unavailable",
    "datacenter unavailable",
    "region unavailable",
    "site unavailable",
    "temporarily unavailable",
    "under maintenance",
    "high demand",
)
"""Also words of gateways and of other refusals, so they count less than those above, and in a refusal only."""
_BAD_KEY = "invalid api credentials"
_RETRY_S = 30.0
_LONGEST_RETRY_S = 3600.0
_SHOWN = 300
_LISTED = 20


class Missing(Refused):
    """404. Never by itself an answer about an instance: a wrong address answers so too."""


class Busy(Unreachable):
    """409: not in this state, or not now; asking again is safe."""


def loads(text: str) -> Any:
    """JSON whose numbers keep their digits. Raises ValueError, and RecursionError for what nobody would nest."""
    return json.loads(text, parse_float=Decimal)


def refusal(status: int, body: object) -> tuple[int, str] | None:
    """Status and words of an answer that is no success, whatever the HTTP status says; None for one that is."""
    words = "; ".join(_words(body))
    if status >= 300:  # noqa: PLR2004
        return status, words
    if not isinstance(body, Mapping):
        return None
    said = body.get("status")
    if isinstance(said, int) and not isinstance(said, bool) and said >= 400:  # noqa: PLR2004
        return said, words
    if words and "data" not in body and "id" not in body:
        return 400, words
    return None


def error_of(status: int, words: str, *, headers: Mapping[str, str], changes: bool, what: str) -> DriverError:
    """What a refusal means. `changes`: the call would have changed something."""
    said, lowered = f"{what}: {status} {words[:_SHOWN]}", words.casefold()
    if status == 429:  # noqa: PLR2004
        return RateLimited(said, retry_after_s=retry_after_s(headers))
    if status in {401, 403} or _BAD_KEY in lowered:
        return BadCredentials(said)
    if any(each in lowered for each in _SOLD_OUT):
        return NoCapacity(said)
    if status >= 500:  # noqa: PLR2004
        return OutcomeUnknown(said) if changes else Unreachable(said)
    if any(each in lowered for each in _ACCOUNT):
        return Refused(said)
    if any(each in lowered for each in _SOLD_OUT_TOO):
        return NoCapacity(said)
    if status == 404:  # noqa: PLR2004
        return Missing(said)
    if status == 409:  # noqa: PLR2004
        return Busy(said)
    return Refused(said)


def retry_after_s(headers: Mapping[str, str]) -> float:
    """The pause that was asked for, within reason."""
    try:
        asked = float(headers.get("Retry-After", ""))
    except ValueError:
        return _RETRY_S
    return min(max(asked, 1.0), _LONGEST_RETRY_S) if asked == asked else _RETRY_S  # noqa: PLR0124 - not a number


def _words(body: object) -> list[str]:
    """What a body says went wrong, in any of the shapes that are known; nothing where it says nothing."""
    if isinstance(body, list):
        return [_of_part(row) for row in body[:_LISTED] if isinstance(row, Mapping)]
    if not isinstance(body, Mapping):
        return []
    error, errors = body.get("error"), body.get("errors")
    if isinstance(error, str) and error:
        return [error]
    if isinstance(error, Mapping | list) and error:
        return _words(error) if isinstance(error, list) else [_of_part(error)]
    if isinstance(errors, list):
        return [_of_part(row) for row in errors[:_LISTED] if isinstance(row, Mapping)]
    return []


def _of_part(row: Mapping[str, Any]) -> str:
    """One thing that does not fit: where, and why."""
    path = row.get("path")
    where = ".".join(str(each) for each in path) if isinstance(path, list) else ""
    said = [str(row[name]) for name in ("title", "detail", "message") if row.get(name)]
    why = ": ".join(said) or str(row.get("code") or "refused")
    return f"{where}: {why}" if where else why

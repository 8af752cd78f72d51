"""Verda's refusals as the driver's: each is named for what the caller does next."""

from collections.abc import Mapping

from berth.core.driver import (
    BadCredentials,
    DriverError,
    NoCapacity,
    OutcomeUnknown,
    RateLimited,
    Refused,
    Unreachable,
)

STILL_PROVISIONING = "Can't discontinue a provisioning instance"
ALREADY_GONE = "Can't discontinue a discontinued instance"
UNKNOWN_INSTANCE = "Invalid instance id"
_NO_CAPACITY = "not enough resources"
_BAD_IMAGE = "operating system is not valid"
_RETRY_S = 30.0
_LONGEST_RETRY_S = 3600.0
_SHOWN = 300


class TokenRefused(BadCredentials):
    """401: this token is not, or no longer, accepted; the account may be as good as ever."""


class Missing(Refused):
    """404: what was asked for is not there. Never leaves this driver as an answer about an instance."""


class Gone(Refused):
    """403 of a delete: it is gone already."""


def error_of(
    status: int, code: str, message: str, *, headers: Mapping[str, str], changes: bool, what: str
) -> DriverError:
    """What an answer other than a success means. `changes`: the call would have changed something."""
    said = f"{what}: {status} {code} {message[:_SHOWN]}"
    lowered = message.casefold()
    if status == 429:  # noqa: PLR2004
        return RateLimited(said, retry_after_s=retry_after_s(headers))
    if status == 503 and _NO_CAPACITY in lowered:  # noqa: PLR2004 - any other 503 says nothing of what became of the call
        return NoCapacity(said)
    if status >= 500:  # noqa: PLR2004
        return OutcomeUnknown(said) if changes else Unreachable(said)
    if status == 401 or code == "unauthorized_request":  # noqa: PLR2004
        return TokenRefused(said)
    # About the operator's account at the provider, never about the customer's balance.
    if status == 402 or code == "insufficient_funds":  # noqa: PLR2004
        return BadCredentials(said)
    if message == STILL_PROVISIONING:
        return Unreachable(said)
    if message == ALREADY_GONE:
        return Gone(said)
    if status == 404:  # noqa: PLR2004
        return Missing(said)
    if _BAD_IMAGE in lowered:
        return Refused(said, reason="The image does not boot on this type.")
    return Refused(said)


def retry_after_s(headers: Mapping[str, str]) -> float:
    """The pause that was asked for, within reason."""
    try:
        asked = float(headers.get("Retry-After", ""))
    except ValueError:
        return _RETRY_S
    return min(max(asked, 1.0), _LONGEST_RETRY_S) if asked == asked else _RETRY_S  # noqa: PLR0124 - not a number

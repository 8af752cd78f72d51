"""Vast.ai's refusals as the driver's: each is named for what the caller does next.

A status says little there: a bad key is answered with 404, and an offer that is gone with 400, 404 or 410.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

from berth.core.driver import (
    BadCredentials,
    DriverError,
    NoCapacity,
    OutcomeUnknown,
    RateLimited,
    Refused,
    Unreachable,
)

_GONE = frozenset({"no_such_instance", "not_found"})
_ACCOUNT = frozenset({"insufficient_credit", "missing_billing"})
"""About the operator's account at the provider, never about the customer's balance."""
_STALE = "no_such_ask"
_THRESHOLD = re.compile(r"threshold\s*=\s*(\d{1,4}(?:\.\d{1,4})?)")
_RETRY_S = 5.0
_LONGEST_RETRY_S = 3600.0
_SHOWN = 300


class Missing(Refused):
    """No such instance. Never leaves this driver as an answer about an instance."""


class QuotaUsedUp(RateLimited):
    """There are no more searches until the day ends."""


@dataclass(frozen=True, slots=True)
class Problem:
    """An answer that is no success, taken apart."""

    status: int
    error: str
    """The code; empty where the body has none."""
    text: str
    """All of the body, for what is only said in passing."""

    @property
    def said(self) -> str:
        return f"{self.status} {self.text.strip()[:_SHOWN]}"


def problem_of(status: int, text: str) -> Problem:
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    error = found.get("error") if isinstance(found, dict) else None
    return Problem(status, error if isinstance(error, str) else "", text)


def error_of(
    problem: Problem, *, headers: Mapping[str, str], now_s: int, changes: bool, what: str
) -> DriverError:
    """What an answer other than a success means. `changes`: the call would have changed something.

    `now_s` is the time in seconds since the epoch, for limits that name the moment at which they end.
    """
    status, error, said = problem.status, problem.error, f"{what}: {problem.said}"
    if status == 429:  # noqa: PLR2004
        return _limited(problem, headers, now_s, said)
    if status >= 500 or status == 408:  # noqa: PLR2004
        return OutcomeUnknown(said) if changes else Unreachable(said)
    # Vast answers a bad key with 404: reading it as "gone" would stop the meter on a running machine.
    if status == 401 or error == "auth_error":  # noqa: PLR2004
        return BadCredentials(said)
    if error in _ACCOUNT:
        return BadCredentials(said)
    if error in _GONE:
        return Missing(said)
    if status == 404 or 300 <= status < 400:  # noqa: PLR2004
        # Without a code it comes from something in between, which knows nothing of instances.
        return Refused(said) if error else Unreachable(said)
    return Refused(said)


def create_error_of(problem: Problem, *, headers: Mapping[str, str], now_s: int, what: str) -> DriverError:
    """The same for a create, where most of what is refused is an offer that somebody else took."""
    if problem.status < 500 and problem.error != "auth_error" and problem.error not in _ACCOUNT:  # noqa: PLR2004
        is_taken = problem.status in {404, 410} or _STALE in problem.text
        is_resold = problem.status == 403 and problem.error == "invalid_args"  # noqa: PLR2004 - by a host that rents it
        if is_taken or is_resold:
            return NoCapacity(f"{what}: {problem.said}")
    return error_of(problem, headers=headers, now_s=now_s, changes=True, what=what)


def _limited(problem: Problem, headers: Mapping[str, str], now_s: int, said: str) -> RateLimited:
    if problem.error == "search_quota_exceeded":
        reset = _seconds(headers.get("X-RateLimit-Reset"))
        return QuotaUsedUp(said, retry_after_s=_within(None if reset is None else reset - now_s))
    asked = _seconds(headers.get("Retry-After"))
    if asked is None and (found := _THRESHOLD.search(problem.text)):
        asked = float(found.group(1))
    return RateLimited(said, retry_after_s=_within(asked))


def _within(asked_s: float | None) -> float:
    """The pause that was asked for, within reason."""
    return _RETRY_S if asked_s is None else min(max(asked_s, 1.0), _LONGEST_RETRY_S)


def _seconds(text: str | None) -> float | None:
    try:
        exact = Decimal(text or "")
    except InvalidOperation:
        return None
    return float(exact) if exact.is_finite() else None

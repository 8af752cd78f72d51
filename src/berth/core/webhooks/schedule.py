"""When a delivery is tried again, and when a webhook that never answers is given up. Pure."""

import hashlib
from dataclasses import dataclass

from berth.base.clock import DAY, HOUR, MINUTE, SECOND, Instant

DELAYS = (
    5 * SECOND,
    5 * MINUTE,
    30 * MINUTE,
    2 * HOUR,
    5 * HOUR,
    10 * HOUR,
    14 * HOUR,
    20 * HOUR,
    24 * HOUR,
)
"""Before the second attempt, the third, and so on: ten attempts over about 76 hours."""
ATTEMPTS = len(DELAYS) + 1
GONE = 410
THROTTLING = frozenset({429, 502, 503, 504})
"""Answers whose Retry-After counts for everything that the webhook is sent."""
RETRY_AFTER_MOST_S = 24 * 60 * 60
COUNTED_AFTER = 12 * HOUR
GIVEN_UP_AFTER = 5 * DAY
_JITTER_PERCENT = 10
_WHOLE = 1 << 32


def next_attempt_at(
    delivery_id: str, round_attempt: int, now: Instant, *, retry_after_s: int | None, permille: int
) -> Instant | None:
    """When to try again after the `round_attempt`-th attempt failed now; None when that was the last.

    `permille` of the usual delay is waited. The jitter of ±10 % follows from the delivery and the attempt, so that deciding twice decides the same.
    """
    if round_attempt >= ATTEMPTS:
        return None
    delay = DELAYS[round_attempt - 1] * permille // 1000
    digest = hashlib.sha256(f"{delivery_id} {round_attempt}".encode()).digest()
    part = int.from_bytes(digest[:4])
    spread = 2 * delay * _JITTER_PERCENT // 100
    jittered = delay - spread // 2 + spread * part // _WHOLE
    asked_for = min(retry_after_s or 0, RETRY_AFTER_MOST_S) * SECOND
    return Instant(now + max(jittered, asked_for))


def throttled_until(status_code: int | None, retry_after_s: int | None, now: Instant) -> Instant | None:
    """Until when the receiver wants to be left alone; None when it did not say so."""
    if status_code not in THROTTLING or not retry_after_s:
        return None
    return Instant(now + min(retry_after_s, RETRY_AFTER_MOST_S) * SECOND)


@dataclass(frozen=True, slots=True)
class Streak:
    """Failures without a success between them."""

    failing_since: Instant | None = None
    counted_since: Instant | None = None

    def failed(self, now: Instant) -> "Streak":
        """One bad moment counts for nothing: the days run from the first failure twelve hours after another."""
        if self.failing_since is None:
            return Streak(now)
        if self.counted_since is None and now - self.failing_since >= COUNTED_AFTER:
            return Streak(self.failing_since, now)
        return self

    def is_hopeless(self, now: Instant) -> bool:
        return self.counted_since is not None and now - self.counted_since >= GIVEN_UP_AFTER

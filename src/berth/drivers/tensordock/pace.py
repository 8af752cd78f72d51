"""Keeps within TensorDock's limits: two calls a second after a burst of three, and fewer in a minute than it allows.

Calls wait for their turn, but not for long: who would wait longer is told when to come again.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable

from berth.core.driver import RateLimited

PER_SECOND = 2.0
BURST = 3
PER_MINUTE = 90
"""The organisation has 100, and others may be using it too."""
LONGEST_WAIT_S = 20.0
_MINUTE_S = 60.0


class Pace:
    """`clock` counts seconds and only goes forward."""

    def __init__(self, clock: Callable[[], float], sleep: Callable[[float], Awaitable[None]]) -> None:
        self._clock = clock
        self._sleep = sleep
        self._sent: deque[float] = deque(maxlen=PER_MINUTE)
        """When the last calls go or went out, those that still wait for it included."""
        self._closed_until = float("-inf")

    async def turn(self, what: str) -> None:
        """Returns when the call may go out. Raises RateLimited where that is too far off."""
        now = self._clock()
        if self._closed_until > now:
            raise RateLimited(f"{what}: told to wait, so not sent", retry_after_s=self._closed_until - now)
        at = self._next(now)
        if at - now > LONGEST_WAIT_S:
            raise RateLimited(f"{what}: no call left for now", retry_after_s=at - now)
        self._sent.append(at)
        if at > now:
            await self._sleep(at - now)
        else:
            await asyncio.sleep(0)

    def closed(self, seconds: float) -> None:
        """The provider refused a call for its limits: nothing goes out for so long."""
        self._closed_until = max(self._closed_until, self._clock() + seconds)

    def _next(self, now: float) -> float:
        """The first instant at which one more call keeps both limits."""
        at = now
        if self._sent:
            at = max(at, self._sent[-1])
        if len(self._sent) >= BURST:
            # As many calls as a burst take up what flows in meanwhile.
            at = max(at, self._sent[-BURST] + BURST / PER_SECOND, self._sent[-1])
        if len(self._sent) == PER_MINUTE:
            at = max(at, self._sent[0] + _MINUTE_S)
        return at

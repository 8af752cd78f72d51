"""Waits, within reason, for what was accepted to be so: Verda answers before it has done a thing."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

Seen = TypeVar("Seen")
_FIRST_PAUSE_S = 0.25
_LONGEST_PAUSE_S = 2.0


@dataclass(frozen=True, slots=True)
class Settling:
    """`clock` counts seconds and only goes forward."""

    clock: Callable[[], float]
    sleep: Callable[[float], Awaitable[None]]
    settle_s: float

    async def until(
        self, look: Callable[[], Awaitable[Seen]], is_so: Callable[[Seen], bool]
    ) -> tuple[Seen, bool]:
        """What was seen last, and whether it was so: it may still not be after `settle_s`."""
        ends_at, pause_s = self.clock() + self.settle_s, _FIRST_PAUSE_S
        while True:
            seen = await look()
            if is_so(seen) or self.clock() >= ends_at:
                return seen, is_so(seen)
            await self.sleep(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

"""Keeps within the provider's rate limits: the published pauses between calls, and what a refusal asked for.

Who has to wait for long is told so instead: what would be refused is not sent.
"""

from collections import deque
from collections.abc import Awaitable, Callable
from enum import StrEnum

from berth.core.driver import RateLimited


class Kind(StrEnum):
    """Calls that are counted together."""

    SEARCH = "search"
    CREATE = "create"
    DESTROY = "destroy"
    MANAGE = "manage"
    """Start, stop, restart, logs."""
    SHOW = "show"
    LIST = "list"
    TEMPLATES = "templates"
    ATTACH = "attach"
    ACCOUNT = "account"


PAUSES_S = {
    Kind.CREATE: 4.5,
    Kind.DESTROY: 3.0,
    Kind.MANAGE: 1.0,
    Kind.SHOW: 2.0,
    Kind.LIST: 1.0,
    Kind.TEMPLATES: 3.0,
    Kind.ATTACH: 1.0,
    Kind.ACCOUNT: 1.0,
}
"""The least number of seconds between two calls, as published."""
SEARCHES = 10
SEARCH_WINDOW_S = 60.0
"""So many searches in so many seconds."""


class Limits:
    """`clock` counts seconds and only goes forward. `pace_permille`: thousandths of the pauses that are kept."""

    def __init__(
        self,
        clock: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]],
        *,
        pace_permille: int,
        longest_wait_s: float,
    ) -> None:
        self._clock = clock
        self._sleep = sleep
        self._pace = pace_permille / 1000
        self._longest_wait_s = longest_wait_s
        self._free_at = dict.fromkeys(Kind, 0.0)
        self._searched_at: deque[float] = deque([float("-inf")] * SEARCHES, maxlen=SEARCHES)

    def is_free(self, kind: Kind) -> bool:
        """Whether such a call would go out at once."""
        return self._turn(kind) <= self._clock()

    async def wait(self, kind: Kind) -> None:
        """Waits for the call's turn, in the order of those who ask. Raises RateLimited where that takes long."""
        now = self._clock()
        turn = max(self._turn(kind), now)
        if turn - now > self._longest_wait_s:
            raise RateLimited(f"{kind} has no calls left", retry_after_s=turn - now)
        if kind is Kind.SEARCH:
            self._searched_at.append(turn)
        else:
            self._free_at[kind] = turn + PAUSES_S[kind] * self._pace
        if turn > now:
            await self._sleep(turn - now)

    def close(self, kind: Kind, seconds: float) -> None:
        """Has calls of this kind wait, as a refusal asked for."""
        self._free_at[kind] = max(self._free_at[kind], self._clock() + seconds)

    def _turn(self, kind: Kind) -> float:
        free_at = self._free_at[kind]
        if kind is Kind.SEARCH:
            return max(free_at, self._searched_at[0] + SEARCH_WINDOW_S * self._pace)
        return free_at

"""Looks at machines within the provider's limits: one by one while looks are few, by lists that many share when not."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence

from berth.drivers.verda.translate import Json, text

ONE_BY_ONE_PER_MINUTE = 120
"""A quarter of what a project may ask in a minute; what is beyond shares lists, of which there are at most 60."""
_WINDOW_S = 60.0
_BETWEEN_LISTS_S = 1.0


class Looks:
    """`get` and `list_all` ask the provider; `clock` counts seconds and only goes forward."""

    def __init__(
        self,
        get: Callable[[str], Awaitable[Json | None]],
        list_all: Callable[[], Awaitable[Sequence[Json]]],
        clock: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]],
    ) -> None:
        self._get = get
        self._list_all = list_all
        self._clock = clock
        self._sleep = sleep
        self._looked_at: deque[float] = deque(maxlen=ONE_BY_ONE_PER_MINUTE)
        self._listing = asyncio.Lock()
        self._begun = 0
        self._begun_at = float("-inf")
        self._ended = 0
        self._listed: Mapping[str, Json] = {}

    async def at(self, machine_id: str) -> Json | None:
        """The machine as it is now, None once it is gone: what a list lacks is asked for by itself."""
        now = self._clock()
        is_busy = len(self._looked_at) == ONE_BY_ONE_PER_MINUTE and now - self._looked_at[0] < _WINDOW_S
        machine = await self._in_list(machine_id) if is_busy else None
        if machine is not None:
            return machine
        if not is_busy:
            self._looked_at.append(now)
        return await self._get(machine_id)

    async def _in_list(self, machine_id: str) -> Json | None:
        """As a list has it that was asked for after this was."""
        begun_before = self._begun
        async with self._listing:
            if self._ended <= begun_before:
                pause_s = self._begun_at + _BETWEEN_LISTS_S - self._clock()
                if pause_s > 0:
                    await self._sleep(pause_s)
                self._begun += 1
                number, self._begun_at = self._begun, self._clock()
                self._listed = {text(machine, "id"): machine for machine in await self._list_all()}
                self._ended = number
            return self._listed.get(machine_id)

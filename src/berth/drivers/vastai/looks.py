"""Looks at instances within the provider's limits: by itself where that can be now, else in a list that many share."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from berth.drivers.vastai.reading import Json


class Looks:
    """`show` and `list_all` ask the provider; `is_free` says whether `show` would have to wait."""

    def __init__(
        self,
        show: Callable[[str], Awaitable[Json | None]],
        list_all: Callable[[], Awaitable[Mapping[str, Json]]],
        is_free: Callable[[], bool],
    ) -> None:
        self._show = show
        self._list_all = list_all
        self._is_free = is_free
        self._listing = asyncio.Lock()
        self._begun = 0
        self._ended = 0
        self._listed: Mapping[str, Json] = {}

    async def at(self, handle: str) -> Json | None:
        """The instance as it is now, None once it is gone: what a list lacks is asked for by itself."""
        found = None if self._is_free() else await self._in_list(handle)
        return await self._show(handle) if found is None else found

    async def _in_list(self, handle: str) -> Json | None:
        """As a list has it that was asked for after this was."""
        begun_before = self._begun
        async with self._listing:
            if self._ended <= begun_before:
                self._begun += 1
                number = self._begun
                self._listed = await self._list_all()
                self._ended = number
            return self._listed.get(handle)

"""Keeps within the provider's rate limits by what its answers say is left: what would be refused is not sent."""

import re
from collections.abc import Callable

from berth.core.driver import RateLimited

_ITEM = re.compile(r'"(project|endpoint)"\s*;\s*r=(\d{1,9})\s*;\s*t=(\d{1,9})')
_LONGEST_S = 3600
_ENDPOINTS = 1000
"""How many exhausted endpoints are remembered; those whose time is over are forgotten first."""


class Limits:
    """What is left of each limit, as last heard. `clock` counts seconds and only goes forward."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._closed_until: dict[str, float] = {}

    def check(self, endpoint: str) -> None:
        """Raises RateLimited while the project, or this endpoint, has no call left."""
        now = self._clock()
        for name in ("project", endpoint):
            until = self._closed_until.get(name, 0.0)
            if until > now:
                raise RateLimited(f"{name} has no calls left", retry_after_s=until - now)

    def heard(self, endpoint: str, header: str | None) -> None:
        """Takes in the header `RateLimit` of an answer, such as `"project";r=486;t=37, "endpoint";r=48;t=37`."""
        if header is None:
            return
        now = self._clock()
        for name, left, seconds in _ITEM.findall(header):
            key = name if name == "project" else endpoint
            if int(left) > 0:
                self._closed_until.pop(key, None)
            else:
                self._closed_until[key] = now + min(int(seconds), _LONGEST_S)
        if len(self._closed_until) > _ENDPOINTS:
            self._closed_until = {key: until for key, until in self._closed_until.items() if until > now}

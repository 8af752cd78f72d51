"""Whether this process should be sent requests: it has looked at everything once, and is not on its way out."""

from collections.abc import Iterable

from berth.base.clock import Instant


class Readiness:
    """What is waited for when a process starts, by name, and whether it drains. Lives in the event loop's thread."""

    def __init__(self, waits_for: Iterable[str] = (), *, since: int = 0) -> None:
        self._waits_for = set(waits_for)
        self.since = Instant(since)
        """When the waiting began: what others looked at later than that need not be looked at again."""
        self.is_draining = False

    @property
    def is_ready(self) -> bool:
        return not self._waits_for and not self.is_draining

    @property
    def waits_for(self) -> frozenset[str]:
        """The names that are still missing."""
        return frozenset(self._waits_for)

    def done(self, name: str) -> None:
        """It was looked at."""
        self._waits_for.discard(name)

    def give_up(self) -> frozenset[str]:
        """Waits no longer; returns what was waited for in vain."""
        missing = self.waits_for
        self._waits_for.clear()
        return missing

    def drain(self) -> None:
        """Nothing new should come any more."""
        self.is_draining = True

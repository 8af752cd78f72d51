"""How busy instances are: the processor time of all their processes, between two looks.

The looks are remembered here only: after a start of the control plane the first says nothing.
"""

import os
import threading
import time
from dataclasses import dataclass

from berth.drivers.sandbox import process
from berth.drivers.sandbox.process import ProcessIdentity

WINDOW_S = 10.0
"""Looks that are nearer to each other say what the last one said."""
_KEPT = 10_000
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class _Look:
    identity: ProcessIdentity
    at: float
    ticks: int
    percent: int | None


class Activity:
    def __init__(self, *, window_s: float = WINDOW_S) -> None:
        self._window_s = window_s
        self._looks: dict[str, _Look] = {}
        self._lock = threading.Lock()

    def percent(self, instance_id: str, identity: ProcessIdentity) -> int | None:
        """Processor time per time since the look before, 100 being one processor; None when it is the first."""
        now = time.monotonic()
        with self._lock:
            before = self._looks.get(instance_id)
        if before is not None and before.identity == identity and now - before.at < self._window_s:
            return before.percent
        ticks = process.used_ticks(identity.pid)
        percent = None
        if before is not None and before.identity == identity:
            # Less than before: something that worked has ended.
            used = ticks - before.ticks if ticks >= before.ticks else ticks
            percent = int(used * 100 / _TICKS_PER_S / (now - before.at))
        with self._lock:
            if len(self._looks) >= _KEPT:
                self._looks.clear()
            self._looks[instance_id] = _Look(identity, now, ticks, percent)
        return percent

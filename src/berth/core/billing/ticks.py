"""Which ticks a sweep has to look at: pure arithmetic over instants.

A tick comes once in `period`, at a phase that each subject has. Phases are a range of an index, so those whose
tick did not fall due are never looked at.
"""

from dataclasses import dataclass

from berth.base.clock import Instant


@dataclass(frozen=True, slots=True)
class Window:
    """Due are the ticks in (`start`, `end`]; they are those of the phases in (`above`, `up_to`]."""

    start: Instant
    end: Instant
    above: int
    up_to: int


def windows(start: Instant, end: Instant, *, period: int) -> list[Window]:
    """What a sweep at `end` has to charge when the last was at `start`; nothing when the clock stepped back."""
    if end <= start:
        return []
    if end - start >= period:
        return [Window(start, end, -1, period)]
    if start % period <= end % period:
        return [Window(start, end, start % period, end % period)]
    last_of_round = Instant(end - end % period - 1)
    parts = [
        Window(start, last_of_round, start % period, period),
        Window(last_of_round, end, -1, end % period),
    ]
    return [part for part in parts if part.end > part.start]

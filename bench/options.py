"""How a run of the benchmarks was asked for."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Options:
    rounds: int
    seconds: float
    """Of one step that is measured for a time."""
    pinned: bool
    sizes: tuple[int, ...]
    """Rows, where a workload has sizes."""
    is_quick: bool = False
    """To see that it runs."""

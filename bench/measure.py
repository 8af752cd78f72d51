"""Interleaved rounds: the limit, ours, the limit again. A round in which the two limits disagree says nothing.

A figure is the median of the rounds that say something, with the lowest and the highest; a share is taken within
a round, against the mean of that round's two limits.
"""

import statistics
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

QUIET_PERCENT = 20
"""How far apart a round's two runs of one limit may be."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One run of one step."""

    value: float
    p50_ms: float | None = None
    p99_ms: float | None = None
    cpu_us: float | None = None
    """CPU of the measured process for each operation."""
    rss_mb: float | None = None
    rate: float | None = None
    """Operations a second, where the value is something else."""
    errors: int = 0


@dataclass(frozen=True, slots=True)
class Step:
    """Something that is run once a round. `limit` names the step it is compared with, which runs twice."""

    name: str
    unit: str
    run: Callable[[], Sample]
    limit: str | None = None
    target: str = ""


@dataclass(slots=True)
class Line:
    """One line of the table."""

    name: str
    unit: str
    target: str
    limit: str | None
    samples: list[Sample]
    shares: list[float] = field(default_factory=list)
    """Value ÷ limit, one a round."""

    @property
    def values(self) -> list[float]:
        return [sample.value for sample in self.samples]

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    @property
    def errors(self) -> int:
        return sum(sample.errors for sample in self.samples)

    def median_of(self, member: str) -> float | None:
        found = [value for sample in self.samples if (value := getattr(sample, member)) is not None]
        return statistics.median(found) if found else None


@dataclass(slots=True)
class Result:
    """One workload on one engine."""

    title: str
    lines: list[Line]
    rounds: int
    noisy_rounds: int
    """Left out of the figures, unless no round was quiet."""
    is_noisy: bool
    """No round was quiet: not to be quoted."""
    notes: list[str] = field(default_factory=list)

    def line(self, name: str) -> Line:
        return next(line for line in self.lines if line.name == name)


Round = dict[str, list[Sample]]


def percentile(ordered: Sequence[float], percent: float) -> float:
    """Of an ascending list that is not empty."""
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


def interleave(title: str, steps: Sequence[Step], *, rounds: int) -> Result:
    """Runs rounds until `rounds` of them were quiet, or twice as many in all; a single one is not repeated."""
    most = 1 if rounds == 1 else 2 * rounds
    limits = {step.limit for step in steps} - {None}
    first = [step for step in steps if step.name in limits]
    others = [step for step in steps if step.name not in limits]
    quiet: list[Round] = []
    noisy: list[Round] = []
    while len(quiet) < rounds and len(quiet) + len(noisy) < most:
        taken: Round = {step.name: [] for step in steps}
        for step in [*first, *others, *first]:
            _progress(f"{title}: round {len(quiet) + len(noisy) + 1}, {step.name}")
            taken[step.name].append(step.run())
        (quiet if all(_is_quiet(taken[step.name]) for step in first) else noisy).append(taken)
    _progress("")
    kept = quiet or noisy
    lines = [_line(step, kept) for step in steps]
    return Result(title, lines, len(kept), len(noisy), is_noisy=not quiet)


def _line(step: Step, kept: Sequence[Round]) -> Line:
    samples = [sample for taken in kept for sample in taken[step.name]]
    line = Line(step.name, step.unit, step.target, step.limit, samples)
    if step.limit is not None:
        for taken in kept:
            limit = statistics.mean(sample.value for sample in taken[step.limit])
            line.shares.append(taken[step.name][0].value / limit)
    return line


def _is_quiet(pair: Sequence[Sample]) -> bool:
    values = [sample.value for sample in pair]
    return max(values) <= min(values) * (1 + QUIET_PERCENT / 100)


def _progress(text: str) -> None:
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\033[K{text}")
        sys.stderr.flush()
    elif text:
        sys.stderr.write(text + "\n")

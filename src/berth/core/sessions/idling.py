"""Whether a session is idle: what each signal changes. Pure.

A session ends when it is idle only on a signal that says so: nothing heard is not idleness.
"""

from dataclasses import dataclass, replace

from berth.base.clock import MINUTE, SECOND, Instant
from berth.core.sessions.model import Sample, Watch

SAMPLED_EVERY_S = 60
FRESH = 3 * MINUTE
"""How long a signal from inside goes before those from outside."""
LONGEST_GAP = 5 * MINUTE
"""Between two signals of idleness that belong together."""
IDLE_GPU_PERCENT = 5
"""A GPU that is busy for less than that is idle."""
IDLE_CPU_PERCENT = 20
"""Of one processor."""


@dataclass(frozen=True, slots=True)
class Readings:
    """What one look at a session over SSH found; None where nobody can say."""

    gpu_percent: int | None
    cpu_used_us: int | None
    """Microseconds of processors used so far, counted from wherever."""
    disk_free_gb: int | None


def heard(watch: Watch, idle_s: int, now: Instant) -> Watch:
    """Its agent says that nothing has happened for so long."""
    since = Instant(now - idle_s * SECOND) if idle_s > 0 else None
    return replace(watch, heartbeat_at=now, heartbeat_idle_s=idle_s, signal_at=now, idle_since=since)


def sampled(watch: Watch, sample: Sample) -> Watch:
    """Somebody looked. While an agent speaks its word goes before."""
    seen = replace(watch, sample=sample)
    is_idle = looks_idle(sample)
    if is_idle is None or has_agent(watch, sample.at):
        return seen
    is_new = watch.signal_at is None or sample.at - watch.signal_at > LONGEST_GAP
    began = sample.at if is_new or watch.idle_since is None else watch.idle_since
    return replace(seen, signal_at=sample.at, idle_since=began if is_idle else None)


def looks_idle(sample: Sample) -> bool | None:
    """None where the sample says nothing of its use."""
    if sample.gpu_percent is None and sample.cpu_percent is None:
        return None
    is_gpu_idle = sample.gpu_percent is None or sample.gpu_percent < IDLE_GPU_PERCENT
    is_cpu_idle = sample.cpu_percent is None or sample.cpu_percent < IDLE_CPU_PERCENT
    return is_gpu_idle and is_cpu_idle


def has_agent(watch: Watch, now: Instant) -> bool:
    """Whether its agent has spoken lately."""
    return watch.heartbeat_at is not None and now - watch.heartbeat_at <= FRESH


def is_over(watch: Watch, threshold_minutes: int, now: Instant) -> bool:
    """Whether it has been idle for as long as it may be. Asked when a signal arrives, and then only."""
    if threshold_minutes <= 0 or watch.idle_since is None:
        return False
    return now - watch.idle_since >= threshold_minutes * MINUTE


def cpu_percent(
    before_us: int | None, before_at: Instant | None, used_us: int | None, now: Instant
) -> int | None:
    """100: one processor, all the time since the look before. None at the first look, or when the count began anew."""
    if before_us is None or before_at is None or used_us is None or now <= before_at or used_us < before_us:
        return None
    return (used_us - before_us) * 100 // (now - before_at)

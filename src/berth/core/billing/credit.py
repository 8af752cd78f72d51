"""How an account that runs empty is judged: from what it has now to its next state and what it is told.

Pure: no database, no clock, whole numbers only. Whoever asks applies the answer.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from berth.base.clock import HOUR, Instant, after
from berth.base.money import USD, Micros
from berth.core.billing.model import EMPTY, STOPPED, Rules, State

WARNING_LEADS = (48 * HOUR, 24 * HOUR, HOUR)
"""How long before volumes are deleted each warning is due: nothing is deleted before all of them were given."""
_REARM_PERCENT = 120


@dataclass(frozen=True, slots=True)
class Alerts:
    """Below what its owner wants to be told."""

    balances: Sequence[Micros] = (Micros(20 * USD),)
    runways_s: Sequence[int] = (86_400, 3_600, 900)
    is_enabled: bool = True


@dataclass(frozen=True, slots=True)
class Credit:
    """What is remembered of an account's way down and back."""

    state: State = State.ACTIVE
    since_at: Instant = Instant(0)
    depleted_at: Instant | None = None
    stops_at: Instant | None = None
    """When what runs will be stopped; while depleted."""
    purges_at: Instant | None = None
    """When what is kept will be deleted; from suspended on."""
    crossed: frozenset[str] = frozenset()
    """Thresholds that were announced and are not armed again yet."""
    warnings: int = 0
    """Of the deletion of volumes, given so far."""
    announced_to: str = ""
    """The last id that what is being announced, stop or deletion, was announced to."""
    is_resuming: bool = False
    """What was stopped is being started again."""


@dataclass(frozen=True, slots=True)
class Means:
    """What an account has at one instant: `effective` is its balance less what it owes already."""

    effective: Micros
    burn_micros_per_hour: int


@dataclass(frozen=True, slots=True)
class Notice:
    """Something its owner is told: an event's type, and its data."""

    type: str
    data: Mapping[str, object] = field(default_factory=dict)


def assess(
    credit: Credit, means: Means, alerts: Alerts, rules: Rules, now: Instant, *, auto_resume: bool = False
) -> tuple[Credit, Sequence[Notice]]:
    """The next state, at most one step on, and what is to be said. Asked again with the answer it adds nothing
    once no step is left.
    """
    crossed, fresh = _crossings(credit.crossed, means, alerts)
    notices = (
        [Notice("billing.low_balance", _low(each, means)) for each in fresh] if alerts.is_enabled else []
    )
    if means.effective > 0:
        changed = _afloat(credit, now, is_low=bool(crossed), auto_resume=auto_resume)
    else:
        changed = _under(credit, rules, now)
    if changed.state is not credit.state and (notice := _turn(credit, changed, means)) is not None:
        notices.append(notice)
    return replace(changed, crossed=crossed), notices


def live_state(credit: Credit, means: Means, alerts: Alerts) -> State:
    """What to show between two sweeps: what the figures say, and how far down an account without means is."""
    if means.effective <= 0:
        return credit.state if credit.state in EMPTY else State.DEPLETED
    return State.LOW if _crossings(credit.crossed, means, alerts)[0] else State.ACTIVE


def is_warning_due(credit: Credit, now: Instant) -> bool:
    """Whether the next warning of a deletion is to be given."""
    if credit.state is not State.SUSPENDED or credit.purges_at is None or _is_warned(credit):
        return False
    return now >= credit.purges_at - WARNING_LEADS[credit.warnings]


def with_whole_lead(credit: Credit, now: Instant) -> Credit:
    """The deletion put off, so that a warning that is given late is given as long before as it should be."""
    least = Instant(now + WARNING_LEADS[credit.warnings])
    return replace(credit, purges_at=max(credit.purges_at or least, least))


def _afloat(credit: Credit, now: Instant, *, is_low: bool, auto_resume: bool) -> Credit:
    state = State.LOW if is_low else State.ACTIVE
    if credit.state is state:
        return credit
    resumes = credit.is_resuming or (auto_resume and credit.state in STOPPED)
    return Credit(state=state, since_at=now, is_resuming=resumes)


def _under(credit: Credit, rules: Rules, now: Instant) -> Credit:
    match credit:
        case Credit(state=State.ACTIVE | State.LOW):
            return Credit(
                state=State.DEPLETED,
                since_at=now,
                depleted_at=now,
                stops_at=after(now, seconds=rules.grace_s),
                is_resuming=credit.is_resuming,
            )
        case Credit(state=State.DEPLETED, stops_at=int(stops_at)) if now >= stops_at:
            return replace(
                credit,
                state=State.SUSPENDED,
                since_at=now,
                stops_at=None,
                purges_at=Instant(now + rules.volume_retention_hours * HOUR),
                announced_to="",
            )
        case Credit(state=State.SUSPENDED, purges_at=int(purges_at)) if now >= purges_at and _is_warned(
            credit
        ):
            return replace(credit, state=State.PURGING, since_at=now)
        case _:
            return credit


def _is_warned(credit: Credit) -> bool:
    return credit.warnings == len(WARNING_LEADS)


def _turn(before: Credit, credit: Credit, means: Means) -> Notice | None:
    """What is said of a change of state."""
    data: dict[str, object] = {"state": credit.state.value, "effective_micros": means.effective}
    match credit.state:
        case State.DEPLETED:
            return Notice("billing.depleted", data | {"stops_at": credit.stops_at})
        case State.SUSPENDED:
            return Notice("billing.suspended", data | {"purges_at": credit.purges_at})
        case State.ACTIVE | State.LOW if before.state in EMPTY:
            return Notice("billing.restored", data | {"previous_state": before.state.value})
        case _:
            return None


@dataclass(frozen=True, slots=True)
class _Threshold:
    key: str
    is_below: bool
    is_armed_again: bool


def _crossings(crossed: frozenset[str], means: Means, alerts: Alerts) -> tuple[frozenset[str], Sequence[str]]:
    """The thresholds that count as crossed now, and those of them that did not before."""
    found = [_balance(each, means) for each in alerts.balances]
    found += [_runway(each, means) for each in alerts.runways_s]
    still = {each.key for each in found if each.key in crossed and not each.is_armed_again}
    fresh = [each.key for each in found if each.is_below and each.key not in crossed]
    return frozenset(still.union(fresh)), fresh


def _balance(threshold: Micros, means: Means) -> _Threshold:
    armed_again = means.effective * 100 >= threshold * _REARM_PERCENT
    return _Threshold(f"balance_micros:{threshold}", means.effective < threshold, armed_again)


def _runway(threshold_s: int, means: Means) -> _Threshold:
    # Compared as products: a runway in whole seconds would be rounded, and has no value when nothing burns.
    left, needed = means.effective * 3600, threshold_s * means.burn_micros_per_hour
    is_burning = means.burn_micros_per_hour > 0
    return _Threshold(
        f"runway_s:{threshold_s}",
        is_burning and left < needed,
        not is_burning or left * 100 >= needed * _REARM_PERCENT,
    )


def _low(key: str, means: Means) -> Mapping[str, object]:
    kind, _, value = key.partition(":")
    return {
        f"threshold_{kind}": int(value),
        "effective_micros": means.effective,
        "burn_micros_per_hour": means.burn_micros_per_hour,
    }

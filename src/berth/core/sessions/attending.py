"""The verbs of the loops that watch sessions: what ends them besides their time, and what is seen of their use."""

from collections.abc import Sequence

from berth.base.clock import HOUR, Instant, after
from berth.base.db import Tx
from berth.core import events, instances
from berth.core.billing import Rules as MoneyRules
from berth.core.instances import Status, Wanted
from berth.core.sessions import idling, states, store
from berth.core.sessions.idling import Readings
from berth.core.sessions.model import Rules, Sample, Session
from berth.core.sessions.model import Status as SessionStatus

_ACTOR = "loop:sessions"
_FOREVER = Instant(0)


def retire(tx: Tx, *, limit: int) -> int:
    """Those that have ended stand in the way of no new one. Returns how many did."""
    return store.retire(tx, limit=limit)


def unsettled(tx: Tx, rules: Rules, *, limit: int) -> Sequence[str]:
    """Ids of sessions that `attend` ends: too old, or off without anybody having asked for that."""
    return store.unsettled(tx, born_before=_born_before(tx, rules), limit=limit)


def attend(tx: Tx, session_id: str, rules: Rules, money: MoneyRules) -> bool:
    """Ends what is too old, and what went off by itself and could not be brought back. True for what was too old."""
    instance = instances.lock_any(tx, session_id)
    if instance is None or not instance.is_session or instance.wanted is Wanted.DELETED:
        return False
    by = events.system(instance.project, _ACTOR)
    if instance.status is Status.OFFLINE and instance.wanted is Wanted.OFFLINE:
        if not instance.ends_off:
            instances.end_now(tx, by, instance, money, reason=instance.status_reason)
    elif instance.created_at <= _born_before(tx, rules) and states.status_of(instance) in _GOING_ON:
        instances.finish_by_itself(tx, instance, "hard_max_reached", money)
        return True
    return False


_GOING_ON = frozenset({SessionStatus.PENDING, SessionStatus.PROVISIONING, SessionStatus.RUNNING})


def lease_samples(tx: Tx, *, limit: int) -> Sequence[Session]:
    """Takes up to `limit` sessions that are to be looked at over SSH now, each once a minute, whoever asks."""
    before = after(tx.now, seconds=-idling.SAMPLED_EVERY_S)
    ids = store.lease_samples(tx, before=before, limit=limit)
    found = instances.of_ids(tx, ids)
    rows = [(store.find(tx, each), found[each]) for each in ids]
    return [store.session_of(row, instance) for row, instance in rows if row is not None]


def sampled(tx: Tx, session_id: str, readings: Readings, money: MoneyRules) -> None:
    """What a look at it over SSH found."""
    session = _watched(tx, session_id)
    if session is None:
        return
    last = session.watch.sample
    percent = idling.cpu_percent(
        store.cpu_used(tx, session_id), None if last is None else last.at, readings.cpu_used_us, tx.now
    )
    store.set_cpu_used(tx, session_id, readings.cpu_used_us)
    _note(tx, session, Sample(tx.now, readings.gpu_percent, percent, readings.disk_free_gb), money)


def watched(tx: Tx, provider: str, *, first_id: str, last_id: str, limit: int) -> Sequence[str]:
    """Ids of running sessions at `provider` that end when idle, from one id to another."""
    return store.watched(tx, provider, first_id=first_id, last_id=last_id, limit=limit)


def provider_said(tx: Tx, session_id: str, use_percent: int, money: MoneyRules) -> None:
    """Its provider says how busy it is: that counts where nobody has looked inside lately."""
    session = _watched(tx, session_id)
    if session is None:
        return
    last = session.watch.sample
    if last is not None and tx.now - last.at <= idling.FRESH and last.disk_free_gb is not None:
        return  # looked at from inside, which says more
    _note(tx, session, Sample(tx.now, use_percent, None, None), money)


def _note(tx: Tx, session: Session, sample: Sample, money: MoneyRules) -> None:
    watch = idling.sampled(session.watch, sample)
    store.watch(tx, session.id, watch)
    is_decided = watch.signal_at == tx.now
    if is_decided and idling.is_over(watch, session.idle_threshold_minutes, tx.now):
        instances.finish_by_itself(tx, session.instance, "idle", money)


def _watched(tx: Tx, session_id: str) -> Session | None:
    """Locked; None when it no longer runs."""
    instance = instances.lock_any(tx, session_id)
    row = None if instance is None else store.find(tx, session_id, lock=True)
    if instance is None or row is None:
        return None
    session = store.session_of(row, instance)
    return session if session.status is SessionStatus.RUNNING else None


def _born_before(tx: Tx, rules: Rules) -> Instant:
    return _FOREVER if rules.is_hard_max_off else Instant(tx.now - rules.hard_max_hours * HOUR)

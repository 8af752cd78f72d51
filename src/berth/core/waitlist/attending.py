"""What time and others bring about for an entry: claims missed, rests over, obstacles gone, instances arrived."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from berth.base.clock import SECOND, Instant
from berth.base.db import Tx
from berth.core import catalog, instances
from berth.core.billing import Rules as MoneyRules
from berth.core.instances import Instance
from berth.core.instances import Status as InstanceStatus
from berth.core.waitlist import letters, obstacles, states, store
from berth.core.waitlist.matching import put_block
from berth.core.waitlist.model import Entry, Rules, Status
from berth.core.waitlist.places import end, put, tell
from berth.core.waitlist.states import Step

_LOOKED_AT_AGAIN = 20
_LATELY = 5 * SECOND
_ENDED = frozenset({InstanceStatus.DELETING, InstanceStatus.DELETED})


@dataclass(frozen=True, slots=True)
class _Attention:
    tx: Tx
    rules: Rules
    money: MoneyRules


def due(tx: Tx, *, limit: int) -> Sequence[str]:
    """The entries that something is due for, the longest due first.

    Then the first in line whose obstacle was what was free, wherever something is: it may be something else.
    """
    found = store.due(tx, limit=limit)
    lately = Instant(tx.now - _LATELY)
    for kind, place in catalog.pairs_with_units(tx):
        found += store.passed_over(tx, kind, place, not_since=lately, limit=_LOOKED_AT_AGAIN)
    return list(dict.fromkeys(found))[:limit]


def next_due(tx: Tx) -> Instant | None:
    """When the next is due."""
    return store.next_due(tx)


def has_credited(tx: Tx) -> bool:
    """Whether credit has come in for somebody who lacked it."""
    return store.has_credited(tx)


def wake_credited(tx: Tx) -> int:
    """Makes those due."""
    return store.wake_credited(tx)


def attend(tx: Tx, entry_id: str, rules: Rules, money: MoneyRules) -> Step:
    """Does the one thing that is due for an entry, if it still is."""
    seen = store.find(tx, entry_id)
    if seen is None or (states.plan(seen, tx.now) is Step.NOTHING and seen.blocked_reason is None):
        return Step.NOTHING
    catalog.lock_line(tx, seen.instance_type)
    entry = store.find(tx, entry_id, lock=True)
    if entry is None or entry.instance_type != seen.instance_type:
        return Step.NOTHING
    step = states.plan(entry, tx.now)
    if step is Step.NOTHING and entry.blocked_reason is not None:
        step = Step.EXAMINE  # sooner than planned
    action = _ACTIONS.get(step)
    if action is not None:
        action(_Attention(tx, rules, money), entry)
    return step


def _expire(at: _Attention, entry: Entry) -> None:
    end(at.tx, entry.actor, entry, Status.EXPIRED, at.rules, reason="too_long")


def _remind(at: _Attention, entry: Entry) -> None:
    reminded = tell(at.tx, entry.actor, "waitlist.expiring", entry, expires_at=entry.expires_at)
    letters.expires_soon(at.tx, entry)
    put(at.tx, entry, replace(reminded, remind_at=None), at.rules)


def _hand_on(at: _Attention, entry: Entry) -> None:
    """Nobody came: the unit is the next one's, the entry goes to the end."""
    tx = at.tx
    if entry.notified_count >= states.MISSES:
        end(tx, entry.actor, entry, Status.EXPIRED, at.rules, reason="claims_missed")
        return
    told_at = entry.notified_at or tx.now
    missed = replace(
        entry,
        status=Status.WAITING,
        ticket=store.new_ticket(tx, entry.id),
        granted_location=None,
        claim_expires_at=None,
        rest_until=Instant(told_at + states.QUIET),
    )
    put(tx, entry, tell(tx, entry.actor, "waitlist.claim_missed", missed), at.rules)
    tx.signal("waitlist")


def _rejoin(at: _Attention, entry: Entry) -> None:
    put(at.tx, entry, replace(entry, status=Status.WAITING, granted_location=None, rest_until=None), at.rules)


def _wake(at: _Attention, entry: Entry) -> None:
    put(at.tx, entry, replace(entry, rest_until=None), at.rules)


def _examine(at: _Attention, entry: Entry) -> None:
    put_block(at.tx, entry, obstacles.of_all_places(at.tx, entry, at.money), at.rules)


def _follow(at: _Attention, entry: Entry) -> None:
    assert entry.instance_id is not None
    tx = at.tx
    made = instances.get(tx, entry.actor, entry.instance_id)
    if made.first_running_at is not None:
        end(tx, entry.actor, entry, Status.FULFILLED, at.rules)
    elif made.status is InstanceStatus.FAILED_NO_CAPACITY:
        _try_again(at, entry, made)
    elif made.status is InstanceStatus.ERROR:
        end(tx, entry.actor, entry, Status.FAILED, at.rules, reason=made.status_reason or "error")
    elif made.status in _ENDED:
        end(tx, entry.actor, entry, Status.FAILED, at.rules, reason="deleted_before_it_ran")
    else:
        put(tx, entry, replace(entry, look_at=states.follow_at(tx.now)), at.rules)


def _try_again(at: _Attention, entry: Entry, made: Instance) -> None:
    """Its unit turned out not to exist: it keeps its ticket, and rests."""
    attempts = entry.attempts + 1
    tried = replace(entry, attempts=attempts, look_at=None, last_error=made.status_reason or "no_capacity")
    if attempts >= states.ATTEMPTS:
        end(at.tx, entry.actor, tried, Status.FAILED, at.rules, reason=tried.last_error)
        return
    waiting = replace(
        tried,
        status=Status.WAITING,
        granted_location=None,
        instance_id=None,
        rest_until=Instant(at.tx.now + states.pause(attempts)),
    )
    put(at.tx, entry, tell(at.tx, entry.actor, "waitlist.waiting", waiting), at.rules)


_ACTIONS: Mapping[Step, Callable[[_Attention, Entry], None]] = {
    Step.EXPIRE: _expire,
    Step.REMIND: _remind,
    Step.HAND_ON: _hand_on,
    Step.REJOIN: _rejoin,
    Step.WAKE: _wake,
    Step.EXAMINE: _examine,
    Step.FOLLOW: _follow,
}

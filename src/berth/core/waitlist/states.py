"""What is due for an entry, and when. Pure."""

from enum import StrEnum

from berth.base.clock import DAY, HOUR, MINUTE, SECOND, Instant
from berth.core.waitlist.model import IN_LINE, Entry, Rules, Status

DEFAULT_LIFE = 30 * DAY
LONGEST_LIFE = 90 * DAY
NOTICE = 2 * DAY
"""How long before its end an entry's owner is told."""
QUIET = 15 * MINUTE
"""Nobody is told of a free unit twice within it."""
BROADCAST_REST = HOUR
MISSES = 3
"""Claim windows let pass, after which an entry expires."""
ATTEMPTS = 5
_LONGEST_PAUSE_MINUTES = 30
_DEPLOYMENT_LOOK = 5 * SECOND
_FIRST_LOOK = 30 * SECOND
_LAST_LOOK = 10 * MINUTE


class Step(StrEnum):
    NOTHING = "nothing"
    EXPIRE = "expire"
    REMIND = "remind"
    HAND_ON = "hand_on"
    """Its claim window is over: the unit goes to the next."""
    REJOIN = "rejoin"
    """It was told with many others, a while ago: it may be told again."""
    WAKE = "wake"
    """Its rest is over."""
    EXAMINE = "examine"
    """Something was in its way: is it still?"""
    FOLLOW = "follow"
    """Its instance is on its way: has it arrived?"""


def plan(entry: Entry, now: Instant) -> Step:
    """What is due for the entry."""
    if entry.status is Status.DEPLOYING:
        return Step.FOLLOW if _is_past(entry.look_at, now) else Step.NOTHING
    if entry.status not in IN_LINE:
        return Step.NOTHING
    if entry.status is Status.NOTIFIED and _is_past(entry.claim_expires_at, now):
        return Step.HAND_ON
    if entry.expires_at <= now and not entry.has_reservation:
        return Step.EXPIRE
    if entry.status is Status.NOTIFIED and _is_past(entry.rest_until, now):
        return Step.REJOIN
    if entry.status is Status.WAITING and _is_past(entry.rest_until, now):
        return Step.WAKE
    if entry.blocked_reason is not None and _is_past(entry.look_at, now):
        return Step.EXAMINE
    return Step.REMIND if _is_past(entry.remind_at, now) else Step.NOTHING


def due_at(entry: Entry) -> Instant | None:
    """When `plan` next finds something; None when it never will."""
    if entry.status is Status.DEPLOYING:
        return entry.look_at
    if entry.status not in IN_LINE:
        return None
    instants = [entry.remind_at, entry.rest_until, entry.claim_expires_at]
    if entry.blocked_reason is not None:
        instants.append(entry.look_at)
    if not entry.has_reservation:
        instants.append(entry.expires_at)
    return min(at for at in instants if at is not None)


def is_owed(entry: Entry, rules: Rules) -> bool:
    """Whether nobody may overtake it.

    An automatic entry that rests after a failed deployment is: what failed was the provider's doing, not its own.
    One that is only told is not while it rests, nor where nothing is kept for who is told.
    """
    if entry.status is not Status.WAITING or entry.blocked_reason is not None:
        return False
    return entry.is_auto or (entry.rest_until is None and rules.claim_window_s > 0)


def pause(attempts: int) -> int:
    """How long an entry rests after its `attempts`-th deployment found no capacity: 1, 2, 4 … 30 minutes."""
    return min(1 << (attempts - 1), _LONGEST_PAUSE_MINUTES) * MINUTE


def follow_at(now: Instant) -> Instant:
    return Instant(now + _DEPLOYMENT_LOOK)


def look_at(blocked_at: Instant, now: Instant) -> Instant:
    """When to look at an obstacle again: the longer it has been there, the later."""
    return Instant(now + min(max(_FIRST_LOOK, (now - blocked_at) // 8), _LAST_LOOK))


def remind_at(expires_at: Instant, now: Instant) -> Instant | None:
    """When to say that the entry expires soon; None where it does so anyway."""
    at = Instant(expires_at - NOTICE)
    return at if at > now else None


def _is_past(at: Instant | None, now: Instant) -> bool:
    return at is not None and at <= now

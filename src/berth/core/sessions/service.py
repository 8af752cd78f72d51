"""The verbs of whoever has sessions: look, end, extend, and what their agents say."""

import hmac
from collections.abc import Sequence
from dataclasses import replace

from berth.base import secrets
from berth.base.clock import HOUR, Instant
from berth.base.db import Row, Tx
from berth.base.money import Micros
from berth.core import billing, catalog, instances
from berth.core.billing import Rules as MoneyRules
from berth.core.errors import Conflict, Invalid, NotFound, Unauthenticated
from berth.core.events import Actor
from berth.core.instances import FAILED, Instance, Wanted
from berth.core.sessions import checking, idling, launching, store
from berth.core.sessions.model import ENDED, Rules, Session, Status

LISTED_MOST = 1000


def get(tx: Tx, by: Actor, session_id: str) -> Session:
    """Raises NotFound, also for another project's and for an instance that is no session."""
    by.may("deployments:read")
    found = find(tx, session_id)
    if found is None or found.instance.project != by.project:
        raise _not_found()
    return found


def find(tx: Tx, session_id: str) -> Session | None:
    """Whoever's it is. For loops only."""
    row, instance = store.find(tx, session_id), instances.find(tx, session_id)
    return None if row is None or instance is None else store.session_of(row, instance)


def list_page(
    tx: Tx,
    by: Actor,
    *,
    consumer_id: str | None = None,
    status: Status | None = None,
    provider: str | None = None,
    limit: int = LISTED_MOST,
) -> Sequence[Session]:
    """Newest first, ended ones included."""
    by.may("deployments:read")
    most = min(limit, LISTED_MOST)
    rows = store.page(tx, by.project, consumer_id=consumer_id, status=status, provider=provider, limit=most)
    found = instances.of_ids(tx, [row[0] for row in rows])
    return [store.session_of(row, found[row[0]]) for row in rows]


def counts(tx: Tx) -> Sequence[tuple[str, Status, int]]:
    """How many sessions of all projects have not ended, by provider and status. For whoever watches the installation."""
    return [(provider, Status(status), count) for provider, status, count in store.counts(tx)]


def cost(tx: Tx, session: Session) -> Micros:
    """What it has cost so far, live to the second."""
    return billing.bill(tx, session.id).total


def done(tx: Tx, by: Actor, session_id: str, money: MoneyRules) -> Session:
    """Its work is complete: it ends as its storage policy says. Raises NotFound, and Conflict when it has ended.

    Said again while it is ending, nothing changes.
    """
    session, row = _locked(tx, by, session_id)
    if session.status in ENDED:
        raise _ended(session)
    if session.status is Status.STOPPING:
        return session
    if session.instance.ends_off:
        return _again(row, instances.switch_off(tx, by, session.instance, reason=None))
    return _again(row, instances.end_now(tx, by, session.instance, money, reason=None))


def destroy(tx: Tx, by: Actor, session_id: str, money: MoneyRules) -> Session:
    """It ends at once, and its disk with it. One that is ending or has ended is left as it is, but for a kept disk,
    which ends now. Raises NotFound.
    """
    session, row = _locked(tx, by, session_id)
    # What failed is destroyed already as far as anything of it is left.
    if session.instance.wanted is Wanted.DELETED or session.instance.status in FAILED:
        return session
    return _again(row, instances.end_now(tx, by, session.instance, money, reason=None))


def extend(tx: Tx, by: Actor, session_id: str, additional_hours: int | None, rules: Rules) -> Session:
    """Its reservation ends so many hours later.

    Raises NotFound, Conflict when it has ended or is ending, Invalid for hours that are not 1 to 12, past the maximum, or
    more than its offer can be had for.
    """
    session, row = _locked(tx, by, session_id)
    problems = list(checking.hours("additional_hours", additional_hours))
    if problems or additional_hours is None:
        raise Invalid("invalid_fields", "; ".join(problems), problems=problems)
    if session.status in ENDED or session.status is Status.STOPPING:
        raise _ended(session)
    expires_at = Instant(session.expires_at + additional_hours * HOUR)
    if not rules.is_hard_max_off and expires_at > session.created_at + rules.hard_max_hours * HOUR:
        hours = session.reservation_hours + additional_hours
        raise Invalid(
            "hard_max_exceeded",
            f"additional_hours must be at most {max(0, rules.hard_max_hours - session.reservation_hours)}"
            f" (got {additional_hours}): the session would last {hours} hours, and none lasts more than"
            f" {rules.hard_max_hours}",
            field="additional_hours",
        )
    total_hours = session.reservation_hours + additional_hours
    _check_duration(tx, session, expires_at)
    store.prolong(tx, session.id, expires_at=expires_at, reservation_hours=total_hours)
    instance = instances.prolong(tx, by, session.instance, ends_at=expires_at)
    return replace(_again(row, instance), expires_at=expires_at, reservation_hours=total_hours)


def _check_duration(tx: Tx, session: Session, expires_at: Instant) -> None:
    """Raises Invalid where its host ends it before that: what was said of it last counts, from when that was said."""
    offer = catalog.known_offer(tx, session.instance.offer_id)
    since = max(session.created_at, offer.observed_at)
    if not launching.lasts(offer, expires_at - since):
        most = 0 if offer.market is None else offer.market.max_duration_hours
        raise Invalid(
            "exceeds_offer",
            f"additional_hours: the offer of the session could be rented for {most} hours at most",
            field="additional_hours",
        )


def heartbeat(
    tx: Tx, by: Actor, session_id: str, *, token: str, idle_s: int, pepper: bytes, money: MoneyRules
) -> Session:
    """Its agent says since when nothing happens there; at its threshold that ends it.

    Raises NotFound, and Unauthenticated `wrong_agent_token`.
    """
    session, row = _locked(tx, by, session_id)
    if not hmac.compare_digest(secrets.fingerprint(pepper, token), session.token_hash):
        raise Unauthenticated("wrong_agent_token", "the agent token is not that of this session")
    if session.status is not Status.RUNNING:
        return session
    watch = idling.heard(session.watch, max(0, idle_s), tx.now)
    store.watch(tx, session.id, watch)
    instance = session.instance
    if idling.is_over(watch, session.idle_threshold_minutes, tx.now):
        instance = instances.finish_by_itself(tx, instance, "idle", money)
    return replace(_again(row, instance), watch=watch)


def _locked(tx: Tx, by: Actor, session_id: str) -> tuple[Session, Row]:
    """Raises NotFound, Forbidden."""
    instance = instances.lock(tx, by, session_id)
    row = None if instance is None else store.find(tx, session_id, lock=True)
    if instance is None or row is None:
        raise _not_found()
    return store.session_of(row, instance), row


def _again(row: Row, instance: Instance) -> Session:
    return store.session_of(row, instance)


def _not_found() -> NotFound:
    return NotFound("session_not_found", "session not found")


def _ended(session: Session) -> Conflict:
    doing = "is ending" if session.status is Status.STOPPING else "has ended"
    return Conflict(
        "session_ended", f"the session {doing}: it is {session.status.value}", status=session.status.value
    )

"""The verbs of the deliveries loop: take what is due, and write what came of it, only while the lease is ours."""

from collections.abc import Callable, Mapping
from dataclasses import replace

from berth.base import secrets
from berth.base.clock import DAY, Instant, after
from berth.base.db import Row, Tx
from berth.core import events, notices
from berth.core.webhooks import schedule, service, store
from berth.core.webhooks.model import (
    EVENTS_LANE,
    TESTS_LANE,
    DeliveryStatus,
    Leased,
    Outcome,
    Told,
    Webhook,
)
from berth.core.webhooks.rules import Rules, target_of
from berth.core.webhooks.schedule import Streak

AT_ONCE = 4
"""How many deliveries to one webhook are under way at once, over all processes."""
KEPT = 30 * DAY
KEPT_AFTER_DELETE = 7 * DAY
PAYLOAD_LIMIT = 20_000
"""Bytes of a body."""
_WOKEN = 64
_LANES = 8
_NEAR, _ALL = 8, store.EVERY_LANE
_SKIPPED = 500
_FORGOTTEN = 500
_REASON_LIMIT = 300
_TEXT_SHOWN, _MEMBERS_SHOWN = 300, 30
_ACTOR = "loop:deliveries"
_WHY = {
    "gone": "The receiver of webhook {} answered 410 Gone, so it is sent nothing any more. What happens meanwhile is kept: switch it on again within seven days and have it recovered.",
    "failing": "Every delivery to webhook {} has failed for five days, so it is sent nothing any more. What happens meanwhile is kept: switch it on again within seven days and have it recovered.",
}

Render = Callable[[Told], str]
"""Puts an event into the words of the API through which the webhook was registered."""


def take(tx: Tx, *, start: str, seconds: int, render: Render, pepper: bytes) -> Leased | None:
    """Leases one delivery that is due, for `seconds` at most; None when there is none to take.

    `start` is any text of digits and capitals: lanes are tried from there on and around, so that senders who
    start at different places serve all of them. The body is put into words at the first attempt and kept.
    """
    store.wake_due(tx, limit=_WOKEN)
    near = EVENTS_LANE + start
    # Mostly the next lane will do: only where it does not are all of them walked.
    for place, walked in ((TESTS_LANE, _ALL), (near, _NEAR), (near, _ALL), (EVENTS_LANE, _ALL)):
        lanes = store.open_lanes(tx, after=place, most=AT_ONCE, limit=_LANES, walked=walked)
        for lane, webhook_id in lanes:
            leased = _take_from(tx, lane, webhook_id, seconds=seconds, render=render, pepper=pepper)
            if leased is not None:
                return leased
    return None


def next_due(tx: Tx) -> Instant | None:
    """When there may be something to take; None when nothing waits."""
    for walked in (_NEAR, _ALL):
        if store.open_lanes(tx, after="", most=AT_ONCE, limit=1, walked=walked):
            return tx.now
    waits = [at for at in (store.first_due_at(tx), store.unthrottled_at(tx)) if at is not None]
    return min(waits, default=None)


def finish(tx: Tx, leased: Leased, outcome: Outcome, rules: Rules) -> bool:
    """Writes how an attempt went and what follows. False, and nothing is written, when the lease was lost."""
    webhook = _locked_if_needed(tx, leased, outcome)
    next_attempt_at = _next_attempt_at(tx, leased, outcome, webhook, rules)
    if outcome.is_success:
        status = DeliveryStatus.SUCCESS
    else:
        status = DeliveryStatus.FAILED if next_attempt_at is None else DeliveryStatus.PENDING
    if not store.end_lease(
        tx,
        leased.delivery_id,
        leased.lease_token,
        status=status,
        next_attempt_at=next_attempt_at,
        status_code=outcome.status_code,
    ):
        return False
    store.insert_attempt(tx, leased.delivery_id, leased.attempt, tx.now, outcome)
    if webhook is not None and not leased.is_test:
        _judge(tx, webhook, outcome)
    return True


def give_back(tx: Tx, leased: Leased) -> None:
    """Lets others send it at once. One that was lost stays as it is."""
    store.give_back(tx, leased.delivery_id, leased.lease_token)


def release_leases(tx: Tx) -> None:
    """Takes every delivery back. Only for a process that knows that it is alone, when it starts."""
    store.release_leases(tx)


def forget(tx: Tx) -> int:
    """Deletes a batch of what is past its time; returns how much."""
    old = store.old_deliveries(tx, Instant(tx.now - KEPT), limit=_FORGOTTEN)
    store.delete_deliveries(tx, old)
    count = len(old)
    for webhook_id in store.deleted_before(tx, Instant(tx.now - KEPT_AFTER_DELETE), limit=1):
        rest = store.deliveries_of(tx, webhook_id, limit=_FORGOTTEN)
        store.delete_deliveries(tx, rest)
        if len(rest) < _FORGOTTEN:
            store.remove(tx, webhook_id)
        count += max(1, len(rest))
    return count


def _take_from(
    tx: Tx, lane: str, webhook_id: str, *, seconds: int, render: Render, pepper: bytes
) -> Leased | None:
    webhook = store.find_any(tx, webhook_id, lock=tx.skip_locked)
    if webhook is None:
        return None  # another sender is taking from it
    is_test = lane.startswith(TESTS_LANE)
    if webhook.deleted_at is not None or not (webhook.is_active or is_test):
        store.skip_lane(tx, lane, limit=_SKIPPED)
        return None
    # One that fails may well hang: it is tried with one sender, so that many such leave some for the others.
    most = AT_ONCE if is_test or webhook.failing_since is None else 1
    row = store.head(tx, lane, most=most)
    return None if row is None else _lease(tx, webhook, row, seconds=seconds, render=render, pepper=pepper)


def _lease(
    tx: Tx, webhook: Webhook, row: Row, *, seconds: int, render: Render, pepper: bytes
) -> Leased | None:
    delivery_id, subject, sequence, event_type, is_test, payload, attempts, round_attempts, token = row
    try:
        _check_not_used_up(round_attempts, is_test=bool(is_test))
        if payload is None:
            payload = _payload(tx, subject, sequence, event_type, is_test=bool(is_test), render=render)
        keys = [
            secrets.unseal(pepper, secret.sealed, about=webhook.id)
            for secret in webhook.secrets
            if secret.until is None or secret.until > tx.now
        ]
    except Exception as error:  # noqa: BLE001 - a delivery that cannot be made must not hold up all the others
        store.abandon(tx, delivery_id)
        reason = f"not_sent: {type(error).__name__}: {error}"[:_REASON_LIMIT]
        store.insert_attempt(tx, delivery_id, attempts + 1, tx.now, Outcome(None, 0, reason))
        return None
    store.lease(tx, delivery_id, token=token + 1, until=after(tx.now, seconds=seconds), payload=payload)
    return Leased(
        delivery_id=delivery_id,
        webhook_id=webhook.id,
        project=webhook.project,
        lease_token=token + 1,
        attempt=attempts + 1,
        round_attempt=round_attempts + 1,
        is_test=bool(is_test),
        url=webhook.url,
        payload=payload,
        secrets=keys,
    )


def _check_not_used_up(round_attempts: int, *, is_test: bool) -> None:
    """Raises when the last sender never came back: what brings down whoever sends it must not do so for good."""
    if round_attempts >= (1 if is_test else schedule.ATTEMPTS):
        raise TimeoutError("no sender came back with an answer")


def _payload(tx: Tx, subject: str, sequence: int, event_type: str, *, is_test: bool, render: Render) -> str:
    event = events.find(tx, subject, sequence)
    if event is None:
        raise ValueError("its event is gone")
    payload = render(Told(event, event_type, is_test))
    if len(payload.encode()) >= PAYLOAD_LIMIT:
        payload = render(Told(replace(event, data=_shortened(event.data)), event_type, is_test))
    return payload


def _shortened(data: Mapping[str, object]) -> Mapping[str, object]:
    """What is short of it, and the beginning of long texts."""
    return {
        name: value[:_TEXT_SHOWN] if isinstance(value, str) else value
        for name, value in list(data.items())[:_MEMBERS_SHOWN]
        if value is None or isinstance(value, str | int)
    }


def _locked_if_needed(tx: Tx, leased: Leased, outcome: Outcome) -> Webhook | None:
    """The webhook where this outcome changes something about it; locked, and before its delivery is."""
    known = store.find_any(tx, leased.webhook_id)
    if known is None or (outcome.is_success and known.failing_since is None):
        return known
    return store.find_any(tx, leased.webhook_id, lock=tx.for_update)


def _next_attempt_at(
    tx: Tx, leased: Leased, outcome: Outcome, webhook: Webhook | None, rules: Rules
) -> Instant | None:
    is_over = outcome.is_success or leased.is_test or webhook is None or webhook.deleted_at is not None
    if is_over:
        return None
    asked_for = outcome.retry_after_s if outcome.status_code in schedule.THROTTLING else None
    return schedule.next_attempt_at(
        leased.delivery_id,
        leased.round_attempt,
        tx.now,
        retry_after_s=asked_for,
        permille=rules.retry_permille,
    )


def _judge(tx: Tx, webhook: Webhook, outcome: Outcome) -> None:
    """What the outcome says about the webhook itself."""
    if outcome.is_success:
        if webhook.failing_since is not None:
            store.update(tx, replace(webhook, failing_since=None, counted_since=None))
        return
    streak = Streak(webhook.failing_since, webhook.counted_since).failed(tx.now)
    until = schedule.throttled_until(outcome.status_code, outcome.retry_after_s, tx.now)
    changed = replace(
        webhook,
        failing_since=streak.failing_since,
        counted_since=streak.counted_since,
        throttled_until=max(webhook.throttled_until, until or Instant(0)),
    )
    if webhook.is_active and outcome.status_code == schedule.GONE:
        _disable(tx, changed, "gone")
    elif webhook.is_active and streak.is_hopeless(tx.now):
        _disable(tx, changed, "failing")
    elif changed != webhook:
        store.update(tx, changed)


def _disable(tx: Tx, webhook: Webhook, reason: str) -> None:
    changed = replace(webhook, is_active=False, disabled_reason=reason, disabled_at=tx.now, updated_at=tx.now)
    store.update(tx, changed)
    service.subscribe(tx, changed)
    by = events.system(webhook.project, _ACTOR)
    data = {"webhook_id": webhook.id, "name": webhook.name, "disabled_reason": reason}
    events.record(tx, by, events.DISABLED, subject=webhook.id, data=data)
    known_as = webhook.name or target_of(webhook.url).host
    notices.send(
        tx,
        webhook.project,
        events.DISABLED,
        f"Webhook {known_as} was disabled",
        _WHY[reason].format(known_as),
    )

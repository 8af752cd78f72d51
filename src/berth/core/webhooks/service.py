"""The verbs of webhooks: what their owner asks for."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from berth.base import ids, secrets
from berth.base.clock import DAY, Instant, after
from berth.base.db import Tx
from berth.core import events, projects
from berth.core.errors import Conflict, Invalid, NotFound
from berth.core.events import Actor, Subscription
from berth.core.webhooks import samples, signing, store
from berth.core.webhooks.model import SealedSecret, Webhook
from berth.core.webhooks.rules import Rules, check_url, target_of

WEBHOOKS_PER_PROJECT = 10
OVERLAP_MOST_S = 7 * DAY // 1_000_000
_SECRETS_KEPT = 5
_DROPPED = 1000
"""Deliveries that a delete drops by itself; of more, each is dropped when its turn comes."""
_TEXT_LIMIT = 120
_NOT_FOUND = ("webhook_not_found", "Webhook not found.")


@dataclass(frozen=True, slots=True)
class Changes:
    """What `update` is to change; None leaves a member as it is, an empty name or description takes it away."""

    url: str | None = None
    events: Sequence[str] | None = None
    is_active: bool | None = None
    name: str | None = None
    description: str | None = None


def create(
    tx: Tx,
    by: Actor,
    *,
    url: str,
    events: Sequence[str],
    name: str | None = None,
    description: str | None = None,
    pepper: bytes,
    rules: Rules,
) -> tuple[Webhook, str]:
    """A webhook and its secret, which is never shown again.

    Raises Invalid for a URL, event or text that will not do, Conflict over the quota.
    """
    by.may("webhooks:write")
    check_url(url, rules)
    wanted = _patterns(events)
    projects.lock(tx, by)
    if len(store.list_all(tx, by.project, limit=WEBHOOKS_PER_PROJECT)) >= WEBHOOKS_PER_PROJECT:
        raise Conflict("quota", f"At most {WEBHOOKS_PER_PROJECT} webhooks can be registered; delete one.")
    webhook_id = ids.new(tx.now)
    secret, sealed = _new_secret(pepper, webhook_id)
    webhook = Webhook(
        id=webhook_id,
        project=by.project,
        url=url,
        name=_text("name", name),
        description=_text("description", description),
        events=wanted,
        secrets=(sealed,),
        is_active=True,
        disabled_reason=None,
        disabled_at=None,
        throttled_until=Instant(0),
        failing_since=None,
        counted_since=None,
        created_by=by.key_id,
        created_at=tx.now,
        updated_at=tx.now,
        deleted_at=None,
    )
    store.insert(tx, webhook)
    subscribe(tx, webhook)
    _record(tx, by, "webhook.created", webhook)
    return webhook, secret


def get(tx: Tx, by: Actor, webhook_id: str) -> Webhook:
    """Raises NotFound, also for another project's and a deleted one."""
    by.may("webhooks:read")
    return _existing(store.find(tx, by.project, webhook_id))


def list_webhooks(tx: Tx, by: Actor) -> Sequence[Webhook]:
    """All of the project, oldest first."""
    by.may("webhooks:read")
    return store.list_all(tx, by.project, limit=WEBHOOKS_PER_PROJECT)


def update(tx: Tx, by: Actor, webhook_id: str, changes: Changes, *, rules: Rules) -> Webhook:
    """Changes what is given; the secret stays. Raises NotFound, Invalid."""
    by.may("webhooks:write")
    webhook = locked(tx, by, webhook_id)
    changed = webhook
    if changes.url is not None:
        check_url(changes.url, rules)
        changed = replace(changed, url=changes.url)
    if changes.events is not None:
        changed = replace(changed, events=_patterns(changes.events))
    if changes.name is not None:
        changed = replace(changed, name=_text("name", changes.name))
    if changes.description is not None:
        changed = replace(changed, description=_text("description", changes.description))
    if changes.is_active is not None:
        changed = _switched(changed, tx.now, is_active=changes.is_active)
    if changed == webhook:
        return webhook
    changed = replace(changed, updated_at=tx.now)
    store.update(tx, changed)
    subscribe(tx, changed)
    _record(tx, by, "webhook.updated", changed)
    return changed


def delete(tx: Tx, by: Actor, webhook_id: str) -> Webhook:
    """Ends it: what it was still to be told is dropped, its log is kept for a week. Raises NotFound."""
    by.may("webhooks:write")
    webhook = locked(tx, by, webhook_id)
    changed = replace(webhook, is_active=False, deleted_at=tx.now, updated_at=tx.now)
    store.update(tx, changed)
    events.unsubscribe(tx, by.project, webhook.id)
    store.drop_waiting(tx, webhook.id, limit=_DROPPED)
    _record(tx, by, "webhook.deleted", changed)
    return changed


def rotate_secret(
    tx: Tx, by: Actor, webhook_id: str, *, overlap_seconds: int, pepper: bytes
) -> tuple[Webhook, str]:
    """A new secret; until the overlap ends deliveries carry the signatures of both. Raises NotFound, Invalid."""
    by.may("webhooks:write")
    if not 0 <= overlap_seconds <= OVERLAP_MOST_S:
        raise Invalid(
            "invalid_field", f"overlap_seconds must be 0 to {OVERLAP_MOST_S}.", field="overlap_seconds"
        )
    webhook = locked(tx, by, webhook_id)
    until = after(tx.now, seconds=overlap_seconds)
    secret, sealed = _new_secret(pepper, webhook.id)
    older = [
        replace(each, until=until if each.until is None else min(until, each.until))
        for each in webhook.secrets
    ]
    still = [each for each in older if each.until is not None and each.until > tx.now]
    changed = replace(webhook, secrets=(sealed, *still)[:_SECRETS_KEPT], updated_at=tx.now)
    store.update(tx, changed)
    _record(tx, by, "webhook.secret_rotated", changed)
    return changed, secret


def send_test(tx: Tx, by: Actor, webhook_id: str, *, event_type: str | None = None) -> str:
    """Has one attempt made, whether the webhook is active or not, and no other; returns the delivery's id.

    What is sent looks like an event of `event_type` and says that it is a test. Raises NotFound, Invalid.
    """
    by.may("webhooks:write")
    webhook = locked(tx, by, webhook_id)
    wanted = event_type or events.TEST
    if wanted not in events.CATALOGUE:
        raise unknown_event(wanted)
    return events.record_test(
        tx, by, _subscription(webhook, webhook.test_lane), samples.of(wanted, tx.now), as_type=wanted
    )


def locked(tx: Tx, by: Actor, webhook_id: str) -> Webhook:
    """The webhook, which nobody else changes before the commit. Raises NotFound."""
    return _existing(store.find(tx, by.project, webhook_id, lock=True))


def subscribe(tx: Tx, webhook: Webhook) -> None:
    """Brings what it is told of in line with the row."""
    events.subscribe(tx, webhook.project, _subscription(webhook, webhook.lane))


def readable_log(tx: Tx, by: Actor, webhook_id: str) -> Webhook:
    """The webhook, or one that was deleted and whose log is still kept. Raises NotFound."""
    by.may("webhooks:read")
    found = store.find_any(tx, webhook_id)
    return _existing(None if found is None or found.project != by.project else found)


def _subscription(webhook: Webhook, lane: str) -> Subscription:
    return Subscription(webhook.id, lane, frozenset(webhook.events), webhook.is_active)


def _switched(webhook: Webhook, now: Instant, *, is_active: bool) -> Webhook:
    """Off by its owner, or on again with everything forgotten that was held against it."""
    if is_active == webhook.is_active:
        return webhook
    if not is_active:
        return replace(webhook, is_active=False, disabled_reason="requested", disabled_at=now)
    return replace(
        webhook,
        is_active=True,
        disabled_reason=None,
        disabled_at=None,
        throttled_until=Instant(0),
        failing_since=None,
        counted_since=None,
    )


def _patterns(wanted: Sequence[str]) -> tuple[str, ...]:
    """Each once, in the order given. Raises Invalid."""
    if not wanted:
        raise Invalid("invalid_field", "events must name at least one event.", field="events")
    unknown = [pattern for pattern in wanted if pattern not in events.PATTERNS]
    if unknown:
        raise _unknown(unknown, "events")
    return tuple(dict.fromkeys(wanted))


def unknown_event(event_type: str) -> Invalid:
    """For a type that is not one of the catalogue."""
    return _unknown([event_type], "event")


def _unknown(patterns: Sequence[str], field: str) -> Invalid:
    return Invalid(
        "invalid_field",
        "There is no such event.",
        field=field,
        unknown_events=list(patterns[:10]),
        valid_events=sorted(events.PATTERNS) if field == "events" else list(events.CATALOGUE),
    )


def _new_secret(pepper: bytes, webhook_id: str) -> tuple[str, SealedSecret]:
    key = signing.new_secret()
    return signing.shown(key), SealedSecret(secrets.seal(pepper, key, about=webhook_id), None)


def _text(field: str, text: str | None) -> str | None:
    if not text:
        return None
    if len(text) > _TEXT_LIMIT or not text.isprintable():
        raise Invalid(
            "invalid_field", f"{field} must be at most {_TEXT_LIMIT} printable characters.", field=field
        )
    return text


def _record(tx: Tx, by: Actor, event_type: str, webhook: Webhook) -> None:
    data = {
        "name": webhook.name,
        # No more of the URL: its path and query often hold what lets one in.
        "host": target_of(webhook.url).authority,
        "events": list(webhook.events),
        "is_active": webhook.is_active,
    }
    events.record(tx, by, event_type, subject=webhook.id, data=data)


def _existing(found: Webhook | None) -> Webhook:
    if found is None:
        raise NotFound(*_NOT_FOUND)
    return found

"""Webhooks: core's values in the retail API's words, and back."""

from typing import Any

import msgspec

from berth.base.clock import Instant, parse_rfc3339, rfc3339
from berth.core import webhooks
from berth.core.errors import Invalid
from berth.core.webhooks import Changes, DeliveryStatus, Filter
from berth.faces.huddle.webhooks import wire
from berth.faces.huddle.words import EVENT, WEBHOOK, event_word, optional_time


def webhook(made: webhooks.Webhook) -> wire.Webhook:
    return wire.Webhook(**_webhook(made))


def with_secret(made: webhooks.Webhook, secret: str) -> wire.WebhookWithSecret:
    return wire.WebhookWithSecret(**_webhook(made), secret=secret)


def without_secret(created: wire.WebhookWithSecret) -> wire.WebhookWithSecret:
    return msgspec.structs.replace(created, secret=None, secret_redacted=True)


def _webhook(made: webhooks.Webhook) -> dict[str, Any]:
    return {
        "id": WEBHOOK + made.id,
        "url": made.url,
        "events": [event_word(each) for each in made.events],
        "is_active": made.is_active,
        "name": made.name,
        "description": made.description,
        "disabled_reason": made.disabled_reason,
        "disabled_at": optional_time(made.disabled_at),
        "failing_since": optional_time(made.failing_since),
        "throttled_until": optional_time(made.throttled_until or None),
        "created_at": rfc3339(made.created_at),
        "updated_at": rfc3339(made.updated_at),
    }


def changes(request: wire.WebhookChanges) -> Changes:
    return Changes(
        url=request.url,
        events=None if request.events is None else [event_word(each) for each in request.events],
        is_active=request.is_active,
        name=_text(request.name),
        description=_text(request.description),
    )


def wanted(query: wire.DeliveriesQuery) -> Filter:
    """Raises Invalid for what is no time."""
    return Filter(
        status=None if query.status is None else DeliveryStatus(query.status),
        event_type=None if query.event is None else event_word(query.event),
        since=None if query.since is None else time("from", query.since),
        until=None if query.until is None else time("to", query.until),
    )


def time(field: str, text: str) -> Instant:
    """Raises Invalid."""
    try:
        return parse_rfc3339(text)
    except ValueError:
        raise Invalid(
            "invalid_field", f"{field} must be a time such as 2026-04-03T10:00:00Z.", field=field
        ) from None


def delivery(made: webhooks.Delivery) -> wire.Delivery:
    return wire.Delivery(**_delivery(made), attempts=made.attempts)


def delivery_detail(found: webhooks.DeliveryDetail) -> wire.DeliveryDetail:
    made = found.delivery
    return wire.DeliveryDetail(
        **_delivery(made),
        attempt_count=made.attempts,
        request=wire.SentRequest(
            url=found.url,
            headers={
                "content-type": "application/json",
                "webhook-id": webhooks.message_id(made.id),
                "webhook-attempt": str(made.attempts),
            },
            body=found.payload,
        ),
        attempts=[attempt(each) for each in found.attempts],
    )


def attempt(made: webhooks.Attempt) -> wire.Attempt:
    return wire.Attempt(
        n=made.n,
        at=rfc3339(made.at),
        status_code=made.status_code,
        latency_ms=made.latency_ms,
        error=made.error,
        response_excerpt=made.response_excerpt,
    )


def test_result(found: webhooks.DeliveryDetail) -> wire.TestResult:
    """Of a test that may still be under way."""
    last = found.attempts[-1] if found.attempts else None
    return wire.TestResult(
        delivery_id=webhooks.message_id(found.delivery.id),
        success=found.delivery.status is DeliveryStatus.SUCCESS,
        status_code=None if last is None else last.status_code,
        latency_ms=None if last is None else last.latency_ms,
        error="pending: It was not sent in time; look it up in the deliveries."
        if last is None
        else last.error,
    )


def _delivery(made: webhooks.Delivery) -> dict[str, Any]:
    return {
        "id": webhooks.message_id(made.id),
        "webhook_id": WEBHOOK + made.webhook_id,
        "event_id": EVENT + made.event_id,
        "event": event_word(made.event_type),
        "status": made.status.value,
        "is_test": made.is_test,
        "last_status_code": made.last_status_code,
        "next_attempt_at": optional_time(made.next_attempt_at),
        "created_at": rfc3339(made.created_at),
    }


def _text(given: str | msgspec.UnsetType | None) -> str | None:
    """As core's changes want it: None changes nothing, an empty text takes it away."""
    return None if isinstance(given, msgspec.UnsetType) else given or ""

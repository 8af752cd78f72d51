"""Webhooks and their deliveries on the wire, member for member."""

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from berth.faces.huddle.wire import Limit

DeliveryStatus = Literal["pending", "success", "failed", "skipped"]


class WebhookRequest(Struct, kw_only=True):
    url: str
    events: list[str]
    name: str | None = None
    description: str | None = None


class WebhookChanges(Struct, kw_only=True):
    url: str | None = None
    events: list[str] | None = None
    is_active: bool | None = None
    name: str | UnsetType | None = UNSET
    """Null takes it away."""
    description: str | UnsetType | None = UNSET


class TestRequest(Struct, kw_only=True):
    event: str | None = None


class RotateSecretRequest(Struct, kw_only=True):
    overlap_seconds: Annotated[int, Meta(ge=0, le=604_800)] = 86_400


class RecoverRequest(Struct, kw_only=True):
    since: str
    until: str | None = None
    only: Literal["failed", "skipped", "all"] = "failed"


class DeliveriesQuery(Struct, kw_only=True, rename={"since": "from", "until": "to"}):
    status: DeliveryStatus | None = None
    event: str | None = None
    since: str | None = None
    until: str | None = None
    cursor: str | None = None
    limit: Limit = 20


class Webhook(Struct, kw_only=True):
    id: str
    url: str
    events: list[str]
    is_active: bool
    name: str | None
    description: str | None
    disabled_reason: str | None
    disabled_at: str | None
    failing_since: str | None
    throttled_until: str | None
    created_at: str
    updated_at: str


class WebhookWithSecret(Webhook, kw_only=True):
    secret: str | None
    """Shown this once; null in a replay."""
    secret_redacted: bool | UnsetType = UNSET


class TestResult(Struct, kw_only=True):
    delivery_id: str
    success: bool
    status_code: int | None
    latency_ms: int | None
    error: str | None


class Delivery(Struct, kw_only=True):
    id: str
    webhook_id: str
    event_id: str
    event: str
    status: DeliveryStatus
    is_test: bool
    attempts: int
    last_status_code: int | None
    next_attempt_at: str | None
    created_at: str


class Attempt(Struct, kw_only=True):
    n: int
    at: str
    status_code: int | None
    latency_ms: int
    error: str | None
    response_excerpt: str | None


class SentRequest(Struct, kw_only=True):
    url: str
    headers: dict[str, str]
    """Without the timestamp and the signature, which are new with each attempt."""
    body: str | None
    """Exactly as it is sent; null before the first attempt."""


class DeliveryDetail(Struct, kw_only=True):
    id: str
    webhook_id: str
    event_id: str
    event: str
    status: DeliveryStatus
    is_test: bool
    attempt_count: int
    last_status_code: int | None
    next_attempt_at: str | None
    created_at: str
    request: SentRequest
    attempts: list[Attempt]


class Recovered(Struct, kw_only=True):
    queued: int
    has_more: bool
    """More are waiting than one call takes: call again."""


class EventType(Struct, kw_only=True):
    name: str
    description: str

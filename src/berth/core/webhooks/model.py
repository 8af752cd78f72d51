"""A webhook, what is delivered to it, and how that went."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from berth.base.clock import Instant
from berth.core.events import Event

EVENTS_LANE, TESTS_LANE = "0", "9"
"""How lanes begin; those of tests come after all the others."""


class DeliveryStatus(StrEnum):
    PENDING = "pending"
    SUCCESS = "success"
    FAILED = "failed"
    """Every attempt of the schedule failed."""
    SKIPPED = "skipped"
    """The webhook was not active; `recover` sends it after all."""


class Only(StrEnum):
    """What `recover` sends again."""

    FAILED = "failed"
    SKIPPED = "skipped"
    ALL = "all"


@dataclass(frozen=True, slots=True)
class SealedSecret:
    sealed: str
    until: Instant | None
    """When it stops signing; None for the newest."""


@dataclass(frozen=True, slots=True)
class Webhook:
    id: str
    project: str
    url: str
    name: str | None
    description: str | None
    events: tuple[str, ...]
    """Core's types, `family.*` or `*`."""
    secrets: tuple[SealedSecret, ...]
    """Newest first; more than one while a rotation overlaps."""
    is_active: bool
    disabled_reason: str | None
    disabled_at: Instant | None
    throttled_until: Instant
    """It asked to be left alone until then."""
    failing_since: Instant | None
    """The first failure since the last success."""
    counted_since: Instant | None
    """The first failure that came at least twelve hours after `failing_since`."""
    created_by: str
    created_at: Instant
    updated_at: Instant
    deleted_at: Instant | None

    @property
    def lane(self) -> str:
        """Where its deliveries wait. The random part of the id comes first, so that lanes are spread evenly."""
        return EVENTS_LANE + self.id[::-1]

    @property
    def test_lane(self) -> str:
        """Where its tests wait: behind nothing but other tests."""
        return TESTS_LANE + self.id[::-1]


@dataclass(frozen=True, slots=True)
class Delivery:
    """One event for one webhook. Its id is the same for every attempt."""

    id: str
    webhook_id: str
    event_id: str
    event_type: str
    is_test: bool
    status: DeliveryStatus
    attempts: int
    last_status_code: int | None
    is_in_flight: bool
    next_attempt_at: Instant | None
    """While it is pending and not being sent: when it is sent at the earliest."""
    created_at: Instant
    seq: int


@dataclass(frozen=True, slots=True)
class Attempt:
    """How one attempt went."""

    n: int
    at: Instant
    status_code: int | None
    """None when nothing was answered."""
    latency_ms: int
    error: str | None
    """None for a success."""
    response_excerpt: str | None


@dataclass(frozen=True, slots=True)
class DeliveryDetail:
    delivery: Delivery
    url: str
    payload: str | None
    """The body; None before the first attempt."""
    attempts: Sequence[Attempt]


@dataclass(frozen=True, slots=True)
class Leased:
    """A delivery in the hands of one sender, with all that sending it needs."""

    delivery_id: str
    webhook_id: str
    project: str
    lease_token: int
    attempt: int
    """Counted from 1 over all attempts."""
    round_attempt: int
    """Counted from 1 since the schedule last began."""
    is_test: bool
    url: str
    payload: str
    secrets: Sequence[bytes]
    """Newest first, decoded."""


@dataclass(frozen=True, slots=True)
class Told:
    """What is put into words for the receiver."""

    event: Event
    event_type: str
    """As the receiver is told it: for a test, the type that was asked for."""
    is_test: bool


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one attempt. `retry_after_s` is what the receiver asked for, if it did."""

    status_code: int | None
    latency_ms: int
    error: str | None
    response_excerpt: str | None = None
    retry_after_s: int | None = None

    @property
    def is_success(self) -> bool:
        return self.error is None


@dataclass(frozen=True, slots=True)
class Filter:
    """Which deliveries; None means all. Times are half-open."""

    status: DeliveryStatus | None = None
    event_type: str | None = None
    since: Instant | None = None
    until: Instant | None = None

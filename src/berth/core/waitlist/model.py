"""A place in line for a type, in one location or in any."""

from dataclasses import dataclass
from enum import StrEnum

from berth.base.clock import Instant
from berth.base.money import Micros
from berth.core.events import SYSTEM_SCOPES, Actor
from berth.core.instances import OrderSpec


class Status(StrEnum):
    WAITING = "waiting"
    NOTIFIED = "notified"
    """Told that there is something; within the claim window a unit is kept for it."""
    DEPLOYING = "deploying"
    """Its instance is ordered and does not run yet."""
    FULFILLED = "fulfilled"
    FAILED = "failed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


IN_LINE = frozenset({Status.WAITING, Status.NOTIFIED})
ACTIVE = IN_LINE | {Status.DEPLOYING}


class Obstacle(StrEnum):
    """Why an entry cannot be served now. It keeps its place and is passed over."""

    INSUFFICIENT_CREDITS = "insufficient_credits"
    IMAGE_UNAVAILABLE = "image_unavailable"
    SSH_KEY_MISSING = "ssh_key_missing"
    PRICE_ABOVE_MAX = "price_above_max"
    QUOTA = "quota"
    ACCOUNT_SUSPENDED = "account_suspended"


@dataclass(frozen=True, slots=True)
class Rules:
    """What the operator decides about waiting."""

    claim_window_s: int = 600
    """How long a unit is kept for who was told of it; with 0 nothing is kept and several are told."""
    share_percent: int = 25
    """Of the units of one type and location that are given out at once, the most for one project while others wait."""


@dataclass(frozen=True, slots=True)
class Entry:
    id: str
    project: str
    created_by: str
    """The key that joined: what is deployed for the entry is deployed by it."""
    ticket: int
    """Its place: the lowest comes first."""
    instance_type: str
    location: str | None
    """None: any."""
    is_auto: bool
    """Deployed for the customer, who otherwise is told and deploys."""
    config: OrderSpec | None
    """What an automatic entry deploys; its location is the entry's."""
    max_price: Micros | None
    """Per hour."""
    status: Status
    blocked_reason: Obstacle | None
    blocked_at: Instant | None
    blocked_balance: Micros | None
    """What the account had when credit was the obstacle: once it has more, the entry is looked at again."""
    is_owed: bool
    """Whether a unit that comes free is kept from those who do not wait."""
    granted_location: str | None
    """Where a unit is kept for it, or its instance is deployed."""
    notified_count: int
    notified_at: Instant | None
    claim_expires_at: Instant | None
    rest_until: Instant | None
    """Passed over until then: its last deployment found nothing, or it was told a moment ago."""
    look_at: Instant | None
    """When its obstacle or its deployment is looked at next."""
    instance_id: str | None
    attempts: int
    last_error: str | None
    remind_at: Instant | None
    """When to say that it expires soon."""
    expires_at: Instant
    created_at: Instant
    updated_at: Instant
    sequence: int

    @property
    def actor(self) -> Actor:
        """Its project, as the key that joined."""
        return Actor(self.project, self.created_by, self.created_by, SYSTEM_SCOPES)

    @property
    def has_reservation(self) -> bool:
        return self.status is Status.NOTIFIED and self.claim_expires_at is not None


@dataclass(frozen=True, slots=True)
class Place:
    """An entry with where it stands: nobody is promised when it will be its turn."""

    entry: Entry
    ahead: int | None
    """How many come before it where the fewest do, those passed over not counted; None out of line."""

    @property
    def position(self) -> int | None:
        return None if self.ahead is None else self.ahead + 1


@dataclass(frozen=True, slots=True)
class Wish:
    """What a customer waits for."""

    instance_type: str
    location: str | None = None
    is_auto: bool = False
    config: OrderSpec | None = None
    max_price: Micros | None = None
    expires_at: Instant | None = None
    """None: the default time from now."""

"""A notice as kept: one e-mail to one contact."""

from dataclasses import dataclass
from enum import StrEnum

from berth.base.clock import Instant

MAX_ATTEMPTS = 9
"""How often one e-mail is tried: with the pauses between, for most of a day."""


class Status(StrEnum):
    """What became of a notice."""

    QUEUED = "queued"
    SENT = "sent"
    """The mail server took it."""
    FAILED = "failed"
    """Refused for good, or tried too often."""
    NOT_SENT = "not_sent"
    """No mail server was set up when it was due."""


@dataclass(frozen=True, slots=True)
class Notice:
    id: str
    project: str
    kind: str
    """What it is about, as events name it: `billing.low_balance`."""
    email: str
    subject_line: str
    body: str
    status: Status
    created_at: Instant
    attempt: int
    """How often it was tried, this time included while it is leased."""
    lease_token: int
    finished_at: Instant | None
    error: str | None
    """Why it failed, or has not been sent yet: for operators."""

"""Who acts, and what is remembered of it."""

from collections.abc import Mapping
from dataclasses import dataclass

from berth.base.clock import Instant
from berth.core.errors import Forbidden

EVERYTHING = "*"
ADMIN = "admin"
"""The operator's own: `*` does not stand for it, or every customer's full key could add credit to itself."""
SYSTEM_SCOPES = frozenset({EVERYTHING})


@dataclass(frozen=True, slots=True)
class Actor:
    """Someone who asks for something, on behalf of one project.

    `key_id` names the credential (`loop:metering` for our own loops); `lineage` is shared by a key and
    those it was rotated into. A write scope implies the read scope of the same family.
    """

    project: str
    key_id: str
    lineage: str
    scopes: frozenset[str]
    address: str | None = None
    """Where the request came from; None for what nobody asked for over a network."""
    request_id: str | None = None

    def has(self, scope: str) -> bool:
        if scope in self.scopes or (EVERYTHING in self.scopes and scope != ADMIN):
            return True
        family, _, right = scope.partition(":")
        return right == "read" and f"{family}:write" in self.scopes

    def may(self, scope: str) -> None:
        """Raises Forbidden without the scope."""
        if not self.has(scope):
            raise Forbidden("missing_scope", f"This key lacks the scope {scope}.", required=scope)


def system(project: str, name: str) -> Actor:
    """Berth itself, acting for a project through the loop or command `name`."""
    return Actor(project, name, name, SYSTEM_SCOPES)


def operator(project: str, name: str = "operator") -> Actor:
    """Whoever runs this installation, at its command line: `cli:<user>` where that is known."""
    return Actor(project, name, name, SYSTEM_SCOPES | {ADMIN})


@dataclass(frozen=True, slots=True)
class Event:
    seq: int
    id: str
    project: str
    type: str
    subject: str
    sequence: int
    """Grows by one with each event of this subject: a receiver drops what is older than it has seen."""
    actor: str
    data: Mapping[str, object]
    created_at: Instant
    address: str | None = None
    request_id: str | None = None


@dataclass(frozen=True, slots=True)
class Subscription:
    """Who is told of which events of a project."""

    subscriber: str
    lane: str
    """Where its deliveries wait: what orders one subscriber's queue among the others."""
    patterns: frozenset[str]
    """Types, `family.*` or `*`."""
    is_active: bool
    """While it is not, what it would have been told is kept as skipped."""


@dataclass(frozen=True, slots=True)
class Search:
    """Which events. Absent members do not filter."""

    project: str | None = None
    """Its id."""
    actor: str | None = None
    """A key's id, `cli:<user>` or `loop:<name>`."""
    type: str | None = None
    """As `api_key.revoked`, or all that begin like it with `api_key.*`."""
    subject: str | None = None
    since: Instant | None = None
    until: Instant | None = None

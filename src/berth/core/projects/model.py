"""Projects, API keys and OAuth clients."""

from collections.abc import Sequence
from dataclasses import dataclass

from berth.base.clock import Instant


@dataclass(frozen=True, slots=True)
class Project:
    id: str
    name: str
    created_at: Instant


@dataclass(frozen=True, slots=True)
class Preferences:
    """What a project decided about itself."""

    unique_active_hostname: bool = False
    """A second active instance with the hostname of another is refused."""


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key without its secret, which nobody has but its holder."""

    id: str
    project: str
    name: str
    prefix: str
    scopes: frozenset[str]
    lineage: str
    """Shared by a key and those it was rotated into: they count as one for Idempotency-Keys."""
    description: str | None
    created_by: str | None
    created_at: Instant
    last_used_at: Instant | None
    """To the minute."""
    expires_at: Instant | None
    revoked_at: Instant | None
    allowed_cidrs: tuple[str, ...] = ()
    """Where it works from; empty: everywhere."""
    last_used_ip: str | None = None
    rotated_from: str | None = None
    rotated_to: str | None = None

    def is_active(self, now: Instant) -> bool:
        return self.revoked_at is None and (self.expires_at is None or self.expires_at > now)


@dataclass(frozen=True, slots=True)
class KeySpec:
    """What a key is asked to be."""

    name: str = "default"
    scopes: Sequence[str] | None = None
    """Scopes or presets; None: those of whoever asks."""
    description: str | None = None
    expires_at: Instant | None = None
    allowed_cidrs: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class OAuthClient:
    """A client without its secret, which nobody has but its holder. What it gets tokens for may do all its project may."""

    id: str
    project: str
    created_at: Instant
    revoked_at: Instant | None

    @property
    def is_active(self) -> bool:
        return self.revoked_at is None


@dataclass(frozen=True, slots=True)
class Credentials:
    """A new project's credentials, in the clear this once."""

    project: Project
    api_key: str
    client_id: str
    client_secret: str

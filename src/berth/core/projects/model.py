"""Projects, API keys and OAuth clients."""

from dataclasses import dataclass

from berth.base.clock import Instant

FAMILIES = ("catalog", "deployments", "waitlist", "volumes", "ssh_keys", "webhooks", "billing", "api_keys")
SCOPES = frozenset(
    {"*", "admin", "catalog:read"}
    | {f"{family}:{right}" for family in FAMILIES[1:] for right in ("read", "write")}
)
"""Everything a key can be allowed. `*` is all of it."""
PRESETS = {
    "read_only": frozenset(scope for scope in SCOPES if scope.endswith(":read")),
    "full": frozenset({"*"}),
}


@dataclass(frozen=True, slots=True)
class Project:
    id: str
    name: str
    created_at: Instant


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key without its secret, which nobody has but its holder."""

    id: str
    project: str
    name: str
    prefix: str
    scopes: frozenset[str]
    lineage: str
    description: str | None
    created_by: str | None
    created_at: Instant
    last_used_at: Instant | None
    expires_at: Instant | None
    revoked_at: Instant | None


@dataclass(frozen=True, slots=True)
class OAuthClient:
    id: str
    project: str
    created_at: Instant
    revoked_at: Instant | None


@dataclass(frozen=True, slots=True)
class Credentials:
    """A new project's credentials, in the clear this once."""

    project: Project
    api_key: str
    client_id: str
    client_secret: str

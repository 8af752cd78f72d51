"""SSH keys and API keys on the wire, member for member."""

from typing import Annotated

from msgspec import UNSET, Meta, Struct, UnsetType

Days = Annotated[int, Meta(ge=1, le=3650)]


class ApiKeysQuery(Struct, kw_only=True):
    include_revoked: bool = False


class ForceQuery(Struct, kw_only=True):
    force: bool = False


class SshKeyRequest(Struct, kw_only=True):
    name: str
    public_key: str


class ApiKeyRequest(Struct, kw_only=True):
    name: str = "default"
    scopes: list[str] | None = None
    expires_at: str | None = None
    expires_in_days: Days | None = None
    description: str | None = None
    allowed_cidrs: list[str] | None = None


class ApiKeyChange(Struct, kw_only=True):
    """What is left out stays as it is."""

    name: str | UnsetType = UNSET
    scopes: list[str] | UnsetType = UNSET
    expires_at: str | UnsetType | None = UNSET
    """null: no end."""
    expires_in_days: Days | UnsetType = UNSET
    description: str | UnsetType | None = UNSET
    allowed_cidrs: list[str] | UnsetType | None = UNSET


class RotateRequest(Struct, kw_only=True):
    overlap_seconds: Annotated[int, Meta(ge=0, le=604800)] = 3600
    """How long the key that is replaced still works."""


class SshKey(Struct, kw_only=True):
    id: str
    name: str
    fingerprint: str
    key_type: str
    created_at: str
    in_use_by: int
    """Deployments that have it."""
    warning: str | None
    """Why a stronger key would be better."""
    public_key: str | UnsetType = UNSET
    """In the answer for one key alone."""


class ApiKey(Struct, kw_only=True):
    id: str
    name: str
    prefix: str
    scopes: list[str]
    description: str | None
    allowed_cidrs: list[str]
    """Where it works from; empty: everywhere."""
    created_by: str | None
    created_at: str
    last_used_at: str | None
    last_used_ip: str | None
    expires_at: str | None
    revoked_at: str | None
    rotated_from: str | None
    rotated_to: str | None


class CreatedApiKey(ApiKey, kw_only=True):
    secret: str | None
    """Shown this once; null in a replay."""
    secret_redacted: bool | UnsetType = UNSET

"""SSH keys and API keys on the wire, member for member."""

from typing import Annotated

from msgspec import UNSET, Meta, Struct, UnsetType


class RevokeQuery(Struct, kw_only=True):
    force: bool = False


class SshKeyRequest(Struct, kw_only=True):
    name: str
    public_key: str


class ApiKeyRequest(Struct, kw_only=True):
    name: str = "default"
    scopes: list[str] | None = None
    expires_at: str | None = None
    expires_in_days: Annotated[int, Meta(ge=1, le=3650)] | None = None
    description: str | None = None
    allowed_cidrs: list[str] | None = None


class SshKey(Struct, kw_only=True):
    id: str
    name: str
    fingerprint: str
    key_type: str
    created_at: str
    public_key: str | UnsetType = UNSET
    """In the answer for one key alone."""


class ApiKey(Struct, kw_only=True):
    id: str
    name: str
    prefix: str
    scopes: list[str]
    description: str | None
    created_by: str | None
    created_at: str
    last_used_at: str | None
    expires_at: str | None
    revoked_at: str | None


class CreatedApiKey(ApiKey, kw_only=True):
    secret: str | None
    """Shown this once; null in a replay."""
    secret_redacted: bool | UnsetType = UNSET

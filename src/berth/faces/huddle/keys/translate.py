"""SSH keys and API keys: core's values in the retail API's words, and back."""

from typing import Any

import msgspec

from berth.base.clock import DAY, Instant, parse_rfc3339, rfc3339
from berth.core.errors import Invalid
from berth.core.keys import SshKey
from berth.core.projects import ApiKey
from berth.faces.huddle.keys import wire
from berth.faces.huddle.words import API_KEY, SSH_KEY, optional_time


def ssh_key(key: SshKey, *, is_whole: bool = False) -> wire.SshKey:
    return wire.SshKey(
        id=SSH_KEY + key.id,
        name=key.name,
        fingerprint=key.fingerprint,
        key_type=key.key_type,
        created_at=rfc3339(key.created_at),
        public_key=key.public_key if is_whole else msgspec.UNSET,
    )


def api_key(key: ApiKey) -> wire.ApiKey:
    return wire.ApiKey(**_api_key(key))


def created_api_key(key: ApiKey, secret: str) -> wire.CreatedApiKey:
    return wire.CreatedApiKey(**_api_key(key), secret=secret)


def without_secret(created: wire.CreatedApiKey) -> wire.CreatedApiKey:
    return msgspec.structs.replace(created, secret=None, secret_redacted=True)


def _api_key(key: ApiKey) -> dict[str, Any]:
    return {
        "id": API_KEY + key.id,
        "name": key.name,
        "prefix": key.prefix,
        "scopes": sorted(key.scopes),
        "description": key.description,
        "created_by": None if key.created_by is None else API_KEY + key.created_by,
        "created_at": rfc3339(key.created_at),
        "last_used_at": optional_time(key.last_used_at),
        "expires_at": optional_time(key.expires_at),
        "revoked_at": optional_time(key.revoked_at),
    }


def key_expiry(request: wire.ApiKeyRequest, now: Instant) -> Instant | None:
    """Raises Invalid."""
    if request.allowed_cidrs:
        raise Invalid(
            "invalid_field",
            "allowed_cidrs cannot be set: keys work from every address.",
            field="allowed_cidrs",
        )
    if request.expires_at is not None and request.expires_in_days is not None:
        raise Invalid(
            "invalid_field", "Send expires_at or expires_in_days, not both.", field="expires_in_days"
        )
    if request.expires_in_days is not None:
        return Instant(now + request.expires_in_days * DAY)
    if request.expires_at is None:
        return None
    try:
        expires_at = parse_rfc3339(request.expires_at)
        # An offset can push the last years beyond what can be shown again.
        rfc3339(expires_at)
        return expires_at
    except (ValueError, OverflowError):
        raise Invalid(
            "invalid_field", "expires_at must be a time such as 2026-04-03T10:00:00Z.", field="expires_at"
        ) from None

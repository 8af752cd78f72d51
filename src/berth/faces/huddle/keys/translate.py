"""SSH keys and API keys: core's values in the retail API's words, and back."""

from typing import Any

import msgspec

from berth.base import ids
from berth.base.clock import DAY, Instant, parse_rfc3339, rfc3339
from berth.core import keys
from berth.core.errors import Invalid
from berth.core.keys import SshKey
from berth.core.projects import ApiKey, KeySpec
from berth.faces.huddle.keys import wire
from berth.faces.huddle.words import API_KEY, SSH_KEY, optional_time


def ssh_key(key: SshKey, in_use_by: int, *, is_whole: bool = False) -> wire.SshKey:
    return wire.SshKey(
        id=SSH_KEY + key.id,
        name=key.name,
        fingerprint=key.fingerprint,
        key_type=key.key_type,
        created_at=rfc3339(key.created_at),
        in_use_by=in_use_by,
        warning=keys.weakness(key.public_key),
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
        "allowed_cidrs": list(key.allowed_cidrs),
        "created_by": _maker(key.created_by),
        "created_at": rfc3339(key.created_at),
        "last_used_at": optional_time(key.last_used_at),
        "last_used_ip": key.last_used_ip,
        "expires_at": optional_time(key.expires_at),
        "revoked_at": optional_time(key.revoked_at),
        "rotated_from": _maker(key.rotated_from),
        "rotated_to": _maker(key.rotated_to),
    }


def _maker(actor: str | None) -> str | None:
    """A key as this API writes it. Who of the operators made something is not the customer's to know."""
    if actor is None:
        return None
    return API_KEY + actor if ids.is_id(actor) else "operator"


def key_spec(request: wire.ApiKeyRequest, now: Instant) -> KeySpec:
    """Raises Invalid."""
    return KeySpec(
        name=request.name,
        scopes=request.scopes,
        description=request.description,
        expires_at=_expiry(request.expires_at, request.expires_in_days, now),
        allowed_cidrs=request.allowed_cidrs or (),
    )


def key_change(request: wire.ApiKeyChange, now: Instant) -> tuple[KeySpec, frozenset[str]]:
    """What to change, and which members of it. Raises Invalid."""
    given = {
        name: value
        for name in ("name", "scopes", "description", "allowed_cidrs")
        if (value := getattr(request, name)) is not msgspec.UNSET
    }
    if "allowed_cidrs" in given:
        given["allowed_cidrs"] = given["allowed_cidrs"] or ()
    if request.expires_at is not msgspec.UNSET or request.expires_in_days is not msgspec.UNSET:
        given["expires_at"] = _expiry(request.expires_at or None, request.expires_in_days or None, now)
    return KeySpec(**given), frozenset(given)


def _expiry(expires_at: str | None, expires_in_days: int | None, now: Instant) -> Instant | None:
    if expires_at is not None and expires_in_days is not None:
        raise Invalid(
            "invalid_field", "Send expires_at or expires_in_days, not both.", field="expires_in_days"
        )
    if expires_in_days is not None:
        return Instant(now + expires_in_days * DAY)
    if expires_at is None:
        return None
    try:
        end = parse_rfc3339(expires_at)
        # An offset can push the last years beyond what can be shown again.
        rfc3339(end)
        return end
    except (ValueError, OverflowError):
        raise Invalid(
            "invalid_field", "expires_at must be a time such as 2026-04-03T10:00:00Z.", field="expires_at"
        ) from None

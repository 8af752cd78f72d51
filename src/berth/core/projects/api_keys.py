"""The verbs of API keys: made, changed, rotated, revoked, and asked who holds one."""

from collections.abc import Sequence
from dataclasses import replace

from berth.base import ids, secrets
from berth.base.clock import DAY, MINUTE, SECOND, Instant
from berth.base.db import Tx
from berth.core.errors import Conflict, Forbidden, Invalid, NotFound, Unauthenticated
from berth.core.events import Actor, record
from berth.core.projects import networks, store
from berth.core.projects.model import ApiKey, KeySpec
from berth.core.projects.scopes import SCOPES, expand, may_make_keys

KEY_PREFIX = "mk_"
KEYS_PER_PROJECT = 20
ENDED_KEPT = 90 * DAY
"""How long a key that has ended is still shown to those who ask for it."""
OVERLAP_MOST_S = 7 * 24 * 3600
_SHOWN_DIGITS = 8
_NAME_LIMIT = 120
_DESCRIPTION_LIMIT = 500
_LISTED = 1000
_BATCH = 500


def authenticate(tx: Tx, secret: str, *, pepper: bytes) -> ApiKey:
    """The key that `secret` opens. Raises Unauthenticated for an unknown, revoked or expired one."""
    if not secret.startswith(KEY_PREFIX):
        raise Unauthenticated("invalid_key", "The API key is not valid.")
    key = store.find_key_by_hash(tx, secrets.fingerprint(pepper, secret))
    if key is None:
        raise Unauthenticated("invalid_key", "The API key is not valid.")
    if key.revoked_at is not None:
        raise Unauthenticated("revoked_key", "This API key was revoked.")
    if not key.is_active(tx.now):
        raise Unauthenticated("expired_key", "This API key has expired.")
    return key


def check_address(key: ApiKey, address: str | None) -> None:
    """Raises Forbidden where the key does not work from `address`."""
    if key.allowed_cidrs and not networks.holds(key.allowed_cidrs, address):
        raise Forbidden(
            "ip_not_allowed", f"This key does not work from {address or 'an unknown address'}.", ip=address
        )


def actor_of(key: ApiKey) -> Actor:
    """Who acts when `key` is used."""
    return Actor(key.project, key.id, key.lineage, key.scopes)


def touch_key(tx: Tx, key_id: str, address: str | None = None) -> None:
    """Remembers that the key was used, and from where, to the minute."""
    store.touch_key(tx, key_id, address, not_since=Instant(tx.now - MINUTE))


def create_key(
    tx: Tx, by: Actor, spec: KeySpec, *, pepper: bytes, limit: int = KEYS_PER_PROJECT
) -> tuple[ApiKey, str]:
    """A new key and its secret, which is never shown again.

    Raises Invalid for wrong members, Forbidden for scopes the actor lacks, Conflict over the quota.
    """
    by.may("api_keys:write")
    _check_texts(spec.name, spec.description)
    wanted = _wanted_scopes(by, spec.scopes)
    _check_future(tx, spec.expires_at)
    spec = replace(spec, allowed_cidrs=networks.check(spec.allowed_cidrs))
    store.lock_project(tx, by.project)
    if store.count_active(tx, by.project, with_rotated=False) >= limit:
        raise Conflict("quota", f"At most {limit} API keys can be active; revoke one first.")
    key, secret = new_key(tx, by, spec, wanted, pepper=pepper)
    _record_created(tx, by, key)
    return key, secret


def get_key(tx: Tx, by: Actor, key_id: str) -> ApiKey:
    """Raises NotFound."""
    by.may("api_keys:read")
    return _existing(tx, by, key_id)


def list_keys(tx: Tx, by: Actor, *, with_ended: bool = False) -> Sequence[ApiKey]:
    """The active keys, newest first; `with_ended` also those revoked or expired in the last 90 days."""
    by.may("api_keys:read")
    ended_since = Instant(tx.now - ENDED_KEPT) if with_ended else tx.now
    return store.list_keys(tx, by.project, ended_since=ended_since, limit=_LISTED)


def update_key(
    tx: Tx, by: Actor, key_id: str, change: KeySpec, members: frozenset[str], *, force: bool = False
) -> ApiKey:
    """Changes those `members` of an active key that are named, to what `change` holds.

    Raises NotFound, Invalid (scopes can be narrowed only), and Conflict for a key that has ended, or when no
    lasting key that may make keys would be left unless `force`.
    """
    by.may("api_keys:write")
    store.lock_project(tx, by.project)
    key = _existing(tx, by, key_id)
    _check_active(tx, key)
    fields: dict[str, object] = {name: getattr(change, name) for name in members}
    if "scopes" in members:
        fields["scopes"] = _narrowed(key, change.scopes or ())
    if "allowed_cidrs" in members:
        fields["allowed_cidrs"] = networks.check(change.allowed_cidrs)
    changed = replace(key, **fields)  # type: ignore[arg-type]
    _check_texts(changed.name, changed.description)
    if "expires_at" in members:
        _check_future(tx, changed.expires_at)
    if changed == key:
        return key
    if not force:
        _check_not_last(tx, key, changed)
    store.update_key(tx, changed)
    record(tx, by, "api_key.updated", subject=key.id, data=_shown(changed) | {"changed": sorted(members)})
    return changed


def rotate_key(
    tx: Tx, by: Actor, key_id: str, *, overlap_s: int, pepper: bytes, limit: int = KEYS_PER_PROJECT
) -> tuple[ApiKey, str]:
    """A key in place of another, with the same rights, end and lineage, and its secret.

    The old one works for `overlap_s` seconds more. Raises NotFound; Forbidden when the old key has scopes that the
    actor lacks, who would get them with the secret; Conflict for one that has ended or was rotated before.
    """
    by.may("api_keys:write")
    if not 0 <= overlap_s <= OVERLAP_MOST_S:
        raise Invalid(
            "invalid_field", f"overlap_seconds must be 0 to {OVERLAP_MOST_S}.", field="overlap_seconds"
        )
    store.lock_project(tx, by.project)
    old = _existing(tx, by, key_id)
    _check_active(tx, old)
    _check_has(by, old.scopes)
    if old.rotated_to is not None:
        raise Conflict("invalid_state", "This key was rotated before; rotate the one it was rotated into.")
    if store.count_active(tx, by.project, with_rotated=True) >= 2 * limit:
        raise Conflict("quota", "Too many keys that were rotated still work; revoke one first.")
    spec = KeySpec(
        name=old.name,
        description=old.description,
        expires_at=old.expires_at,
        allowed_cidrs=old.allowed_cidrs,
    )
    new, secret = new_key(tx, by, spec, old.scopes, pepper=pepper, rotated_from=old)
    ends_at = Instant(tx.now + overlap_s * SECOND)
    if old.expires_at is not None:
        ends_at = min(ends_at, old.expires_at)
    store.update_key(tx, replace(old, rotated_to=new.id, expires_at=ends_at))
    record(tx, by, "api_key.rotated", subject=old.id, data={"rotated_to": new.id, "expires_at": int(ends_at)})
    _record_created(tx, by, new)
    return new, secret


def revoke_key(tx: Tx, by: Actor, key_id: str, *, force: bool = False) -> ApiKey:
    """Ends a key at once; revoking twice is one revocation.

    Raises NotFound, and Conflict when no lasting key that may make keys would be left, unless `force`.
    """
    by.may("api_keys:write")
    store.lock_project(tx, by.project)
    key = _existing(tx, by, key_id)
    if key.revoked_at is not None:
        return key
    revoked = replace(key, revoked_at=tx.now)
    if not force:
        _check_not_last(tx, key, revoked)
    store.update_key(tx, revoked)
    record(tx, by, "api_key.revoked", subject=key.id, data={"name": key.name})
    return revoked


def forget_ended(tx: Tx) -> int:
    """Deletes a batch of keys that ended more than 90 days ago; returns how many."""
    return store.delete_ended(tx, Instant(tx.now - ENDED_KEPT), limit=_BATCH)


def new_key(
    tx: Tx,
    by: Actor,
    spec: KeySpec,
    scopes: frozenset[str],
    *,
    pepper: bytes,
    rotated_from: ApiKey | None = None,
) -> tuple[ApiKey, str]:
    """Writes a key that was checked."""
    secret = secrets.new_token(KEY_PREFIX)
    key_id = ids.new(tx.now)
    key = ApiKey(
        id=key_id,
        project=by.project,
        name=spec.name,
        prefix=secret[: len(KEY_PREFIX) + _SHOWN_DIGITS],
        scopes=scopes,
        lineage=key_id if rotated_from is None else rotated_from.lineage,
        description=spec.description,
        created_by=by.key_id,
        created_at=tx.now,
        last_used_at=None,
        expires_at=spec.expires_at,
        revoked_at=None,
        allowed_cidrs=tuple(spec.allowed_cidrs),
        rotated_from=None if rotated_from is None else rotated_from.id,
    )
    store.insert_key(tx, key, secrets.fingerprint(pepper, secret))
    return key, secret


def check_text(field: str, text: str, longest: int, *, least: int = 1) -> None:
    """Raises Invalid for what nobody could read."""
    if not least <= len(text) <= longest or not text.isprintable():
        raise Invalid(
            "invalid_field", f"{field} must be {least} to {longest} printable characters.", field=field
        )


def _existing(tx: Tx, by: Actor, key_id: str) -> ApiKey:
    key = store.find_key(tx, by.project, key_id)
    if key is None:
        raise NotFound("api_key_not_found", "API key not found.")
    return key


def _check_active(tx: Tx, key: ApiKey) -> None:
    if not key.is_active(tx.now):
        raise Conflict("invalid_state", "This key has ended; create another.")


def _check_texts(name: str, description: str | None) -> None:
    check_text("name", name, _NAME_LIMIT)
    if description is not None:
        check_text("description", description, _DESCRIPTION_LIMIT, least=0)


def _check_future(tx: Tx, expires_at: Instant | None) -> None:
    if expires_at is not None and expires_at <= tx.now:
        raise Invalid("invalid_field", "expires_at must lie in the future.", field="expires_at")


def _check_not_last(tx: Tx, before: ApiKey, after: ApiKey) -> None:
    """A project must not lock itself out: some key that may make keys is left, and one without an end if there was."""
    if not may_make_keys(before.scopes) or not before.is_active(tx.now):
        return
    others = [
        key
        for key in store.list_keys(tx, before.project, ended_since=tx.now, limit=_LISTED)
        if key.id != before.id and may_make_keys(key.scopes)
    ]
    left = [*others, after] if after.is_active(tx.now) and may_make_keys(after.scopes) else others
    had_lasting = before.expires_at is None or any(key.expires_at is None for key in others)
    if not left or (had_lasting and all(key.expires_at is not None for key in left)):
        raise Conflict(
            "last_key",
            "No lasting key that may create API keys would be left; pass force=true to go on all the same.",
        )


def _wanted_scopes(by: Actor, names: Sequence[str] | None) -> frozenset[str]:
    if names is None:
        return by.scopes
    wanted = _known_scopes(names)
    _check_has(by, wanted)
    return wanted


def _check_has(by: Actor, wanted: frozenset[str]) -> None:
    missing = sorted(scope for scope in wanted if not by.has(scope))
    if missing:
        raise Forbidden(
            "missing_scope", "A key can only pass on scopes that it has itself.", required=missing
        )


def _narrowed(key: ApiKey, names: Sequence[str]) -> frozenset[str]:
    wanted, holder = _known_scopes(names), actor_of(key)
    wider = sorted(scope for scope in wanted if not holder.has(scope))
    if wider:
        raise Invalid(
            "invalid_field",
            f"scopes can only be narrowed, and this key lacks {', '.join(wider)}; create another key for more.",
            field="scopes",
        )
    return wanted


def _known_scopes(names: Sequence[str]) -> frozenset[str]:
    wanted = expand(names)
    unknown = sorted(wanted - SCOPES)
    if unknown or not wanted:
        raise Invalid(
            "invalid_field", f"Unknown scopes: {', '.join(unknown) or 'none given'}.", field="scopes"
        )
    return wanted


def _record_created(tx: Tx, by: Actor, key: ApiKey) -> None:
    record(tx, by, "api_key.created", subject=key.id, data=_shown(key))


def _shown(key: ApiKey) -> dict[str, object]:
    """What an event says of a key."""
    shown: dict[str, object] = {"name": key.name, "scopes": sorted(key.scopes)}
    if key.expires_at is not None:
        shown["expires_at"] = int(key.expires_at)
    if key.allowed_cidrs:
        shown["allowed_cidrs"] = list(key.allowed_cidrs)
    if key.rotated_from is not None:
        shown["rotated_from"] = key.rotated_from
    return shown

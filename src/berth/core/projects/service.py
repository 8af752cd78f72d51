"""The verbs of projects and their credentials. Secrets come in and go out once; only hashes are kept."""

from collections.abc import Sequence
from dataclasses import replace
from secrets import token_hex

from berth.base import ids, secrets
from berth.base.clock import MINUTE, Instant
from berth.base.db import Tx
from berth.base.money import Micros
from berth.core import ledger
from berth.core.errors import Conflict, Forbidden, Invalid, NotFound, Unauthenticated
from berth.core.events import Actor, record, system
from berth.core.projects import store
from berth.core.projects.model import PRESETS, SCOPES, ApiKey, Credentials, Project

KEY_PREFIX = "mk_"
KEYS_PER_PROJECT = 20
_INSTALLATION_BYTES = 5
_SHOWN_DIGITS = 8
_NAME_LIMIT = 120
_DESCRIPTION_LIMIT = 500


def installation_id(tx: Tx) -> str:
    """What every label of this installation carries: short, lower case, the same for all replicas, for ever."""
    return store.keep(tx, "installation_id", token_hex(_INSTALLATION_BYTES))


def create(tx: Tx, name: str, *, pepper: bytes) -> Credentials:
    """A project with an account, a full API key and an OAuth client. Raises Conflict when the name is taken."""
    _check_text("name", name, _NAME_LIMIT)
    project = Project(ids.new(tx.now), name, tx.now)
    if not store.insert_project(tx, project):
        raise Conflict("duplicate", f"A project named {name!r} exists already.")
    ledger.open_account(tx, project.id)
    by = system(project.id, "operator")
    key, secret = _new_key(tx, by, name="default", scopes=PRESETS["full"], pepper=pepper)
    client_id, client_secret = ids.new(tx.now), secrets.new_token("")
    store.insert_client(tx, client_id, project.id, secrets.fingerprint(pepper, client_secret))
    record(tx, by, "project.created", subject=project.id, data={"name": name, "api_key_id": key.id})
    return Credentials(project, secret, client_id, client_secret)


def find(tx: Tx, name: str) -> Project | None:
    return store.find_project(tx, name)


def lock(tx: Tx, by: Actor) -> None:
    """Until the commit, nobody else adds to what the actor's project may only have so many of."""
    store.lock_project(tx, by.project)


def list_projects(tx: Tx, *, after_name: str = "", limit: int = 1000) -> Sequence[tuple[Project, Micros]]:
    """Projects by name, each with its balance."""
    return [
        (project, Micros(balance))
        for project, balance in store.list_projects(tx, after_name=after_name, limit=limit)
    ]


def authenticate(tx: Tx, secret: str, *, pepper: bytes) -> ApiKey:
    """The key that `secret` opens. Raises Unauthenticated for an unknown, revoked or expired one."""
    if not secret.startswith(KEY_PREFIX):
        raise Unauthenticated("invalid_key", "The API key is not valid.")
    key = store.find_key_by_hash(tx, secrets.fingerprint(pepper, secret))
    if key is None:
        raise Unauthenticated("invalid_key", "The API key is not valid.")
    check_usable(key, tx.now)
    return key


def check_usable(key: ApiKey, now: Instant) -> None:
    """Raises Unauthenticated for a key that was revoked or has expired."""
    if key.revoked_at is not None:
        raise Unauthenticated("revoked_key", "This API key was revoked.")
    if key.expires_at is not None and key.expires_at <= now:
        raise Unauthenticated("expired_key", "This API key has expired.")


def actor_of(key: ApiKey) -> Actor:
    """Who acts when `key` is used."""
    return Actor(key.project, key.id, key.lineage, key.scopes)


def touch_key(tx: Tx, key_id: str) -> None:
    """Remembers that the key was used, to the minute."""
    store.touch_key(tx, key_id, not_since=Instant(tx.now - MINUTE))


def create_key(
    tx: Tx,
    by: Actor,
    *,
    name: str,
    scopes: Sequence[str] | None,
    expires_at: Instant | None,
    description: str | None,
    pepper: bytes,
) -> tuple[ApiKey, str]:
    """A new key and its secret, which is never shown again.

    Raises Invalid for wrong members, Forbidden for scopes the actor lacks, Conflict over the quota.
    """
    by.may("api_keys:write")
    _check_text("name", name, _NAME_LIMIT)
    if description is not None:
        _check_text("description", description, _DESCRIPTION_LIMIT, least=0)
    wanted = _wanted_scopes(by, scopes)
    if expires_at is not None and expires_at <= tx.now:
        raise Invalid("invalid_field", "expires_at must lie in the future.", field="expires_at")
    lock(tx, by)
    if len(store.list_keys(tx, by.project, limit=KEYS_PER_PROJECT)) >= KEYS_PER_PROJECT:
        raise Conflict("quota", f"At most {KEYS_PER_PROJECT} API keys can be active; revoke one first.")
    key, secret = _new_key(
        tx, by, name=name, scopes=wanted, pepper=pepper, expires_at=expires_at, description=description
    )
    record(tx, by, "api_key.created", subject=key.id, data={"name": name, "scopes": sorted(wanted)})
    return key, secret


def get_key(tx: Tx, by: Actor, key_id: str) -> ApiKey:
    """Raises NotFound."""
    by.may("api_keys:read")
    return _existing(tx, by, key_id)


def list_keys(tx: Tx, by: Actor) -> Sequence[ApiKey]:
    """The active keys, newest first."""
    by.may("api_keys:read")
    return store.list_keys(tx, by.project, limit=KEYS_PER_PROJECT)


def revoke_key(tx: Tx, by: Actor, key_id: str, *, force: bool = False) -> ApiKey:
    """Ends a key at once; revoking twice is one revocation.

    Raises NotFound, and Conflict for the last key that could make another unless `force`.
    """
    by.may("api_keys:write")
    lock(tx, by)
    key = _existing(tx, by, key_id)
    if key.revoked_at is not None:
        return key
    if (
        not force
        and _may_make_keys(key)
        and not any(
            other.id != key.id and _may_make_keys(other)
            for other in store.list_keys(tx, by.project, limit=KEYS_PER_PROJECT)
        )
    ):
        raise Conflict(
            "last_key",
            "This is the last active key that may create API keys; pass force=true to revoke it anyway.",
        )
    store.revoke_key(tx, key.id, tx.now)
    record(tx, by, "api_key.revoked", subject=key.id, data={"name": key.name})
    return replace(key, revoked_at=tx.now)


def _existing(tx: Tx, by: Actor, key_id: str) -> ApiKey:
    key = store.find_key(tx, by.project, key_id)
    if key is None:
        raise NotFound("api_key_not_found", "API key not found.")
    return key


def _may_make_keys(key: ApiKey) -> bool:
    return bool(key.scopes & {"*", "api_keys:write"})


def _new_key(
    tx: Tx,
    by: Actor,
    *,
    name: str,
    scopes: frozenset[str],
    pepper: bytes,
    expires_at: Instant | None = None,
    description: str | None = None,
) -> tuple[ApiKey, str]:
    secret = secrets.new_token(KEY_PREFIX)
    key_id = ids.new(tx.now)
    key = ApiKey(
        key_id,
        by.project,
        name,
        secret[: len(KEY_PREFIX) + _SHOWN_DIGITS],
        scopes,
        key_id,
        description,
        by.key_id,
        tx.now,
        None,
        expires_at,
        None,
    )
    store.insert_key(tx, key, secrets.fingerprint(pepper, secret))
    return key, secret


def _wanted_scopes(by: Actor, scopes: Sequence[str] | None) -> frozenset[str]:
    if scopes is None:
        return by.scopes
    wanted: frozenset[str] = frozenset().union(*(PRESETS.get(scope, {scope}) for scope in scopes))
    unknown = sorted(wanted - SCOPES)
    if unknown or not wanted:
        raise Invalid(
            "invalid_field", f"Unknown scopes: {', '.join(unknown) or 'none given'}.", field="scopes"
        )
    missing = sorted(scope for scope in wanted if not by.has(scope))
    if missing:
        raise Forbidden(
            "missing_scope", "A key can only pass on scopes that it has itself.", required=missing
        )
    return wanted


def _check_text(field: str, text: str, longest: int, *, least: int = 1) -> None:
    if not least <= len(text) <= longest or not text.isprintable():
        raise Invalid(
            "invalid_field", f"{field} must be {least} to {longest} printable characters.", field=field
        )

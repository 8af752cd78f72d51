"""The verbs of SSH keys. Deleting a key touches no instance: keys are copied when an instance is ordered."""

from collections.abc import Sequence

from berth.base import ids
from berth.base.db import Tx
from berth.core import projects
from berth.core.errors import Conflict, Invalid, NotFound
from berth.core.events import Actor, record
from berth.core.keys import store
from berth.core.keys.model import SshKey
from berth.core.keys.parsing import parse, parse_loosely

KEYS_PER_PROJECT = 50
KEYS_PER_INSTANCE = 20
REMOVED_AT_ONCE = 1000
_NAME_LIMIT = 64
_VERBATIM_NAME_LIMIT = 255


def add(tx: Tx, by: Actor, *, name: str, public_key: str) -> SshKey:
    """Raises Invalid for what is no usable key, Conflict for one the project has already or over the quota."""
    by.may("ssh_keys:write")
    _check_name(name, _NAME_LIMIT)
    parsed = parse(public_key)
    _lock_room(tx, by)
    key = SshKey(ids.new(tx.now), by.project, name, parsed.line, parsed.fingerprint, parsed.key_type, tx.now)
    if not store.insert(tx, key):
        known = store.find_by_fingerprint(tx, by.project, parsed.fingerprint)
        raise Conflict(
            "duplicate",
            "This public key was uploaded before.",
            existing_ssh_key_id=None if known is None else known.id,
        )
    return _added(tx, by, key)


def add_verbatim(tx: Tx, by: Actor, *, name: str, public_key: str) -> SshKey:
    """Keeps what has the shape of a key as it is, to the last line break, also a second time. Raises Invalid, Conflict `quota`.

    Names and keys may repeat. A key that is none is kept too; a provider that cannot read it leaves it out.
    """
    by.may("ssh_keys:write")
    _check_name(name, _VERBATIM_NAME_LIMIT)
    parsed = parse_loosely(public_key)
    _lock_room(tx, by)
    key = SshKey(
        ids.new(tx.now),
        by.project,
        name,
        parsed.line,
        parsed.fingerprint,
        parsed.key_type,
        tx.now,
        is_verbatim=True,
    )
    store.insert(tx, key)
    return _added(tx, by, key)


def get(tx: Tx, by: Actor, key_id: str) -> SshKey:
    """Raises NotFound."""
    by.may("ssh_keys:read")
    key = store.find(tx, by.project, key_id)
    if key is None:
        raise NotFound("ssh_key_not_found", "SSH key not found.")
    return key


def list_keys(tx: Tx, by: Actor) -> Sequence[SshKey]:
    """Newest first."""
    by.may("ssh_keys:read")
    return store.list_keys(tx, by.project, limit=KEYS_PER_PROJECT)


def remove(tx: Tx, by: Actor, key_id: str) -> SshKey:
    """Raises NotFound, also the second time."""
    by.may("ssh_keys:write")
    key = store.find(tx, by.project, key_id)
    if key is None or not store.delete(tx, by.project, key_id):
        raise NotFound("ssh_key_not_found", "SSH key not found.")
    record(tx, by, "ssh_key.deleted", subject=key.id, data={"name": key.name})
    return key


def remove_many(tx: Tx, by: Actor, key_ids: Sequence[str]) -> Sequence[SshKey]:
    """Those of them that there are; ids that mean nothing, or no more, are no error. Raises Invalid for too many."""
    by.may("ssh_keys:write")
    if len(key_ids) > REMOVED_AT_ONCE:
        message = f"keys: at most {REMOVED_AT_ONCE} can be deleted at once."
        raise Invalid("invalid_field", message, field="keys")
    # In one order, so that two that delete the same ones never wait for each other.
    known = sorted({key_id for key_id in key_ids if ids.is_id(key_id)})
    found = [store.find(tx, by.project, key_id) for key_id in known]
    removed = [key for key in found if key is not None and store.delete(tx, by.project, key.id)]
    for key in removed:
        record(tx, by, "ssh_key.deleted", subject=key.id, data={"name": key.name})
    return removed


def take(tx: Tx, by: Actor, key_ids: Sequence[str]) -> Sequence[SshKey]:
    """The keys to copy into an instance, in the order asked for, each once. Raises Invalid naming unknown ids."""
    wanted = list(dict.fromkeys(key_ids))
    if not 1 <= len(wanted) <= KEYS_PER_INSTANCE:
        raise Invalid(
            "invalid_field", f"ssh_key_ids must name 1 to {KEYS_PER_INSTANCE} keys.", field="ssh_key_ids"
        )
    found = [store.find(tx, by.project, key_id) for key_id in wanted]
    unknown = [key_id for key_id, key in zip(wanted, found, strict=True) if key is None]
    if unknown:
        shown = ", ".join(unknown)
        raise Invalid(
            "invalid_field", f"ssh_key_ids: unknown SSH key {shown}.", field="ssh_key_ids", unknown=unknown
        )
    return [key for key in found if key is not None]


def _check_name(name: str, longest: int) -> None:
    if not 1 <= len(name) <= longest or not name.isprintable():
        raise Invalid("invalid_field", f"name must be 1 to {longest} printable characters.", field="name")


def _lock_room(tx: Tx, by: Actor) -> None:
    """Raises Conflict when the project has as many as it may."""
    projects.lock(tx, by)
    if len(store.list_keys(tx, by.project, limit=KEYS_PER_PROJECT)) >= KEYS_PER_PROJECT:
        raise Conflict("quota", f"At most {KEYS_PER_PROJECT} SSH keys can be kept; delete one first.")


def _added(tx: Tx, by: Actor, key: SshKey) -> SshKey:
    record(tx, by, "ssh_key.created", subject=key.id, data={"name": key.name, "fingerprint": key.fingerprint})
    return key

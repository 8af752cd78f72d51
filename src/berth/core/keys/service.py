"""The verbs of SSH keys. Deleting a key touches no instance: keys are copied when an instance is ordered."""

from collections.abc import Sequence

from berth.base import ids
from berth.base.db import Tx
from berth.core import projects
from berth.core.errors import Conflict, Invalid, NotFound
from berth.core.events import Actor, record
from berth.core.keys import store
from berth.core.keys.model import SshKey
from berth.core.keys.parsing import parse

KEYS_PER_PROJECT = 50
KEYS_PER_INSTANCE = 20
_NAME_LIMIT = 64


def add(tx: Tx, by: Actor, *, name: str, public_key: str) -> SshKey:
    """Raises Invalid for what is no usable key, Conflict for one the project has already or over the quota."""
    by.may("ssh_keys:write")
    if not 1 <= len(name) <= _NAME_LIMIT or not name.isprintable():
        raise Invalid("invalid_field", f"name must be 1 to {_NAME_LIMIT} printable characters.", field="name")
    parsed = parse(public_key)
    projects.lock(tx, by)
    if len(store.list_keys(tx, by.project, limit=KEYS_PER_PROJECT)) >= KEYS_PER_PROJECT:
        raise Conflict("quota", f"At most {KEYS_PER_PROJECT} SSH keys can be kept; delete one first.")
    key = SshKey(ids.new(tx.now), by.project, name, parsed.line, parsed.fingerprint, parsed.key_type, tx.now)
    if not store.insert(tx, key):
        known = store.find_by_fingerprint(tx, by.project, parsed.fingerprint)
        raise Conflict(
            "duplicate",
            "This public key was uploaded before.",
            existing_ssh_key_id=None if known is None else known.id,
        )
    record(tx, by, "ssh_key.created", subject=key.id, data={"name": name, "fingerprint": key.fingerprint})
    return key


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

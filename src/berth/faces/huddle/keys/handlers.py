"""SSH keys and API keys: translate, one verb, translate."""

from berth.base.db import Tx
from berth.core import instances, keys, projects
from berth.core.keys import SshKey
from berth.faces.face import Call
from berth.faces.huddle import words
from berth.faces.huddle.keys import translate, wire
from berth.faces.huddle.words import API_KEY, SSH_KEY


def list_ssh_keys(tx: Tx, call: Call) -> list[wire.SshKey]:
    found = keys.list_keys(tx, call.by)
    uses = instances.ssh_key_uses(tx, call.by)
    return [translate.ssh_key(key, uses.get(key.id, 0)) for key in found]


def add_ssh_key(tx: Tx, call: Call) -> wire.SshKey:
    request: wire.SshKeyRequest = call.body
    return translate.ssh_key(keys.add(tx, call.by, name=request.name, public_key=request.public_key), 0)


def get_ssh_key(tx: Tx, call: Call) -> wire.SshKey:
    return _ssh_key(tx, call, keys.get(tx, call.by, _ssh_key_id(call)), is_whole=True)


def remove_ssh_key(tx: Tx, call: Call) -> wire.SshKey:
    return _ssh_key(tx, call, keys.remove(tx, call.by, _ssh_key_id(call)))


def _ssh_key(tx: Tx, call: Call, key: SshKey, *, is_whole: bool = False) -> wire.SshKey:
    uses = instances.ssh_key_uses(tx, call.by)
    return translate.ssh_key(key, uses.get(key.id, 0), is_whole=is_whole)


def _ssh_key_id(call: Call) -> str:
    return words.core_id(SSH_KEY, call.parameters["id"], "SSH key")


def list_api_keys(tx: Tx, call: Call) -> list[wire.ApiKey]:
    query: wire.ApiKeysQuery = call.query
    found = projects.list_keys(tx, call.by, with_ended=query.include_revoked)
    return [translate.api_key(key) for key in found]


def create_api_key(tx: Tx, call: Call) -> wire.CreatedApiKey:
    key, secret = projects.create_key(
        tx,
        call.by,
        translate.key_spec(call.body, tx.now),
        pepper=call.context.pepper,
        limit=call.context.policy.api_keys_per_project,
    )
    return translate.created_api_key(key, secret)


def get_api_key(tx: Tx, call: Call) -> wire.ApiKey:
    return translate.api_key(projects.get_key(tx, call.by, _api_key_id(call)))


def update_api_key(tx: Tx, call: Call) -> wire.ApiKey:
    query: wire.ForceQuery = call.query
    change, members = translate.key_change(call.body, tx.now)
    key = projects.update_key(tx, call.by, _api_key_id(call), change, members, force=query.force)
    _forget(tx, call, key.id)
    return translate.api_key(key)


def rotate_api_key(tx: Tx, call: Call) -> wire.CreatedApiKey:
    request: wire.RotateRequest = call.body
    old_id = _api_key_id(call)
    key, secret = projects.rotate_key(
        tx,
        call.by,
        old_id,
        overlap_s=request.overlap_seconds,
        pepper=call.context.pepper,
        limit=call.context.policy.api_keys_per_project,
    )
    _forget(tx, call, old_id)
    return translate.created_api_key(key, secret)


def revoke_api_key(tx: Tx, call: Call) -> wire.ApiKey:
    query: wire.ForceQuery = call.query
    key = projects.revoke_key(tx, call.by, _api_key_id(call), force=query.force)
    _forget(tx, call, key.id)
    return translate.api_key(key)


def _forget(tx: Tx, call: Call, key_id: str) -> None:
    """From the commit on nobody gets in as the key was."""
    tx.after_commit(lambda: call.context.known_keys.forget(key_id))


def _api_key_id(call: Call) -> str:
    return words.core_id(API_KEY, call.parameters["id"], "API key")

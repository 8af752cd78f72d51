"""SSH keys and API keys: translate, one verb, translate."""

from berth.base.db import Tx
from berth.core import keys, projects
from berth.faces.face import Call
from berth.faces.huddle import words
from berth.faces.huddle.keys import translate, wire
from berth.faces.huddle.words import API_KEY, SSH_KEY


def list_ssh_keys(tx: Tx, call: Call) -> list[wire.SshKey]:
    return [translate.ssh_key(key) for key in keys.list_keys(tx, call.by)]


def add_ssh_key(tx: Tx, call: Call) -> wire.SshKey:
    request: wire.SshKeyRequest = call.body
    return translate.ssh_key(keys.add(tx, call.by, name=request.name, public_key=request.public_key))


def get_ssh_key(tx: Tx, call: Call) -> wire.SshKey:
    return translate.ssh_key(keys.get(tx, call.by, _ssh_key_id(call)), is_whole=True)


def remove_ssh_key(tx: Tx, call: Call) -> wire.SshKey:
    return translate.ssh_key(keys.remove(tx, call.by, _ssh_key_id(call)))


def _ssh_key_id(call: Call) -> str:
    return words.core_id(SSH_KEY, call.parameters["id"], "SSH key")


def list_api_keys(tx: Tx, call: Call) -> list[wire.ApiKey]:
    return [translate.api_key(key) for key in projects.list_keys(tx, call.by)]


def create_api_key(tx: Tx, call: Call) -> wire.CreatedApiKey:
    request: wire.ApiKeyRequest = call.body
    key, secret = projects.create_key(
        tx,
        call.by,
        name=request.name,
        scopes=request.scopes,
        expires_at=translate.key_expiry(request, tx.now),
        description=request.description,
        pepper=call.context.pepper,
    )
    return translate.created_api_key(key, secret)


def get_api_key(tx: Tx, call: Call) -> wire.ApiKey:
    return translate.api_key(projects.get_key(tx, call.by, _api_key_id(call)))


def revoke_api_key(tx: Tx, call: Call) -> wire.ApiKey:
    query: wire.RevokeQuery = call.query
    key = projects.revoke_key(tx, call.by, _api_key_id(call), force=query.force)
    tx.after_commit(lambda: call.context.known_keys.forget(key.id))
    return translate.api_key(key)


def _api_key_id(call: Call) -> str:
    return words.core_id(API_KEY, call.parameters["id"], "API key")

"""SSH keys and startup scripts: translate, one verb, translate."""

from berth.base import ids
from berth.base.db import Tx
from berth.core import keys
from berth.core.errors import NotFound
from berth.core.keys import SshKey
from berth.faces.face import Call
from berth.faces.verda import words
from berth.faces.verda.envelope import Bare
from berth.faces.verda.keys import wire

_NO_KEY = ("ssh_key_not_found", "Invalid SSH key ID")


def list_ssh_keys(tx: Tx, call: Call) -> list[wire.SshKey]:
    return [_ssh_key(key) for key in keys.list_keys(tx, call.by)]


def add_ssh_key(tx: Tx, call: Call) -> Bare:
    request: wire.SshKeyRequest = call.body
    made = keys.add(tx, call.by, name=request.name, public_key=request.key)
    return Bare(words.shown(made.id))


def get_ssh_key(tx: Tx, call: Call) -> list[wire.SshKey]:
    """In an array of one: clients take the first."""
    key_id = words.in_path(call.parameters["id"], NotFound(*_NO_KEY))
    return [_ssh_key(keys.get(tx, call.by, key_id))]


def remove_ssh_key(tx: Tx, call: Call) -> None:
    keys.remove(tx, call.by, words.in_path(call.parameters["id"], NotFound(*_NO_KEY)))


def remove_ssh_keys(tx: Tx, call: Call) -> None:
    """Those that there are: clients tidy up twice."""
    request: wire.SshKeysRequest = call.body
    for key_id in dict.fromkeys(_meant(request.keys)):
        try:
            keys.remove(tx, call.by, key_id)
        except NotFound:
            continue


def _meant(given: wire.Many) -> list[str]:
    """The core ids among those given; what cannot be one names nothing."""
    return [found for text in words.listed(given) if (found := ids.of_uuid(text)) is not None]


def _ssh_key(key: SshKey) -> wire.SshKey:
    return wire.SshKey(
        id=words.shown(key.id),
        name=key.name,
        key=key.public_key,
        fingerprint=key.fingerprint,
        created_at=words.time(key.created_at),
    )

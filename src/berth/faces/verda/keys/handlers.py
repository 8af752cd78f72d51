"""SSH keys and startup scripts: translate, one verb, translate."""

from contextlib import suppress

from berth.base import ids
from berth.base.db import Tx
from berth.core import keys, scripts
from berth.core.errors import NotFound
from berth.core.keys import SshKey
from berth.core.scripts import Script
from berth.faces.face import Call, Sent
from berth.faces.verda import words
from berth.faces.verda.envelope import Bare
from berth.faces.verda.keys import wire

_PAGE_SIZE = 10
_NO_SCRIPT = ("script_not_found", "Invalid startup script ID")
_NO_KEY = ("ssh_key_not_found", "Invalid SSH key ID")


def list_ssh_keys(tx: Tx, call: Call) -> list[wire.SshKey]:
    return [_ssh_key(key) for key in keys.list_keys(tx, call.by)]


def add_ssh_key(tx: Tx, call: Call) -> Bare:
    request: wire.SshKeyRequest = call.body
    made = keys.add_verbatim(tx, call.by, name=request.name, public_key=request.key)
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
    keys.remove_many(tx, call.by, _meant(request.keys))


def list_scripts(tx: Tx, call: Call) -> Sent:
    """Without a page in the query all of them: clients look for what they have just added."""
    query: wire.ScriptsQuery = call.query
    is_paged = query.page is not None or query.pageSize is not None
    page = query.page or 1
    size = (query.pageSize or _PAGE_SIZE) if is_paged else scripts.MOST_SCRIPTS
    found, total = scripts.list_page(tx, call.by, page=page, size=size)
    numbers = ((b"x-page", page), (b"x-page-size", size), (b"x-total-count", total))
    headers = [(name, str(number).encode()) for name, number in numbers]
    return Sent([_script(script) for script in found], headers=headers)


def add_script(tx: Tx, call: Call) -> Bare:
    request: wire.ScriptRequest = call.body
    limit = call.context.policy.scripts_per_project
    made = scripts.add(tx, call.by, name=request.name, text=request.script, limit=limit)
    return Bare(words.shown(made.id))


def get_script(tx: Tx, call: Call) -> list[wire.Script]:
    """In an array of one: clients take the first."""
    script_id = words.in_path(call.parameters["id"], NotFound(*_NO_SCRIPT))
    return [_script(scripts.get(tx, call.by, script_id))]


def remove_script(tx: Tx, call: Call) -> None:
    """Also one that is gone: dstack deletes it each time it ends an instance, and takes a refusal for a failure."""
    script_id = words.in_path(call.parameters["id"], NotFound(*_NO_SCRIPT))
    with suppress(NotFound):
        scripts.remove(tx, call.by, script_id)


def remove_scripts(tx: Tx, call: Call) -> None:
    """Those that there are: clients tidy up twice."""
    request: wire.ScriptsRequest = call.body
    scripts.remove_many(tx, call.by, _meant(request.scripts))


def _script(script: Script) -> wire.Script:
    return wire.Script(id=words.shown(script.id), name=script.name, script=script.text)


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

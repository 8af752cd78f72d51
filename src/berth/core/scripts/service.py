"""The verbs of startup scripts. Deleting one touches no instance: its text is copied when an instance is ordered."""

import re
from collections.abc import Sequence

from berth.base import ids
from berth.base.db import Tx
from berth.core import projects
from berth.core.errors import Conflict, Invalid, NotFound
from berth.core.events import Actor, record
from berth.core.scripts import store
from berth.core.scripts.model import Script

SCRIPTS_PER_PROJECT = 100
MOST_SCRIPTS = 1000
"""Whatever the operator allows."""
SCRIPT_LIMIT = 64 * 1024
"""Bytes."""
REMOVED_AT_ONCE = MOST_SCRIPTS
_NAME_LIMIT = 255
_NO_TEXT = re.compile("[\0\ud800-\udfff]")


def add(tx: Tx, by: Actor, *, name: str, text: str, limit: int = SCRIPTS_PER_PROJECT) -> Script:
    """Keeps `text` as it is. Raises Invalid naming the member, and Conflict `quota` for more than `limit`."""
    by.may("deployments:write")
    if not 1 <= len(name) <= _NAME_LIMIT or not name.isprintable():
        raise Invalid("invalid_field", f"name must be 1 to {_NAME_LIMIT} printable characters.", field="name")
    check(text, "script")
    projects.lock(tx, by)
    most = min(limit, MOST_SCRIPTS)
    if store.count(tx, by.project) >= most:
        raise Conflict("quota", f"At most {most} startup scripts can be kept; delete one first.")
    script = Script(ids.new(tx.now), by.project, name, text, tx.now)
    store.insert(tx, script)
    record(tx, by, "script.created", subject=script.id, data={"name": name})
    return script


def check(text: str, field: str) -> None:
    """Raises Invalid for what is no text, or too long; an empty one does nothing."""
    if _NO_TEXT.search(text):
        message = f"{field}: must be text, without zero bytes and halves of characters."
        raise Invalid("invalid_field", message, field=field)
    if len(text.encode()) > SCRIPT_LIMIT:
        raise Invalid("invalid_field", f"{field}: must be at most {SCRIPT_LIMIT} bytes.", field=field)


def get(tx: Tx, by: Actor, script_id: str) -> Script:
    """Raises NotFound."""
    by.may("deployments:read")
    script = store.find(tx, by.project, script_id)
    if script is None:
        raise _not_found()
    return script


def list_page(tx: Tx, by: Actor, *, page: int = 1, size: int = MOST_SCRIPTS) -> tuple[Sequence[Script], int]:
    """Page number `page`, from 1, of `size` scripts, newest first, and how many there are in all. Raises Invalid."""
    by.may("deployments:read")
    if not 1 <= page <= MOST_SCRIPTS:
        raise Invalid("invalid_field", f"page must be 1 to {MOST_SCRIPTS}.", field="page")
    if not 1 <= size <= MOST_SCRIPTS:
        raise Invalid("invalid_field", f"page size must be 1 to {MOST_SCRIPTS}.", field="page_size")
    found = store.page(tx, by.project, skipped=(page - 1) * size, limit=size)
    return found, store.count(tx, by.project)


def remove(tx: Tx, by: Actor, script_id: str) -> Script:
    """Raises NotFound, also the second time."""
    by.may("deployments:write")
    script = store.find(tx, by.project, script_id)
    if script is None or not _remove(tx, by, script):
        raise _not_found()
    return script


def remove_many(tx: Tx, by: Actor, script_ids: Sequence[str]) -> Sequence[Script]:
    """Those of them that there are; ids that mean nothing, or no more, are no error. Raises Invalid for too many."""
    by.may("deployments:write")
    if len(script_ids) > REMOVED_AT_ONCE:
        message = f"scripts: at most {REMOVED_AT_ONCE} can be deleted at once."
        raise Invalid("invalid_field", message, field="scripts")
    # In one order, so that two that delete the same ones never wait for each other.
    known = sorted({script_id for script_id in script_ids if ids.is_id(script_id)})
    found = [store.find(tx, by.project, script_id) for script_id in known]
    return [script for script in found if script is not None and _remove(tx, by, script)]


def take(tx: Tx, by: Actor, script_id: str) -> Script:
    """The script to copy into an instance. Raises Invalid for an unknown id."""
    script = store.find(tx, by.project, script_id) if ids.is_id(script_id) else None
    if script is None:
        raise Invalid(
            "invalid_field", "startup_script_id: unknown startup script.", field="startup_script_id"
        )
    return script


def _remove(tx: Tx, by: Actor, script: Script) -> bool:
    if not store.delete(tx, by.project, script.id):
        return False
    record(tx, by, "script.deleted", subject=script.id, data={"name": script.name})
    return True


def _not_found() -> NotFound:
    return NotFound("script_not_found", "Startup script not found.")

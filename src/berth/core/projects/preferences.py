"""The verbs of what a project decides about itself."""

from berth.base.db import Tx
from berth.core.errors import NotFound
from berth.core.events import Actor, record
from berth.core.projects import store
from berth.core.projects.model import Preferences


def preferences(tx: Tx, project: str) -> Preferences:
    """Raises NotFound."""
    found = store.find_preferences(tx, project)
    if found is None:
        raise NotFound("project_not_found", "Project not found.")
    return found


def set_preferences(tx: Tx, by: Actor, *, unique_active_hostname: bool | None = None) -> Preferences:
    """Changes what is given and leaves the rest.

    Raises Forbidden for a key that may not make keys: one that only deploys must not lift its own guard.
    """
    by.may("api_keys:write")
    store.lock_project(tx, by.project)
    known = preferences(tx, by.project)
    wanted = known.unique_active_hostname if unique_active_hostname is None else unique_active_hostname
    if wanted != known.unique_active_hostname:
        store.set_preferences(tx, by.project, unique_active_hostname=wanted)
        record(
            tx,
            by,
            "project.settings_changed",
            subject=by.project,
            data={"unique_active_hostname": wanted},
        )
    return Preferences(unique_active_hostname=wanted)

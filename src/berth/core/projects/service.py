"""The verbs of projects. Secrets come in and go out once; only hashes are kept."""

from collections.abc import Sequence
from secrets import token_hex

from berth.base import ids, secrets
from berth.base.db import Tx
from berth.base.money import Micros
from berth.core import ledger
from berth.core.errors import Conflict
from berth.core.events import Actor, record, system
from berth.core.projects import store
from berth.core.projects.api_keys import check_text, new_key
from berth.core.projects.clients import new_client
from berth.core.projects.model import Credentials, KeySpec, Project
from berth.core.projects.scopes import PRESETS

_INSTALLATION_BYTES = 5
_NAME_LIMIT = 120
_PEPPER_OF = "berth: the pepper of this installation"


def installation_id(tx: Tx) -> str:
    """What every label of this installation carries: short, lower case, the same for all replicas, for ever."""
    return store.keep(tx, "installation_id", token_hex(_INSTALLATION_BYTES))


def is_pepper(tx: Tx, pepper: bytes) -> bool:
    """Whether it is the one that this installation began with: with another no key would be recognised."""
    mark = secrets.fingerprint(pepper, _PEPPER_OF)
    return store.keep(tx, "pepper_mark", mark) == mark


def create(tx: Tx, name: str, *, pepper: bytes, operator: str = "operator") -> Credentials:
    """A project with an account, a full API key and an OAuth client. Raises Conflict when the name is taken."""
    check_text("name", name, _NAME_LIMIT)
    project = Project(ids.new(tx.now), name, tx.now)
    if not store.insert_project(tx, project):
        raise Conflict("duplicate", f"A project named {name!r} exists already.")
    ledger.open_account(tx, project.id)
    by = system(project.id, operator)
    key, secret = new_key(tx, by, KeySpec(), PRESETS["full"], pepper=pepper)
    client, client_secret = new_client(tx, project.id, pepper=pepper)
    record(tx, by, "project.created", subject=project.id, data={"name": name, "api_key_id": key.id})
    return Credentials(project, secret, client.id, client_secret)


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

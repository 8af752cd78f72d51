"""What an operator's commands do in the database: each a verb of core, by whoever runs the command."""

import os
import pwd
from collections.abc import Sequence

from berth.base import leases, money
from berth.base.clock import after
from berth.base.db import Tx
from berth.core import instances, ledger, projects
from berth.core.billing import Rules
from berth.core.errors import NotFound
from berth.core.events import operator
from berth.core.instances import Instance
from berth.core.projects import ApiKey, Credentials, KeySpec, OAuthClient, Preferences, Project


def project(tx: Tx, name: str) -> Project:
    """Raises NotFound."""
    found = projects.find(tx, name)
    if found is None:
        raise NotFound("project_not_found", f"There is no project named {name!r}.")
    return found


def user() -> str:
    """Who runs this command, as events name them."""
    try:
        return f"cli:{pwd.getpwuid(os.getuid()).pw_name}"
    except KeyError:
        return f"cli:{os.getuid()}"


def take_turn(tx: Tx) -> None:
    """Has replicas that start at one moment wait for each other, so that the second finds what the first has made."""
    leases.acquire(tx, "first_project", holder=user(), seconds=0)


def create(tx: Tx, name: str, credit: money.Micros, pepper: bytes) -> Credentials:
    made = projects.create(tx, name, pepper=pepper, operator=user())
    if credit:
        ledger.topup(tx, operator(made.project.id, user()), credit, reference="initial")
    return made


def create_key(tx: Tx, name: str, spec: KeySpec, pepper: bytes) -> tuple[ApiKey, str]:
    return projects.create_key(tx, operator(project(tx, name).id, user()), spec, pepper=pepper)


def add_credit(tx: Tx, name: str, amount: money.Micros, reference: str) -> int:
    found = project(tx, name)
    ledger.topup(tx, operator(found.id, user()), amount, reference=reference)
    return ledger.account(tx, found.id).balance


def reverse(tx: Tx, name: str, seq: int, note: str | None) -> int:
    """Takes a row back; the balance then. Raises NotFound, Conflict."""
    found = project(tx, name)
    ledger.reverse(tx, operator(found.id, user()), found.id, seq, note=note)
    return ledger.account(tx, found.id).balance


def set_preferences(tx: Tx, name: str, unique_hostnames: bool | None) -> Preferences:  # noqa: FBT001 - passed on by the database
    by = operator(project(tx, name).id, user())
    return projects.set_preferences(tx, by, unique_active_hostname=unique_hostnames)


def create_client(tx: Tx, name: str, pepper: bytes) -> tuple[OAuthClient, str]:
    return projects.create_client(tx, operator(project(tx, name).id, user()), pepper=pepper)


def list_clients(tx: Tx, name: str) -> Sequence[OAuthClient]:
    return projects.list_clients(tx, operator(project(tx, name).id, user()))


def revoke_client(tx: Tx, name: str, client_id: str) -> OAuthClient:
    return projects.revoke_client(tx, operator(project(tx, name).id, user()), client_id)


def evict(tx: Tx, instance_id: str, rules: Rules, in_s: int, sentence: str | None) -> Instance:
    """Raises NotFound, Invalid, and Conflict for what is no spot instance or has ended."""
    found = instances.find(tx, instance_id)
    if found is None:
        raise NotFound("instance_not_found", f"There is no instance {instance_id!r}.")
    by = operator(found.project, user())
    at = after(tx.now, seconds=in_s) if in_s else None
    return instances.evict(tx, by, found.id, rules, at=at, sentence=sentence)

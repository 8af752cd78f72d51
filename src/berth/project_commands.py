"""`berth project …`: projects, their credentials and their credit."""

import json
import sys
from collections.abc import Mapping
from typing import Annotated, Literal

from cyclopts import App, Parameter
from rich.console import Console
from rich.table import Table

from berth import operating
from berth.base import ids, money
from berth.base.clock import rfc3339
from berth.commanding import DatabaseUrl, DataDir, database_of, dollars, fail, pepper_of
from berth.core import projects
from berth.core.projects import Credentials, KeySpec
from berth.settings import read

project_cli = App(name="project", help="Projects, their credentials and their credit.")
client_cli = App(name="client", help="OAuth clients of a project.")
project_cli.command(client_cli)


@project_cli.command(name="create")
def create_project(
    name: str,
    *,
    credit: Annotated[str, Parameter(help="Dollars to begin with.")] = "0",
    as_json: Annotated[bool, Parameter(name="--json", negative=())] = False,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Create a project with an API key and an OAuth client. Their secrets are shown this once."""
    settings = read({"data_dir": data_dir, "database_url": database_url})
    with database_of(settings) as database:
        made = database.write_now(operating.create, name, dollars(credit, least=0), pepper_of(settings))
    credentials = shown(made)
    if as_json:
        sys.stdout.write(json.dumps(credentials) + "\n")
        return
    table = Table("credential", "value", title=f"Project {name}: kept nowhere, so keep them now")
    for member, value in credentials.items():
        table.add_row(member, value)
    Console().print(table)


@project_cli.command(name="list")
def list_projects(
    *,
    as_json: Annotated[bool, Parameter(name="--json", negative=())] = False,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
) -> None:
    """List projects and what they have."""
    with database_of(read({"data_dir": data_dir, "database_url": database_url})) as database:
        rows = database.read_now(projects.list_projects)
    if as_json:
        found = [
            {"project_id": project.id, "name": project.name, "balance_micros": balance}
            for project, balance in rows
        ]
        sys.stdout.write(json.dumps(found) + "\n")
        return
    table = Table("name", "id", "balance")
    for project, balance in rows:
        table.add_row(project.name, project.id, money.show(balance))
    Console().print(table)


@project_cli.command(name="credit")
def credit_project(
    name: str,
    usd: str,
    *,
    reference: Annotated[str, Parameter(help="Names the payment: the same reference adds once.")],
    as_json: Annotated[bool, Parameter(name="--json", negative=())] = False,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Add credit to a project, once for each reference."""
    settings = read({"data_dir": data_dir, "database_url": database_url})
    with database_of(settings) as database:
        balance = database.write_now(operating.add_credit, name, dollars(usd, least=1), reference)
    if as_json:
        sys.stdout.write(json.dumps({"name": name, "balance_micros": balance}) + "\n")
    else:
        Console().print(f"{name} has {money.show(balance)}.")


@project_cli.command(name="reverse")
def reverse_row(
    name: str,
    transaction: Annotated[str, Parameter(help="Its id, such as txn_000000000002A.")],
    *,
    note: Annotated[str | None, Parameter(help="Why; its owner sees it.")] = None,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Take one row of a project's ledger back by another, once. The row itself stays."""
    seq = ids.number_of(transaction.removeprefix("txn_"))
    if seq is None:
        fail(f"not the id of a transaction: {transaction!r}")
    with database_of(read({"data_dir": data_dir, "database_url": database_url})) as database:
        balance = database.write_now(operating.reverse, name, seq, note)
    Console().print(f"{name} has {money.show(balance)}.")


@project_cli.command(name="key")
def create_project_key(
    name: str,
    *,
    scope: Annotated[list[str] | None, Parameter(help="A scope or preset; may be given again.")] = None,
    key_name: Annotated[str, Parameter(help="What the key is called.")] = "operator",
    as_json: Annotated[bool, Parameter(name="--json", negative=())] = False,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Create an API key for a project whose owners lost theirs. Its secret is shown this once."""
    settings = read({"data_dir": data_dir, "database_url": database_url})
    spec = KeySpec(name=key_name, scopes=scope or ["full"])
    with database_of(settings) as database:
        key, secret = database.write_now(operating.create_key, name, spec, pepper_of(settings))
    if as_json:
        sys.stdout.write(json.dumps({"id": key.id, "name": key.name, "api_key": secret}) + "\n")
    else:
        Console().print(f"{secret}\nKept nowhere, so keep it now.", highlight=False)


@project_cli.command(name="set")
def set_project(
    name: str,
    *,
    unique_hostnames: Annotated[
        Literal["on", "off"] | None, Parameter(help="Refuse a second active deployment with one hostname.")
    ] = None,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Change what a project decided about itself; print what holds then."""
    wanted = None if unique_hostnames is None else unique_hostnames == "on"
    with database_of(read({"data_dir": data_dir, "database_url": database_url})) as database:
        now = database.write_now(operating.set_preferences, name, wanted)
    Console().print(f"unique hostnames: {'on' if now.unique_active_hostname else 'off'}")


@client_cli.command(name="create")
def create_client(
    name: str,
    *,
    as_json: Annotated[bool, Parameter(name="--json", negative=())] = False,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Create an OAuth client that may do all its project may. Its secret is shown this once."""
    settings = read({"data_dir": data_dir, "database_url": database_url})
    with database_of(settings) as database:
        client, secret = database.write_now(operating.create_client, name, pepper_of(settings))
    if as_json:
        sys.stdout.write(json.dumps({"client_id": client.id, "client_secret": secret}) + "\n")
    else:
        Console().print(f"{client.id}\n{secret}\nKept nowhere, so keep it now.", highlight=False)


@client_cli.command(name="list")
def list_clients(name: str, *, data_dir: DataDir = None, database_url: DatabaseUrl = None) -> None:
    """List a project's OAuth clients, newest first, those that were revoked included."""
    with database_of(read({"data_dir": data_dir, "database_url": database_url})) as database:
        clients = database.read_now(operating.list_clients, name)
    table = Table("client", "created", "revoked")
    for client in clients:
        revoked = "" if client.revoked_at is None else rfc3339(client.revoked_at)
        table.add_row(client.id, rfc3339(client.created_at), revoked)
    Console().print(table)


@client_cli.command(name="revoke")
def revoke_client(
    name: str, client_id: str, *, data_dir: DataDir = None, database_url: DatabaseUrl = None
) -> None:
    """Revoke an OAuth client of a project, and every token that it got."""
    with database_of(read({"data_dir": data_dir, "database_url": database_url})) as database:
        client = database.write_now(operating.revoke_client, name, client_id)
    Console().print(f"{client.id} is revoked.", highlight=False)


def shown(made: Credentials) -> Mapping[str, str]:
    return {
        "project_id": made.project.id,
        "api_key": made.api_key,
        "client_id": made.client_id,
        "client_secret": made.client_secret,
    }

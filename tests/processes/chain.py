"""Two Berths: one sells over the retail API what it buys from the other over the IaaS API, where it really runs."""

import asyncio
import http.client
import json
import sqlite3
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import asyncssh

from tests.processes.running import Answer, Server, pause

LOCATION = "FIN-01"
IMAGE = "ubuntu-24.04"
MARGIN_PERCENT = 10
WAIT_S = 120.0


@dataclass(slots=True)
class Chain:
    seller: Server
    upstream: Server
    key: asyncssh.SSHKey
    key_id: str = ""
    spot_id: str = ""
    """Of a spot instance, as the IaaS API has it."""

    @property
    def install_id(self) -> str:
        """What the seller's labels carry."""
        [(found,)] = rows(self.seller, "SELECT value FROM installation WHERE key = 'installation_id'")
        return str(found)

    def label(self, core_id: str) -> str:
        return f"berth-{self.install_id}-{core_id}"

    def order(self, hostname: str, cluster_type: str = "CPU.4V.16G", **members: Any) -> str:
        """The deployment's id."""
        body = {
            "cluster_type": cluster_type,
            "image": IMAGE,
            "hostname": hostname,
            "ssh_key_ids": [self.key_id],
            "location": LOCATION,
            **members,
        }
        answer = self.seller.call("POST", "/deployments/clusters", body)
        assert answer.status == 200, answer.body
        return str(answer.data["id"])

    def act(self, deployment_id: str, action: str, **members: Any) -> Any:
        path = f"/deployments/{deployment_id}/actions"
        return self.seller.call("POST", path, {"action": action, **members}).data

    def wait(self, deployment_id: str, *statuses: str) -> Any:
        return self.seller.wait(deployment_id, *statuses, seconds=WAIT_S)

    def run(self, deployment: Any, command: str) -> str:
        """Logs in with what the seller tells of the deployment."""

        async def run() -> str:
            async with asyncssh.connect(
                deployment["ip"],
                deployment["ssh_port"],
                username=deployment["ssh_user"],
                client_keys=[self.key],
                known_hosts=None,
                config=None,
            ) as connection:
                return str((await connection.run(command, check=True)).stdout).strip()

        return asyncio.run(asyncio.wait_for(run(), 30))

    def machines(self, core_id: str) -> list[tuple[str, str, str]]:
        """Every instance that the upstream ever made for one of ours: its id, status and what is wanted of it."""
        statement = "SELECT id, status, wanted FROM instances WHERE description = :label"
        return [tuple(row) for row in rows(self.upstream, statement, label=self.label(core_id))]

    def is_wanted(self, core_id: str, wanted: str) -> bool:
        return any(each == wanted for _, _, each in self.machines(core_id))

    def accounts_agree(self) -> bool:
        """Whether the upstream has what the seller has, and nothing else: instances, volumes, keys and scripts."""
        sold = rows(
            self.seller,
            "SELECT id FROM instances WHERE provider = 'verda' AND status NOT IN"
            " ('deleted', 'error', 'failed_no_capacity')",
        )
        made = rows(self.upstream, "SELECT description FROM instances WHERE status <> 'deleted'")
        labels = {self.label(core_id) for (core_id,) in sold}
        kept = rows(self.seller, "SELECT id FROM volumes WHERE os_of IS NULL AND gone_at IS NULL")
        found = rows(self.upstream, "SELECT name FROM volumes WHERE os_of IS NULL AND gone_at IS NULL")
        named = [*rows(self.upstream, "SELECT name FROM ssh_keys")]
        named += rows(self.upstream, "SELECT name FROM scripts")
        return (
            sorted(label for (label,) in made) == sorted(labels)
            and sorted(name for (name,) in found) == sorted(self.label(core_id) for (core_id,) in kept)
            and {name for (name,) in named} <= labels
        )

    def kill_upstream(self, has_begun: Callable[[], bool]) -> None:
        """As a power cut would, as soon as something has begun there; and starts it again."""
        until(has_begun)
        self.upstream.kill()
        self.upstream.start()


def until(is_so: Callable[[], bool], seconds: float = WAIT_S) -> None:
    ends_at = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < ends_at, "it never came to be"
        pause()


def rows(server: Server, statement: str, **values: Any) -> Sequence[Any]:
    """Read from the server's own file, so that looking costs no request."""
    path = server.directory / "berth.sqlite3"
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=30)
    try:
        return connection.execute(statement, values).fetchall()
    finally:
        connection.close()


def margins(server: Server) -> dict[str, Any]:
    """The operator's report, by the id of each thing sold."""
    shown = server.berth("report", "margin", "--by", "instance", "--json")
    assert shown.returncode == 0, shown.stderr
    return {row["key"]: row for row in json.loads(shown.stdout)["rows"]}


def iaas(server: Server, method: str, path: str, body: object = None, token: str | None = None) -> Answer:
    """One request to the server's IaaS API. A bare id is told as text."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    headers = {"Content-Type": "application/json"}
    if token is not None:
        headers["Authorization"] = f"Bearer {token}"
    try:
        connection.request(method, f"/v1{path}", None if body is None else json.dumps(body), headers)
        answer = connection.getresponse()
        text = answer.read().decode()
        is_json = text.startswith(("{", "["))
        return Answer(answer.status, json.loads(text) if is_json else text, dict(answer.getheaders()))
    finally:
        connection.close()


def token(server: Server) -> str:
    credentials = server.credentials()
    body = {
        "grant_type": "client_credentials",
        "client_id": credentials["client_id"],
        "client_secret": credentials["client_secret"],
    }
    return str(iaas(server, "POST", "/oauth2/token", body).body["access_token"])

"""Several `berth serve` on one database, each of which can be killed, frozen and started again."""

import json
import os
import signal
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from berth import migrations
from tests import postgres
from tests.drivers.verda.service import CLIENT_SECRET
from tests.processes.running import Server

REPLICAS = 3


@dataclass(slots=True)
class Replica:
    """One process, which the database and the provider know by its name."""

    name: str
    server: Server
    is_frozen: bool = field(default=False)

    @property
    def port(self) -> int:
        return self.server.port

    def start(self) -> None:
        self.server.start()

    def kill(self) -> None:
        self.server.kill()

    def freeze(self) -> None:
        self._signal(signal.SIGSTOP)
        self.is_frozen = True

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)
        self.is_frozen = False

    def is_up(self) -> bool:
        if self.server.process is None or self.server.process.poll() is not None:
            return False
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def log(self) -> str:
        return self.server.log()

    def _signal(self, number: int) -> None:
        assert self.server.process is not None
        os.kill(self.server.process.pid, number)


@dataclass(slots=True)
class Cluster:
    """Replicas that share a database, a pepper and a provider, and nothing else."""

    database_url: str
    replicas: list[Replica]
    api_key: str = ""

    @classmethod
    @contextmanager
    def opened(
        cls,
        directory: Path,
        server_url: str,
        provider_url: str | None,
        *,
        lease_s: int = 30,
        count: int = REPLICAS,
        settings: Mapping[str, str] | None = None,
    ) -> Iterator["Cluster"]:
        url = postgres.create_database(server_url)
        migrations.upgrade(url)
        cluster = cls(url, [])
        for number in range(1, count + 1):
            name = f"replica-{number}"
            place = directory / name
            place.mkdir()
            server = Server(place, 1024, f"{url}&application_name={name}", simulate=False)
            server.settings = {
                "BERTH_PEPPER_FILE": str(directory / "pepper"),
                "BERTH_LOOPS_LEASE_S": str(lease_s),
                "BERTH_LOOPS_CALL_S": "5",
                "BERTH_SANDBOX_IS_ENABLED": "false",
                **(_account(provider_url, name) if provider_url is not None else {}),
                **(settings or {}),
            }
            cluster.replicas.append(Replica(name, server))
        made = cluster.replicas[0].server.berth(
            "project", "create", "chaos", "--credit", "10000000", "--json"
        )
        assert made.returncode == 0, made.stderr
        cluster.api_key = json.loads(made.stdout)["api_key"]
        try:
            for replica in cluster.replicas:
                replica.start()
            yield cluster
        finally:
            for replica in cluster.replicas:
                process = replica.server.process
                if process is not None and process.poll() is None:
                    process.kill()
                if process is not None:
                    process.wait()


def _account(provider_url: str, name: str) -> dict[str, str]:
    return {
        "BERTH_VERDA_BASE_URL": provider_url,
        "BERTH_VERDA_CLIENT_ID": name,
        "BERTH_VERDA_CLIENT_SECRET": CLIENT_SECRET,
        "BERTH_VERDA_UNITS": "1000",
    }

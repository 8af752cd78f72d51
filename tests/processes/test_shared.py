"""`berth serve` and `berth work` beside each other on PostgreSQL."""

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import asyncssh
import pytest

from tests.conftest import Databases
from tests.processes.running import Server


@dataclass(slots=True)
class Replicas:
    """Two servers on one database and one data directory, as on one host."""

    first: Server
    second: Server


@pytest.fixture
def replicas(server: Server, databases: Databases) -> Iterator[Replicas]:
    server.database_url = databases.migrated("postgresql")
    second = Server(server.directory, server.first_ssh_port, server.database_url)
    try:
        yield Replicas(server, second)
    finally:
        if second.process is not None and second.process.poll() is None:
            second.process.kill()
            second.process.wait()


def test_a_key_revoked_at_one_replica_is_refused_by_the_other_on_the_very_next_request(
    replicas: Replicas,
) -> None:
    first, second = replicas.first, replicas.second
    first.start()
    second.start()
    made = first.call("POST", "/api-keys", {"name": "short-lived"}).data
    as_made = {"X-API-Key": made["secret"]}
    assert second.call("GET", "/billing/balance", headers=as_made).status == 200
    first.call("DELETE", f"/api-keys/{made['id']}")
    assert second.call("GET", "/billing/balance", headers=as_made).status == 401


def test_a_worker_alone_carries_on_what_a_killed_server_accepted(
    replicas: Replicas, login_key: asyncssh.SSHKey
) -> None:
    first, second = replicas.first, replicas.second
    first.start()
    public_key = login_key.export_public_key().decode().strip()
    key_id = first.call("POST", "/ssh-keys", {"name": "test", "public_key": public_key}).data["id"]
    order = {
        "cluster_type": "1H100.80S.30V",
        "image": "ubuntu-24.04",
        "hostname": "carried-on",
        "ssh_key_ids": [key_id],
        "location": "FIN-01",
    }
    deployment_id = first.call("POST", "/deployments/clusters", order).data["id"]
    first.wait(deployment_id, "running")
    first.call("DELETE", f"/deployments/{deployment_id}")
    first.kill()
    with _worker(first) as worker:
        second.start()
        second.wait(deployment_id, "deleted", seconds=200)
        worker.terminate()
        assert worker.wait(timeout=60) == 0
    assert second.stop() == 0


def _worker(server: Server) -> "subprocess.Popen[bytes]":
    """One that has got as far as working: before that, SIGTERM ends it as it ends any process."""
    worker = subprocess.Popen(
        [sys.executable, "-m", "berth", "work"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env={**server.environment(), "BERTH_SIMULATE": "1"},
    )
    assert worker.stderr is not None
    assert any(b"working" in line for line in worker.stderr)
    return worker


def test_work_without_postgresql_says_what_it_needs(tmp_path: Path) -> None:
    refused = Server(tmp_path, 26900).berth("work")
    assert refused.returncode == 2
    assert "PostgreSQL" in refused.stderr

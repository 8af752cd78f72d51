"""Replicas that begin at one moment, that end in the middle of work, and that came with the wrong secret."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import postgres
from tests.conftest import Databases
from tests.processes import chaos
from tests.processes.conftest import ended
from tests.processes.customers import Customer
from tests.processes.judging import Trail
from tests.processes.replica import Cluster
from tests.processes.running import Server

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
LEASE_S = 300
"""Far longer than anything here may take: nobody may wait for one to end."""
WITHIN_S = 60.0


@pytest.fixture
def pair(tmp_path: Path, databases: Databases) -> Iterator[tuple[Server, Server]]:
    """Two that have a database and a pepper in common, and have never been started."""
    url = databases.empty("postgresql")
    made = []
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        server = Server(tmp_path / name, 26950, url)
        server.simulate = False
        server.settings = {
            "BERTH_PEPPER_FILE": str(tmp_path / "pepper"),
            "BERTH_SANDBOX_IS_ENABLED": "false",
        }
        made.append(server)
    with ended(made[0]), ended(made[1]):
        yield made[0], made[1]


def test_replicas_that_begin_at_one_moment_on_an_empty_database_begin(pair: tuple[Server, Server]) -> None:
    starts = [threading.Thread(target=server.start) for server in pair]
    for start in starts:
        start.start()
    for start in starts:
        start.join()
    [owner] = [server for server in pair if (server.directory / "credentials.json").exists()]
    as_owner = {"X-API-Key": owner.credentials()["api_key"]}
    for server in pair:
        (server.directory / "credentials.json").write_text('{"api_key": ""}')
        assert server.call("GET", "/billing/balance", headers=as_owner).status == 200
    assert owner.berth("project", "list").stdout.count("default") == 1


def test_a_replica_with_another_pepper_is_refused(pair: tuple[Server, Server], tmp_path: Path) -> None:
    one, other = pair
    one.start()
    other.settings = {**other.settings, "BERTH_PEPPER_FILE": str(tmp_path / "another")}
    refused = other.berth("serve", "--port", str(other.port))
    assert refused.returncode == 2
    assert "not the pepper of this installation" in refused.stderr


def test_what_a_replica_that_is_told_to_end_cannot_finish_the_others_do_at_once(
    tmp_path: Path,
) -> None:
    with (
        chaos.upstream() as provider,
        postgres.running(tmp_path) as server,
        Cluster.opened(
            tmp_path,
            server.url,
            provider,
            lease_s=LEASE_S,
            count=2,
            settings={"BERTH_SERVER_DRAIN_S": "0"},
        ) as cluster,
    ):
        trail = Trail(cluster.database_url)
        trail.begin()
        ending, other = cluster.replicas
        customer = Customer(1, Cluster(cluster.database_url, [ending], cluster.api_key), 1)
        customer.come()
        for _ in range(8):
            customer.deploy()
        assert chaos.until(WITHIN_S, lambda: bool(trail.held_by(ending.name)))
        assert ending.server.stop() == 0
        assert chaos.until(WITHIN_S, lambda: _running(trail) == 8), trail.unsettled()
        assert trail.held_by(ending.name) == set()
        assert other.is_up()


def _running(trail: Trail) -> int:
    return len(trail.rows("SELECT id FROM instances WHERE status = 'running'"))

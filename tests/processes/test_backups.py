"""`berth backup` beside a server that works, `berth restore` elsewhere, and a server on what came back."""

import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Databases
from tests.processes.conftest import ended
from tests.processes.running import Server

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[Server]:
    directory = tmp_path / "elsewhere"
    directory.mkdir()
    with ended(Server(directory, 26900)) as server:
        yield server


@pytest.mark.parametrize("engine", ["sqlite", "postgresql"])
def test_what_was_backed_up_while_it_ran_serves_the_same_customers_elsewhere(
    server: Server, elsewhere: Server, databases: Databases, engine: str, tmp_path: Path
) -> None:
    if engine == "postgresql":
        server.database_url = databases.migrated("postgresql")
    server.start()
    made = server.call("POST", "/api-keys", {"name": "before"}).data
    file = tmp_path / "berth.backup"
    saved = server.berth("backup", str(file))
    assert saved.returncode == 0, saved.stderr
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    after = server.call("POST", "/api-keys", {"name": "after"}).data

    refused = server.berth("restore", str(file))
    assert refused.returncode == 2
    assert "uses" in refused.stderr or "not empty" in refused.stderr
    assert server.berth("backup", str(file)).returncode == 2

    restored = elsewhere.berth("restore", str(file))
    assert restored.returncode == 0, restored.stderr
    assert elsewhere.berth("report", "books").returncode == 0
    elsewhere.start()
    as_before = {"X-API-Key": made["secret"]}
    assert (
        elsewhere.call("GET", "/billing/balance", headers=as_before).data
        == server.call("GET", "/billing/balance", headers=as_before).data
    )
    assert elsewhere.call("GET", "/billing/balance").status == 200
    as_after = {"X-API-Key": after["secret"]}
    assert elsewhere.call("GET", "/billing/balance", headers=as_after).status == 401


def test_an_empty_place_has_nothing_to_back_up(elsewhere: Server, tmp_path: Path) -> None:
    refused = elsewhere.berth("backup", str(tmp_path / "backup"))
    assert refused.returncode == 2
    assert "nothing to back up" in refused.stderr
    assert not (tmp_path / "backup").exists()

"""`berth serve` as its operator and its customers meet it: started, used, stopped, killed."""

import asyncio
import contextlib
import http.client
import json
import socket
import sqlite3
import stat
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import asyncssh

from berth import app
from berth.core import ledger
from berth.settings import Settings
from tests.processes.running import Server

_TYPE = "1H100.80S.30V"
_LOCATION = "FIN-01"


def _add_key(server: Server, login_key: asyncssh.SSHKey) -> str:
    public_key = login_key.export_public_key().decode().strip()
    added: str = server.call("POST", "/ssh-keys", {"name": "test", "public_key": public_key}).data["id"]
    return added


def _order(server: Server, key_id: str, hostname: str, **headers: str) -> Any:
    body = {
        "cluster_type": _TYPE,
        "image": "ubuntu-24.04",
        "hostname": hostname,
        "ssh_key_ids": [key_id],
        "location": _LOCATION,
    }
    return server.call("POST", "/deployments/clusters", body, headers=headers)


def _run(deployment: Any, login_key: asyncssh.SSHKey, command: str) -> str:
    async def run() -> str:
        async with asyncssh.connect(
            deployment["ip"],
            deployment["ssh_port"],
            username=deployment["ssh_user"],
            client_keys=[login_key],
            known_hosts=None,
            config=None,
        ) as connection:
            return str((await connection.run(command, check=True)).stdout).strip()

    return asyncio.run(asyncio.wait_for(run(), 30))


def _verify_ledger(server: Server) -> list[str]:
    database = app.open_database(Settings(data_dir=server.directory))
    try:
        return database.read_now(ledger.verify)
    finally:
        database.close()


def test_a_first_start_leaves_credentials_only_its_owner_can_read(server: Server) -> None:
    server.start()
    path = server.directory / "credentials.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert set(server.credentials()) == {"project_id", "api_key", "client_id", "client_secret"}
    assert server.call("GET", "/billing/balance").data["balance_usd"] == 100
    before = path.read_bytes()
    assert server.stop() == 0
    server.start()
    assert path.read_bytes() == before
    assert "It keeps honest programs apart; it does not hold a hostile one." in " ".join(server.log().split())


def test_instances_outlive_a_server_that_stops_and_are_taken_up_again(
    server: Server, login_key: asyncssh.SSHKey
) -> None:
    server.start()
    deployment_id = _order(server, _add_key(server, login_key), "outliving").data["id"]
    running = server.wait(deployment_id, "running")
    _run(running, login_key, "echo still here > note")
    assert server.stop() == 0
    assert _run(running, login_key, "cat note") == "still here"
    server.start()
    assert server.call("GET", f"/deployments/{deployment_id}").data["status"] == "running"
    server.call("POST", f"/deployments/{deployment_id}/actions", {"action": "stop"})
    server.wait(deployment_id, "offline")
    server.call("POST", f"/deployments/{deployment_id}/actions", {"action": "start"})
    assert _run(server.wait(deployment_id, "running"), login_key, "cat note") == "still here"
    server.call("DELETE", f"/deployments/{deployment_id}")
    server.wait(deployment_id, "deleted")


def test_a_second_server_on_one_data_directory_is_refused(server: Server) -> None:
    server.start()
    second = Server(server.directory, server.first_ssh_port).popen(subprocess.DEVNULL)
    assert second.wait(timeout=30) == 2
    assert server.call("GET", "/billing/balance").status == 200


def test_projects_are_made_and_credited_while_the_server_runs(server: Server) -> None:
    server.start()
    made = server.berth("project", "create", "lab", "--credit", "19.999999", "--json")
    assert made.returncode == 0, made.stderr
    credentials = json.loads(made.stdout)
    assert set(credentials) == {"project_id", "api_key", "client_id", "client_secret"}
    as_lab = {"X-API-Key": credentials["api_key"]}
    assert server.call("GET", "/billing/balance", headers=as_lab).data["can_deploy"] is False
    for _ in range(2):
        added = server.berth("project", "credit", "lab", "0.000001", "--reference", "invoice-1", "--json")
        assert json.loads(added.stdout) == {"name": "lab", "balance_micros": 20_000_000}
    assert server.call("GET", "/billing/balance", headers=as_lab).data["can_deploy"] is True
    assert server.berth("project", "create", "lab").returncode == 2
    assert server.berth("project", "credit", "nobody", "5", "--reference", "x").returncode == 2
    assert server.berth("project", "credit", "lab", "-5", "--reference", "y").returncode == 2
    names = {project["name"] for project in json.loads(server.berth("project", "list", "--json").stdout)}
    assert names == {"default", "lab"}


def test_a_wrong_setting_stops_the_start_with_a_sentence(server: Server) -> None:
    assert server.berth("serve", "--port", "not-a-port").returncode != 0
    config = server.directory / "berth.toml"
    config.write_text("[server]\nprot = 1\n", encoding="utf-8")
    refused = subprocess.run(
        [sys.executable, "-m", "berth", "migrate"],
        env={**server.environment(), "BERTH_CONFIG": str(config)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert refused.returncode == 2
    assert "prot" in refused.stderr


def test_killed_in_the_middle_of_twenty_deploys_it_settles_all_of_them_once(
    server: Server, login_key: asyncssh.SSHKey
) -> None:
    server.start()
    credit = server.berth("project", "credit", "default", "400", "--reference", "load")
    assert credit.returncode == 0, credit.stderr
    key_id = _add_key(server, login_key)

    def deploy(number: int) -> str | None:
        try:
            answer = _order(server, key_id, f"host-{number}", **{"Idempotency-Key": f"deploy-{number}"})
        except (OSError, ValueError):
            return None  # cut off: the retry below finds out
        return str(answer.data["id"])

    with ThreadPoolExecutor(8) as threads:
        first = [threads.submit(deploy, number) for number in range(20)]
        # Some are accepted, some under way, some not sent yet.
        ids_before = [future.result() for future in first[:6]]
        server.kill()
        ids_before += [future.result() for future in first[6:]]
    assert any(ids_before)
    server.start()
    ids = [deploy(number) for number in range(20)]
    for before, after in zip(ids_before, ids, strict=True):
        assert before is None or before == after
    assert len(set(ids)) == 20
    statuses = Counter(server.wait(str(deployment_id), "running", "error")["status"] for deployment_id in ids)
    assert statuses == {"running": 20}
    assert server.call("GET", "/deployments?limit=100").body["meta"]["total"] == 20
    directories = [path for path in (server.directory / "sandbox" / "instances").iterdir() if path.is_dir()]
    assert len(directories) == 20
    for deployment_id in ids:
        server.call("DELETE", f"/deployments/{deployment_id}")
    for deployment_id in ids:
        server.wait(str(deployment_id), "deleted")
    assert not list((server.directory / "sandbox" / "instances").iterdir())
    assert server.stop() == 0
    assert _verify_ledger(server) == []
    with sqlite3.connect(server.directory / "berth.sqlite3") as rows:
        charged = rows.execute(
            "SELECT COUNT(DISTINCT subject) FROM entries WHERE code <> 'topup'"
        ).fetchone()[0]
    assert charged == 20


def test_headers_without_end_are_refused_before_they_are_kept(server: Server) -> None:
    server.start()
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
        connection.sendall(b"GET /api/v1/regions HTTP/1.1\r\nhost: here\r\n")
        sent = 0
        try:
            while sent < 64 * 1024 * 1024:
                sent += connection.send(b"x-more: " + b"a" * 60_000 + b"\r\n")
        except OSError:
            pass  # it hung up on us, which is what we are here for
        with contextlib.suppress(OSError):
            assert b" 431 " in connection.recv(100)
    assert sent < 16 * 1024 * 1024
    assert server.call("GET", "/billing/balance").status == 200


def test_many_requests_on_one_connection_are_no_long_header(server: Server) -> None:
    server.start()
    key = server.credentials()["api_key"]
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    for _ in range(200):
        connection.request("GET", "/api/v1/regions", headers={"X-API-Key": key, "X-Padding": "a" * 2000})
        answer = connection.getresponse()
        assert answer.status == 200
        answer.read()
    connection.close()


def test_a_taken_port_is_said_before_anything_else_starts(server: Server) -> None:
    with socket.create_server(("127.0.0.1", server.port)):
        refused = server.berth("serve", "--port", str(server.port))
    assert refused.returncode == 2
    assert "cannot listen" in refused.stderr
    assert not (server.directory / "berth.sqlite3").exists()
    refused = server.berth("serve", "--port", "99999")
    assert refused.returncode == 2
    assert "port" in refused.stderr


def test_what_is_kept_is_its_owners_alone_even_in_a_directory_that_was_there(server: Server) -> None:
    server.directory.chmod(0o755)
    server.start()
    modes = {
        path.name: stat.S_IMODE(path.stat().st_mode)
        for path in server.directory.iterdir()
        if path.name.startswith("berth.sqlite3") or path.name in {"pepper", "credentials.json"}
    }
    assert "berth.sqlite3-wal" in modes
    assert set(modes.values()) == {0o600}


def test_the_same_api_answers_nested_for_the_vendors_own_command_line(server: Server) -> None:
    server.start()
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    key = server.credentials()["api_key"]
    connection.request("GET", "/hudl/api/v1/gpus/available", headers={"X-API-Key": key})
    answer = json.loads(connection.getresponse().read())
    connection.close()
    assert len(answer["data"]["data"]) == 6
    assert answer["data"]["meta"]["total"] > 6

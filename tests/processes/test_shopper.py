"""The session broker's API of a real server: ready once everything was looked at, and not once it is to end."""

import http.client
import json
import signal
from typing import Any

from tests.base.test_meters import samples
from tests.processes.running import Server, pause

LOOKS = 400


def ask(port: int, path: str, **headers: str) -> tuple[int, Any]:
    """One plain request without credentials."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        body = answer.read()
        is_json = answer.getheader("content-type", "").startswith("application/json")
        return answer.status, json.loads(body) if is_json else body
    finally:
        connection.close()


def ready(server: Server) -> None:
    for _ in range(LOOKS):
        if ask(server.port, "/ready")[0] == 200:
            return
        pause()
    raise AssertionError(server.log())


def test_it_is_open_on_this_host_ready_after_the_sweep_and_not_while_it_drains(server: Server) -> None:
    server.settings = {"BERTH_SERVER_NOTICE_S": "20"}
    server.start()
    ready(server)
    status, body = ask(server.port, "/health")
    assert (status, body["status"], body["services"]["ready"]) == (200, "ok", "true")
    status, body = ask(server.port, "/api/v1/inventory")
    assert status == 200
    assert body["total"] == body["count"] > 0
    assert all(offer["provider"] == "sandbox" and offer["gpu_count"] > 0 for offer in body["offers"])
    assert ask(server.port, "/api/v1/inventory", Host="attacker.example")[0] == 401
    assert ask(server.port, "/api/v1/inventory", Origin="http://attacker.example")[0] == 403
    assert ask(server.port, "/api/v1/gpus/available")[0] == 401
    status, text = ask(server.port, "/metrics")
    found = samples(text)
    assert found["gpu_provider_api_calls_total", "list", "sandbox", "success"] >= 1
    assert found["berth_loop_ticks_total", "observation"] >= 1
    assert found["berth_loop_last_tick_timestamp_seconds", "observation"] > 0
    assert found["berth_database_transactions_total",] > 0

    assert server.process is not None
    server.process.send_signal(signal.SIGTERM)
    for _ in range(LOOKS):
        status, body = ask(server.port, "/ready")
        if status == 503:
            break
        pause()
    assert (status, body["ready"]) == (503, False)
    assert ask(server.port, "/health")[0] == 503
    assert ask(server.port, "/api/v1/inventory")[0] == 200, "what still comes is answered"
    server.process.send_signal(signal.SIGINT)  # whoever asks twice need not wait
    assert server.process.wait(timeout=60) == 0


def test_with_keys_nobody_gets_in_without_one(server: Server) -> None:
    server.settings = {"BERTH_SHOPPER_ACCESS": "key"}
    server.start()
    ready(server)
    assert ask(server.port, "/api/v1/inventory")[0] == 401
    assert ask(server.port, "/metrics")[0] == 401
    key = server.credentials()["api_key"]
    assert ask(server.port, "/api/v1/inventory", Authorization=f"Bearer {key}")[0] == 200
    assert ask(server.port, "/api/v1/templates", **{"X-API-Key": key})[1] == {"templates": [], "count": 0}


def test_it_does_not_start_open_for_everybody(server: Server) -> None:
    server.settings = {"BERTH_SHOPPER_ACCESS": "open", "BERTH_SERVER_HOST": "0.0.0.0"}
    with (server.directory / "serve.log").open("ab") as log:
        server.process = server.popen(log)
    assert server.process.wait(timeout=60) == 2
    assert "shopper.access" in server.log()

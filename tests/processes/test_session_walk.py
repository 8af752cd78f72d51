"""A session from its offer to its bill, by a real server, in a real sandbox, with the key that the answer holds."""

import asyncio
import time
from decimal import Decimal
from typing import Any

import asyncssh

from tests.processes.running import Server, pause

OFFER = "sandbox-1H100.80S.30V@FIN-01"
BODY = {
    "consumer_id": "my-application",
    "offer_id": OFFER,
    "workload_type": "training",
    "reservation_hours": 2,
    "idle_threshold_minutes": 30,
}


def find_offer(server: Server, seconds: float = 30) -> Any:
    """As the inventory lists it, once it has been filled."""
    ends_at = time.monotonic() + seconds
    while True:
        offers = server.call("GET", "/inventory?provider=sandbox").body["offers"]
        found = [each for each in offers if each["id"] == OFFER]
        if found:
            return found[0]
        assert time.monotonic() < ends_at, f"{offers}\n{server.log()}"
        pause()


def wait_for_a_charge(server: Server, session_id: str, seconds: float = 30) -> None:
    """Until it has run for a whole second."""
    ends_at = time.monotonic() + seconds
    while server.call("GET", f"/costs?session_id={session_id}").body["total_cost"] == 0:
        assert time.monotonic() < ends_at, server.log()
        pause()


def wait(server: Server, session_id: str, *statuses: str, seconds: float = 90) -> Any:
    ends_at = time.monotonic() + seconds
    while True:
        session = server.call("GET", f"/sessions/{session_id}").body
        if session["status"] in statuses:
            return session
        assert time.monotonic() < ends_at, f"{session}\n{server.log()}"
        pause()


def run(session: Any, private_key: str, command: str) -> str:
    async def run() -> str:
        async with asyncssh.connect(
            session["ssh_host"],
            session["ssh_port"],
            username=session["ssh_user"],
            client_keys=[asyncssh.import_private_key(private_key)],
            known_hosts=None,
            config=None,
        ) as connection:
            return str((await connection.run(command, check=True)).stdout).strip()

    return asyncio.run(asyncio.wait_for(run(), 30))


def test_a_session_is_taken_entered_extended_done_and_paid_to_the_second(server: Server) -> None:
    server.start()
    offer = find_offer(server)
    created = server.call("POST", "/sessions", BODY, headers={"Idempotency-Key": "run-001"})
    assert created.status == 201, created.body
    key, token = created.body["ssh_private_key"], created.body["agent_token"]
    session_id = created.body["session"]["id"]
    assert created.body["session"]["price_per_hour"] == offer["price_per_hour"]
    assert server.call("POST", "/sessions", BODY).status == 409

    session = wait(server, session_id, "running")
    assert run(session, key, "echo inside") == "inside"
    beat = {"agent_token": token, "idle_seconds": 60}
    assert server.call("POST", f"/sessions/{session_id}/heartbeat", beat).body["status"] == "running"
    wrong = server.call("POST", f"/sessions/{session_id}/heartbeat", beat | {"agent_token": "x"})
    assert wrong.status == 401
    shown = server.call("GET", f"/sessions/{session_id}/diagnostics").body
    assert (shown["ssh_available"], shown["last_heartbeat"]["idle_seconds"]) == (True, 60)
    extended = server.call("POST", f"/sessions/{session_id}/extend", {"additional_hours": 2}).body
    assert extended["message"] == "session extended"

    wait_for_a_charge(server, session_id)
    done = server.call("POST", f"/sessions/{session_id}/done").body
    assert done == {"message": "session shutdown initiated", "session_id": session_id}
    ended = wait(server, session_id, "stopped")
    assert "error" not in ended
    assert server.call("GET", f"/sessions/{session_id}/diagnostics").status == 400

    bill = server.call("GET", f"/deployments/dep_{session_id.removeprefix('sess-').upper()}/billing").data
    cost = server.call("GET", f"/costs?session_id={session_id}").body["total_cost"]
    month = server.call("GET", "/costs?consumer_id=my-application").body
    assert Decimal(str(cost)) == Decimal(bill["total_micros"]) / 1_000_000
    assert (month["total_cost"], month["session_count"]) == (cost, 1)
    assert month["by_provider"] == {"sandbox": cost}
    assert bill["gpu_seconds"] >= 1
    assert key.splitlines()[10] not in server.log()
    assert token not in server.log()
    again = server.call("POST", "/sessions", BODY, headers={"Idempotency-Key": "run-001"})
    assert again.body["session"]["id"] == session_id
    assert "ssh_private_key" not in again.body


def test_what_is_stopped_to_be_kept_is_destroyed_when_it_is_deleted(server: Server) -> None:
    server.start()
    created = server.call("POST", "/sessions", BODY | {"storage_policy": "preserve"})
    assert created.status == 201, created.body
    session_id = created.body["session"]["id"]
    wait(server, session_id, "running")
    server.call("POST", f"/sessions/{session_id}/done")
    wait(server, session_id, "stopped")
    assert server.call("DELETE", f"/sessions/{session_id}").status == 200
    deployment = f"dep_{session_id.removeprefix('sess-').upper()}"
    assert server.wait(deployment, "deleted")["status"] == "deleted"

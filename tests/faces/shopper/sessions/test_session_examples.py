"""Every example of the API's own document about sessions and costs, as it stands there."""

import json
from decimal import Decimal
from typing import Any

from tests.faces.shopper.sessions.conftest import Desk
from tests.faces.shopper.sessions.shapes import like
from tests.renting import keys

CREATE = """
{
  "consumer_id": "my-application",
  "offer_id": "vastai-12345",
  "workload_type": "llm",
  "reservation_hours": 2,
  "idle_threshold_minutes": 30,
  "storage_policy": "destroy",
  "disk_gb": 100,
  "template_hash_id": "a8a44c7363cbca20056020397e3bf072"
}
"""
SESSION = """
{
  "id": "sess-abc123",
  "consumer_id": "my-application",
  "provider": "vastai",
  "gpu_type": "RTX 4090",
  "gpu_count": 1,
  "status": "running",
  "ssh_host": "192.168.1.100",
  "ssh_port": 22,
  "ssh_user": "root",
  "workload_type": "llm",
  "reservation_hours": 2,
  "price_per_hour": 0.45,
  "created_at": "2026-01-29T12:00:00Z",
  "expires_at": "2026-01-29T14:00:00Z"
}
"""
CREATED = """
{
  "session": {
    "id": "sess-abc123",
    "consumer_id": "my-application",
    "provider": "vastai",
    "gpu_type": "RTX 4090",
    "gpu_count": 1,
    "status": "provisioning",
    "ssh_host": "192.168.1.100",
    "ssh_port": 22,
    "ssh_user": "root",
    "workload_type": "llm",
    "reservation_hours": 2,
    "price_per_hour": 0.45,
    "disk_gb": 100,
    "created_at": "2026-01-29T12:00:00Z",
    "expires_at": "2026-01-29T14:00:00Z"
  },
  "ssh_private_key": "-----BEGIN RSA PRIVATE KEY-----\\n..."
}
"""
DIAGNOSTICS = """
{
  "session_id": "sess-abc123",
  "status": "running",
  "provider": "vastai",
  "gpu_type": "RTX 4090",
  "gpu_count": 1,
  "ssh_host": "192.168.1.100",
  "ssh_port": 22,
  "ssh_user": "root",
  "launch_mode": "ssh",
  "api_endpoint": "",
  "created_at": "2026-01-29T12:00:00Z",
  "expires_at": "2026-01-29T14:00:00Z",
  "uptime": "1h 30m",
  "time_to_expiry": "30m",
  "ssh_available": true,
  "note": "Full SSH diagnostics require client-side SSH access."
}
"""
STALE = """
{
  "error": "offer unavailable due to stale inventory",
  "error_type": "stale_inventory",
  "offer_id": "vastai-12345",
  "provider": "vastai",
  "retry_suggested": true,
  "message": "The selected offer is no longer available. Please refresh inventory and select a different offer.",
  "request_id": "uuid-of-request"
}
"""
COST = '{"session_id": "sess-abc123", "total_cost": 1.35, "currency": "USD"}'
SUMMARY = """
{
  "consumer_id": "my-application",
  "total_cost": 45.67,
  "session_count": 12,
  "hours_used": 98.5,
  "by_provider": {"vastai": 30.00},
  "by_gpu_type": {"RTX 4090": 25.00}
}
"""


def without(document: Any, *names: str) -> Any:
    return {name: value for name, value in document.items() if name not in names}


async def test_create_answers_with_the_session_and_its_key(desk: Desk) -> None:
    response = await desk.client.post("/api/v1/sessions", CREATE)
    assert response.status == 201
    example = json.loads(CREATED)
    like(response.json, example)
    got = response.json["session"]
    assert set(got) - set(example["session"]) == {"template_hash_id", "template_name"}
    expected = {
        **example["session"],
        "template_hash_id": "a8a44c7363cbca20056020397e3bf072",
        "template_name": "Ollama",
        "id": got["id"],
        "ssh_host": "192.0.2.7",
        "created_at": "2026-04-03T10:00:00Z",
        "expires_at": "2026-04-03T12:00:00Z",
    }
    assert got == expected
    assert got["id"].startswith("sess-")
    assert response.json["ssh_private_key"] == keys().private_pem
    assert keys().private_pem.startswith("-----BEGIN RSA PRIVATE KEY-----\n")


async def test_one_session_and_the_list_of_them(desk: Desk) -> None:
    made = await desk.running()
    example = json.loads(SESSION)
    like(made, example)
    assert set(made) - set(example) == {"disk_gb"}
    listed = await desk.client.get("/api/v1/sessions")
    assert listed.json == {"sessions": [made], "count": 1}


async def test_done_extend_and_delete_say_so(desk: Desk) -> None:
    first = (await desk.running())["id"]
    second = (await desk.running(consumer_id="another", offer_id="vastai-12346"))["id"]
    extended = await desk.client.post(f"/api/v1/sessions/{first}/extend", {"additional_hours": 2})
    assert (extended.status, extended.json) == (
        200,
        {"message": "session extended", "session_id": first, "new_expires_at": "2026-04-03T14:00:00Z"},
    )
    done = await desk.client.post(f"/api/v1/sessions/{first}/done")
    assert (done.status, done.json) == (
        200,
        {"message": "session shutdown initiated", "session_id": first},
    )
    destroyed = await desk.client.delete(f"/api/v1/sessions/{second}")
    assert (destroyed.status, destroyed.json) == (
        200,
        {"message": "session destroyed", "session_id": second},
    )


async def test_diagnostics_of_a_running_session(desk: Desk) -> None:
    made = await desk.running()
    desk.clock.advance(seconds=90 * 60)
    response = await desk.client.get(f"/api/v1/sessions/{made['id']}/diagnostics")
    assert response.status == 200
    example = json.loads(DIAGNOSTICS)
    like(response.json, example)
    constant = ("uptime", "time_to_expiry", "note", "api_endpoint", "launch_mode", "ssh_available", "status")
    assert [response.json[name] for name in constant] == [example[name] for name in constant]


async def test_an_offer_that_is_gone_is_told_as_stale_inventory(desk: Desk) -> None:
    desk.provider.reason, desk.provider.is_sold_out = "no_capacity: The provider has none left.", True
    response = await desk.create()
    assert response.status == 503
    assert list(response.json) == list(json.loads(STALE))
    assert without(response.json, "request_id") == without(json.loads(STALE), "request_id")
    assert response.json["request_id"] == response.headers["x-request-id"]


async def test_costs_of_one_session(desk: Desk) -> None:
    made = await desk.running(reservation_hours=4)
    desk.clock.advance(seconds=3 * 3600)
    response = await desk.client.get("/api/v1/costs", session_id=made["id"])
    assert response.status == 200
    like(response.json, json.loads(COST))
    assert response.content == b'{"session_id":"%b","total_cost":1.35,"currency":"USD"}' % made["id"].encode()


async def test_costs_of_a_consumer_and_of_all(desk: Desk) -> None:
    await desk.running(reservation_hours=4)
    await desk.running(consumer_id="another", offer_id="tensordock-a1", reservation_hours=4)
    desk.clock.advance(seconds=3 * 3600 + 1800)
    one = await desk.client.get("/api/v1/costs", consumer_id="my-application")
    like(one.json, json.loads(SUMMARY))
    assert without(one.exact, "period_start", "period_end") == {
        "consumer_id": "my-application",
        "total_cost": Decimal("1.575"),
        "session_count": 1,
        "hours_used": Decimal("3.5"),
        "by_provider": {"vastai": Decimal("1.575")},
        "by_gpu_type": {"RTX 4090": Decimal("1.575")},
    }
    both = await desk.client.get("/api/v1/costs/summary")
    like(both.json, json.loads(SUMMARY))
    assert without(both.exact, "period_start", "period_end") == {
        "consumer_id": "",
        "total_cost": Decimal("5.425"),
        "session_count": 2,
        "hours_used": 7,
        "by_provider": {"tensordock": Decimal("3.85"), "vastai": Decimal("1.575")},
        "by_gpu_type": {"A100": Decimal("3.85"), "RTX 4090": Decimal("1.575")},
    }

"""Sessions over the wire: what is accepted, what is refused and in which order, and what each of them shows."""

import asyncio
import json
from typing import Any

import pytest
from structlog.testing import capture_logs

from berth.core import instances, sessions
from berth.core.errors import Unavailable
from berth.faces.face import Policy
from berth.faces.shopper import words
from berth.faces.shopper.sessions import opening
from tests import make
from tests.faces.shopper.conftest import refused
from tests.faces.shopper.sessions.conftest import BODY, Desk
from tests.renting import OFFER, keys

UNKNOWN = "sess-01kg0000000000000000000000"


def rows(desk: Desk) -> int:
    found = desk.db.read_now(lambda tx: tx.one("SELECT COUNT(*) FROM sessions"))
    return found[0] if found else 0


@pytest.mark.parametrize("member", ["consumer_id", "offer_id", "workload_type", "reservation_hours"])
async def test_each_required_member_is_missed_by_name(desk: Desk, member: str) -> None:
    body = {name: value for name, value in BODY.items() if name != member}
    assert refused(await desk.client.post("/api/v1/sessions", body), 400)["error"] == f"{member} is required"


async def test_all_that_is_wrong_is_said_at_once(desk: Desk) -> None:
    problem = refused(await desk.client.post("/api/v1/sessions", {}), 400)
    assert problem["error"] == (
        "consumer_id is required; offer_id is required; workload_type is required; reservation_hours is required"
    )
    problem = refused(
        await desk.create(reservation_hours=13, disk_gb=-1, workload_type="mining", retry_scope="none"), 400
    )
    for part in (
        "reservation_hours must be at most 12 (got 13)",
        "disk_gb must be at least 0 (got -1)",
        "workload_type must be one of llm, llm_vllm, llm_tgi, training, batch",
        "(got mining)",
        "retry_scope must be one of same_gpu, same_vram, any (got none)",
    ):
        assert part in problem["error"]
    assert problem["error"].count("; ") == 3
    assert rows(desk) == 0


@pytest.mark.parametrize(
    ("members", "says"),
    [
        ({"reservation_hours": 0}, "reservation_hours must be at least 1 (got 0)"),
        ({"reservation_hours": 13}, "reservation_hours must be at most 12 (got 13)"),
        ({"reservation_hours": -5}, "reservation_hours must be at least 1 (got -5)"),
        ({"reservation_hours": 1.5}, 'reservation_hours must be a whole number, got "1.5"'),
        ({"reservation_hours": "2"}, 'reservation_hours must be a whole number, got "2"'),
        ({"reservation_hours": 10**30}, "reservation_hours"),
        ({"consumer_id": 7}, 'consumer_id must be a string, got "7"'),
        ({"consumer_id": ""}, "consumer_id is required"),
        ({"consumer_id": "x" * 129}, "consumer_id must be at most 128 characters (got 129)"),
        ({"consumer_id": "a\x1b[31mb"}, "consumer_id must hold printable characters only"),
        ({"workload_type": "LLM"}, "workload_type must be one of"),
        ({"idle_threshold_minutes": -1}, "idle_threshold_minutes must be at least 0 (got -1)"),
        ({"disk_gb": 20_000}, "disk_gb must be at most 16384 (got 20000)"),
        ({"exposed_ports": [0]}, "exposed_ports must be at least 1 (got 0)"),
        ({"exposed_ports": [65536]}, "exposed_ports must be at most 65535 (got 65536)"),
        ({"exposed_ports": 8000}, 'exposed_ports must be an array, got "8000"'),
        ({"exposed_ports": list(range(1, 18))}, "exposed_ports must be at most 16 ports (got 17)"),
        ({"auto_retry": "yes"}, 'auto_retry must be true or false, got "yes"'),
        ({"max_retries": -1}, "max_retries must be at least 0 (got -1)"),
        ({"retry_scope": "cheapest"}, "retry_scope must be one of same_gpu, same_vram, any (got cheapest)"),
        ({"ssh_timeout_minutes": -1}, "ssh_timeout_minutes must be at least 0 (got -1)"),
    ],
)
async def test_a_wrong_value_is_a_400_that_names_it_the_rule_and_what_came(
    desk: Desk, members: dict[str, Any], says: str
) -> None:
    refused(await desk.create(**members), 400, says)
    assert rows(desk) == 0


@pytest.mark.parametrize("body", [b"", b"[]", b"nonsense", b'{"consumer_id": ', b"\xff\xfe", b"null"])
async def test_a_body_that_is_none_is_a_400(desk: Desk, body: bytes) -> None:
    refused(await desk.client.post("/api/v1/sessions", body), 400)


@pytest.mark.parametrize(
    "members",
    [
        {"storage_policy": "whatever"},
        {"launch_mode": "whatever"},
        {"max_retries": 50},
        {"ssh_timeout_minutes": 500},
        {"unknown": {"member": 1}},
        {"reservation_hours": 1},
        {"reservation_hours": 12},
    ],
)
async def test_what_is_lenient_is_accepted(desk: Desk, members: dict[str, Any]) -> None:
    assert (await desk.create(**members)).status == 201


async def test_messages_repeat_what_came_without_anything_that_acts(desk: Desk) -> None:
    problem = refused(await desk.create(workload_type="<script>\x1b[2J\u202e" + "y" * 500), 400)
    assert not set(problem["error"]) & set("<>\x1b\u202e")
    assert len(problem["error"]) < 300
    problem = refused(await desk.create(reservation_hours="<b>\x07" + "9" * 500), 400)
    assert not set(problem["error"]) & set("<>\x07")
    assert len(problem["error"]) < 300
    refused(
        await desk.create(offer_id="sandbox-<b>\x1b"), 400, "offer_id must hold printable characters only"
    )


async def test_checks_come_in_their_order(desk: Desk) -> None:
    refused(await desk.create(offer_id="vastai-99999", reservation_hours=0), 400, "reservation_hours")
    refused(
        await desk.create(offer_id="vastai-99999", disk_gb=20, model_id="x/y-70b"), 404, "offer not found"
    )
    await desk.created()
    refused(await desk.create(disk_gb=20, model_id="x/y-70b"), 409)


@pytest.mark.parametrize(
    "offer_id", ["vastai-99999", "nobody-12345", "12345", "-", "vastai-", "vastai 12345", "é"]
)
async def test_an_offer_that_nobody_has_is_a_404(desk: Desk, offer_id: str) -> None:
    refused(await desk.create(offer_id=offer_id), 404, "offer not found")


async def test_a_disk_that_is_too_small_comes_with_its_breakdown(desk: Desk) -> None:
    response = await desk.create(
        disk_gb=50, model_id="meta-llama/Llama-3.1-70B-Instruct", quantization="fp16"
    )
    problem = refused(response, 400, "disk_gb")
    assert problem["error_type"] == "insufficient_disk"
    assert (problem["requested_gb"], problem["minimum_gb"], problem["recommended_gb"]) == (50, 225, 270)
    assert problem["breakdown"] == {
        "model_weight_gb": 140,
        "download_buffer_gb": 70,
        "docker_image_gb": 10,
        "system_overhead_gb": 5,
        "minimum_gb": 225,
        "recommended_gb": 270,
        "model_id": "meta-llama/Llama-3.1-70B-Instruct",
        "quantization": "fp16",
        "param_count_b": 70,
    }
    assert rows(desk) == 0


async def test_without_a_size_the_disk_is_as_large_as_is_recommended(desk: Desk) -> None:
    assert (await desk.created(model_id="x/tiny-7b-awq"))["disk_gb"] == 30
    assert (await desk.created(offer_id="vastai-12346"))["disk_gb"] == 50


async def test_the_same_consumer_gets_an_offer_once(desk: Desk) -> None:
    first = await desk.created()
    refused(await desk.create(), 409)
    await desk.client.delete(f"/api/v1/sessions/{first['id']}")
    desk.gone(first["id"])
    assert (await desk.create()).status == 201


async def test_of_two_creates_side_by_side_one_is_made(desk: Desk) -> None:
    make.catalogue(
        desk.db,
        make.offer("1RTX4090.24V", name="12345", gpu_model="RTX 4090", gpu_vram_gb=24, price="0.45", free=5),
        provider="vastai",
    )
    answers = await asyncio.gather(
        *(client.post("/api/v1/sessions", BODY) for client in (desk.client, desk.other) * 4)
    )
    assert sorted(answer.status for answer in answers) == [201] + [409] * 7
    assert rows(desk) == 1


async def test_of_two_consumers_one_gets_the_last_unit(desk: Desk) -> None:
    answers = await asyncio.gather(
        *(
            client.post("/api/v1/sessions", {**BODY, "consumer_id": f"consumer-{number}"})
            for number, client in enumerate((desk.client, desk.other) * 2)
        )
    )
    assert sorted(answer.status for answer in answers) == [201, 503, 503, 503]
    assert {answer.json["error_type"] for answer in answers if answer.status == 503} == {"stale_inventory"}
    assert rows(desk) == 1


@pytest.mark.parametrize(
    ("reason", "error_type", "is_worth_a_retry"),
    [
        ("provider_unreachable", "provider_unavailable", True),
        ("refused: That image is not there.", "invalid_request", False),
        ("boot_failed: It did not come up.", "provision_failed", True),
        ("instance_stopped", "instance_stopped", True),
        ("provisioning_timeout", "ssh_timeout", True),
        ("login_refused", "ssh_timeout", True),
    ],
)
async def test_a_create_that_failed_is_a_500_with_its_type(
    desk: Desk, reason: str, error_type: str, is_worth_a_retry: bool
) -> None:
    desk.provider.reason = reason
    problem = refused(await desk.create(), 500)
    assert (problem["error_type"], problem["retry_suggested"]) == (error_type, is_worth_a_retry)
    failed = await desk.session(problem["session_id"])
    assert (failed["status"], bool(failed["error"])) == ("failed", True)
    assert (await desk.client.get("/api/v1/costs", session_id=problem["session_id"])).json["total_cost"] == 0


async def test_without_an_outcome_in_time_it_is_a_201_of_what_is_pending(desk: Desk) -> None:
    desk.provider.is_silent = True
    response = await desk.create()
    assert response.status == 201
    session = response.json["session"]
    assert session["status"] == "pending"
    assert "ssh_host" not in session
    assert response.json["ssh_private_key"] == keys().private_pem


async def test_who_cannot_pay_is_told_so(desk: Desk) -> None:
    make.topup(desk.db, desk.broker.customer.by, "-495")
    problem = refused(await desk.create(), 402)
    assert (problem["error_type"], problem["retry_suggested"]) == ("insufficient_credit", False)
    assert rows(desk) == 0


async def test_too_many_at_once_are_sent_away_instead_of_queued() -> None:
    makers = opening.KeyMakers(threads=1, waiting=0)
    with pytest.raises(Unavailable):
        await asyncio.gather(makers.make(keys), makers.make(keys))
    assert await makers.make(keys) == keys()


async def test_the_key_is_told_once_and_kept_nowhere(desk: Desk) -> None:
    with capture_logs() as logs:
        first = await desk.client.post("/api/v1/sessions", BODY, idempotency_key="a")
        again = await desk.client.post("/api/v1/sessions", BODY, idempotency_key="a")
    assert first.json["ssh_private_key"] == keys().private_pem
    assert again.status == 201
    assert again.headers["idempotent-replayed"] == "true"
    assert again.json["session"] == first.json["session"]
    assert "told once" in again.json["note"]
    assert {"ssh_private_key", "agent_token"}.isdisjoint(again.json)
    assert rows(desk) == 1
    everything = json.dumps(desk.db.read_now(_everything), default=str) + str(logs)
    middle = keys().private_pem.splitlines()[10]
    assert middle not in everything
    assert first.json["agent_token"] not in everything
    assert keys().public_line.split()[1] in everything
    assert first.json["agent_token"] not in (await desk.client.get("/api/v1/sessions")).content.decode()


async def test_a_failed_create_frees_its_idempotency_key(desk: Desk) -> None:
    desk.provider.reason = "provider_unreachable"
    refused(await desk.client.post("/api/v1/sessions", BODY, idempotency_key="a"), 500)
    desk.provider.reason = None
    assert (await desk.client.post("/api/v1/sessions", BODY, idempotency_key="a")).status == 201
    other = {**BODY, "reservation_hours": 3}
    refused(await desk.client.post("/api/v1/sessions", other, idempotency_key="a"), 409)


async def test_the_list_is_filtered(desk: Desk) -> None:
    first = await desk.running()
    desk.clock.advance(seconds=1)
    second = await desk.created(consumer_id="another", offer_id="tensordock-a1")

    async def ids(**query: Any) -> list[str]:
        response = await desk.client.get("/api/v1/sessions", **query)
        assert response.status == 200, response.content
        assert response.json["count"] == len(response.json["sessions"])
        return [session["id"] for session in response.json["sessions"]]

    assert await ids() == [second["id"], first["id"]]
    assert await ids(consumer_id="another") == [second["id"]]
    assert await ids(consumer_id="nobody") == []
    assert await ids(status="running") == [first["id"]]
    assert await ids(status="provisioning") == [second["id"]]
    assert await ids(status="failed") == []
    assert await ids(provider="tensordock") == [second["id"]]
    assert await ids(provider="vastai", status="running", consumer_id="my-application") == [first["id"]]
    assert await ids(limit=1) == [second["id"]]
    assert await ids(limit=10**6) == [second["id"], first["id"]]
    assert await ids(consumer_id="", provider="") == [second["id"], first["id"]]


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ({"status": "asleep"}, "status must be one of pending, provisioning, running"),
        ({"limit": "0"}, 'limit must be at least 1, got "0"'),
        ({"limit": "-3"}, 'limit must be at least 1, got "-3"'),
        ({"limit": "many"}, 'limit must be a whole number, got "many"'),
        ({"limit": "1.5"}, "limit must be a whole number"),
        ({"limit": ""}, "limit must be a whole number"),
        ("status=running&status=failed", "status is given more than once"),
        ({"status": "\x1b<b>"}, 'got "b"'),
    ],
)
async def test_a_wrong_filter_is_a_400(desk: Desk, query: Any, says: str) -> None:
    refused(await desk.client.call("GET", "/api/v1/sessions", query=query), 400, says)


@pytest.mark.parametrize(
    "session_id",
    [UNKNOWN, "sess-abc123", "abc", "SESS-01KG0000000000000000000000", "01kg0000000000000000000000"],
)
@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "", None),
        ("POST", "/done", None),
        ("POST", "/extend", {"additional_hours": 1}),
        ("DELETE", "", None),
        ("GET", "/diagnostics", None),
        ("POST", "/heartbeat", {"agent_token": "x", "idle_seconds": 0}),
    ],
)
async def test_an_unknown_session_is_a_404(
    desk: Desk, method: str, path: str, body: Any, session_id: str
) -> None:
    response = await desk.client.call(method, f"/api/v1/sessions/{session_id}{path}", body=body)
    refused(response, 404, "session not found")


async def test_another_project_does_not_see_it(desk: Desk) -> None:
    made = await desk.running()
    stranger = desk.client.with_key(make.project(desk.db).api_key)
    path = f"/api/v1/sessions/{made['id']}"
    refused(await stranger.get(path), 404)
    refused(await stranger.delete(path), 404)
    refused(await stranger.post(f"{path}/done"), 404)
    refused(await stranger.get("/api/v1/costs", session_id=made["id"]), 404)
    assert (await stranger.get("/api/v1/sessions")).json == {"sessions": [], "count": 0}
    assert (await stranger.get("/api/v1/costs")).json["session_count"] == 0


async def test_an_instance_of_another_face_is_no_session(desk: Desk) -> None:
    make.catalogue(desk.db)
    made = make.instance(desk.db, by=desk.broker.customer.by)
    for path in ("", "/diagnostics"):
        refused(await desk.client.get(f"/api/v1/sessions/{words.session_id(made.id)}{path}"), 404)
    refused(await desk.client.get("/api/v1/costs", session_id=words.session_id(made.id)), 404)


async def test_done_is_a_conflict_once_it_has_ended(desk: Desk) -> None:
    made = await desk.running()
    path = f"/api/v1/sessions/{made['id']}"
    assert (await desk.client.post(f"{path}/done")).status == 200
    assert (await desk.session(made["id"]))["status"] == "stopping"
    assert (await desk.client.post(f"{path}/done")).status == 200
    desk.gone(made["id"])
    assert (await desk.session(made["id"]))["status"] == "stopped"
    refused(await desk.client.post(f"{path}/done"), 409)


async def test_delete_may_be_said_again_and_again(desk: Desk) -> None:
    made = await desk.running()
    path = f"/api/v1/sessions/{made['id']}"
    first = await desk.client.delete(path)
    while_stopping = await desk.client.delete(path)
    desk.gone(made["id"])
    when_stopped = await desk.client.delete(path)
    assert {(answer.status, answer.content) for answer in (first, while_stopping, when_stopped)} == {
        (200, first.content)
    }


async def test_what_failed_may_be_deleted(desk: Desk) -> None:
    desk.provider.reason = "provider_unreachable"
    failed = refused(await desk.create(), 500)["session_id"]
    assert (await desk.client.delete(f"/api/v1/sessions/{failed}")).status == 200
    refused(await desk.client.post(f"/api/v1/sessions/{failed}/done"), 409)


async def test_it_is_extended_up_to_twelve_hours_in_all(desk: Desk) -> None:
    made = await desk.running(reservation_hours=2)
    path = f"/api/v1/sessions/{made['id']}/extend"
    desk.clock.advance(seconds=3600)
    assert (await desk.client.post(path, {"additional_hours": 9})).json[
        "new_expires_at"
    ] == "2026-04-03T21:00:00Z"
    shown = await desk.session(made["id"])
    assert (shown["reservation_hours"], shown["expires_at"]) == (11, "2026-04-03T21:00:00Z")
    refused(await desk.client.post(path, {"additional_hours": 2}), 400, "12")
    assert (await desk.client.post(path, {"additional_hours": 1})).status == 200
    refused(await desk.client.post(path, {"additional_hours": 1}), 400, "12")
    assert (await desk.session(made["id"]))["reservation_hours"] == 12


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({}, "additional_hours is required"),
        ({"additional_hours": None}, "additional_hours is required"),
        ({"additional_hours": 0}, "additional_hours must be at least 1 (got 0)"),
        ({"additional_hours": -1}, "additional_hours must be at least 1 (got -1)"),
        ({"additional_hours": 13}, "additional_hours must be at most 12 (got 13)"),
        ({"additional_hours": "2"}, 'additional_hours must be a whole number, got "2"'),
        ({"additional_hours": 1.5}, "additional_hours must be a whole number"),
    ],
)
async def test_hours_that_are_none_are_a_400(desk: Desk, body: Any, says: str) -> None:
    made = await desk.created()
    refused(await desk.client.post(f"/api/v1/sessions/{made['id']}/extend", body), 400, says)
    assert (await desk.session(made["id"]))["reservation_hours"] == 2


async def test_what_is_ending_is_not_extended(desk: Desk) -> None:
    made = await desk.running()
    path = f"/api/v1/sessions/{made['id']}"
    await desk.client.delete(path)
    refused(await desk.client.post(f"{path}/extend", {"additional_hours": 1}), 409)
    desk.gone(made["id"])
    refused(await desk.client.post(f"{path}/extend", {"additional_hours": 1}), 409)


async def test_there_are_no_diagnostics_of_what_does_not_run(desk: Desk) -> None:
    made = await desk.created()
    path = f"/api/v1/sessions/{made['id']}/diagnostics"
    refused(await desk.client.get(path), 400, "session is not running: it is provisioning")
    desk.runs(made["id"])
    assert (await desk.client.get(path)).status == 200
    await desk.client.delete(f"/api/v1/sessions/{made['id']}")
    refused(await desk.client.get(path), 400, "it is stopping")
    desk.gone(made["id"])
    refused(await desk.client.get(path), 400, "it is stopped")


async def test_diagnostics_tell_what_was_seen(desk: Desk) -> None:
    response = await desk.create(idle_threshold_minutes=30)
    made, token = response.json["session"], response.json["agent_token"]
    desk.runs(made["id"])
    path = f"/api/v1/sessions/{made['id']}"
    shown = (await desk.client.get(f"{path}/diagnostics")).json
    assert (shown["last_heartbeat"], shown["last_use"], shown["idle_since"]) == (None, None, None)
    desk.clock.advance(seconds=600)
    await desk.client.post(f"{path}/heartbeat", {"agent_token": token, "idle_seconds": 120})
    shown = (await desk.client.get(f"{path}/diagnostics")).json
    assert shown["last_heartbeat"] == {"received_at": "2026-04-03T10:10:00Z", "idle_seconds": 120}
    assert (shown["idle_since"], shown["idle_threshold_minutes"]) == ("2026-04-03T10:08:00Z", 30)
    desk.clock.advance(seconds=3 * 3600)
    assert (await desk.client.get(f"{path}/diagnostics")).json["time_to_expiry"] == "expired"


async def test_an_agent_speaks_with_its_token_alone_from_wherever_it_is(desk: Desk) -> None:
    response = await desk.create(idle_threshold_minutes=30)
    made, token = response.json["session"], response.json["agent_token"]
    desk.runs(made["id"])
    agent = desk.client.at("192.0.2.55")
    path = f"/api/v1/sessions/{made['id']}/heartbeat"
    heard = await agent.post(path, {"agent_token": token, "idle_seconds": 0})
    assert (heard.status, heard.json) == (
        200,
        {
            "message": "heartbeat received",
            "session_id": made["id"],
            "status": "running",
            "expires_at": "2026-04-03T12:00:00Z",
        },
    )


@pytest.mark.parametrize("token", ["", "wrong", "é", "x" * 1000])
async def test_a_wrong_token_is_a_401(desk: Desk, token: str) -> None:
    made = await desk.running()
    path = f"/api/v1/sessions/{made['id']}/heartbeat"
    refused(await desk.client.post(path, {"agent_token": token, "idle_seconds": 9999}), 401)
    assert (await desk.session(made["id"]))["status"] == "running"


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"idle_seconds": 0},
        {"agent_token": 7},
        {"agent_token": "x", "idle_seconds": -1},
        {"agent_token": "x", "idle_seconds": "1"},
    ],
)
async def test_a_heartbeat_that_makes_no_sense_is_a_400(desk: Desk, body: Any) -> None:
    made = await desk.running()
    refused(await desk.client.post(f"/api/v1/sessions/{made['id']}/heartbeat", body), 400)


async def test_a_token_of_another_session_is_wrong_too(desk: Desk) -> None:
    first = (await desk.create()).json
    second = (await desk.create(offer_id="vastai-12346")).json
    path = f"/api/v1/sessions/{first['session']['id']}/heartbeat"
    refused(await desk.client.post(path, {"agent_token": second["agent_token"], "idle_seconds": 0}), 401)


@pytest.mark.parametrize(("threshold", "status"), [(30, "stopping"), (31, "running"), (0, "running")])
async def test_it_ends_once_its_agent_says_that_it_was_idle_for_as_long_as_it_may(
    desk: Desk, threshold: int, status: str
) -> None:
    response = await desk.create(idle_threshold_minutes=threshold, reservation_hours=4)
    made, token = response.json["session"], response.json["agent_token"]
    desk.runs(made["id"])
    desk.clock.advance(seconds=3600)
    path = f"/api/v1/sessions/{made['id']}"
    await desk.client.post(f"{path}/heartbeat", {"agent_token": token, "idle_seconds": 1800})
    assert (await desk.session(made["id"]))["status"] == status


async def test_scopes_say_what_a_key_may(desk: Desk) -> None:
    made = await desk.running()
    _, secret = make.key(desk.db, desk.broker.customer.by, scopes=["read_only"])
    reader = desk.broker.under(policy=Policy()).with_key(secret)
    assert (await reader.get(f"/api/v1/sessions/{made['id']}")).status == 200
    assert (await reader.get("/api/v1/costs")).status == 200
    refused(await reader.delete(f"/api/v1/sessions/{made['id']}"), 403)
    refused(await reader.post("/api/v1/sessions", BODY), 403)
    assert BODY["offer_id"] == OFFER


async def test_its_instance_is_the_same_row_for_the_retail_api(desk: Desk) -> None:
    made = await desk.running()
    found = desk.db.read_now(instances.get, desk.system(), words.instance_id(made["id"]))
    assert found.price == make.micros("0.45")
    assert desk.db.read_now(sessions.get, desk.system(), found.id).consumer_id == "my-application"


def _everything(tx: Any) -> list[Any]:
    """Every value of every table that a session is written to."""
    tables = ("sessions", "instances", "events", "idempotency_records", "observers", "entries")
    return [row for table in tables for row in tx.all(f"SELECT * FROM {table}")]

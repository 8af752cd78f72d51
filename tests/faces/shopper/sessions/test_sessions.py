"""Sessions over the wire: what they show, how they are prolonged, watched and ended."""

from typing import Any

import pytest

from berth.core import instances, sessions
from berth.faces.face import Policy
from berth.faces.shopper import words
from tests import make
from tests.faces.shopper.conftest import refused
from tests.faces.shopper.sessions.conftest import BODY, Desk

UNKNOWN = "sess-01kg0000000000000000000000"


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
        ({"consumer_id": "a\0"}, "consumer_id holds a character that is not text"),
        ({"provider": "\0"}, "provider holds a character that is not text"),
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


async def test_what_is_off_with_its_disk_has_no_address(desk: Desk) -> None:
    made = await desk.running(storage_policy="preserve")
    assert made["ssh_host"]
    await desk.client.post(f"/api/v1/sessions/{made['id']}/done")
    make.seen(desk.db, desk.instance(made["id"]), instances.stopped, releases_hardware=True)
    ended = await desk.session(made["id"])
    assert ended["status"] == "stopped"
    assert not {"ssh_host", "ssh_port", "ssh_user", "api_endpoint", "api_port"} & set(ended)


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


async def test_its_instance_is_the_same_row_for_the_retail_api(desk: Desk) -> None:
    made = await desk.running()
    found = desk.db.read_now(instances.get, desk.system(), words.instance_id(made["id"]))
    assert found.price == make.micros("0.45")
    assert desk.db.read_now(sessions.get, desk.system(), found.id).consumer_id == "my-application"

"""Webhooks over HTTP: what is answered, what is refused, and what a receiver is told."""

import asyncio
import json
from dataclasses import replace
from typing import Any

import pytest

from berth.base import paging
from berth.core import events, webhooks
from berth.core.webhooks import Outcome
from berth.faces import huddle
from tests import make
from tests.faces.conftest import Client, Shop

URL = "https://receiver.example/hook"
OK = Outcome(200, 5, None, "fine")


async def register(shop: Shop, *patterns: str, **members: Any) -> dict[str, Any]:
    body = {"url": URL, "events": list(patterns) or ["*"], **members}
    made: dict[str, Any] = (await shop.client.post("/webhooks", body)).data
    return made


def send(shop: Shop, outcome: Outcome = OK) -> dict[str, Any]:
    """Sends the next delivery as the loop would, to a receiver that answers `outcome`; the body."""
    leased = shop.db.write_now(webhooks.take, start="", seconds=60, render=huddle.render, pepper=make.PEPPER)
    assert leased is not None
    shop.db.write_now(webhooks.finish, leased, outcome, make.WEBHOOK_RULES)
    body: dict[str, Any] = json.loads(leased.payload)
    return body


async def test_a_webhook_is_registered_and_its_secret_is_shown_this_once(shop: Shop) -> None:
    made = await register(shop, "deployment.running", "gpu.available", name="ops")
    assert made["id"].startswith("wh_")
    assert made["secret"].startswith("whsec_")
    assert made["events"] == ["deployment.running", "gpu.available"]
    assert (made["url"], made["is_active"], made["name"]) == (URL, True, "ops")
    assert made["created_at"] == made["updated_at"] == "2026-04-03T10:00:00Z"
    listed = (await shop.client.get("/webhooks")).data
    assert listed == [{name: value for name, value in made.items() if name != "secret"}]
    assert (await shop.client.get(f"/webhooks/{made['id']}")).data == listed[0]
    assert (await shop.nested().get("/webhooks")).data == listed


async def test_a_replay_of_a_registration_keeps_the_secret_to_itself(shop: Shop) -> None:
    body = {"url": URL, "events": ["*"]}
    first = await shop.client.post("/webhooks", body, idempotency_key="k")
    again = await shop.client.post("/webhooks", body, idempotency_key="k")
    assert again.headers["idempotent-replayed"] == "true"
    assert again.data == {**first.data, "secret": None, "secret_redacted": True}
    rotate = f"/webhooks/{first.data['id']}/rotate-secret"
    rotated = await shop.client.post(rotate, {}, idempotency_key="r")
    assert rotated.data["secret"] not in {None, first.data["secret"]}
    assert (await shop.client.post(rotate, {}, idempotency_key="r")).data["secret"] is None


@pytest.mark.parametrize(
    ("member", "value", "reason"),
    [
        ("url", "http://receiver.example/", "url_not_allowed"),
        ("url", "https://127.0.0.1/", "url_not_allowed"),
        ("url", "https://user:pass@receiver.example/", "url_not_allowed"),
        ("url", "https://receiver.example:25/", "url_not_allowed"),
        ("url", 5, "invalid_field"),
        ("events", [], "invalid_field"),
        ("events", ["instance.running"], "invalid_field"),
        ("events", ["deployment.sleeping"], "invalid_field"),
        ("events", "deployment.running", "invalid_field"),
        ("name", "n" * 121, "invalid_field"),
        ("description", "a\nb", "invalid_field"),
    ],
)
async def test_a_member_that_will_not_do_is_refused_and_named(
    shop: Shop, member: str, value: Any, reason: str
) -> None:
    body = {"url": URL, "events": ["*"], member: value}
    problem = (await shop.client.post("/webhooks", body)).refused(400, reason)
    assert problem["details"]["field"] == member
    made = await register(shop)
    problem = (await shop.client.call("PUT", f"/webhooks/{made['id']}", body={member: value})).refused(
        400, reason
    )
    assert problem["details"]["field"] == member


async def test_what_is_missing_is_said(shop: Shop) -> None:
    for body, field in (({"events": ["*"]}, "url"), ({"url": URL}, "events")):
        problem = (await shop.client.post("/webhooks", body)).refused(400, "missing_field")
        assert problem["details"]["field"] == field


async def test_an_unknown_event_is_refused_with_all_that_there_are_in_the_words_of_this_api(
    shop: Shop,
) -> None:
    body = {"url": URL, "events": ["instance.running", "nonsense"]}
    problem = (await shop.client.post("/webhooks", body)).refused(400, "invalid_field")
    assert problem["details"]["unknown_events"] == ["instance.running", "nonsense"]
    assert {"*", "deployment.*", "deployment.running"} <= set(problem["details"]["valid_events"])
    assert not any("instance." in name for name in problem["details"]["valid_events"])
    assert "deployment.running" in problem["error"]


async def test_the_eleventh_is_refused(shop: Shop) -> None:
    for _ in range(10):
        await register(shop)
    body = {"url": URL, "events": ["*"]}
    (await shop.client.post("/webhooks", body)).refused(409, "quota")


async def test_the_catalogue_of_events_is_that_of_the_vendor_and_more(shop: Shop) -> None:
    listed = (await shop.client.get("/webhooks/event-types")).data
    names = [each["name"] for each in listed]
    recovered = "ordered provisioning running offline error deleted failed_no_capacity"
    assert {f"deployment.{each}" for each in recovered.split()} | {"gpu.available"} <= set(names)
    assert len(names) == len(events.CATALOGUE)
    assert all(each["description"] for each in listed)


async def test_an_empty_update_changes_nothing_and_one_from_the_vendors_tool_switches_it_on(
    shop: Shop,
) -> None:
    made = await register(shop, "deployment.*")
    path = f"/webhooks/{made['id']}"
    before = (await shop.client.get(path)).data
    assert (await shop.client.call("PUT", path, body={})).data == before
    off = (await shop.client.call("PUT", path, body={"is_active": False})).data
    assert (off["is_active"], off["disabled_reason"]) == (False, "requested")
    assert off["disabled_at"] == "2026-04-03T10:00:00Z"
    on = (await shop.client.call("PUT", path, body={"url": URL + "2", "is_active": True})).data
    assert (on["is_active"], on["disabled_reason"], on["url"]) == (True, None, URL + "2")
    named = (await shop.client.call("PUT", path, body={"name": "a", "description": "b"})).data
    assert (named["name"], named["description"]) == ("a", "b")
    cleared = (await shop.client.call("PUT", path, body={"name": None})).data
    assert (cleared["name"], cleared["description"]) == (None, "b")


async def test_a_deleted_one_is_gone_and_its_log_is_not(shop: Shop) -> None:
    made = await register(shop)
    path = f"/webhooks/{made['id']}"
    make.ordered(shop.db, shop.customer.by)
    assert (await shop.client.delete(path)).data["id"] == made["id"]
    (await shop.client.get(path)).refused(404, "webhook_not_found")
    (await shop.client.delete(path)).refused(404, "webhook_not_found")
    assert (await shop.client.get("/webhooks")).data == []
    assert len((await shop.client.get(f"{path}/deliveries")).data) == 1


async def test_a_deployment_is_told_of_with_the_vendors_members_first(shop: Shop) -> None:
    await register(shop, "deployment.*")
    made = make.instance(shop.db, "running", shop.customer.by)
    bodies = [send(shop) for _ in range(3)]
    assert (
        list(bodies[2])
        == (
            "event deployment_id provider_id status cluster_type hostname image location ip ssh_user"
            " previous_status status_reason id type timestamp sequence api_version"
        ).split()
    )
    assert bodies[2] == {
        "event": "deployment.running",
        "deployment_id": f"dep_{made.id}",
        "provider_id": made.handle,
        "status": "running",
        "cluster_type": make.H100,
        "hostname": made.hostname,
        "image": made.image,
        "location": "FIN-01",
        "ip": made.ip,
        "ssh_user": made.ssh_user,
        "previous_status": "provisioning",
        "status_reason": None,
        "id": bodies[2]["id"],
        "type": "deployment.running",
        "timestamp": "2026-04-03T10:00:00Z",
        "sequence": 3,
        "api_version": "v1",
    }
    assert [body["sequence"] for body in bodies] == [1, 2, 3]
    assert [body["ip"] for body in bodies[:2]] == [None, None]
    assert len({body["id"] for body in bodies}) == 3
    shown = (await shop.client.get(f"/deployments/dep_{made.id}/events")).data
    assert [each["id"] for each in shown] == [body["id"] for body in bodies]


async def test_other_events_are_told_in_the_words_of_this_api(shop: Shop) -> None:
    await register(shop, "*")
    by = shop.customer.by
    data = {
        "waitlist_id": "01J",
        "instance_type": make.H100,
        "price_micros_per_hour": 1_710_000,
        "is_available": True,
        "free_units": 2,
        "claim_expires_at": shop.clock.now() + 600_000_000,
    }
    shop.db.write_now(events.record, by, "gpu.available", subject="01J", data=data)
    shop.db.write_now(
        events.record,
        by,
        "billing.low_balance",
        subject=by.project,
        data={"balance_micros": 12_345_678, "stops_at": None},
    )
    shop.db.write_now(events.record, by, "volume.attached", subject="01V", data={"instance_id": "01I"})
    gpu, balance, volume = (send(shop) for _ in range(3))
    assert list(gpu)[:8] == (
        "event waitlist_request_id cluster_type price_per_hr is_available free_units claim_expires_at id".split()
    )
    assert gpu["waitlist_request_id"] == "wr_01J"
    assert (gpu["price_per_hr"], gpu["claim_expires_at"]) == (1.71, "2026-04-03T10:10:00Z")
    assert (balance["balance_micros"], balance["balance_usd"], balance["stops_at"]) == (
        12345678,
        12.345678,
        None,
    )
    assert (volume["volume_id"], volume["deployment_id"]) == ("vol_01V", "dep_01I")


async def test_the_log_shows_each_attempt_and_no_secret(shop: Shop) -> None:
    made = await register(shop, "deployment.*")
    path = f"/webhooks/{made['id']}/deliveries"
    make.ordered(shop.db, shop.customer.by)
    [waiting] = (await shop.client.get(path)).data
    assert (waiting["status"], waiting["attempts"], waiting["event"]) == ("pending", 0, "deployment.ordered")
    assert waiting["next_attempt_at"] == "2026-04-03T10:00:00Z"
    body = send(shop, Outcome(503, 12, "refused: Answered 503.", "busy"))
    assert waiting["event_id"] == body["id"]
    shop.clock.advance(seconds=10)
    send(shop)
    detail = (await shop.client.get(f"{path}/{waiting['id']}")).data
    assert (detail["status"], detail["attempt_count"], detail["last_status_code"]) == ("success", 2, 200)
    assert json.loads(detail["request"]["body"]) == body
    assert detail["request"]["headers"]["webhook-id"] == waiting["id"]
    assert detail["attempts"] == [
        {
            "n": 1,
            "at": "2026-04-03T10:00:00Z",
            "status_code": 503,
            "latency_ms": 12,
            "error": "refused: Answered 503.",
            "response_excerpt": "busy",
        },
        {
            "n": 2,
            "at": "2026-04-03T10:00:10Z",
            "status_code": 200,
            "latency_ms": 5,
            "error": None,
            "response_excerpt": "fine",
        },
    ]
    assert "whsec" not in json.dumps(detail)
    assert "signature" not in json.dumps(detail)


async def test_the_log_is_filtered_and_paged(shop: Shop) -> None:
    made = await register(shop)
    path = f"/webhooks/{made['id']}/deliveries"
    make.instance(shop.db, "running", shop.customer.by)
    send(shop)
    first = await shop.client.get(path, limit=2)
    assert (first.meta["total"], first.meta["has_more"]) == (3, True)
    rest = await shop.client.get(path, limit=2, cursor=first.meta["cursor"])
    assert (len(rest.data), rest.meta["has_more"], rest.meta["cursor"]) == (1, False, None)
    assert [row["event"] for row in first.data + rest.data] == [
        "deployment.running",
        "deployment.provisioning",
        "deployment.ordered",
    ]
    filters: list[tuple[dict[str, str], int]] = [
        ({"status": "success"}, 1),
        ({"status": "failed"}, 0),
        ({"event": "deployment.running"}, 1),
        ({"from": "2026-04-03T10:00:00Z"}, 3),
        ({"to": "2026-04-03T10:00:00Z"}, 0),
        ({"from": "2026-04-03T09:00:00Z", "to": "2026-04-03T11:00:00Z", "status": "pending"}, 2),
    ]
    for query, count in filters:
        assert len((await shop.client.get(path, **query)).data) == count, query
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"status": "lost"}, "status"),
        ({"event": "deployment.*"}, "event"),
        ({"from": "yesterday"}, "from"),
        ({"to": "2026"}, "to"),
        ({"limit": 0}, "limit"),
        ({"limit": 101}, "limit"),
    ]
    for query, field in wrong:
        problem = (await shop.client.get(path, **query)).refused(400, "invalid_field")
        assert problem["details"]["field"] == field
    (await shop.client.get(path, cursor=first.meta["cursor"], status="success")).refused(
        400, "invalid_cursor"
    )
    (await shop.client.get(path, cursor="x")).refused(400, "invalid_cursor")


@pytest.mark.parametrize("last", ["", "x", "-", "1.5", "1_0", "9" * 30, "\u0663"])
async def test_a_cursor_that_somebody_made_up_is_refused(shop: Shop, last: str) -> None:
    made = await register(shop)
    listing = f"deliveries {made['id'].removeprefix('wh_')} None None None None"
    cursor = paging.encode(paging.After(shop.clock.now(), last), listing)
    path = f"/webhooks/{made['id']}/deliveries"
    (await shop.client.get(path, cursor=cursor)).refused(400, "invalid_cursor")


async def test_one_delivery_is_sent_again_under_its_id(shop: Shop) -> None:
    made = await register(shop)
    other = await register(shop, "gpu.available")
    make.ordered(shop.db, shop.customer.by)
    path = f"/webhooks/{made['id']}/deliveries"
    first = send(shop)
    [sent] = (await shop.client.get(path)).data
    again = (await shop.client.post(f"{path}/{sent['id']}/redeliver")).data
    assert (again["id"], again["status"]) == (sent["id"], "pending")
    leased = shop.db.write_now(webhooks.take, start="", seconds=60, render=huddle.render, pepper=make.PEPPER)
    assert leased is not None
    assert (json.loads(leased.payload), f"msg_{leased.delivery_id}") == (first, sent["id"])
    (await shop.client.post(f"{path}/{sent['id']}/redeliver")).refused(409, "in_flight")
    (await shop.client.post(f"/webhooks/{other['id']}/deliveries/{sent['id']}/redeliver")).refused(
        404, "delivery_not_found"
    )
    (await shop.client.get(f"{path}/msg_nothing")).refused(404, "delivery_not_found")
    await shop.client.call("PUT", f"/webhooks/{other['id']}", body={"is_active": False})
    (await shop.client.post(f"/webhooks/{other['id']}/deliveries/x/redeliver")).refused(409, "invalid_state")


async def test_what_was_skipped_is_recovered(shop: Shop) -> None:
    made = await register(shop)
    path = f"/webhooks/{made['id']}"
    await shop.client.call("PUT", path, body={"is_active": False})
    make.ordered(shop.db, shop.customer.by)
    shop.clock.advance(seconds=60)
    since = {"since": "2026-04-03T09:00:00Z"}
    (await shop.client.post(f"{path}/recover", since)).refused(409, "invalid_state")
    await shop.client.call("PUT", path, body={"is_active": True})
    assert (await shop.client.post(f"{path}/recover", since)).data == {"queued": 0, "has_more": False}
    everything = {**since, "only": "all", "until": "2026-04-03T10:00:01Z"}
    assert (await shop.client.post(f"{path}/recover", everything)).data == {"queued": 1, "has_more": False}
    assert send(shop)["event"] == "deployment.ordered"


@pytest.mark.parametrize(
    ("body", "field", "reason"),
    [
        ({}, "since", "missing_field"),
        ({"since": "yesterday"}, "since", "invalid_field"),
        ({"since": "2026-03-27T09:59:59Z"}, "since", "invalid_field"),
        ({"since": "2026-04-04T10:00:00Z"}, "since", "invalid_field"),
        ({"since": "2026-04-03T09:00:00Z", "until": "2026-04-03T09:00:00Z"}, "since", "invalid_field"),
        ({"since": "2026-04-03T09:00:00Z", "until": "x"}, "until", "invalid_field"),
        ({"since": "2026-04-03T09:00:00Z", "only": "lost"}, "only", "invalid_field"),
    ],
)
async def test_a_time_that_cannot_be_recovered_is_refused(
    shop: Shop, body: dict[str, Any], field: str, reason: str
) -> None:
    made = await register(shop)
    problem = (await shop.client.post(f"/webhooks/{made['id']}/recover", body)).refused(400, reason)
    assert problem["details"]["field"] == field


async def test_an_overlap_has_a_limit(shop: Shop) -> None:
    made = await register(shop)
    for wrong in (-1, 604_801, "1"):
        body = {"overlap_seconds": wrong}
        problem = (await shop.client.post(f"/webhooks/{made['id']}/rotate-secret", body)).refused(
            400, "invalid_field"
        )
        assert problem["details"]["field"] == "overlap_seconds"


# The test delivery: the request waits for the loop.


def waiting_client(shop: Shop) -> Client:
    context = replace(shop.context, test_wait_s=10)
    return Client(huddle.build(context), shop.customer.api_key)


async def test_a_test_answers_how_its_one_attempt_went(shop: Shop) -> None:
    made = await register(shop, "gpu.available")
    path = f"/webhooks/{made['id']}"
    await shop.client.call("PUT", path, body={"is_active": False})
    asked = asyncio.create_task(waiting_client(shop).post(f"{path}/test", {"event": "deployment.running"}))
    while not make.deliveries(shop.db):
        await asyncio.sleep(0)
    body = send(shop, Outcome(404, 7, "refused: Answered 404.", ""))
    assert (body["event"], body["status"], body["test"]) == ("deployment.running", "running", True)
    result = (await asked).data
    assert result.pop("delivery_id").startswith("msg_")
    assert result == {
        "success": False,
        "status_code": 404,
        "latency_ms": 7,
        "error": "refused: Answered 404.",
    }
    assert [row.stage for row in make.deliveries(shop.db)] == ["done"]


async def test_a_replayed_test_answers_the_same_and_sends_nothing(shop: Shop) -> None:
    made = await register(shop)
    path = f"/webhooks/{made['id']}/test"
    client = waiting_client(shop)
    asked = asyncio.create_task(client.post(path, {}, idempotency_key="t"))
    while not make.deliveries(shop.db):
        await asyncio.sleep(0)
    (await client.post(path, {}, idempotency_key="t")).refused(409, "idempotency_in_flight")
    assert send(shop)["webhook_id"] == made["id"]
    first = await asked
    assert (first.data["success"], first.data["status_code"]) == (True, 200)
    again = await client.post(path, {}, idempotency_key="t")
    assert again.headers["idempotent-replayed"] == "true"
    assert again.data == first.data
    assert len(make.deliveries(shop.db)) == 1


async def test_a_test_that_takes_too_long_says_where_to_look(shop: Shop) -> None:
    made = await register(shop)
    result = (await shop.client.post(f"/webhooks/{made['id']}/test", {})).data
    assert (result["success"], result["status_code"]) == (False, None)
    assert result["error"].startswith("pending: ")
    detail = (await shop.client.get(f"/webhooks/{made['id']}/deliveries/{result['delivery_id']}")).data
    assert (detail["status"], detail["is_test"]) == ("pending", True)


async def test_a_test_of_what_does_not_happen_is_refused(shop: Shop) -> None:
    made = await register(shop)
    for event in ("deployment.*", "nonsense"):
        body = {"event": event}
        problem = (await shop.client.post(f"/webhooks/{made['id']}/test", body)).refused(400, "invalid_field")
        assert problem["details"]["field"] == "event"
    assert make.deliveries(shop.db) == []

"""What every answer has, whatever was asked: an id of the request, `{error, request_id}` on refusals, and limits."""

import re
from dataclasses import replace
from typing import Annotated

import pytest
from msgspec import Meta, Struct

from berth.base.db import DatabaseUnavailable, Tx
from berth.base.readiness import Readiness
from berth.core.errors import Conflict, Invalid, NoCapacity, UpstreamUnavailable
from berth.faces.face import Call, Edge, Face, Limits, Quotas, Rates, Route
from berth.faces.shopper import access, envelope, errors, words
from tests.faces.shopper.conftest import Broker, Shopper, refused
from tests.faces.test_edge import every_kind

UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"


class Named(Struct, kw_only=True):
    hours: Annotated[int, Meta(ge=1, le=12)]


@pytest.mark.parametrize("given", ["a", "A.b_c-9", "x" * 128, "4be1a3d0-7ad4-4be4-9d9b-0e4b4ae2b1aa"])
async def test_a_sane_request_id_comes_back(broker: Broker, given: str) -> None:
    response = await broker.client.call("GET", "/api/v1/inventory/a/b/c", headers={"x-request-id": given})
    assert refused(response, 404)["request_id"] == given


@pytest.mark.parametrize("given", ["", "x" * 129, "a b", "a:b", "é", "a/b", "<b>", "a\n", "a\x00", "a, b"])
async def test_any_other_request_id_is_replaced_by_a_uuid(broker: Broker, given: str) -> None:
    response = await broker.client.call("GET", "/health", headers={"x-request-id": given})
    assert re.fullmatch(UUID, response.headers["x-request-id"])


@pytest.mark.parametrize(
    "path", ["/api/v1/inventory/a/b/c", "/api/v1/sessions/a/b/c/d", "/health/x", "/metrics/x"]
)
async def test_an_unknown_path_is_a_404_in_this_shape(broker: Broker, path: str) -> None:
    refused(await broker.client.get(path), 404, "There is nothing at")
    refused(await broker.closed.get(path), 404, "There is nothing at")


async def test_a_wrong_method_says_which_are_right(broker: Broker) -> None:
    response = await broker.client.post("/health")
    refused(response, 405, "POST is not allowed here")
    assert response.headers["allow"] == "GET, HEAD"


def test_every_kind_of_refusal_has_a_status() -> None:
    assert set(every_kind()) == set(errors.KINDS)


def raises(error: Exception, method: str = "GET") -> Route:
    def handler(tx: Tx, call: Call) -> object:
        raise error

    return Route(method=method, path="/x", handler=handler, summary="", scope="catalog:read", answer=None)


def one_route(broker: Broker, route: Route) -> Shopper:
    face = Face(
        name="test",
        routes=[route],
        authenticate=access.authenticate,
        render=envelope.render,
        refuse=errors.refuse,
        request_id=words.request_id,
    )
    return Shopper(Edge(broker.context, face), None, "", "127.0.0.1")


@pytest.mark.parametrize(
    ("error", "status", "says"),
    [
        (ZeroDivisionError("oops"), 500, "internal server error"),
        (DatabaseUnavailable("gone"), 503, "briefly unavailable"),
        (Conflict("invalid_state", "This instance was deleted."), 409, "This session was deleted."),
        (UpstreamUnavailable("away", "Away."), 500, "Away."),
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_what_goes_wrong_is_told_in_this_shape(
    broker: Broker, method: str, error: Exception, status: int, says: str
) -> None:
    response = await one_route(broker, raises(error, method)).call(method, "/x")
    assert set(refused(response, status, says)) == {"error", "request_id"}
    assert b"oops" not in response.content


async def test_a_refusal_with_a_type_has_its_other_members_beside_it(broker: Broker) -> None:
    stale = NoCapacity(
        "no_capacity",
        "offer unavailable due to stale inventory",
        error_type="stale_inventory",
        offer_id="vastai-12345",
        provider="vastai",
        retry_suggested=True,
        explanation="The selected offer is no longer available.\x1b",
    )
    response = await one_route(broker, raises(stale, "POST")).post("/x", {})
    assert response.status == 503
    assert response.json == {
        "error": "offer unavailable due to stale inventory",
        "error_type": "stale_inventory",
        "offer_id": "vastai-12345",
        "provider": "vastai",
        "retry_suggested": True,
        "message": "The selected offer is no longer available.",
        "request_id": response.headers["x-request-id"],
    }


async def test_what_was_sent_is_repeated_short_and_without_anything_that_acts(broker: Broker) -> None:
    sent = "<script>\x1b[31m\u202e" + "y" * 500
    told = Invalid("invalid_field", "limit must be a whole number.", field="limit", sent=sent)
    problem = refused(await one_route(broker, raises(told)).get("/x"), 400)
    assert problem["error"].startswith('limit must be a whole number, got "script[31myyy')
    assert len(problem["error"]) == len('limit must be a whole number, got ""') + 128


async def test_health_is_503_until_every_provider_was_looked_at_and_again_while_it_drains(
    broker: Broker,
) -> None:
    readiness = Readiness(["sandbox", "vastai"])
    client = broker.under(readiness=readiness)
    unavailable = {
        "status": "unavailable",
        "timestamp": "2026-04-03T10:00:00Z",
        "services": {"lifecycle": "stopped", "inventory": "ok", "ready": "false"},
    }
    for name in ("sandbox", "nobody", "vastai"):
        response = await client.get("/health")
        assert (response.status, response.json) == (503, unavailable)
        ready = await client.get("/ready")
        assert (ready.status, ready.json) == (503, {"ready": False, "timestamp": "2026-04-03T10:00:00Z"})
        readiness.done(name)
    response = await client.get("/health")
    assert (response.status, response.json) == (
        200,
        {
            "status": "ok",
            "timestamp": "2026-04-03T10:00:00Z",
            "services": {"lifecycle": "running", "inventory": "ok", "ready": "true"},
        },
    )
    ready = await client.get("/ready")
    assert (ready.status, ready.json) == (200, {"ready": True, "timestamp": "2026-04-03T10:00:00Z"})
    readiness.drain()
    assert (await client.get("/health")).json == unavailable
    assert (await client.get("/ready")).status == 503


def test_who_waits_no_longer_says_for_what_it_waited() -> None:
    readiness = Readiness(["a", "b", "c"])
    readiness.done("b")
    assert readiness.give_up() == {"a", "c"}
    assert readiness.is_ready
    assert readiness.give_up() == frozenset()


async def test_a_body_is_json_whatever_it_is_declared_to_be(broker: Broker) -> None:
    """As `curl -d` sends it."""
    seen = []

    def handler(tx: Tx, call: Call) -> object:
        seen.append(call.body)
        return {}

    route = replace(raises(ValueError()), method="POST", handler=handler, body=Named)
    face = Face(
        name="test",
        routes=[route],
        authenticate=access.authenticate,
        render=envelope.render,
        refuse=errors.refuse,
        tells_values=True,
        takes_any_type=True,
    )
    client = Shopper(Edge(broker.context, face), None, "", "127.0.0.1")
    for media_type in ("application/x-www-form-urlencoded", "text/plain", "application/json"):
        assert (await client.post("/x", {"hours": 2}, content_type=media_type)).status == 200
    assert [each.hours for each in seen] == [2, 2, 2]
    problem = refused(await client.post("/x", {"hours": 13}), 400)
    assert problem["error"] == 'hours must be at most 12, got "13"'
    problem = refused(await client.post("/x", {"hours": [1, "a"]}), 400)
    assert problem["error"] == 'hours must be a whole number, got "[1, "a"]"'
    assert refused(await client.post("/x", {}), 400)["error"] == "hours is required"
    for body in (b"{", b"[]", b"\xff", b'{"hours": NaN}', b'"x"', b"[" * 5000):
        refused(await client.post("/x", body), 400)
    refused(await client.post("/x", b'{"hours": 2, "y": "' + b"y" * 70_000 + b'"}'), 413)


async def test_only_those_with_a_key_are_counted(broker: Broker) -> None:
    face = Face(
        name="test",
        routes=[replace(raises(ValueError()), handler=lambda tx, call: {})],
        authenticate=access.authenticate,
        render=envelope.render,
        refuse=errors.refuse,
        limits=Limits(exempts=access.LOOPBACK),
    )
    context = replace(broker.context, rates=Rates(Quotas(route=2), broker.clock, broker.db))
    client = Shopper(Edge(context, face), None, "", "127.0.0.1")
    assert [(await client.get("/x")).status for _ in range(4)] == [200] * 4
    assert "ratelimit" not in (await client.get("/x")).headers
    known = client.with_key(broker.customer.api_key)
    assert [(await known.get("/x")).status for _ in range(3)] == [200, 200, 429]

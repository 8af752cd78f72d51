"""What every answer has, whatever was asked: an envelope, an id, a status that fits."""

import asyncio
import json
import threading

import pytest
import structlog
from structlog.testing import capture_logs

from berth.base.db import DatabaseUnavailable, Tx
from berth.core import errors as kinds
from berth.core.errors import Refusal
from berth.faces.face import Call, Context, Edge, Face, Route, authenticate_by_key
from berth.faces.huddle import ROUTES, envelope, errors
from berth.faces.huddle.billing import wire
from tests import make
from tests.faces.conftest import Client, Shop


@pytest.mark.parametrize(
    "path", ["/nothing", "/", "", "/deployments/x/y/z", "/gpus", "/../etc", "/ssh-keys//x"]
)
async def test_an_unknown_route_is_not_found_in_the_envelope(shop: Shop, path: str) -> None:
    problem = (await shop.client.get(path)).refused(404, "route_not_found")
    assert problem["code"] == "NOT_FOUND"


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("PUT", "/deployments", "GET, HEAD"),
        ("POST", "/billing/balance", "GET, HEAD"),
        ("PATCH", "/ssh-keys", "GET, HEAD, POST"),
        ("POST", "/deployments/x", "DELETE, GET, HEAD"),
        ("PUT", "/deployments/clusters", "DELETE, GET, HEAD, POST"),
        ("GET", "/deployments/x/actions", "POST"),
        ("OPTIONS", "/regions", "GET, HEAD"),
    ],
)
async def test_a_wrong_method_says_which_are_right(shop: Shop, method: str, path: str, allow: str) -> None:
    response = await shop.client.call(method, path)
    assert response.refused(405, "method_not_allowed")["code"] == "METHOD_NOT_ALLOWED"
    assert response.headers["allow"] == allow


async def test_head_is_get_without_its_body(shop: Shop) -> None:
    got = await shop.client.get("/regions")
    head = await shop.client.call("HEAD", "/regions")
    assert (head.status, head.content) == (200, b"")
    assert head.headers["content-length"] == got.headers["content-length"]
    assert (await shop.client.with_key(None).call("HEAD", "/regions")).status == 401


async def test_a_slash_at_the_end_changes_nothing(shop: Shop) -> None:
    assert (await shop.client.get("/regions/")).data == (await shop.client.get("/regions")).data


@pytest.mark.parametrize("is_long", [False, True])
async def test_only_a_read_that_takes_long_leaves_the_event_loop_s_thread(
    shop: Shop, *, is_long: bool
) -> None:
    def where(_tx: Tx, _call: Call) -> object:
        return {"is_elsewhere": threading.current_thread() is not threading.main_thread()}

    route = Route(
        method="GET",
        path="/where",
        handler=where,
        summary="Where",
        scope="catalog:read",
        answer=wire.Balance,
        is_long=is_long,
    )
    answered = await Client(one_route(shop.context, route), shop.customer.api_key).get("/where")
    is_shared = shop.context.db.is_shared
    assert answered.data["is_elsewhere"] == (is_long or is_shared)


async def test_every_answer_has_an_id_of_its_own(shop: Shop) -> None:
    seen = {
        (await shop.client.get(path)).headers["x-request-id"] for path in ("/regions", "/regions", "/none")
    }
    assert len(seen) == 3


@pytest.mark.parametrize(
    ("given", "is_kept"),
    [
        ("trace-1", True),
        ("a" * 128, True),
        ("a" * 129, False),
        ("", False),
        ("a b", False),
        ("a\tb", False),
        ("é", False),
    ],
)
async def test_a_sane_request_id_is_kept(shop: Shop, given: str, is_kept: bool) -> None:
    response = await shop.client.call("GET", "/nothing", headers={"x-request-id": given})
    assert (response.headers["x-request-id"] == given) == is_kept
    assert response.json["request_id"] == response.headers["x-request-id"]


async def test_answers_are_json_that_nobody_stores(shop: Shop) -> None:
    response = await shop.client.get("/regions")
    assert response.headers["content-type"] == "application/json"
    assert response.headers["cache-control"] == "no-store"


def one_route(context: Context, route: Route) -> Edge:
    face = Face(
        name="test",
        routes=[route],
        authenticate=authenticate_by_key,
        render=envelope.flat,
        refuse=errors.refuse,
    )
    return Edge(context, face)


def breaks(error: Exception, method: str = "GET") -> Route:
    def handler(tx: Tx, call: Call) -> object:
        raise error

    return Route(
        method=method, path="/x", handler=handler, summary="", scope="billing:read", answer=wire.Balance
    )


async def test_a_bug_is_answered_in_the_envelope_and_logged_with_its_id(shop: Shop) -> None:
    client = Client(one_route(shop.context, breaks(ZeroDivisionError("oops"))), shop.customer.api_key)
    with capture_logs() as logs:
        response = await client.get("/x")
    problem = response.refused(500, "internal")
    assert problem["code"] == "INTERNAL"
    assert "oops" not in response.content.decode()
    (entry,) = [entry for entry in logs if entry["event"] == "request failed"]
    assert entry["request_id"] == problem["request_id"]
    assert "ZeroDivisionError: oops" in entry["traceback"]
    assert shop.customer.api_key not in str(logs)


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_database_that_is_away_is_unavailable(shop: Shop, method: str) -> None:
    route = breaks(DatabaseUnavailable("gone"), method)
    response = await Client(one_route(shop.context, route), shop.customer.api_key).call(method, "/x")
    assert response.refused(503, "unavailable")["code"] == "UNAVAILABLE"
    assert response.headers["retry-after"] == "1"


def every_kind(kind: type[Refusal] = Refusal) -> list[type[Refusal]]:
    return [each for child in kind.__subclasses__() for each in (child, *every_kind(child))]


def test_every_kind_of_refusal_has_a_status_and_a_code() -> None:
    assert set(every_kind()) == set(errors.KINDS)
    assert {kind for kind in vars(kinds).values() if isinstance(kind, type)} > {kinds.Invalid, kinds.Conflict}


@pytest.mark.parametrize("kind", [kinds.RateLimited, kinds.Unavailable, kinds.Conflict])
async def test_a_wait_is_told_in_the_header(shop: Shop, kind: type[Refusal]) -> None:
    client = Client(
        one_route(shop.context, breaks(kind("wait", "Wait.", retry_after_s=7))), shop.customer.api_key
    )
    response = await client.get("/x")
    assert response.headers["retry-after"] == "7"
    assert response.json["reason"] == "wait"


async def test_other_connections_than_http_are_left_alone(shop: Shop) -> None:
    async def never() -> dict[str, object]:
        raise AssertionError

    async def send(message: object) -> None:
        raise AssertionError

    await shop.client.app({"type": "lifespan"}, never, send)


async def test_requests_side_by_side_do_not_mix(shop: Shop) -> None:
    other, theirs = shop.stranger()
    made = make.instance(shop.db, by=shop.customer.by)
    answers = await asyncio.gather(
        *(client.get("/deployments") for _ in range(10) for client in (shop.client, theirs))
    )
    assert {len(answer.data) for answer in answers[::2]} == {1}
    assert {len(answer.data) for answer in answers[1::2]} == {0}
    assert made.project != other.id


async def test_nothing_secret_is_logged(shop: Shop) -> None:
    with capture_logs() as logs:
        created = (await shop.client.post("/api-keys", {"name": "ci"})).data
        for route in ROUTES:
            await shop.client.with_key(created["secret"]).call(route.method, route.path, body=b"{")
        await shop.client.with_key("mk_wrong").get("/regions")
        structlog.get_logger().info("the log works")
    assert len(logs) == 1
    assert created["secret"] not in json.dumps(logs)

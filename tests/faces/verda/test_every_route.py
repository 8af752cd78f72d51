"""Every line of the routes table, visited: who may use it, and whether it answers what it says."""

from decimal import Decimal

import msgspec
import pytest

from berth.core import projects
from berth.core.projects import SCOPES
from berth.faces.face import Listing, Route
from berth.faces.verda import ROUTES
from tests import make
from tests.faces.verda.conftest import NOT_IDS, UNKNOWN_ID, Cloud, refused
from tests.faces.verda.samples import SAMPLES, name_of, visit


def needs_body(route: Route) -> bool:
    """Whether it has a member that has to be sent."""
    return route.body is not None and any(member.required for member in msgspec.structs.fields(route.body))


every_route = pytest.mark.parametrize("route", ROUTES, ids=name_of)
PUBLIC = [route for route in ROUTES if route.is_public]
every_closed_route = pytest.mark.parametrize(
    "route", [route for route in ROUTES if not route.is_public], ids=name_of
)
FORGIVING = {("DELETE", "/scripts/{id}")}
"""Done, for what there is not: dstack deletes its script each time it ends an instance."""
OWNED = pytest.mark.parametrize(
    "route",
    [route for route in ROUTES if "{id}" in route.path and (route.method, route.path) not in FORGIVING],
    ids=name_of,
)


def test_every_route_has_a_sample() -> None:
    assert set(SAMPLES) == {(route.method, route.path) for route in ROUTES}


def test_these_routes_and_no_others_are_open_to_anybody() -> None:
    """The token route because it is where one gets in, the others because the reference says so."""
    assert {route.path for route in PUBLIC} == {
        "/oauth2/token",
        "/instance-types",
        "/instance-types/{instance_type}",
        "/container-types",
        "/cluster-types",
        "/long-term/periods",
        "/long-term/periods/instances",
        "/long-term/periods/clusters",
    }


@every_route
async def test_it_answers_as_its_wire_type_says(cloud: Cloud, route: Route) -> None:
    cloud.instance()
    cloud.volume()
    cloud.volume("deleted")
    response = await visit(cloud, route, key=cloud.token())
    assert response.status == route.status, response.content
    if route.answer is None or (route.method, route.path) == ("PUT", "/volumes"):  # it is not a clone
        assert response.content == b""
        assert "content-type" not in response.headers
        return
    assert response.headers["content-type"] == route.media_type.decode()
    if route.answer is str:
        return
    answers = route.answer if isinstance(route.answer, tuple) else (route.answer,)
    shown = response.exact
    for row in [shown] if route.listing is Listing.ONE else shown:
        fitting = [answer for answer in answers if _fits(row, answer)]
        assert len(fitting) == 1, (row, answers)


def _fits(row: object, answer: type) -> bool:
    try:
        read: object = msgspec.convert(row, answer)
    except msgspec.ValidationError:
        return False
    return bool(msgspec.to_builtins(read, builtin_types=[Decimal]) == row)


@every_closed_route
async def test_nobody_gets_in_without_a_token_that_works(cloud: Cloud, route: Route) -> None:
    sample = await SAMPLES[route.method, route.path](cloud)
    good = cloud.token()
    head, claims, signature = good.split(".")
    other = make.project(cloud.db)
    for wrong in (
        None,
        "whatever",
        cloud.customer.client_secret,
        cloud.token(use="refresh"),
        f"{head}.{claims}.{signature[:-2]}xx",
        f"{head}.{cloud.token(other).split('.')[1]}.{signature}",
        f"{head}.{claims}.",
        f"eyJhbGciOiJub25lIn0.{claims}.",
    ):
        response = await visit(cloud, route, key=wrong, sample=sample)
        refused(response, 401, "unauthorized_request", "Access token is missing or invalid")
        assert response.headers["www-authenticate"] == "Bearer"
        assert "ratelimit" not in response.headers
    cloud.clock.advance(seconds=3600)
    expired = await visit(cloud, route, key=good, sample=sample)
    refused(expired, 401, "unauthorized_request", "Access token is missing or invalid")


@every_closed_route
async def test_a_token_of_another_scope_and_a_key_of_another_api_open_nothing(
    cloud: Cloud, route: Route
) -> None:
    sample = await SAMPLES[route.method, route.path](cloud)
    for wrong in (cloud.token(scope="console"), cloud.customer.api_key, "mk_" + "0" * 64):
        response = await visit(cloud, route, key=wrong, sample=sample)
        refused(response, 403, "forbidden_action", "Insufficient scope")


@every_closed_route
async def test_a_revoked_clients_tokens_die_at_once(cloud: Cloud, route: Route) -> None:
    sample = await SAMPLES[route.method, route.path](cloud)
    token = cloud.token()
    cloud.db.write_now(projects.revoke_client, cloud.customer.by, cloud.customer.client_id)
    response = await visit(cloud, route, key=token, sample=sample)
    refused(response, 401, "unauthorized_request")


@pytest.mark.parametrize("route", PUBLIC, ids=name_of)
async def test_a_public_route_ignores_whatever_token_it_is_sent(cloud: Cloud, route: Route) -> None:
    for key in (None, "garbage", cloud.customer.api_key, cloud.token()):
        response = await visit(cloud, route, key=key)
        assert response.status == 200, response.content
        assert "ratelimit" not in response.headers


@OWNED
async def test_what_belongs_to_somebody_else_is_not_found(cloud: Cloud, route: Route) -> None:
    _, theirs = cloud.stranger()
    sample = await SAMPLES[route.method, route.path](cloud)
    refused(await visit(cloud, route, key=theirs.key, sample=sample), 404, "not_found")


@OWNED
async def test_an_unknown_id_is_not_found(cloud: Cloud, route: Route) -> None:
    body = (await SAMPLES[route.method, route.path](cloud)).body
    for wanted in (*NOT_IDS, UNKNOWN_ID, UNKNOWN_ID.upper()):
        path = route.path.replace("{id}", wanted.replace("%00", "\0")).replace("{key}", "team")
        refused(await cloud.client.call(route.method, path, body=body), 404, "not_found")


NO_BODIES = (
    b"",
    b"{",
    b"[]",
    b"null",
    b'"x"',
    b"\xff",
    b'{"a":NaN}',
    b"{}{}",
    b"[" * 5000,
    b'{"id": "\\ud800"}',
)


@pytest.mark.parametrize("route", [route for route in ROUTES if needs_body(route)], ids=name_of)
async def test_a_body_that_is_none_is_a_400_in_json(cloud: Cloud, route: Route) -> None:
    path = route.path.replace("{id}", UNKNOWN_ID).replace("{key}", "team")
    for body in NO_BODIES:
        response = await cloud.client.call(
            route.method, path, body=body, headers={"content-type": "application/json"}
        )
        refused(response, 400, "invalid_request")


@every_route
async def test_a_body_that_is_too_long_is_refused_in_json(cloud: Cloud, route: Route) -> None:
    if route.body is None:
        return
    path = route.path.replace("{id}", UNKNOWN_ID).replace("{key}", "team")
    refused(await cloud.client.call(route.method, path, body=b" " * (64 * 1024 + 1)), 413, "invalid_request")


@every_closed_route
async def test_json_is_declared_without_a_body_and_nobody_minds(cloud: Cloud, route: Route) -> None:
    """As the official Python client does with every request."""
    if needs_body(route) or (route.body is not None and route.method != "DELETE"):
        return
    sample = await SAMPLES[route.method, route.path](cloud)
    response = await cloud.client.call(
        route.method, sample.path, headers={"content-type": "application/json"}
    )
    assert response.status == route.status, response.content


def test_every_scope_is_one_that_there_is() -> None:
    assert {route.scope for route in ROUTES} <= SCOPES


async def test_a_head_is_a_get_without_its_body(cloud: Cloud) -> None:
    got = await cloud.client.get("/locations")
    head = await cloud.client.call("HEAD", "/locations")
    assert (head.status, head.content) == (200, b"")
    assert head.headers["content-length"] == got.headers["content-length"]

"""Every line of the routes table, visited: who may use it, and whether it answers what it says."""

import re
from decimal import Decimal

import msgspec
import pytest

from berth.core import events, projects
from berth.core.events import ADMIN
from berth.core.projects import SCOPES
from berth.faces.face import Listing, Route
from berth.faces.huddle import ROUTES
from tests import make
from tests.faces.conftest import Shop
from tests.faces.samples import SAMPLES, name_of, visit

every_route = pytest.mark.parametrize("route", ROUTES, ids=name_of)
OWNED = [route for route in ROUTES if "{id}" in route.path and not route.path.startswith("/images")]


def test_every_route_has_a_sample() -> None:
    assert set(SAMPLES) == {(route.method, route.path) for route in ROUTES}


@every_route
async def test_it_answers_as_its_wire_type_says(shop: Shop, route: Route) -> None:
    make.instance(shop.db, by=shop.customer.by)
    _, key = make.key(shop.db, events.operator(shop.customer.id), scopes=["*", ADMIN])
    response = await visit(shop, route, key=key)
    data = response.exact["data"]
    for row in [data] if route.listing is Listing.ONE else data:
        read = msgspec.convert(row, route.answer)
        assert msgspec.to_builtins(read, builtin_types=[Decimal]) == row, (
            "a member that its type does not know"
        )
    assert response.json["code"] == "OK"
    assert data or route.listing is not Listing.ONE
    assert ("meta" in response.json) == (route.listing is Listing.PAGED)


@every_route
async def test_nobody_gets_in_without_a_key_that_works(shop: Shop, route: Route) -> None:
    revoked, secret = make.key(shop.db, shop.customer.by)
    shop.db.write_now(projects.revoke_key, shop.customer.by, revoked.id)
    sample = SAMPLES[route.method, route.path](shop)
    before = shop.rows()
    (await visit(shop, route, key=None, sample=sample)).refused(401, "missing_key")
    (await visit(shop, route, key="mk_" + "0" * 64, sample=sample)).refused(401, "invalid_key")
    (await visit(shop, route, key="whatever", sample=sample)).refused(401, "invalid_key")
    (await visit(shop, route, key=secret, sample=sample)).refused(401, "revoked_key")
    assert shop.rows() == before


@every_route
async def test_it_asks_for_its_scope_and_for_no_other(shop: Shop, route: Route) -> None:
    implied = {route.scope, route.scope.replace(":read", ":write"), "*"}
    operator = events.operator(shop.customer.id)
    _, without = make.key(shop.db, operator, scopes=sorted(SCOPES - implied))
    _, with_it = make.key(shop.db, operator, scopes=[route.scope])
    sample = SAMPLES[route.method, route.path](shop)
    before = shop.rows()
    problem = (await visit(shop, route, key=without, sample=sample)).refused(403, "missing_scope")
    assert problem["details"]["required"] == route.scope
    assert shop.rows() == before
    assert (await visit(shop, route, key=with_it, sample=sample)).status == 200


@pytest.mark.parametrize("route", OWNED, ids=name_of)
async def test_what_belongs_to_somebody_else_is_not_found(shop: Shop, route: Route) -> None:
    stranger = make.project(shop.db)
    sample = SAMPLES[route.method, route.path](shop)
    before = shop.rows()
    theirs = await visit(shop, route, key=stranger.api_key, sample=sample)
    assert theirs.status == 404
    assert theirs.json["code"] == "NOT_FOUND"
    assert shop.rows() == before


@pytest.mark.parametrize("route", OWNED, ids=name_of)
@pytest.mark.parametrize("wanted", ["dep_nothing", "x" * 65, "a b", "%00", "dep_'--", "é"])
async def test_an_unknown_id_is_not_found(shop: Shop, route: Route, wanted: str) -> None:
    body = SAMPLES[route.method, route.path](shop).body
    path = route.path.replace("{id}", wanted.replace("%00", "\0"))
    response = await shop.client.call(route.method, path, body=body)
    assert response.status == 404
    assert response.json["code"] == "NOT_FOUND"


@pytest.mark.parametrize("route", OWNED, ids=name_of)
async def test_ids_work_without_their_prefix(shop: Shop, route: Route) -> None:
    sample = SAMPLES[route.method, route.path](shop)
    bare = re.sub(r"/[a-z]+_(?=[0-9A-Z])", "/", sample.path)
    assert bare != sample.path
    assert (await shop.client.call(route.method, bare, body=sample.body)).status == 200


def test_every_scope_is_one_that_a_key_can_have() -> None:
    assert {route.scope for route in ROUTES} <= SCOPES


def test_reading_asks_for_a_reading_scope_and_writing_for_a_writing_one() -> None:
    for route in ROUTES:
        assert route.scope.endswith(":read" if route.is_read else ":write") or route.scope == ADMIN
        assert route.is_idempotent == (not route.is_read)

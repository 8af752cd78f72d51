"""Every line of the routes table, visited: who may use it, and whether it answers what it says."""

import json

import msgspec
import pytest

from berth.core import events, projects
from berth.core.events import ADMIN
from berth.core.projects import SCOPES
from berth.faces.face import Route
from berth.faces.shopper import ROUTES, envelope
from tests import make
from tests.faces.shopper.conftest import Broker, refused
from tests.faces.shopper.samples import SAMPLES, name_of, visit

every_route = pytest.mark.parametrize("route", ROUTES, ids=name_of)
every_closed_route = pytest.mark.parametrize(
    "route", [route for route in ROUTES if not route.is_public], ids=name_of
)


def test_every_route_has_a_sample() -> None:
    assert set(SAMPLES) == {(route.method, route.path) for route in ROUTES}


@every_route
async def test_it_answers_as_its_wire_type_says(broker: Broker, route: Route) -> None:
    response = await visit(broker, broker.client, route)
    assert response.status == route.status, response.content
    if route.media_type != b"application/json":
        return
    # Of several the sample gets the last.
    wanted = route.answer[-1] if isinstance(route.answer, tuple) else route.answer
    read = msgspec.convert(response.exact, wanted)
    assert json.loads(envelope.render(read)) == response.json, "a member that its type does not know"


@every_closed_route
async def test_nobody_gets_in_from_elsewhere_without_a_key_that_works(broker: Broker, route: Route) -> None:
    revoked, secret = make.key(broker.db, broker.customer.by)
    broker.db.write_now(projects.revoke_key, broker.customer.by, revoked.id)
    sample = SAMPLES[route.method, route.path](broker)
    for client in (broker.closed, broker.client.at("192.0.2.1")):
        for key in (None, "mk_" + "0" * 64, "whatever", secret):
            refused(await visit(broker, client.with_key(key), route, sample=sample), 401)


@every_closed_route
async def test_it_asks_for_its_scope_and_for_no_other(broker: Broker, route: Route) -> None:
    implied = {route.scope, route.scope.replace(":read", ":write"), "*"}
    operator = events.operator(broker.customer.id)
    _, without = make.key(broker.db, operator, scopes=sorted(SCOPES - implied))
    _, with_it = make.key(broker.db, operator, scopes=[route.scope])
    sample = SAMPLES[route.method, route.path](broker)
    denied = await visit(broker, broker.closed.with_key(without), route, sample=sample)
    refused(denied, 403, f"scope {route.scope}")
    allowed = await visit(broker, broker.closed.with_key(with_it), route, sample=sample)
    assert allowed.status == route.status, allowed.content


@every_closed_route
async def test_an_admin_s_scope_is_asked_for_where_it_is_about_everybody(
    broker: Broker, route: Route
) -> None:
    assert (route.scope == ADMIN) == (route.path == "/metrics")

"""What is read off the routes table: the OpenAPI document, and the page for people."""

import re

from berth.faces.shopper import ROUTES
from tests.faces.shopper.conftest import Broker
from tests.faces.test_documents import Page, operations, values_of

DOCUMENT = "/api/v1/inventory/openapi.json"


async def test_the_document_has_every_route_by_its_whole_path_and_needs_no_key(broker: Broker) -> None:
    response = await broker.closed.at("192.0.2.1").get(DOCUMENT)
    assert response.status == 200
    found = response.json
    assert found["openapi"] == "3.1.0"
    listed = {(method.upper(), path) for path, methods in found["paths"].items() for method in methods}
    assert listed == {(route.method, route.path) for route in ROUTES}
    names = [operation["operationId"] for operation in operations(found)]
    assert len(set(names)) == len(names)
    for reference in values_of(found, "$ref"):
        assert reference.removeprefix("#/components/schemas/") in found["components"]["schemas"]


async def test_every_operation_says_how_it_answers(broker: Broker) -> None:
    found = (await broker.client.get(DOCUMENT)).json
    for route in ROUTES:
        operation = found["paths"][route.path][route.method.lower()]
        assert str(route.status) in operation["responses"]
        for status in ("400", "401", "403", "404", "405", "429", "500"):
            schema = operation["responses"][status]["content"]["application/json"]["schema"]
            assert schema == {"$ref": "#/components/schemas/Problem"}
        assert ("security" in operation) == route.is_public
    not_ready = found["paths"]["/ready"]["get"]["responses"]["503"]["content"]["application/json"]["schema"]
    assert not_ready == {"$ref": "#/components/schemas/Ready"}
    limit = {
        each["name"]: each["schema"] for each in found["paths"]["/api/v1/inventory"]["get"]["parameters"]
    }
    assert limit["limit"]["anyOf"][0]["minimum"] == 1
    assert found["paths"]["/api/v1/inventory"]["get"]["tags"] == ["inventory"]
    assert found["paths"]["/health"]["get"]["tags"] == ["health"]


async def test_the_page_for_people_names_every_route_and_no_other_host(broker: Broker) -> None:
    response = await broker.closed.get("/api/v1/inventory/docs")
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    text = response.content.decode()
    for route in ROUTES:
        assert route.path in text
    page = Page()
    page.feed(text)
    assert page.open == []
    assert page.links == [DOCUMENT]
    assert "<script" not in text
    assert set(re.findall(r"https?://[^/<\"]*", text)) == {"http://localhost:8080"}

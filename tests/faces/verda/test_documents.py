"""What is read off the routes table: the OpenAPI document, and the page for people."""

import re
from typing import Any

from berth.faces.face import Listing
from berth.faces.verda import ROUTES
from tests.faces.test_documents import Page, operations, values_of
from tests.faces.verda.conftest import Cloud


async def document(cloud: Cloud) -> Any:
    response = await cloud.client.with_key(None).get("/openapi.json")
    assert response.status == 200
    return response.json


async def test_the_document_has_every_route_and_needs_no_token(cloud: Cloud) -> None:
    found = await document(cloud)
    assert found["openapi"] == "3.1.0"
    assert found["servers"] == [{"url": "/v1"}]
    listed = {(method.upper(), path) for path, methods in found["paths"].items() for method in methods}
    assert listed == {(route.method, route.path) for route in ROUTES}
    names = [operation["operationId"] for operation in operations(found)]
    assert len(set(names)) == len(names)
    for reference in values_of(found, "$ref"):
        assert reference.removeprefix("#/components/schemas/") in found["components"]["schemas"]


async def test_every_operation_says_how_it_answers(cloud: Cloud) -> None:
    found = await document(cloud)
    for route in ROUTES:
        operation = found["paths"][route.path][route.method.lower()]
        statuses = {status for status in operation["responses"] if status.startswith("2")}
        assert statuses == {str(route.status), *(str(status) for status, _ in route.other_statuses)}
        success = operation["responses"][str(route.status)]
        assert ("content" in success) == (route.answer is not None)
        if route.answer is str and route.listing is Listing.ONE:
            assert list(success["content"]) == ["text/plain"]
        for status in ("400", "401", "403", "404", "429", "503"):
            schema = operation["responses"][status]["content"]["application/json"]["schema"]
            assert schema == {"$ref": "#/components/schemas/Problem"}
        assert ("security" in operation) == route.is_public
        assert operation.get("deprecated", False) == route.is_deprecated
        assert ("headers" in success) == (not route.is_public)
        assert "Idempotency-Key" not in {each["name"] for each in operation["parameters"]}
    scripts = found["paths"]["/scripts"]["get"]["responses"]["200"]["headers"]
    assert {"X-Page", "X-Page-Size", "X-Total-Count", "RateLimit", "RateLimit-Policy"} == set(scripts)
    assert "content" not in found["paths"]["/instances"]["put"]["responses"]["204"]
    token = found["paths"]["/oauth2/token"]["post"]["requestBody"]["content"]
    assert set(token) == {"application/json", "application/x-www-form-urlencoded"}


async def test_a_volume_has_one_of_two_shapes(cloud: Cloud) -> None:
    found = await document(cloud)
    schema = found["paths"]["/volumes/{id}"]["get"]["responses"]["200"]["content"]["application/json"]
    assert schema["schema"] == {
        "oneOf": [{"$ref": "#/components/schemas/Volume"}, {"$ref": "#/components/schemas/DeletedVolume"}]
    }


async def test_the_page_for_people_names_every_route_and_no_other_host(cloud: Cloud) -> None:
    response = await cloud.client.with_key(None).get("/docs")
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    text = response.content.decode()
    for route in ROUTES:
        assert route.path in text
    page = Page()
    page.feed(text)
    assert page.open == []
    assert page.links == ["/v1/openapi.json"]
    assert "<script" not in text
    assert "/oauth2/token" in text
    assert set(re.findall(r"https?://[^/<\"]*", text)) == {"http://localhost:8080"}

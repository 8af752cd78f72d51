"""What is read off the routes table: the OpenAPI document, the page for people, the other mount's envelope."""

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from typing import Any

from berth.faces import huddle
from berth.faces.face import Listing
from berth.faces.huddle import ROUTES
from berth.faces.huddle.openapi import NESTED_PATHS
from tests import make
from tests.faces.conftest import Shop


async def test_the_document_has_every_route_and_needs_no_key(shop: Shop) -> None:
    response = await shop.client.with_key(None).get("/openapi.json")
    document = response.json
    assert response.status == 200
    assert document["openapi"] == "3.1.0"
    assert document["info"]["version"] == "0.0.0-test"
    assert document["servers"] == [{"url": "/api/v1"}]
    listed = {(method.upper(), path) for path, methods in document["paths"].items() for method in methods}
    assert listed == {(route.method, route.path) for route in ROUTES}
    names = [operation["operationId"] for operation in operations(document)]
    assert len(set(names)) == len(names)


async def test_every_reference_of_the_document_leads_somewhere(shop: Shop) -> None:
    document = (await shop.client.get("/openapi.json")).json
    references = list(values_of(document, "$ref"))
    assert references
    for reference in references:
        assert reference.removeprefix("#/components/schemas/") in document["components"]["schemas"], reference
    assert "decimal" not in set(values_of(document, "format"))


async def test_every_parameter_in_a_path_is_described(shop: Shop) -> None:
    document = (await shop.client.get("/openapi.json")).json
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            described = [each["name"] for each in operation["parameters"] if each["in"] == "path"]
            assert described == re.findall(r"{(\w+)}", path)
            headers = [each["name"] for each in operation["parameters"] if each["in"] == "header"]
            route = next(each for each in huddle.ROUTES if (each.path, each.method) == (path, method.upper()))
            assert headers == (["Idempotency-Key"] if route.is_idempotent else [])
            assert operation["responses"]["200"]["content"]["application/json"]["schema"]["required"][:2] == [
                "code",
                "data",
            ]


async def test_a_query_is_described_with_its_defaults(shop: Shop) -> None:
    document = (await shop.client.get("/openapi.json")).json
    parameters = {
        each["name"]: each["schema"] for each in document["paths"]["/gpus/available"]["get"]["parameters"]
    }
    assert parameters["limit"] == {"type": "integer", "minimum": 1, "maximum": 100, "default": 6}
    assert parameters["available_only"] == {"type": "boolean", "default": True}
    assert parameters["max_price"]["anyOf"][0] == {"type": "number"}
    deploy = document["components"]["schemas"]["DeployRequest"]
    assert deploy["required"] == ["cluster_type", "image", "hostname", "ssh_key_ids", "location"]


async def test_a_body_is_required_where_it_has_a_member_that_is(shop: Shop) -> None:
    document = (await shop.client.get("/openapi.json")).json
    for route in huddle.ROUTES:
        if route.body is not None:
            body = document["paths"][route.path][route.method.lower()]["requestBody"]
            schema = document["components"]["schemas"][route.body.__name__]
            assert body["required"] == bool(schema.get("required")), route.path
    deleting = document["paths"]["/volumes/{id}"]["delete"]["requestBody"]
    assert deleting["required"] is False


async def test_the_other_mount_describes_what_it_answers(shop: Shop) -> None:
    flat, nested = (
        (await shop.client.get("/openapi.json")).json,
        (await shop.nested().get("/openapi.json")).json,
    )

    def answer(document: Any, path: str) -> Any:
        content = document["paths"][path]["get"]["responses"]["200"]["content"]
        return content["application/json"]["schema"]["properties"]

    for path in ("/gpus/available", "/images", "/deployments", "/volumes"):
        inner = answer(nested, path)["data"]
        assert inner["required"] == ["data", "meta"]
        assert inner["properties"]["data"] == answer(flat, path)["data"]
        assert set(inner["properties"]["meta"]["required"]) == set(
            (await shop.nested().get(path)).data["meta"]
        )
        assert set(answer(flat, path)["meta"]["required"]) == set((await shop.client.get(path)).meta)
    for path in ("/regions", "/billing/transactions", "/volumes/{id}"):
        assert answer(nested, path) == answer(flat, path)


async def test_the_other_mount_nests_those_four_and_nothing_else(shop: Shop) -> None:
    nested = shop.nested()
    for route in huddle.ROUTES:
        if route.method == "GET" and route.listing is not Listing.ONE and "{" not in route.path:
            answer = (await nested.get(route.path)).json
            assert isinstance(answer["data"], dict) == (route.path in NESTED_PATHS), route.path
            if isinstance(answer["data"], list):
                assert answer == (await shop.client.get(route.path)).json


async def test_the_page_for_people_names_every_route_and_no_other_host(shop: Shop) -> None:
    response = await shop.client.with_key(None).get("/docs")
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    text = response.content.decode()
    for route in ROUTES:
        assert route.path in text
        assert route.summary in text
    page = Page()
    page.feed(text)
    assert page.open == []
    assert page.links == ["/api/v1/openapi.json"]
    assert "<script" not in text
    assert set(re.findall(r"https?://[^/<\"]*", text)) == {"http://localhost:8080"}


async def test_the_other_mount_nests_the_four_paged_lists(shop: Shop) -> None:
    make.catalogue(shop.db)
    for _ in range(2):
        make.ordered(shop.db, shop.customer.by)
    nested = shop.nested()
    for path in ("/gpus/available", "/images", "/deployments"):
        flat, deep = (await shop.client.get(path, limit=1)).json, (await nested.get(path, limit=1)).json
        assert set(deep) == {"code", "data"}
        assert len(deep["data"]["data"]) == len(flat["data"]) == 1
        meta = deep["data"]["meta"]
        assert meta["cursor"] == meta["next_cursor"] == flat["meta"]["cursor"]
        assert (meta["total"], meta["has_more"]) == (flat["meta"]["total"], flat["meta"]["has_more"])
        assert (meta["page"], meta["limit"]) == (1, 1)
    for path in ("/regions", "/ssh-keys", "/api-keys", "/billing/balance"):
        assert (await nested.get(path)).json == (await shop.client.get(path)).json


async def test_under_the_other_mount_an_offers_regions_are_objects(shop: Shop) -> None:
    nested = shop.nested()
    offer = (await nested.get("/gpus/available", gpu_model="H100")).data["data"][0]
    assert offer["regions"] == offer["region_details"]
    assert (await nested.get("/gpus/available", gpu_model="H100", page=2)).data["meta"]["page"] == 2
    document = (await nested.get("/openapi.json")).json
    assert document["servers"] == [{"url": "/hudl/api/v1"}]


class Page(HTMLParser):
    """The links of a page, and what is opened in it and never closed."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.links: list[str | None] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.links += [value for name, value in attrs if name in {"href", "src"}]
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def operations(document: Any) -> list[Any]:
    return [operation for methods in document["paths"].values() for operation in methods.values()]


def values_of(value: Any, name: str) -> Iterator[Any]:
    match value:
        case dict():
            if isinstance(value.get(name), str):
                yield value[name]
            for each in value.values():
                yield from values_of(each, name)
        case list():
            for each in value:
                yield from values_of(each, name)
        case _:
            pass

"""The inventory: what many providers offer, filtered, in order, page by page, with exact prices."""

from typing import Any

import pytest

from berth.core import catalog
from berth.core.driver import Abilities
from tests import make
from tests.faces.shopper.conftest import HASH_ID, OFFERS, Broker, listed, refused, shelved

PATH = "/api/v1/inventory"


async def ids(broker: Broker, **query: Any) -> list[str]:
    response = await broker.client.get(PATH, **query)
    assert response.status == 200, response.content
    return [offer["id"] for offer in response.json["offers"]]


async def test_an_offer_is_shown_as_the_reference_shows_it(broker: Broker) -> None:
    shown = {
        "id": "vastai-12345",
        "provider": "vastai",
        "provider_id": "12345",
        "gpu_type": "RTX 4090",
        "gpu_count": 1,
        "vram_gb": 24,
        "price_per_hour": 0.45,
        "location": "US-West",
        "reliability": 0.98,
        "available": True,
        "max_duration_hours": 0,
        "fetched_at": "2026-01-29T12:00:00Z",
        "availability_confidence": 0.95,
        "cuda_version": 13.0,
    }
    response = await broker.client.get(PATH, gpu_type="RTX 4090", limit=1)
    assert response.json == {"offers": [shown], "count": 1, "total": 2}
    assert b'"price_per_hour":0.45,' in response.content
    templates = [
        {"hash_id": hash_id, "name": name, "image": "vastai/ollama", "recommended_disk_space": 32}
        for hash_id, name in ((HASH_ID, "Ollama"), ("b", "Other"))
    ]
    one = await broker.client.get(f"{PATH}/vastai-12345")
    assert one.json == shown | {"compatible_templates": templates}


async def test_what_only_some_offers_have_is_shown_where_it_is_there(broker: Broker) -> None:
    offer = (await broker.client.get(f"{PATH}/vastai-3")).json
    assert (offer["machine_id"], offer["interruptible"], offer["min_bid"]) == ("vastai-machine-7", True, 0.1)
    assert "cuda_version" not in (await broker.client.get(f"{PATH}/tensordock-4")).json


async def test_an_offer_of_a_kind_at_a_place_is_found_by_the_id_that_the_list_shows(broker: Broker) -> None:
    broker.context.shelf.inventory = shelved(listed("sandbox-1H100.80S.30V@FIN-01"))
    [offer_id] = await ids(broker)
    assert (await broker.client.get(f"{PATH}/{offer_id}")).json["id"] == offer_id
    told = await broker.client.get(f"{PATH}/{offer_id}/compatible-templates")
    assert (told.status, told.json["offer_id"]) == (200, offer_id)


async def test_prices_are_exact(broker: Broker) -> None:
    content = (await broker.client.get(f"{PATH}/vastai-3")).content
    assert b'"price_per_hour":3.200001,' in content


async def test_the_most_likely_come_first_and_of_those_the_cheapest(broker: Broker) -> None:
    assert await ids(broker) == ["vastai-12345", "sandbox-5", "vastai-2", "vastai-3", "tensordock-4"]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({"provider": "vastai"}, ["vastai-12345", "vastai-2", "vastai-3"]),
        ({"gpu_type": "A100"}, ["vastai-3"]),
        ({"gpu_type": "a100"}, []),
        ({"location": "iceland"}, ["vastai-3"]),
        ({"min_vram": 80, "provider": "vastai"}, ["vastai-3"]),
        ({"max_price": "0.3"}, ["vastai-2"]),
        ({"max_price": "0.29999999999"}, []),
        ({"max_price": "3e-1"}, ["vastai-2"]),
        ({"max_price": "1e40", "gpu_type": "A100"}, ["vastai-3"]),
        ({"max_price": "1e-999999999"}, []),
        ({"max_price": 0}, []),
        ({"gpu_count": 2}, ["vastai-3"]),
        ({"min_gpu_count": 1, "gpu_count": 4, "max_price": 0.3}, ["vastai-2"]),
        ({"min_gpu_count": 4, "gpu_count": 1}, ["vastai-3"]),
        ({"min_reliability": 0.98, "provider": "tensordock"}, ["tensordock-4"]),
        ({"min_reliability": 1}, []),
        ({"min_availability_confidence": 0.95}, ["vastai-12345", "sandbox-5"]),
        ({"min_cuda": 12.9}, ["vastai-12345", "vastai-2"]),
        ({"min_cuda": 0}, ["vastai-12345", "vastai-2", "vastai-3"]),
        ({"limit": 2, "offset": 1}, ["sandbox-5", "vastai-2"]),
        ({"offset": 5}, []),
        ({"offset": 1000000}, []),
        ({"provider": "", "gpu_type": "", "location": "iceland", "template_hash_id": ""}, ["vastai-3"]),
        ({"unheard_of": "x", "gpu_type": "A100"}, ["vastai-3"]),
    ],
)
async def test_it_is_filtered(broker: Broker, query: dict[str, Any], found: list[str]) -> None:
    assert await ids(broker, **query) == found


async def test_what_has_no_gpu_is_listed_for_whoever_asks_for_none(broker: Broker) -> None:
    broker.context.shelf.inventory = shelved(
        listed("sandbox-9", gpu_type="", gpu_count=0, vram_gb=0), listed()
    )
    assert await ids(broker) == ["vastai-12345"]
    assert await ids(broker, min_vram=0) == ["vastai-12345"]
    assert await ids(broker, min_gpu_count=0) == ["sandbox-9", "vastai-12345"]
    assert await ids(broker, gpu_count=0) == ["sandbox-9", "vastai-12345"]


async def test_the_total_counts_what_matches_whatever_the_page(broker: Broker) -> None:
    for query in ({"limit": 1}, {"offset": 3}, {"offset": 99}):
        assert (await broker.client.get(PATH, **query)).json["total"] == 5


@pytest.mark.parametrize(
    ("parameter", "value", "constraint"),
    [
        ("min_vram", "-1", "must be at least 0"),
        ("min_vram", "lots", "must be a whole number"),
        ("min_vram", "1.5", "must be a whole number"),
        ("min_vram", "", "must be a whole number"),
        ("min_vram", "99999999999", "must be at most 1000000000"),
        ("max_price", "-0.01", "must be a number of at least 0"),
        ("max_price", "cheap", "must be a number"),
        ("max_price", "NaN", "must be a number of at least 0"),
        ("max_price", "-NaN", "must be a number of at least 0"),
        ("max_price", "sNaN", "must be a number of at least 0"),
        ("max_price", "Infinity", "must be a number of at least 0"),
        ("max_price", "", "must be a number"),
        ("max_price", "inf", "must be a number of at least 0"),
        ("max_price", "-1e2", "must be a number of at least 0"),
        ("max_price", "1e999", "is out of range"),
        ("min_gpu_count", "-1", "must be at least 0"),
        ("min_gpu_count", "two", "must be a whole number"),
        ("gpu_count", "-1", "must be at least 0"),
        ("gpu_count", "0x1", "must be a whole number"),
        ("min_reliability", "1.01", "must be at most 1"),
        ("min_reliability", "-0.1", "must be at least 0"),
        ("min_reliability", "nan", "must be at least 0"),
        ("min_availability_confidence", "2", "must be at most 1"),
        ("min_availability_confidence", "high", "must be a number"),
        ("min_cuda", "-1", "must be at least 0"),
        ("min_cuda", "inf", "must be at most 1000"),
        ("min_cuda", "12.x", "must be a number"),
        ("limit", "0", "must be at least 1"),
        ("limit", "-5", "must be at least 1"),
        ("limit", "all", "must be a whole number"),
        ("limit", "1e400", "is out of range"),
        ("offset", "-1", "must be at least 0"),
        ("offset", "x", "must be a whole number"),
        ("location", "x" * 256, "must have at most 255 characters"),
    ],
)
async def test_a_wrong_value_is_told_with_its_name_what_it_must_be_and_what_it_was(
    broker: Broker, parameter: str, value: str, constraint: str
) -> None:
    response = await broker.client.get(PATH, **{parameter: value})
    assert refused(response, 400)["error"].startswith(f"{parameter} {constraint}")
    assert refused(response, 400)["error"].endswith(f'got "{value[:128]}"')


async def test_what_acts_in_a_page_or_a_terminal_is_not_repeated(broker: Broker) -> None:
    response = await broker.client.get(PATH, limit="<script>\x1b[31m\r\nx")
    assert refused(response, 400)["error"] == 'limit must be a whole number, got "script[31mx"'
    response = await broker.client.get(PATH, provider="<b>\x01nobody\x7f")
    assert refused(response, 400)["error"] == "provider not found: bnobody"


async def test_a_parameter_given_twice_is_refused(broker: Broker) -> None:
    refused(await broker.client.get(f"{PATH}?limit=1&limit=2"), 400, "limit is given more than once")


async def test_an_unknown_provider_is_refused_and_one_that_has_nothing_is_not(broker: Broker) -> None:
    refused(await broker.client.get(PATH, provider="nobody"), 400, "provider not found: nobody")
    refused(await broker.client.get(PATH, provider="VASTAI"), 400, "provider not found: VASTAI")
    broker.context.shelf.inventory = shelved()
    assert (await broker.client.get(PATH, provider="vastai")).json == {"offers": [], "count": 0, "total": 0}


@pytest.mark.parametrize("offer_id", ["vastai-1", "nobody-1", "vastai", "x" * 128, "VASTAI-12345"])
@pytest.mark.parametrize("ending", ["", "/compatible-templates"])
async def test_an_unknown_offer_is_not_found(broker: Broker, offer_id: str, ending: str) -> None:
    refused(await broker.client.get(f"{PATH}/{offer_id}{ending}"), 404, f"offer not found: {offer_id}")


async def test_one_that_was_taken_meanwhile_is_shown_as_that(broker: Broker) -> None:
    assert (await broker.client.get(f"{PATH}/vastai-6")).json["available"] is False
    assert "vastai-6" not in await ids(broker)


async def test_when_nobody_could_be_asked_and_nothing_is_known_it_says_so(broker: Broker) -> None:
    broker.context.shelf.inventory = shelved(failing=["vastai", "tensordock", "sandbox"])
    refused(await broker.client.get(PATH), 500, "sandbox, tensordock, vastai")
    refused(await broker.client.get(PATH, provider="vastai"), 500, "vastai")


async def test_when_some_could_be_asked_what_they_said_is_the_answer(broker: Broker) -> None:
    broker.context.shelf.inventory = shelved(OFFERS[3], failing=["vastai", "sandbox"])
    assert await ids(broker) == ["tensordock-4"]
    assert await ids(broker, gpu_type="H200") == []
    refused(await broker.client.get(PATH, provider="vastai"), 500)


async def test_what_was_said_before_stands_while_nobody_can_be_asked(broker: Broker) -> None:
    broker.context.shelf.inventory = shelved(*OFFERS, failing=["vastai", "tensordock", "sandbox"])
    assert len(await ids(broker)) == 5
    assert await ids(broker, gpu_type="H200") == []


async def test_templates_that_run_on_an_offer(broker: Broker) -> None:
    response = await broker.client.get(f"{PATH}/vastai-12345/compatible-templates")
    assert response.json == {
        "offer_id": "vastai-12345",
        "compatible_templates": [
            {"hash_id": HASH_ID, "name": "Ollama", "image": "vastai/ollama", "recommended_disk_space": 32},
            {"hash_id": "b", "name": "Other", "image": "vastai/ollama", "recommended_disk_space": 32},
        ],
        "count": 2,
        "gpu_type": "RTX 4090",
        "vram_gb": 24,
    }
    none = (await broker.client.get(f"{PATH}/vastai-2/compatible-templates")).json
    assert (none["compatible_templates"], none["count"]) == ([], 0)


async def test_an_offer_of_a_provider_without_templates_has_none_and_says_why(broker: Broker) -> None:
    assert (await broker.client.get(f"{PATH}/tensordock-4/compatible-templates")).json == {
        "offer_id": "tensordock-4",
        "compatible_templates": [],
        "count": 0,
        "provider": "tensordock",
        "note": "tensordock keeps no templates.",
    }


async def test_only_what_can_run_a_template(broker: Broker) -> None:
    assert await ids(broker, template_hash_id=HASH_ID) == ["vastai-12345", "vastai-3"]
    assert await ids(broker, template_hash_id=HASH_ID, gpu_type="A100") == ["vastai-3"]
    assert await ids(broker, template_hash_id=HASH_ID, provider="tensordock") == []
    asks_more = '{"cuda_max_good": {"gt": 12.9}, "gpu_total_ram": {"gte": 24000}}'
    broker.db.write_now(catalog.refresh_templates, "vastai", [make.template("c", extra_filters=asks_more)])
    broker.context.shelf.inventory = shelved(
        listed(),
        listed("vastai-7", cuda_version=12.9),
        listed("vastai-8", vram_gb=16),
        listed("vastai-9", cuda_version=None),
    )
    assert await ids(broker, template_hash_id="c") == ["vastai-12345"]


async def test_an_unknown_template_is_not_found(broker: Broker) -> None:
    for hash_id in ("c", "x" * 200, "<b>", "\x01"):
        refused(await broker.client.get(PATH, template_hash_id=hash_id), 404, "Template not found")


async def test_without_a_provider_of_templates_none_can_be_asked_for(broker: Broker) -> None:
    client = broker.under(providers={"sandbox": Abilities()})
    response = await client.get(PATH, template_hash_id=HASH_ID)
    assert refused(response, 400, "template_hash_id must be left out")["error"].endswith(f'got "{HASH_ID}"')


async def test_templates_are_listed_and_found(broker: Broker) -> None:
    shown = {
        "id": 338630,
        "hash_id": HASH_ID,
        "name": "Ollama",
        "image": "vastai/ollama",
        "tag": "0.15.4",
        "env": "-p 1111:1111 -p 21434:21434 -e OLLAMA_MODEL=qwen3:14b",
        "onstart": "entrypoint.sh",
        "runtype": "jupyter",
        "use_ssh": True,
        "ssh_direct": True,
        "recommended": True,
        "recommended_disk_space": 32,
        "extra_filters": '{"cpu_arch": {"in": ["arm64", "amd64"]}}',
        "creator_id": 62897,
        "created_at": "2026-02-02T18:27:28Z",
        "count_created": 302,
    }
    assert (await broker.client.get("/api/v1/templates", name="oLLa")).json == {
        "templates": [shown],
        "count": 1,
    }
    assert (await broker.client.get(f"/api/v1/templates/{HASH_ID}")).json == shown
    for query, count in (
        ({}, 2),
        ({"use_ssh": "false"}, 0),
        ({"recommended": "true"}, 2),
        ({"image": "OLLAMA"}, 2),
    ):
        assert (await broker.client.get("/api/v1/templates", **query)).json["count"] == count
    broker.db.write_now(catalog.refresh_templates, "vastai", [make.template("d", args_str="--x")])
    assert (await broker.client.get("/api/v1/templates/d")).json["args_str"] == "--x"


@pytest.mark.parametrize("parameter", ["recommended", "use_ssh"])
async def test_what_is_neither_true_nor_false_is_refused(broker: Broker, parameter: str) -> None:
    response = await broker.client.get("/api/v1/templates", **{parameter: "perhaps"})
    assert refused(response, 400)["error"] == f'{parameter} must be true or false, got "perhaps"'
    refused(await broker.client.get("/api/v1/templates/unknown"), 404, "Template not found")

"""Offers, images and regions over the retail API."""

from typing import Any

import pytest

from berth.base.money import from_usd
from berth.faces.face import Policy
from berth.faces.huddle.catalogue.translate import per_second
from tests import make
from tests.faces.conftest import Shop
from tests.faces.samples import order

H200 = "8H200.141S.176V"
A100 = "1A100.22V"


async def types(shop: Shop, **query: Any) -> list[str]:
    return [offer["instance_type"] for offer in (await shop.client.get("/gpus/available", **query)).data]


async def test_an_offer_has_every_recovered_member(shop: Shop) -> None:
    offer = (await shop.client.get("/gpus/available", gpu_model="h100")).data[0]
    assert offer == {
        "id": f"off_{make.H100}",
        "gpu_model": "H100",
        "instance_type": make.H100,
        "cluster_type": make.H100,
        "gpu_count": 1,
        "gpu_vram_gb": 80,
        "total_vram_gb": 80,
        "vcpu_count": 30,
        "ram_gb": 120,
        "storage_gb": 200,
        "price_per_hr": 1.71,
        "price_per_sec": 0.000475,
        "spot_price_per_hr": None,
        "spot_price_per_sec": None,
        "currency": "USD",
        "is_available": True,
        "regions": ["FIN-01"],
        "region_details": [
            {
                "code": "FIN-01",
                "name": "Finland 1",
                "country_code": "FI",
                "is_available": True,
                "free_units": 3,
                "price_per_hr": 1.71,
                "waitlist_length": 0,
            }
        ],
        "region_availability": {"FIN-01": True},
        "interconnect": None,
        "supported_images": ["cuda-h100", "ubuntu-24.04"],
        "deploy_warning": None,
        "boot_time_sec": None,
        "price_valid_until": None,
        "observed_at": "2026-04-03T10:00:00Z",
        "is_simulated": False,
    }


@pytest.mark.parametrize(("price", "shown"), [("32", "0.00889"), ("1.71", "0.000475"), ("0.965", "0.000268")])
def test_the_price_per_second_is_shown_to_three_digits(price: str, shown: str) -> None:
    assert str(per_second(from_usd(price))) == shown


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({}, [A100, make.H100]),
        ({"available_only": False}, [A100, make.H100, H200]),
        ({"available_only": False, "sort_order": "desc"}, [H200, make.H100, A100]),
        ({"available_only": False, "sort_by": "vram", "sort_order": "desc"}, [H200, A100, make.H100]),
        ({"sort_by": "gpu_model"}, [A100, make.H100]),
        ({"available_only": False, "sort_by": "gpu_count"}, [A100, make.H100, H200]),
        ({"gpu_model": "a100"}, [A100]),
        ({"gpu_model": "B9000"}, []),
        ({"max_price": "1.71"}, [A100, make.H100]),
        ({"max_price": "1.7099999"}, [A100]),
        ({"max_price": 0}, []),
        ({"min_vram": 81, "available_only": False}, [H200]),
        ({"min_vram": "79.5"}, [A100, make.H100]),
        ({"min_gpu_count": 2, "available_only": False}, [H200]),
        ({"gpu_count": 1}, [A100, make.H100]),
        ({"spot": True}, [A100]),
        ({"spot": False}, [make.H100]),
        ({"location": "FIN-03"}, [A100]),
        ({"image": "cuda-h100"}, [make.H100]),
        ({"limit": 1}, [A100]),
        ({"limit": 1, "page": 2}, [make.H100]),
        ({"limit": 1, "page": 3}, []),
        ({"page": 1000000}, []),
    ],
)
async def test_offers_are_filtered_sorted_and_cut(
    shop: Shop, query: dict[str, Any], expected: list[str]
) -> None:
    assert await types(shop, **query) == expected


async def test_a_page_has_six_offers_unless_told_otherwise(shop: Shop) -> None:
    make.catalogue(shop.db, *(make.offer(f"{number}H100") for number in range(9)), provider="more")
    response = await shop.client.get("/gpus/available")
    assert len(response.data) == 6
    assert response.meta["total"] == 11
    assert response.meta["has_more"]


async def test_offers_can_be_walked_by_cursor(shop: Shop) -> None:
    seen: list[str] = []
    query: dict[str, Any] = {"available_only": False, "limit": 1}
    while True:
        response = await shop.client.get("/gpus/available", **query)
        seen += [offer["instance_type"] for offer in response.data]
        if not response.meta["has_more"]:
            break
        query["cursor"] = response.meta["cursor"]
    assert seen == [A100, make.H100, H200]
    assert response.meta == {"total": 3, "cursor": None, "has_more": False}


@pytest.mark.parametrize(
    "other",
    [
        {"available_only": True},
        {"sort_by": "vram"},
        {"sort_order": "desc"},
        {"gpu_model": "H100"},
        {"max_price": 40},
        {"min_vram": 1},
        {"gpu_count": 1},
        {"min_gpu_count": 1},
        {"spot": False},
        {"location": "FIN-01"},
        {"image": "ubuntu-24.04"},
    ],
)
async def test_a_cursor_of_offers_belongs_to_what_was_asked_for(shop: Shop, other: dict[str, Any]) -> None:
    asked = {"available_only": False, "limit": 1}
    cursor = (await shop.client.get("/gpus/available", **asked)).meta["cursor"]
    assert (await shop.client.get("/gpus/available", **asked | {"limit": 2}, cursor=cursor)).status == 200
    answer = await shop.client.get("/gpus/available", **asked | other, cursor=cursor)
    answer.refused(400, "invalid_cursor")


async def test_a_sold_out_type_still_says_where_it_exists(shop: Shop) -> None:
    offer = (await shop.client.get(f"/gpus/available/{H200}")).data
    assert (offer["is_available"], offer["regions"]) == (False, [])
    assert offer["region_availability"] == {"ICE-01": False}
    assert [region["code"] for region in offer["region_details"]] == ["ICE-01"]
    assert offer["total_vram_gb"] == 8 * 141


async def test_list_probe_and_deploy_agree(shop: Shop) -> None:
    for left in (3, 2, 1):
        assert (await shop.client.get(f"/gpus/available/{make.H100}")).data["region_details"][0][
            "free_units"
        ] == left
        assert (await shop.client.get(f"/deployments/availability/{make.H100}")).data["is_available"]
        assert (await shop.client.post("/deployments/clusters", order(shop))).status == 200
    assert await types(shop) == [A100]
    probe = (await shop.client.get(f"/deployments/availability/{make.H100}")).data
    assert probe == {
        "cluster_type": make.H100,
        "is_available": False,
        "regions": [],
        "observed_at": "2026-04-03T10:00:00Z",
    }
    (await shop.client.post("/deployments/clusters", order(shop))).refused(409, "no_capacity")


async def test_the_probe_can_ask_for_one_location(shop: Shop) -> None:
    path = f"/deployments/availability/{make.H100}"
    assert (await shop.client.get(path, location="FIN-01")).data["is_available"] is True
    assert (await shop.client.get(path, location="FIN-03")).data["is_available"] is False


@pytest.mark.parametrize(
    "path",
    [
        "/deployments/availability/9B9000",
        "/gpus/available/9B9000",
        "/images/no-such-image",
        "/regions/MOON-01",
        "/images?cluster_type=9B9000",
        "/regions?cluster_type=9B9000",
        "/gpus/available?image=no-such-image",
        "/regions/a\0b",
        "/images/a\0b",
    ],
)
async def test_what_does_not_exist_is_not_found(shop: Shop, path: str) -> None:
    response = await shop.client.get(path)
    assert response.status == 404
    assert response.json["code"] == "NOT_FOUND"


async def test_the_summary_counts_by_model(shop: Shop) -> None:
    summary = (await shop.client.get("/gpus/available/summary")).data
    assert (summary["total_types"], summary["available_types"], summary["min_price_per_hr"]) == (3, 2, 0.965)
    assert [model["gpu_model"] for model in summary["models"]] == ["A100", "H100", "H200"]
    assert summary["models"][0]["min_spot_price_per_hr"] == 0.4
    assert summary["models"][2] == {
        "gpu_model": "H200",
        "types": 1,
        "available_types": 0,
        "min_price_per_hr": 32,
        "max_price_per_hr": 32,
        "min_spot_price_per_hr": None,
        "regions": [],
        "max_gpu_count": 8,
    }


async def test_images_for_a_type_are_those_that_deploy_on_it(shop: Shop) -> None:
    slugs = [image["image_type"] for image in (await shop.client.get("/images")).data]
    assert sorted(slugs) == ["cuda-h100", "ubuntu-24.04"]
    for cluster_type, location in ((make.H100, "FIN-01"), (A100, "FIN-03")):
        listed = (await shop.client.get("/images", cluster_type=cluster_type)).data
        fitting = {image["image_type"] for image in listed}
        for slug in slugs:
            body = order(shop, cluster_type=cluster_type, location=location, image=slug)
            answer = await shop.client.post("/deployments/clusters", body)
            assert (answer.status == 200) == (slug in fitting)


async def test_images_are_filtered_and_paged(shop: Shop) -> None:
    assert [row["image_type"] for row in (await shop.client.get("/images", image_type="cuda-h100")).data] == [
        "cuda-h100"
    ]
    assert (await shop.client.get("/images", category="windows")).data == []
    first = await shop.client.get("/images", limit=1)
    second = await shop.client.get("/images", limit=1, cursor=first.meta["cursor"])
    assert (first.meta["total"], first.meta["has_more"], second.meta["has_more"]) == (2, True, False)
    assert {first.data[0]["id"], second.data[0]["id"]} == {
        row["id"] for row in (await shop.client.get("/images")).data
    }
    (await shop.client.get("/images", category="ubuntu", cursor=first.meta["cursor"])).refused(
        400, "invalid_cursor"
    )


async def test_an_image_is_found_by_id_and_by_slug(shop: Shop) -> None:
    by_slug = (await shop.client.get("/images/cuda-h100")).data
    assert (await shop.client.get(f"/images/{by_slug['id']}")).data == by_slug
    assert by_slug["compatible"] == {
        "cluster_types": [make.H100],
        "gpu_models": ["H100"],
        "min_driver": None,
    }
    assert by_slug["locations"] == ["FIN-01"]
    assert by_slug["min_os_volume_gb"] == 60


async def test_images_are_filtered_by_where_they_can_be_ordered(shop: Shop) -> None:
    async def at(location: str) -> list[str]:
        return sorted(row["image_type"] for row in (await shop.client.get("/images", location=location)).data)

    assert await at("FIN-01") == ["cuda-h100", "ubuntu-24.04"]
    assert await at("FIN-03") == ["ubuntu-24.04"]
    (await shop.client.get("/images", location="MOON-01")).refused(400, "invalid_field")


async def test_a_deprecated_image_deploys_until_it_is_removed(shop: Shop) -> None:
    now = shop.clock.now()
    old = make.image("old", deprecated_at=now - 1, removed_at=now + 60_000_000, size_gb=7, min_driver="550")
    shop.clock.advance(micros=1)
    make.catalogue(shop.db, make.offer(free=5), images=[make.image(), old])
    assert [row["image_type"] for row in (await shop.client.get("/images")).data] == ["ubuntu-24.04"]
    shown = (await shop.client.get("/images", include_deprecated=True, image_type="old")).data[0]
    assert (shown["deprecated_at"], shown["removed_at"]) == ("2026-04-03T09:59:59Z", "2026-04-03T10:01:00Z")
    assert (shown["size_gb"], shown["arch"], shown["compatible"]["min_driver"]) == (7, "x86_64", "550")
    body = order(shop, image="old")
    assert (await shop.client.post("/deployments/clusters", body)).status == 200
    shop.clock.advance(seconds=60)
    (await shop.client.post("/deployments/clusters", body)).refused(400, "invalid_field")
    assert len((await shop.client.get("/images", include_deprecated=True)).data) == 1
    assert (await shop.client.get("/images/old")).data["locations"] == []


async def test_of_several_defaults_for_one_purpose_the_oldest_is_shown(shop: Shop) -> None:
    make.catalogue(shop.db, make.offer(), images=[make.image("first", is_default=True)])
    shop.clock.advance(seconds=1)
    later = [make.image("second", is_default=True), make.image("other", is_default=True, is_cluster=True)]
    make.catalogue(shop.db, make.offer(name="x"), images=later, provider="more")
    defaults = [row["image_type"] for row in (await shop.client.get("/images")).data if row["is_default"]]
    assert sorted(defaults) == ["first", "other"]


async def test_an_operator_may_tell_of_no_more_than_so_many_free_units(shop: Shop) -> None:
    client = shop.under(policy=Policy(free_units_shown=2))
    offer = (await client.get(f"/gpus/available/{make.H100}")).data
    assert offer["region_details"][0]["free_units"] == 2
    assert offer["is_available"]


async def test_a_pretended_type_says_so(shop: Shop) -> None:
    make.catalogue(shop.db, make.offer("pretended", is_simulated=True), provider="more")
    assert "simulated" in (await shop.client.get("/gpus/available/pretended")).data["deploy_warning"]


async def test_regions_say_what_they_have(shop: Shop) -> None:
    regions = (await shop.client.get("/regions")).data
    assert [region["code"] for region in regions] == ["FIN-01", "FIN-03", "ICE-01"]
    assert regions[0] | {"name": "", "country_code": ""} == {
        "code": "FIN-01",
        "name": "",
        "country_code": "",
        "is_active": True,
        "status": "operational",
        "gpu_models": ["H100"],
        "volume_types": ["NVMe"],
        "available_types": [make.H100],
        "shared_fs": False,
        "maintenance": None,
    }
    assert regions[2]["available_types"] == []
    assert (await shop.client.get("/regions/ICE-01")).data == regions[2]


@pytest.mark.parametrize(
    ("query", "codes"),
    [({"gpu_model": "h200"}, ["ICE-01"]), ({"cluster_type": A100}, ["FIN-03"]), ({"gpu_model": "none"}, [])],
)
async def test_regions_are_filtered(shop: Shop, query: dict[str, str], codes: list[str]) -> None:
    assert [region["code"] for region in (await shop.client.get("/regions", **query)).data] == codes


async def test_a_region_that_nobody_sells_from_is_listed_on_request(shop: Shop) -> None:
    shop.clock.advance(seconds=1)
    make.catalogue(shop.db, make.offer())
    assert [region["code"] for region in (await shop.client.get("/regions")).data] == ["FIN-01"]
    everywhere = (await shop.client.get("/regions", active_only=False)).data
    assert [region["is_active"] for region in everywhere] == [True, False, False]

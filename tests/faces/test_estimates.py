"""Estimates: the figures that would be charged, to the micro-dollar, and nothing changed by asking."""

from decimal import Decimal
from typing import Any

import pytest

from berth.core import billing
from tests import make
from tests.faces.conftest import Shop


async def test_an_estimate_has_every_member(shop: Shop) -> None:
    body = {
        "cluster_type": make.H100,
        "location": "FIN-01",
        "hours": 24,
        "os_volume": {"name": "boot", "size": 60},
        "volumes": [{"name": "data", "type": "NVMe", "size": 100}],
    }
    before = shop.rows()
    response = await shop.client.post("/billing/estimate", body)
    storage = billing.monthly(20_000_000, 86_400)
    assert storage == 657_534
    assert response.exact["data"] == {
        "cluster_type": make.H100,
        "location": "FIN-01",
        "seconds": 86_400,
        "currency": "USD",
        "per_hr": Decimal("1.737397"),
        "per_sec": Decimal("0.000482610350"),
        "minimum_usd": Decimal("0.285"),
        "total_micros": 41_040_000 + storage,
        "total_usd": Decimal("41.697534"),
        "runway_seconds_with_current_balance": 50_000_000 * 3600 // 1_737_397,
        "breakdown": [
            {
                "kind": "compute",
                "name": make.H100,
                "per_hr": Decimal("1.71"),
                "total_micros": 41_040_000,
                "total_usd": Decimal("41.04"),
                "minimum_applied": False,
            },
            {
                "kind": "os_volume",
                "name": "boot",
                "size": 60,
                "per_hr": 0,
                "total_micros": 0,
                "total_usd": 0,
                "included": True,
            },
            {
                "kind": "volume",
                "name": "NVMe",
                "size": 100,
                "per_hr": Decimal("0.027397"),
                "total_micros": storage,
                "total_usd": Decimal("0.657534"),
            },
        ],
    }
    assert shop.rows() == before
    assert shop.pokes == []


@pytest.mark.parametrize(
    ("asked", "seconds", "micros"),
    [
        ({"minutes": 2}, 120, 285_000),
        ({"minutes": 10}, 600, 285_000),
        ({"minutes": 10.01}, 601, 285_475),
        ({"hours": 0.425}, 1530, 726_750),
        ({"hours": 8784}, 31_622_400, 15_020_640_000),
    ],
)
async def test_time_is_charged_by_the_second_and_ten_minutes_at_least(
    shop: Shop, asked: dict[str, Any], seconds: int, micros: int
) -> None:
    made = (await shop.client.post("/billing/estimate", {"cluster_type": make.H100, **asked})).data
    assert (made["seconds"], made["total_micros"]) == (seconds, micros)
    assert made["breakdown"][0]["minimum_applied"] is (seconds < 600)


async def test_what_runs_already_shortens_the_runway(shop: Shop) -> None:
    make.instance(shop.db, by=shop.customer.by)
    made = (await shop.client.post("/billing/estimate", {"cluster_type": make.H100, "hours": 1})).data
    assert made["runway_seconds_with_current_balance"] == 50_000_000 * 3600 // 3_420_000


async def test_the_cheapest_location_is_taken_and_what_is_sold_out_has_a_price_too(shop: Shop) -> None:
    make.catalogue(shop.db, make.offer(price="2"), make.offer(price="1.5", location="FIN-02"))
    made = (await shop.client.post("/billing/estimate", {"cluster_type": make.H100, "hours": 1})).data
    assert (made["location"], made["per_hr"]) == ("FIN-02", 1.5)
    make.catalogue(shop.db, make.offer(price="2", free=0))
    made = (await shop.client.post("/billing/estimate", {"cluster_type": make.H100, "hours": 1})).data
    assert (made["location"], made["per_hr"]) == ("FIN-01", 2)


async def test_what_is_free_lasts_for_ever(shop: Shop) -> None:
    make.catalogue(shop.db, make.offer(price="0"))
    made = (await shop.client.post("/billing/estimate", {"cluster_type": make.H100, "hours": 1})).data
    assert (made["total_usd"], made["runway_seconds_with_current_balance"]) == (0, None)


@pytest.mark.parametrize(
    ("members", "reason", "field"),
    [
        ({"hours": 1, "minutes": 1}, "invalid_field", "hours"),
        ({}, "invalid_field", "hours"),
        ({"hours": 0}, "invalid_field", "hours"),
        ({"minutes": -1}, "invalid_field", "minutes"),
        ({"hours": 8785}, "invalid_field", "hours"),
        ({"hours": "NaN"}, "invalid_field", "hours"),
        ({"hours": 1, "cluster_type": "9X"}, "invalid_field", "cluster_type"),
        ({"hours": 1, "location": "MOON-01"}, "invalid_field", "location"),
        ({"hours": 1, "volumes": [{"type": "Tape", "size": 10}]}, "invalid_field", "type"),
        ({"hours": 1, "volumes": [{"type": "NVMe", "size": 999_999}]}, "invalid_field", "volumes.size"),
        ({"hours": 1, "volumes": [{"type": "NVMe", "size": 0}]}, "invalid_field", "volumes.size"),
        ({"hours": 1, "os_volume": {"size": 513}}, "invalid_field", "os_volume.size"),
        ({"hours": 1, "volumes": [{"size": 10}]}, "missing_field", "volumes.type"),
        ({"hours": 1, "volumes": [{"type": "NVMe", "size": 10}] * 21}, "invalid_field", "volumes"),
    ],
)
async def test_what_cannot_be_priced_is_refused_by_name(
    shop: Shop, members: dict[str, Any], reason: str, field: str
) -> None:
    body = {"cluster_type": make.H100, **members}
    problem = (await shop.client.post("/billing/estimate", body)).refused(400, reason)
    assert problem["details"]["field"] == field


async def test_it_needs_a_body_and_no_idempotency(shop: Shop) -> None:
    (await shop.client.post("/billing/estimate")).refused(400, "missing_field")
    body = {"cluster_type": make.H100, "hours": 1}
    for _ in range(2):
        response = await shop.client.post("/billing/estimate", body, idempotency_key="k")
        assert response.data["total_usd"] == 1.71
        assert "idempotent-replayed" not in response.headers

"""Many at once, and nonsense: nothing is sold twice, and nothing a caller sends is a bug of ours."""

import asyncio
import json
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests import make
from tests.faces.conftest import Shop
from tests.faces.samples import order

PARALLEL = 50
_text = st.text(max_size=20) | st.sampled_from(
    ["FIN-01", make.H100, "ubuntu-24.04", "\0", "boot", "true", "-1"]
)
_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | _text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_text, inner, max_size=3),
    max_leaves=6,
)
_MEMBERS = (
    "cluster_type image hostname ssh_key_ids location description os_volume volumes action name public_key scopes"
    " expires_at expires_in_days"
).split()
_PARAMETERS = (
    "limit page cursor status sort_by sort_order available_only max_price min_vram gpu_model location image spot"
    " cluster_type image_type category active_only after"
).split()
_LISTS = ["/gpus/available", "/images", "/regions", "/deployments", f"/deployments/availability/{make.H100}"]


async def _deploys(shop: Shop) -> list[int]:
    body = order(shop)
    answers = await asyncio.gather(
        *(
            shop.client.post("/deployments/clusters", body, idempotency_key=f"run-{number}")
            for number in range(PARALLEL)
        )
    )
    return sorted(answer.status for answer in answers)


async def test_of_fifty_at_once_three_units_are_sold_three_times(shop: Shop) -> None:
    make.topup(shop.db, shop.customer.by, "1000")
    assert await _deploys(shop) == [200] * 3 + [409] * (PARALLEL - 3)
    assert (await shop.client.get("/deployments")).meta["total"] == 3


async def test_of_fifty_at_once_exactly_twenty_dollars_let_in_one(shop: Shop) -> None:
    make.catalogue(shop.db, make.offer(free=100))
    make.topup(shop.db, shop.customer.by, "-30")
    assert await _deploys(shop) == [200] + [402] * (PARALLEL - 1)
    balance = (await shop.client.get("/billing/balance")).data
    assert (balance["balance_micros"], balance["held_micros"]) == (20_000_000, 285_000)


@pytest.mark.slow
@settings(max_examples=60)
@given(
    body=st.dictionaries(st.sampled_from(_MEMBERS) | _text, _json, max_size=6),
    path=st.sampled_from(["/deployments/clusters", "/ssh-keys", "/api-keys", "/deployments/dep_1/actions"]),
)
@example(body={"name": "x" * 120, "scopes": ["*"] * 1000}, path="/api-keys")
@example(body={"expires_at": "9999-12-31T23:59:59-23:59"}, path="/api-keys")
@example(body={"expires_at": "0001-01-01T00:00:00+23:59"}, path="/api-keys")
def test_no_body_is_a_bug(shop: Shop, body: dict[str, Any], path: str) -> None:
    overlay = order(shop, ssh_key_ids=["k"]) if path.endswith("clusters") else {}
    answer = asyncio.run(shop.client.post(path, json.dumps(overlay | body)))
    assert answer.status < 500, answer.content


@pytest.mark.slow
@settings(max_examples=100)
@given(
    query=st.dictionaries(st.sampled_from(_PARAMETERS), _text | st.integers().map(str), max_size=4),
    path=st.sampled_from(_LISTS),
)
def test_no_query_is_a_bug(shop: Shop, query: dict[str, str], path: str) -> None:
    answer = asyncio.run(shop.client.get(path, **query))
    assert answer.status in {200, 400, 404}, answer.content


@pytest.mark.slow
@settings(max_examples=60)
@given(
    headers=st.dictionaries(
        st.sampled_from(
            ["authorization", "idempotency-key", "content-type", "content-length", "x-request-id"]
        ),
        st.text(st.characters(max_codepoint=255), max_size=30),
    ),
    body=st.binary(max_size=60),
)
def test_no_header_is_a_bug(shop: Shop, headers: dict[str, str], body: bytes) -> None:
    answer = asyncio.run(
        shop.client.call(
            "POST", "/ssh-keys", body=body, headers={"x-api-key": shop.customer.api_key} | headers
        )
    )
    assert 400 <= answer.status < 500, answer.content

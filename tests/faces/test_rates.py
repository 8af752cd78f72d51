"""How often an account may ask, and what every answer says about it."""

import asyncio

import pytest

from berth.base.clock import Instant
from berth.core import projects
from berth.faces.face import Quotas, Rates
from tests import make
from tests.faces.conftest import Client, Response, Shop
from tests.faces.samples import order

SMALL = Quotas(account=20, route=5, listing=8, deploy=2)


def limited(shop: Shop, quotas: Quotas = SMALL) -> Client:
    return shop.under(rates=Rates(quotas, shop.clock, shop.db))


def refused(response: Response, seconds: int) -> None:
    problem = response.refused(429, "rate_limited")
    assert problem["code"] == "RATE_LIMITED"
    assert response.headers["retry-after"] == str(seconds)


@pytest.mark.parametrize(
    ("path", "quota"), [("/billing/balance", 5), ("/regions", 8), ("/regions/FIN-01", 5)]
)
async def test_a_route_takes_so_many_a_minute(shop: Shop, path: str, quota: int) -> None:
    client = limited(shop)
    shop.clock.advance(seconds=18.5)
    for left in reversed(range(quota)):
        response = await client.get(path)
        assert response.status == 200
        assert response.headers["ratelimit-policy"] == f'"account";q=20;w=60, "route";q={quota};w=60'
        used = quota - left
        assert response.headers["ratelimit"] == f'"account";r={20 - used};t=42, "route";r={left};t=42'
    response = await client.get(path)
    refused(response, 42)
    assert response.headers["ratelimit"].endswith('"route";r=0;t=42')
    shop.clock.advance(seconds=41)
    refused(await client.get(path), 1)
    shop.clock.advance(seconds=0.5)
    assert (await client.get(path)).status == 200


async def test_templates_are_counted_and_not_the_ids_in_them(shop: Shop) -> None:
    client = limited(shop)
    for place in ("FIN-01", "FIN-02", "FIN-03", "ICE-01", "MOON-01"):
        await client.get(f"/regions/{place}")
    refused(await client.get("/regions/FIN-01"), 60)
    assert (await client.get("/billing/balance")).status == 200


async def test_an_account_takes_so_many_over_all_routes(shop: Shop) -> None:
    client = limited(shop)
    paths = ["/regions", "/images", "/deployments", "/ssh-keys"]
    for number in range(20):
        assert (await client.get(paths[number % 4])).status == 200
    refused(await client.get("/api-keys"), 60)
    _, secret = make.key(shop.db, shop.customer.by)
    refused(await client.with_key(secret).get("/api-keys"), 60)
    stranger, _ = shop.stranger()
    assert (await client.with_key(stranger.api_key).get("/api-keys")).status == 200


async def test_deploys_have_a_limit_of_their_own_and_replays_count(shop: Shop) -> None:
    client = limited(shop)
    body = order(shop)
    for _ in range(2):
        assert (await client.post("/deployments/clusters", body, idempotency_key="k")).status == 200
    refused(await client.post("/deployments/clusters", body, idempotency_key="k"), 60)
    refused(await client.post("/deployments/clusters", {"nonsense": 1}), 60)


async def test_both_mounts_count_together_and_a_head_is_a_get(shop: Shop) -> None:
    rates = Rates(SMALL, shop.clock, shop.db)
    client = shop.under(rates=rates)
    nested = Client(client.app, client.key, "/hudl/api/v1")
    for number in range(5):
        assert (await (client if number % 2 else nested).call("HEAD", "/billing/balance")).status == 200
    refused(await nested.get("/billing/balance"), 60)


async def test_every_answer_to_somebody_known_says_where_they_stand(shop: Shop) -> None:
    client = limited(shop)
    _, secret = make.key(shop.db, shop.customer.by, scopes=["catalog:read"])
    for response, status in (
        (await client.with_key(secret).get("/billing/balance"), 403),
        (await client.get("/images", limit=0), 400),
        (await client.get("/regions/MOON-01"), 404),
        (await client.post("/ssh-keys", "{"), 400),
    ):
        assert response.status == status
        assert '"route";r=' in response.headers["ratelimit"]
    for response, status in (
        (await client.with_key(None).get("/images"), 401),
        (await client.with_key("mk_x").get("/images"), 401),
        (await client.get("/nothing"), 404),
        (await client.call("GET", "/openapi.json"), 200),
    ):
        assert response.status == status
        assert "ratelimit" not in response.headers


async def test_who_may_not_is_told_so_and_costs_nobody_anything(shop: Shop) -> None:
    client = limited(shop)
    _, secret = make.key(shop.db, shop.customer.by, scopes=["catalog:read"])
    for _ in range(10):
        (await client.with_key(secret).get("/billing/balance")).refused(403, "missing_scope")
    assert (await client.get("/billing/balance")).status == 200


async def test_what_was_refused_is_not_counted(shop: Shop) -> None:
    client = limited(shop)
    for _ in range(30):
        await client.get("/billing/balance")
    assert '"account";r=15' in (await client.get("/billing/balance")).headers["ratelimit"]


async def test_without_limits_nothing_is_said_and_nobody_is_held_back(shop: Shop) -> None:
    answers = [await shop.client.get("/billing/balance") for _ in range(70)]
    assert {response.status for response in answers} == {200}
    response = answers[-1]
    assert "ratelimit" not in response.headers
    assert "ratelimit-policy" not in response.headers


@pytest.mark.parametrize("engine", ["postgresql"])
async def test_replicas_together_exceed_a_limit_by_a_tenth_each_at_most(shop: Shop, engine: str) -> None:
    quotas = Quotas(account=500, route=60)
    replicas = [limited(shop, quotas) for _ in range(3)]
    let_in = 0
    for _ in range(40):
        answers = await asyncio.gather(*(replica.get("/billing/balance") for replica in replicas))
        let_in += sum(answer.status == 200 for answer in answers)
    assert 60 <= let_in <= 60 + 2 * 6


@pytest.mark.parametrize("engine", ["postgresql"])
async def test_a_replica_knows_what_the_others_let_in_once_they_told(shop: Shop, engine: str) -> None:
    first, second = (Rates(SMALL, shop.clock, shop.db) for _ in range(2))
    for _ in range(5):
        assert (await shop.under(rates=first).get("/billing/balance")).status == 200
    await first.settle()
    client = shop.under(rates=second)
    assert (await client.get("/billing/balance")).status == 200  # its first: nobody has told it anything
    refused(await client.get("/billing/balance"), 60)
    await second.settle()
    shop.clock.advance(seconds=60)
    assert (await client.get("/billing/balance")).status == 200
    await second.settle()
    window = Instant(shop.clock.now() // 60_000_000 * 60_000_000)
    assert shop.db.write_now(projects.forget_requests, window) == 2
    assert shop.db.read_now(lambda tx: tx.all("SELECT count FROM request_counts ORDER BY count")) == [
        (1,),
        (1,),
    ]

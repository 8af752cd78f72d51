"""One key, one request, one answer: whatever is repeated, and whatever has changed since."""

import asyncio
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

import pytest

from berth.core import catalog, idempotency, instances
from berth.faces.face import Policy
from berth.faces.face.replays import fingerprint
from tests import make
from tests.faces.conftest import Response, Shop
from tests.faces.samples import order

DEPLOY = "/deployments/clusters"


async def deploy(shop: Shop, body: Mapping[str, Any], key: str = "run-1") -> Response:
    return await shop.client.post(DEPLOY, body, idempotency_key=key)


def deployments(shop: Shop) -> int:
    return shop.db.read_now(instances.list_page, shop.customer.by, status=None, after=None, limit=1).total


def test_the_fingerprint_is_the_one_that_is_written_down() -> None:
    body = {
        "location": "FIN-01",
        "cluster_type": "1A100.22V",
        "image": "img",
        "hostname": "h",
        "ssh_key_ids": ["k"],
    }
    expected = "ac7b1ee204c945626c0795f2d14051d2c5b4c50925534fa34df1f2507cab2440"
    assert fingerprint("POST", DEPLOY, body, []) == expected
    assert fingerprint("POST", DEPLOY, body | {"description": None}, []) != expected
    assert fingerprint("POST", DEPLOY, body, [("a", "1")]) != expected
    assert fingerprint("POST", DEPLOY, body, [("b", "1"), ("a", "2")]) == fingerprint(
        "POST", DEPLOY, body, [("a", "2"), ("b", "1")]
    )


async def test_a_repeated_deploy_gets_the_first_answer_and_makes_nothing(shop: Shop) -> None:
    body = order(shop)
    first = await deploy(shop, body)
    assert "idempotent-replayed" not in first.headers
    assert shop.pokes == ["provisioning"]
    again = await deploy(shop, body)
    assert again.headers["idempotent-replayed"] == "true"
    assert (again.status, again.content) == (200, first.content)
    assert deployments(shop) == 1
    assert shop.pokes == ["provisioning"]


async def test_the_order_of_members_and_blanks_do_not_matter(shop: Shop) -> None:
    body = order(shop)
    first = await deploy(shop, body)
    turned = "{ " + ", ".join(f'"{name}" : {_json(value)}' for name, value in reversed(body.items())) + " }\n"
    again = await shop.client.post(DEPLOY, turned, idempotency_key='"run-1"')
    assert again.content == first.content


async def test_another_body_or_route_under_the_key_is_refused(shop: Shop) -> None:
    body = order(shop)
    first = (await deploy(shop, body)).data
    problem = (await deploy(shop, body | {"hostname": "other"})).refused(409, "idempotency_key_reused")
    assert problem["code"] == "CONFLICT"
    (await deploy(shop, body | {"unknown": 1})).refused(409, "idempotency_key_reused")
    (await deploy(shop, {"hostname": 1})).refused(409, "idempotency_key_reused")
    path = f"/deployments/{first['id']}"
    (await shop.client.delete(path, idempotency_key="run-1")).refused(409, "idempotency_key_reused")
    assert deployments(shop) == 1


async def test_two_at_once_make_one(shop: Shop) -> None:
    body = order(shop)
    answers = await asyncio.gather(*(deploy(shop, body) for _ in range(8)))
    done = [answer for answer in answers if answer.status == 200]
    refused = [answer for answer in answers if answer.status != 200]
    assert done
    assert len({answer.data["id"] for answer in done}) == 1
    for answer in refused:
        answer.refused(409, "idempotency_in_flight")
        assert answer.headers["retry-after"] == "1"
    assert deployments(shop) == 1
    assert (await deploy(shop, body)).content == done[0].content


async def test_two_processes_at_once_make_one(shop: Shop) -> None:
    """The second one knows nothing of what the first has in hand: the row in the database decides."""
    body = order(shop)
    other = shop.replica()
    answers = await asyncio.gather(deploy(shop, body), other.post(DEPLOY, body, idempotency_key="run-1"))
    assert sorted({answer.status for answer in answers}) in ([200], [200, 409])
    assert deployments(shop) == 1


async def test_a_refusal_is_not_kept(shop: Shop) -> None:
    make.topup(shop.db, shop.customer.by, "-40")
    body = order(shop)
    (await deploy(shop, body)).refused(402, "below_minimum")
    make.topup(shop.db, shop.customer.by, "40")
    assert (await deploy(shop, body)).status == 200


async def test_a_replay_needs_neither_balance_nor_capacity_nor_a_body_that_would_do_now(shop: Shop) -> None:
    body = order(shop)
    first = await deploy(shop, body)
    make.topup(shop.db, shop.customer.by, "-49")
    make.catalogue(shop.db, make.offer(free=0))
    key_id = str(body["ssh_key_ids"][0])
    await shop.client.delete(f"/ssh-keys/{key_id}")
    assert (await deploy(shop, body)).content == first.content


async def test_a_replay_outlives_what_it_made(shop: Shop) -> None:
    body = order(shop)
    first = await deploy(shop, body)
    path = f"/deployments/{first.data['id']}"
    deleted = await shop.client.delete(path, idempotency_key="end-1")
    assert deleted.data["status"] == "deleting"
    again = await shop.client.delete(path, idempotency_key="end-1")
    assert again.content == deleted.content
    assert again.headers["idempotent-replayed"] == "true"
    assert (await deploy(shop, body)).data["status"] == "ordered"


async def test_the_key_works_on_actions_and_on_deleting_keys(shop: Shop) -> None:
    made = make.instance(shop.db, by=shop.customer.by)
    path = f"/deployments/dep_{made.id}/actions"
    first = await shop.client.post(path, {"action": "stop"}, idempotency_key="stop-1")
    assert (
        await shop.client.post(path, {"action": "stop"}, idempotency_key="stop-1")
    ).content == first.content
    key = make.ssh_key(shop.db, shop.customer.by, "another")
    for _ in range(2):
        assert (await shop.client.delete(f"/ssh-keys/sk_{key.id}", idempotency_key="gone-1")).status == 200
    (await shop.client.delete(f"/ssh-keys/sk_{key.id}")).refused(404, "ssh_key_not_found")


async def test_after_a_day_the_key_is_free_again(shop: Shop) -> None:
    body = {"name": "laptop", "public_key": make.public_key()}
    first = (await shop.client.post("/ssh-keys", body, idempotency_key="k")).data
    await shop.client.delete(f"/ssh-keys/{first['id']}")
    shop.clock.advance(seconds=24 * 3600 - 1)
    assert (await shop.client.post("/ssh-keys", body, idempotency_key="k")).data["id"] == first["id"]
    shop.clock.advance(seconds=1)
    assert (await shop.client.post("/ssh-keys", body, idempotency_key="k")).data["id"] != first["id"]


async def test_the_operator_says_how_long_a_key_is_kept(shop: Shop) -> None:
    client = shop.under(policy=Policy(idempotency_retention_s=3600))
    body = {"name": "laptop", "public_key": make.public_key()}
    first = await client.post("/ssh-keys", body, idempotency_key="k")
    shop.clock.advance(seconds=3599)
    assert (await client.post("/ssh-keys", body, idempotency_key="k")).content == first.content
    shop.clock.advance(seconds=1)
    (await client.post("/ssh-keys", body, idempotency_key="k")).refused(409, "duplicate")


async def test_the_key_of_a_deploy_is_kept_as_long_as_its_deployment_is_there(shop: Shop) -> None:
    body = order(shop)
    first = (await deploy(shop, body)).data
    path = f"/deployments/{first['id']}"
    shop.clock.advance(seconds=40 * 24 * 3600)
    shop.db.write_now(idempotency.forget_expired)
    assert (await deploy(shop, body)).data["id"] == first["id"]
    ended = await shop.client.delete(path, idempotency_key="end-1")
    shop.clock.advance(seconds=2 * 24 * 3600)
    assert (await deploy(shop, body)).data["id"] == first["id"]
    assert (await shop.client.delete(path, idempotency_key="end-1")).content == ended.content
    made = shop.db.read_now(instances.get, shop.customer.by, first["id"].removeprefix("dep_"))
    make.seen(shop.db, made, instances.gone, make.RULES)
    again = await shop.client.delete(path, idempotency_key="end-1")
    assert again.data["status"] == "deleted"
    assert "idempotent-replayed" not in again.headers
    assert (await deploy(shop, body)).data["id"] != first["id"]
    shop.db.write_now(idempotency.forget_expired)


async def test_a_rotated_api_key_gets_the_answers_of_the_one_before(shop: Shop) -> None:
    body = order(shop)
    first = await deploy(shop, body)
    rotated = (await shop.client.post(f"/api-keys/{shop.customer.by.key_id}/rotate", {})).data
    client = shop.client.with_key(rotated["secret"])
    again = await client.post(DEPLOY, body, idempotency_key="run-1")
    assert again.content == first.content
    assert again.headers["idempotent-replayed"] == "true"
    (await client.post(DEPLOY, body | {"hostname": "b"}, idempotency_key="run-1")).refused(
        409, "idempotency_key_reused"
    )


async def test_a_body_of_nothing_is_no_body(shop: Shop) -> None:
    assert fingerprint("DELETE", "/x", None, []) == sha256(b"DELETE\n/x\n").hexdigest()
    path = f"/api-keys/ak_{make.key(shop.db, shop.customer.by)[0].id}/rotate"
    first = await shop.client.post(path, b"", idempotency_key="r")
    assert first.status == 200
    (await shop.client.post(path, {"overlap_seconds": 5}, idempotency_key="r")).refused(
        409, "idempotency_key_reused"
    )


async def test_two_api_keys_may_use_the_same_string(shop: Shop) -> None:
    body = order(shop)
    first = (await deploy(shop, body)).data
    _, secret = make.key(shop.db, shop.customer.by)
    other = await shop.client.with_key(secret).post(DEPLOY, body, idempotency_key="run-1")
    assert other.data["id"] != first["id"]
    stranger, theirs = shop.stranger()
    mine = body | {"ssh_key_ids": [make.ssh_key(shop.db, stranger.by).id]}
    assert (await theirs.post(DEPLOY, mine, idempotency_key="run-1")).status == 200


async def test_a_get_ignores_the_key(shop: Shop) -> None:
    for path in ("/regions", "/deployments"):
        response = await shop.client.call("GET", path, headers={"idempotency-key": " bad key "})
        assert response.status == 200


@pytest.mark.parametrize("key", ["", '""', "x" * 256, "a b", "é", "a\tb"])
async def test_a_malformed_key_is_refused(shop: Shop, key: str) -> None:
    problem = (await deploy(shop, order(shop), key)).refused(400, "invalid_field")
    assert problem["details"]["field"] == "Idempotency-Key"
    assert deployments(shop) == 0


@pytest.mark.parametrize("key", ["x" * 255, '"' + "x" * 255 + '"', "!#~", '"'])
async def test_every_visible_key_works(shop: Shop, key: str) -> None:
    assert (await deploy(shop, order(shop), key)).status == 200


async def test_the_secret_of_a_new_key_is_not_replayed(shop: Shop) -> None:
    first = (await shop.client.post("/api-keys", {"name": "ci"}, idempotency_key="key-1")).data
    assert first["secret"].startswith("mk_")
    assert "secret_redacted" not in first
    again = await shop.client.post("/api-keys", {"name": "ci"}, idempotency_key="key-1")
    assert again.data == first | {"secret": None, "secret_redacted": True}
    assert first["secret"] not in again.content.decode()
    assert len((await shop.client.get("/api-keys")).data) == 2


async def test_a_key_is_free_after_a_crash(shop: Shop) -> None:
    """What never committed left nothing behind, in memory neither."""
    body = order(shop, hostname="")
    for _ in range(2):
        (await deploy(shop, body)).refused(400, "invalid_field")
    assert not shop.context.in_flight


def _json(value: Any) -> str:
    return str(value).replace("'", '"') if isinstance(value, list) else f'"{value}"'


async def test_of_one_request_at_two_replicas_at_once_neither_is_refused_for_what_the_other_took(
    shop: Shop,
) -> None:
    """Its credit covers one deployment: the second to come must not be told that credit is lacking."""
    for number in range(8):
        customer = make.project(shop.db, credit="20")
        key = make.ssh_key(shop.db, customer.by)
        body = order(shop) | {"ssh_key_ids": [f"sk_{key.id}"]}
        clients = [client.with_key(customer.api_key) for client in (shop.client, shop.replica())]
        answers = await asyncio.gather(
            *(client.post(DEPLOY, body, idempotency_key=f"run-{number}") for client in clients)
        )
        assert {answer.status for answer in answers} == {200}
        assert len({answer.data["id"] for answer in answers}) == 1
        made = str(answers[0].data["id"])
        assert (await clients[0].delete(f"/deployments/{made}")).status == 200
        shop.db.write_now(catalog.release, made.removeprefix("dep_"))

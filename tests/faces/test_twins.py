"""Deploys that their sender repeats without knowing: by a fresh key for each attempt, or none at all."""

import asyncio

import pytest

from berth.core import events, instances
from berth.core.events import Event
from tests import make
from tests.faces.conftest import Response, Shop
from tests.faces.samples import order

DEPLOY = "/deployments/clusters"


async def deploy(shop: Shop, key: str | None = None, **members: object) -> Response:
    body = order(shop, **members)
    return await shop.client.post(DEPLOY, body, **({} if key is None else {"idempotency_key": key}))


def happened(shop: Shop, deployment_id: str) -> list[Event]:
    return shop.db.read_now(events.list_for, shop.customer.by, deployment_id.removeprefix("dep_"))


async def test_a_hostname_may_be_used_twice_unless_the_account_says_otherwise(shop: Shop) -> None:
    assert (await shop.client.get("/account/settings")).data == {"unique_active_hostname": False}
    first = (await deploy(shop)).data
    assert (await deploy(shop)).status == 200
    changed = await shop.client.put("/account/settings", {"unique_active_hostname": True})
    assert changed.data == {"unique_active_hostname": True}
    assert (await shop.client.put("/account/settings", {})).data == changed.data
    problem = (await deploy(shop)).refused(409, "duplicate")
    assert problem["details"]["existing_id"].startswith("dep_")
    assert problem["details"]["field"] == "hostname"
    assert (await deploy(shop, hostname="other")).status == 200
    await shop.client.delete(f"/deployments/{first['id']}")
    (await deploy(shop)).refused(409, "duplicate")
    await shop.client.put("/account/settings", {"unique_active_hostname": False})


@pytest.mark.parametrize(
    ("status", "is_taken"),
    [
        ("ordered", True),
        ("provisioning", True),
        ("running", True),
        ("offline", True),
        ("error", False),
        ("failed_no_capacity", False),
        ("deleting", False),
        ("deleted", False),
    ],
)
async def test_only_an_active_deployment_takes_its_hostname(shop: Shop, status: str, is_taken: bool) -> None:
    await shop.client.put("/account/settings", {"unique_active_hostname": True})
    made = make.instance(shop.db, status, shop.customer.by, hostname="taken")
    shop.clock.advance(seconds=61)  # until an offer that turned out empty is sold from again
    response = await deploy(shop, hostname="taken")
    if is_taken:
        assert response.refused(409, "duplicate")["details"]["existing_id"] == f"dep_{made.id}"
    else:
        assert response.status == 200


async def test_another_accounts_hostnames_are_its_own(shop: Shop) -> None:
    stranger, _ = shop.stranger()
    make.instance(shop.db, by=stranger.by, hostname="taken")
    await shop.client.put("/account/settings", {"unique_active_hostname": True})
    assert (await deploy(shop, hostname="taken")).status == 200


async def test_of_many_at_once_one_gets_the_hostname(shop: Shop) -> None:
    await shop.client.put("/account/settings", {"unique_active_hostname": True})
    body = order(shop)
    clients = [shop.client, shop.replica(), shop.replica()]
    answers = await asyncio.gather(*(clients[number % 3].post(DEPLOY, body) for number in range(9)))
    assert sorted(answer.status for answer in answers) == [200] + [409] * 8
    assert (
        shop.db.read_now(instances.list_page, shop.customer.by, status=None, after=None, limit=9).total == 1
    )


async def test_a_replay_is_no_duplicate(shop: Shop) -> None:
    await shop.client.put("/account/settings", {"unique_active_hostname": True})
    body = order(shop)
    first = await shop.client.post(DEPLOY, body, idempotency_key="k")
    assert (await shop.client.post(DEPLOY, body, idempotency_key="k")).content == first.content


async def test_a_key_that_only_deploys_does_not_lift_its_own_guard(shop: Shop) -> None:
    _, secret = make.key(shop.db, shop.customer.by, scopes=["deployments:write", "billing:write"])
    client = shop.client.with_key(secret)
    (await client.put("/account/settings", {"unique_active_hostname": False})).refused(403, "missing_scope")
    await shop.client.put("/account/settings", {"unique_active_hostname": True})
    changed = shop.db.read_now(events.list_for, shop.customer.by, shop.customer.id)
    assert (changed[-1].type, changed[-1].data) == (
        "project.settings_changed",
        {"unique_active_hostname": True},
    )


@pytest.mark.parametrize("body", [{"unique_active_hostname": "yes"}, {"unique_active_hostname": None}])
async def test_wrong_settings_are_refused(shop: Shop, body: dict[str, object]) -> None:
    (await shop.client.put("/account/settings", body)).refused(400, "invalid_field")


async def test_the_same_deploy_under_two_minted_keys_is_warned_of(shop: Shop) -> None:
    body = order(shop)
    first = (await shop.client.post(DEPLOY, body, idempotency_key="hudl_aaaaaaaaaaaa")).data
    shop.clock.advance(seconds=59)
    second = (await shop.client.post(DEPLOY, body, idempotency_key="hudl_bbbbbbbbbbbb")).data
    assert second["id"] != first["id"]
    warning = happened(shop, second["id"])[-1]
    assert (warning.type, warning.sequence) == ("instance.possible_duplicate", 2)
    assert warning.data["twin_instance_id"] == first["id"].removeprefix("dep_")
    assert [event.type for event in happened(shop, first["id"])] == ["instance.ordered"]
    listed = (await shop.client.get(f"/deployments/{second['id']}/events")).data
    assert listed[-1]["type"] == "deployment.possible_duplicate"
    made = make.provisioned(
        shop.db, shop.db.read_now(instances.get, shop.customer.by, second["id"].removeprefix("dep_"))
    )
    assert [event.sequence for event in happened(shop, f"dep_{made.id}")] == [1, 2, 3]


@pytest.mark.parametrize(
    ("keys", "seconds", "hostname"),
    [
        (("hudl_a", "hudl_b"), 61, "same"),
        (("hudl_a", "hudl_b"), 1, "other"),
        (("mine-a", "mine-b"), 1, "same"),
        (("hudl_a", "mine-b"), 1, "same"),
        (("mine-a", "hudl_b"), 1, "same"),
        (("hudl_a", None), 1, "same"),
    ],
)
async def test_nothing_else_is_warned_of(
    shop: Shop, keys: tuple[str, str | None], seconds: int, hostname: str
) -> None:
    body = order(shop, hostname="same")
    await shop.client.post(DEPLOY, body, idempotency_key=str(keys[0]))
    shop.clock.advance(seconds=seconds)
    headers = {} if keys[1] is None else {"idempotency_key": keys[1]}
    second = (await shop.client.post(DEPLOY, body | {"hostname": hostname}, **headers)).data
    assert [event.type for event in happened(shop, second["id"])] == ["instance.ordered"]


async def test_another_keys_deploys_are_no_twins(shop: Shop) -> None:
    body = order(shop)
    await shop.client.post(DEPLOY, body, idempotency_key="hudl_a")
    _, secret = make.key(shop.db, shop.customer.by)
    other = await shop.client.with_key(secret).post(DEPLOY, body, idempotency_key="hudl_b")
    assert len(happened(shop, other.data["id"])) == 1

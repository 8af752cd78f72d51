"""Deployments over the retail API: what is shown, in which order, and what it costs."""

import base64
import json
from decimal import Decimal

import pytest

from berth.base import paging
from berth.core import instances
from tests import make
from tests.faces.conftest import Shop
from tests.faces.samples import order

DEPLOY = "/deployments/clusters"


async def test_a_deploy_shows_what_was_ordered(shop: Shop) -> None:
    ssh_keys = [make.ssh_key(shop.db, shop.customer.by, name) for name in ("b", "a")]
    ids = [f"sk_{key.id}" for key in reversed(ssh_keys)]
    body = order(
        shop,
        image="cuda-h100",
        ssh_key_ids=ids,
        description="first try",
        os_volume={"name": "disk", "size": 100},
    )
    deployed = (await shop.client.post(DEPLOY, body)).data
    image = (await shop.client.get("/images/cuda-h100")).data
    assert deployed | {"id": ""} == {
        "id": "",
        "provider_id": None,
        "hostname": "my-training-run",
        "cluster_type": make.H100,
        "image": "cuda-h100",
        "image_id": image["id"],
        "os_name": "Ubuntu 24.04",
        "location": "FIN-01",
        "status": "ordered",
        "status_reason": None,
        "status_changed_at": "2026-04-03T10:00:00Z",
        "ssh_user": "root",
        "ssh_key_ids": ids,
        "ip": None,
        "ssh_port": None,
        "ssh_command": None,
        "specs": {
            "gpu_model": "H100",
            "gpu_count": 1,
            "gpu_vram_gb": 80,
            "total_vram_gb": 80,
            "vcpu_count": 30,
            "ram_gb": 120,
            "storage_gb": 200,
            "price_per_hr": 1.71,
            "currency": "USD",
        },
        "volumes": [],
        "os_volume": {"name": "disk", "size": 100},
        "description": "first try",
        "resource_type": "cluster",
        "billing": {
            "started_at": None,
            "price_per_hr": 1.71,
            "charging": False,
            "charging_reason": None,
        },
        "actions": ["delete"],
        "pending_action": None,
        "auto_delete": None,
        "expires_at": None,
        "ip_may_change": False,
        "is_simulated": False,
        "created_at": "2026-04-03T10:00:00Z",
        "updated_at": "2026-04-03T10:00:00Z",
    }
    assert deployed["id"].startswith("dep_")


async def test_an_image_may_be_named_by_its_id(shop: Shop) -> None:
    image_id = (await shop.client.get("/images/ubuntu-24.04")).data["id"]
    deployed = (await shop.client.post(DEPLOY, order(shop, image=image_id))).data
    assert (deployed["image"], deployed["image_id"]) == (image_id, image_id)


@pytest.mark.parametrize("size", [10, 50, 512, None])
async def test_the_boot_disk_is_fifty_gigabytes_unless_told_otherwise(shop: Shop, size: int | None) -> None:
    body = order(shop, os_volume=None if size is None else {"size": size})
    assert (await shop.client.post(DEPLOY, body)).data["os_volume"] == {"name": "boot", "size": size or 50}


@pytest.mark.parametrize("hostname", ["a", "x" * 255, "тест"])
async def test_hostnames_from_1_to_255_characters(shop: Shop, hostname: str) -> None:
    assert (await shop.client.post(DEPLOY, order(shop, hostname=hostname))).data["hostname"] == hostname


async def test_what_runs_says_how_to_log_in(shop: Shop) -> None:
    made = make.instance(shop.db, by=shop.customer.by)
    shown = (await shop.client.get(f"/deployments/{made.id}")).data
    assert shown["provider_id"] == made.handle
    assert (shown["ip"], shown["ssh_port"], shown["ssh_user"]) == ("192.0.2.7", 22, "root")
    assert shown["ssh_command"] == "ssh -p 22 root@192.0.2.7"
    assert shown["actions"] == ["stop", "restart", "delete"]


async def test_the_price_is_exact_to_the_micro_dollar(shop: Shop) -> None:
    made = make.instance(shop.db, by=shop.customer.by)
    shop.clock.advance(seconds=601)
    response = await shop.client.get(f"/deployments/dep_{made.id}")
    billing = response.exact["data"]["billing"]
    assert billing == {
        "started_at": "2026-04-03T10:00:00Z",
        "price_per_hr": Decimal("1.71"),
        "billed_seconds": 601,
        "charged_usd": 0,
        "accrued_usd": Decimal("0.285475"),
        "total_usd": Decimal("0.285475"),
        "charging": True,
        "charging_reason": None,
    }


async def test_deleting_shows_the_final_bill(shop: Shop) -> None:
    made = make.instance(shop.db, by=shop.customer.by)
    shop.clock.advance(seconds=120)
    deleted = (await shop.client.delete(f"/deployments/dep_{made.id}")).data
    assert (deleted["status"], deleted["actions"], deleted["pending_action"]) == ("deleting", [], "delete")
    assert deleted["billing"]["total_usd"] == 0.285
    bill = (await shop.client.get(f"/deployments/dep_{made.id}/billing")).data
    assert (bill["gpu_seconds"], bill["billed_seconds"], bill["minimum_applied"]) == (120, 600, True)
    assert (bill["total_micros"], bill["accrued_micros"], bill["charging"]) == (285_000, 0, False)
    assert [(row["type"], row["amount_micros"]) for row in bill["charges"]] == [
        ("usage", -57_000),
        ("minimum", -228_000),
    ]
    balance = (await shop.client.get("/billing/balance")).data
    assert balance["balance_micros"] == 49_715_000
    assert (balance["balance_cents"], balance["balance_usd"]) == (4972, 49.72)


async def test_the_balance_is_live(shop: Shop) -> None:
    make.instance(shop.db, by=shop.customer.by)
    shop.clock.advance(seconds=100)
    assert (await shop.client.get("/billing/balance")).data == {
        "balance_cents": 5000,
        "balance_usd": 50,
        "currency": "USD",
        "balance_micros": 50_000_000,
        "accrued_micros": 47_500,
        "held_micros": 285_000,
        "effective_usd": 49.95,
        "burn_rate_per_hr": 1.71,
        "runway_seconds": 105_163,
        "state": "active",
        "can_deploy": True,
        "minimum_deploy_usd": 20,
        "depleted_at": None,
        "stops_at": None,
    }


@pytest.mark.parametrize(("change", "state"), [("-30", "active"), ("-30.000001", "low"), ("-50", "depleted")])
async def test_the_balance_says_what_it_allows(shop: Shop, change: str, state: str) -> None:
    make.topup(shop.db, shop.customer.by, change)
    balance = (await shop.client.get("/billing/balance")).data
    assert (balance["state"], balance["can_deploy"]) == (state, state == "active")
    assert balance["runway_seconds"] is None


async def test_actions_say_what_is_under_way(shop: Shop) -> None:
    made = make.instance(shop.db, by=shop.customer.by)
    path = f"/deployments/dep_{made.id}/actions"
    stopping = (await shop.client.post(path, {"action": "stop"})).data
    assert (stopping["status"], stopping["pending_action"], stopping["actions"]) == (
        "running",
        "stop",
        ["delete"],
    )
    assert (await shop.client.post(path, {"action": "stop"})).data["pending_action"] == "stop"
    (await shop.client.post(path, {"action": "restart"})).refused(409, "invalid_state")
    make.seen(shop.db, made, instances.stopped, releases_hardware=True)
    starting = (await shop.client.post(path, {"action": "start"})).data
    assert (starting["status"], starting["pending_action"]) == ("offline", "start")
    assert (await shop.client.post(path, {"action": "delete"})).data["status"] == "deleting"
    assert (await shop.client.delete(f"/deployments/dep_{made.id}")).data["status"] == "deleting"


@pytest.mark.parametrize("word", ["restart", "reboot"])
async def test_reboot_is_another_word_for_restart(shop: Shop, word: str) -> None:
    made = make.instance(shop.db, by=shop.customer.by)
    shown = (await shop.client.post(f"/deployments/{made.id}/actions", {"action": word})).data
    assert shown["pending_action"] == "restart"


async def test_lists_show_changes_at_once(shop: Shop) -> None:
    made = make.ordered(shop.db, shop.customer.by)

    async def shown() -> tuple[str, str | None, str | None]:
        row = (await shop.client.get("/deployments")).data[0]
        return row["status"], row["pending_action"], row["provider_id"]

    assert await shown() == ("ordered", None, None)
    made = make.provisioned(shop.db, made)
    assert await shown() == ("provisioning", None, made.handle)
    make.seen(shop.db, made, instances.reachable, make.sighting(made))
    assert await shown() == ("running", None, made.handle)
    await shop.client.post(f"/deployments/{made.id}/actions", {"action": "stop"})
    assert await shown() == ("running", "stop", made.handle)


async def test_a_list_shows_what_getting_one_shows(shop: Shop) -> None:
    for status in ("ordered", "running", "offline", "error", "deleting"):
        make.catalogue(shop.db)
        make.instance(shop.db, status, shop.customer.by)
    rows = (await shop.client.get("/deployments")).data
    assert len(rows) == 5
    for row in rows:
        whole = (await shop.client.get(f"/deployments/{row['id']}")).data
        listed = ("started_at", "price_per_hr", "charging", "charging_reason")
        money = {name: whole["billing"][name] for name in listed}
        assert row == whole | {"billing": money}


async def test_lists_are_filtered_by_status(shop: Shop) -> None:
    make.catalogue(shop.db)
    for status in ("running", "running", "offline", "deleted"):
        make.instance(shop.db, status, shop.customer.by)

    async def total(**query: str) -> int:
        response = await shop.client.get("/deployments", **query)
        assert response.meta["total"] == len(response.data)
        return len(response.data)

    assert await total() == 3
    assert await total(status="running") == 2
    assert await total(status="deleted") == 1
    assert await total(status="error") == 0


async def test_pages_neither_repeat_nor_skip_while_others_are_added(shop: Shop) -> None:
    make.catalogue(shop.db, make.offer(free=100))
    make.topup(shop.db, shop.customer.by, "500")
    first = [make.ordered(shop.db, shop.customer.by).id for _ in range(7)]
    shop.clock.advance(seconds=1)
    first += [make.ordered(shop.db, shop.customer.by).id for _ in range(6)]
    seen: list[str] = []
    cursor = None
    while True:
        query = {"limit": 5} | ({} if cursor is None else {"cursor": cursor})
        response = await shop.client.get("/deployments", **query)
        seen += [row["id"].removeprefix("dep_") for row in response.data]
        shop.clock.advance(seconds=1)
        make.ordered(shop.db, shop.customer.by)
        if not response.meta["has_more"]:
            break
        cursor = response.meta["cursor"]
    assert response.meta["cursor"] is None
    assert sorted(seen) == sorted(first)
    assert len(set(seen)) == len(seen)


async def test_a_list_holds_twenty_unless_told_otherwise(shop: Shop) -> None:
    make.catalogue(shop.db, make.offer(free=100))
    make.topup(shop.db, shop.customer.by, "500")
    for _ in range(21):
        make.ordered(shop.db, shop.customer.by)
    response = await shop.client.get("/deployments")
    assert (len(response.data), response.meta["total"], response.meta["has_more"]) == (20, 21, True)
    assert len((await shop.client.get("/deployments", limit=100)).data) == 21


async def test_a_cursor_belongs_to_its_list(shop: Shop) -> None:
    make.catalogue(shop.db)
    for _ in range(2):
        make.ordered(shop.db, shop.customer.by)
    cursor = (await shop.client.get("/deployments", limit=1)).meta["cursor"]
    named = json.loads(base64.urlsafe_b64decode(cursor))
    assert set(named) == {"id", "t", "f"}
    (await shop.client.get("/deployments", cursor=cursor, status="ordered")).refused(400, "invalid_cursor")
    (await shop.client.get("/images", cursor=cursor)).refused(400, "invalid_cursor")
    (await shop.client.get("/deployments", cursor=cursor[:-4])).refused(400, "invalid_cursor")


def test_the_cursor_of_the_documentation_names_a_row_of_nothing_here() -> None:
    assert json.loads(base64.b64decode("eyJpZCI6Imxhc3QtaWQifQ==")) == {"id": "last-id"}
    with pytest.raises(paging.MalformedCursor):
        paging.decode("eyJpZCI6Imxhc3QtaWQifQ==", "deployments None")


async def test_events_tell_the_story_in_order(shop: Shop) -> None:
    deployed = (await shop.client.post(DEPLOY, order(shop))).data
    made = shop.db.read_now(instances.get, shop.customer.by, deployed["id"].removeprefix("dep_"))
    make.seen(shop.db, make.provisioned(shop.db, made), instances.reachable, make.sighting(made))
    await shop.client.delete(f"/deployments/{deployed['id']}")
    story = (await shop.client.get(f"/deployments/{deployed['id']}/events")).data
    assert [event["type"] for event in story] == [
        "deployment.ordered",
        "deployment.provisioning",
        "deployment.running",
        "deployment.deleting",
    ]
    assert [event["sequence"] for event in story] == sorted(event["sequence"] for event in story)
    assert (story[2]["status"], story[2]["previous_status"]) == ("running", "provisioning")
    assert {event["deployment_id"] for event in story} == {deployed["id"]}
    rest = (await shop.client.get(f"/deployments/{deployed['id']}/events", after=story[1]["sequence"])).data
    assert rest == story[2:]
    assert (await shop.client.get(f"/deployments/{deployed['id']}/events", limit=1)).data == story[:1]


async def test_a_failed_order_says_why_and_costs_nothing(shop: Shop) -> None:
    made = make.instance(shop.db, "error", shop.customer.by)
    shown = (await shop.client.get(f"/deployments/{made.id}")).data
    assert (shown["status"], shown["status_reason"]) == ("error", "provisioning_timeout")
    assert shown["billing"]["total_usd"] == 0

"""The vendor's own clients work against the nested mount, traps and all."""

import pytest

from berth.core import events, instances
from tests import make
from tests.faces.conftest import Shop
from tests.faces.vendor import NESTED, PLAIN, Failed, Vendor

HOOK = "https://hooks.example.com/x"


@pytest.fixture
def vendor(shop: Shop) -> Vendor:
    return Vendor(shop.nested())


async def filled(shop: Shop, vendor: Vendor) -> str:
    """One of everything that is listed; the SSH key's id."""
    key = await vendor.write("POST", "/ssh-keys", {"name": "laptop", "public_key": make.public_key()})
    await vendor.deploy(make.H100, "ubuntu-24.04", "run", "FIN-01", key["id"])
    await vendor.write(
        "POST", "/volumes", {"name": "data", "type": "NVMe", "location": "FIN-01", "size": 100}
    )
    await vendor.write("POST", "/webhooks", {"url": HOOK, "events": ["deployment.running"]})
    await vendor.write("POST", "/deployments/requests", {"cluster_type": "8H200.141S.176V"})
    return str(key["id"])


async def test_every_list_is_read_as_the_client_reads_it(shop: Shop, vendor: Vendor) -> None:
    await filled(shop, vendor)
    for path in NESTED:
        listed = await vendor.list(path, limit=1)
        assert len(listed.rows) == 1, path
        assert (listed.page, listed.limit) == (1, 1)
        assert listed.total is not None
        assert listed.has_more == (listed.total > 1) == (listed.next_cursor is not None)
        if listed.has_more:
            rest = await vendor.list(path, limit=1, cursor=listed.next_cursor)
            assert rest.rows
            assert rest.rows[0]["id"] != listed.rows[0]["id"]
    for path in PLAIN:
        assert (await vendor.list(path)).rows, path


async def test_flat_lists_would_be_shown_as_empty(shop: Shop, vendor: Vendor) -> None:
    await filled(shop, vendor)
    flat = Vendor(shop.client)
    for path in NESTED:
        assert (await flat.list(path)).rows == []
    for path in PLAIN:
        assert (await flat.list(path)).rows == (await vendor.list(path)).rows


async def test_keys_in_both_headers_must_be_one(shop: Shop, vendor: Vendor) -> None:
    headers = {"x-api-key": str(vendor.client.key), "authorization": "Bearer mk_other"}
    response = await vendor.client.call("GET", "/regions", headers=headers)
    response.refused(401, "conflicting_credentials")


async def test_a_lost_answer_to_a_deploy_is_repeated_under_a_fresh_key_and_warned_of(
    shop: Shop, vendor: Vendor
) -> None:
    key = make.ssh_key(shop.db, shop.customer.by)
    vendor.lost = 1
    second = await vendor.deploy(make.H100, "ubuntu-24.04", "run", "FIN-01", key.id)
    keys = [sent_key for _, _, sent_key in vendor.sent]
    assert len(set(keys)) == len(keys) == 2
    listed = await vendor.list("/deployments")
    assert listed.total == 2
    happened = shop.db.read_now(events.list_for, shop.customer.by, second["id"].removeprefix("dep_"))
    assert [event.type for event in happened] == ["instance.ordered", "instance.possible_duplicate"]


async def test_an_account_with_hostnames_of_its_own_deploys_once(shop: Shop, vendor: Vendor) -> None:
    await vendor.write("PUT", "/account/settings", {"unique_active_hostname": True})
    key = make.ssh_key(shop.db, shop.customer.by)
    vendor.lost = 1
    with pytest.raises(Failed) as failed:
        await vendor.deploy(make.H100, "ubuntu-24.04", "run", "FIN-01", key.id)
    existing = failed.value.response.refused(409, "duplicate")["details"]["existing_id"]
    listed = await vendor.list("/deployments")
    assert [row["id"] for row in listed.rows] == [existing]


async def test_a_key_that_its_user_names_protects_all_attempts(shop: Shop, vendor: Vendor) -> None:
    key = make.ssh_key(shop.db, shop.customer.by)
    vendor.lost = 3
    made = await vendor.deploy(make.H100, "ubuntu-24.04", "run", "FIN-01", key.id, key="run-1")
    assert [row["id"] for row in (await vendor.list("/deployments")).rows] == [made["id"]]


async def test_what_is_refused_is_sent_once_and_names_its_request(shop: Shop, vendor: Vendor) -> None:
    for method, path, body, status in (
        ("GET", "/deployments/dep_none", None, 404),
        ("POST", "/deployments/dep_none/actions", {"action": "start"}, 404),
        ("POST", "/ssh-keys", {"name": "x"}, 400),
    ):
        vendor.sent.clear()
        with pytest.raises(Failed) as failed:
            await vendor.write(method, path, body)
        assert failed.value.args[0] == status
        assert failed.value.args[2]
        assert len(vendor.sent) == 1


async def test_the_third_action_is_reboot_to_one_and_restart_to_the_other(shop: Shop, vendor: Vendor) -> None:
    for action in ("reboot", "restart"):
        made = make.instance(shop.db, by=shop.customer.by)
        await vendor.write("POST", f"/deployments/dep_{made.id}/actions", {"action": action})
        assert make.now(shop.db, made).is_restart_wanted


async def test_any_update_of_a_webhook_switches_it_on_again(shop: Shop, vendor: Vendor) -> None:
    hook = await vendor.write("POST", "/webhooks", {"url": HOOK, "events": ["*"]})
    assert (await vendor.update_webhook(hook["id"], is_active=False))["is_active"] is False
    changed = await vendor.update_webhook(hook["id"], events=["deployment.*"])
    assert (changed["is_active"], changed["events"], changed["url"]) == (True, ["deployment.*"], HOOK)
    assert "secret" not in changed


async def test_a_volume_is_deleted_with_and_without_a_body(shop: Shop, vendor: Vendor) -> None:
    for body in (None, {}, {"is_permanent": True}):
        made = make.volume(shop.db, "detached", shop.customer.by)
        deleted = await vendor.write("DELETE", f"/volumes/vol_{made.id}", body)
        assert deleted["id"] == f"vol_{made.id}"


async def test_a_place_in_the_line_needs_no_location_within_its_config(shop: Shop, vendor: Vendor) -> None:
    key = make.ssh_key(shop.db, shop.customer.by)
    config = {"image": "ubuntu-24.04", "hostname": "run", "ssh_key_ids": [key.id]}
    entry = await vendor.write(
        "POST",
        "/deployments/requests",
        {
            "cluster_type": "8H200.141S.176V",
            "location": "ICE-01",
            "auto_deploy": True,
            "config": config,
        },
    )
    assert (entry["status"], entry["location"]) == ("waiting", "ICE-01")
    assert (await vendor.write("DELETE", f"/deployments/requests/{entry['id']}"))["status"] == "cancelled"


async def test_the_walk_of_a_user_from_key_to_delete(shop: Shop, vendor: Vendor) -> None:
    key_id = await filled(shop, vendor)
    (deployment,) = (await vendor.list("/deployments")).rows
    assert deployment["ssh_key_ids"] == [key_id]
    assert (await vendor.get(f"/deployments/{deployment['id']}"))["status"] == "ordered"
    assert (await vendor.get("/billing/balance"))["balance_cents"] == 5000
    assert (await vendor.get(f"/deployments/availability/{make.H100}"))["is_available"]
    deleted = await vendor.write("DELETE", f"/deployments/{deployment['id']}")
    assert deleted["status"] == "deleting"
    made = shop.db.read_now(instances.get, shop.customer.by, deployment["id"].removeprefix("dep_"))
    assert made.wanted == "deleted"

"""Volumes that are ordered, kept and deleted with a deployment, over HTTP."""

from typing import Any

import pytest

from berth.core import instances
from berth.core.instances import Instance
from tests import make
from tests.faces.conftest import Shop
from tests.faces.samples import order

DEPLOY = "/deployments/clusters"


def running(shop: Shop, **members: Any) -> Instance:
    """A deployment that runs with its volumes."""
    return make.instance(shop.db, by=shop.customer.by, **members)


def storing(shop: Shop, *names: str) -> tuple[Instance, list[str]]:
    """A running deployment and the ids of volumes attached to it."""
    host = running(shop)
    made = [make.volume(shop.db, "attached", shop.customer.by, to=host, name=name) for name in names]
    return host, [f"vol_{volume.id}" for volume in made]


async def test_a_deploy_makes_new_volumes_and_takes_existing_ones(shop: Shop) -> None:
    old = make.volume(shop.db, by=shop.customer.by, name="old")
    wanted = [{"name": "data", "size": 500, "type": "NVMe", "on_deployment_delete": "trash"}]
    body = order(shop, volumes=wanted, existing_volumes=[f"vol_{old.id}"])
    made = (await shop.client.post(DEPLOY, body)).data
    new_id, old_id = made["volumes"]
    assert old_id == f"vol_{old.id}"
    new = (await shop.client.get(f"/volumes/{new_id}")).data
    assert (new["status"], new["size"], new["location"]) == ("ordered", 500, "FIN-01")
    assert (new["deployment_id"], new["on_deployment_delete"]) == (made["id"], "trash")
    assert (await shop.client.get(f"/volumes/{old_id}")).data["status"] == "attaching"
    (await shop.client.delete(f"/volumes/{new_id}")).refused(409, "in_use")
    again = order(shop, existing_volumes=[old_id], hostname="other")
    (await shop.client.post(DEPLOY, again)).refused(409, "in_use")


@pytest.mark.parametrize("name", ["data", "n" * 64, ".", "..."])
async def test_volumes_of_one_name_are_mounted_at_names_of_their_own(shop: Shop, name: str) -> None:
    made = (await shop.client.post(DEPLOY, order(shop, volumes=[{"name": name, "size": 10}] * 2))).data
    shown = [(await shop.client.get(f"/volumes/{each}")).data for each in made["volumes"]]
    assert [each["name"] for each in shown] == [name, name]
    places = [each["mount"]["path"].removeprefix("/mnt/") for each in shown]
    assert len(set(places)) == 2
    assert all(1 <= len(place) <= 64 and set(place) - {"."} for place in places)


async def test_a_deploy_is_refused_for_volumes_it_cannot_have(shop: Shop) -> None:
    by = shop.customer.by
    make.catalogue(
        shop.db,
        make.offer(),
        images=[make.image()],
        volume_types=[make.volume_type(), make.volume_type(location="FIN-03")],
    )
    far = make.volume(shop.db, by=by, location="FIN-03")
    theirs = make.volume(shop.db)
    gone = make.volume(shop.db, "deleted", by)
    ordered = make.volume(shop.db, "ordered", by)
    before = shop.rows()
    for volume, status, reason in (
        (far, 400, "location_mismatch"),
        (theirs, 400, "invalid_field"),
        (gone, 409, "invalid_state"),
        (ordered, 409, "invalid_state"),
    ):
        body = order(shop, existing_volumes=[f"vol_{volume.id}"], ssh_key_ids=None) | _key(shop)
        (await shop.client.post(DEPLOY, body)).refused(status, reason)
    many = [{"name": f"v{number}", "size": 10} for number in range(17)]
    (await shop.client.post(DEPLOY, order(shop, volumes=many, ssh_key_ids=None) | _key(shop))).refused(
        409, "quota"
    )
    assert shop.rows()["instances"] == before["instances"]


def _key(shop: Shop) -> dict[str, list[str]]:
    return {"ssh_key_ids": [f"sk_{make.ssh_key(shop.db, shop.customer.by).id}"]}


async def test_a_deploy_with_volumes_asks_for_the_scope_of_volumes(shop: Shop) -> None:
    _, secret = make.key(shop.db, shop.customer.by, scopes=["deployments:write"])
    body = order(shop, volumes=[{"name": "data", "size": 10}])
    problem = (await shop.client.with_key(secret).post(DEPLOY, body)).refused(403, "missing_scope")
    assert problem["details"]["required"] == "volumes:write"


async def test_a_delete_keeps_data_volumes_and_says_what_they_cost(shop: Shop) -> None:
    host, (volume_id,) = storing(shop, "data")
    gone = (await shop.client.delete(f"/deployments/dep_{host.id}")).exact["data"]
    assert [str(each.pop("hourly_cost")) for each in gone["volumes_kept"]] == ["0.027397"]
    assert gone["volumes_kept"] == [{"id": volume_id, "name": "data", "size": 100, "type": "NVMe"}]
    shown = (await shop.client.get(f"/volumes/{volume_id}")).data
    assert (shown["status"], shown["pending_action"]) == ("attached", "detach")
    make.seen(shop.db, host, instances.gone, make.RULES)
    shown = (await shop.client.get(f"/volumes/{volume_id}")).data
    assert (shown["status"], shown["deployment_id"]) == ("detached", None)


@pytest.mark.parametrize(
    "how", ["ids in the body", "all in the body", "ids in the query", "all in the query", "action"]
)
async def test_a_delete_takes_the_volumes_along_that_it_names(shop: Shop, how: str) -> None:
    host, (first, second) = storing(shop, "first", "second")
    path = f"/deployments/dep_{host.id}"
    if how == "action":
        body: dict[str, Any] = {"action": "delete", "delete_volumes": [first]}
        gone = (await shop.client.post(f"{path}/actions", body)).data
    elif how.endswith("query"):
        named = "all" if how.startswith("all") else first
        gone = (await shop.client.delete(f"{path}?delete_volumes={named}")).data
    else:
        named_here = "all" if how.startswith("all") else [first]
        gone = (await shop.client.call("DELETE", path, body={"delete_volumes": named_here})).data
    kept = [] if "all" in how else [second]
    assert [each["id"] for each in gone["volumes_kept"]] == kept
    make.seen(shop.db, host, instances.gone, make.RULES)
    for volume_id in (first, second):
        shown = (await shop.client.get(f"/volumes/{volume_id}")).data
        assert shown["status"] == ("detached" if volume_id in kept else "deleted")
        assert not shown["is_permanently_deleted"]


async def test_a_delete_that_names_a_volume_of_another_deployment_is_refused(shop: Shop) -> None:
    host, _ = storing(shop, "data")
    other = make.volume(shop.db, by=shop.customer.by)
    problem = (
        await shop.client.call(
            "DELETE", f"/deployments/dep_{host.id}", body={"delete_volumes": [f"vol_{other.id}"]}
        )
    ).refused(400, "invalid_field")
    assert problem["details"]["field"] == "delete_volumes"
    assert (await shop.client.get(f"/deployments/dep_{host.id}")).data["status"] == "running"
    body: dict[str, Any] = {"action": "stop", "delete_volumes": "all"}
    (await shop.client.post(f"/deployments/dep_{host.id}/actions", body)).refused(400, "invalid_field")
    for wrong in ("some", 1, [1], {"a": 1}):
        body = {"action": "delete", "delete_volumes": wrong}
        (await shop.client.post(f"/deployments/dep_{host.id}/actions", body)).refused(400, "invalid_field")


async def test_a_stop_keeps_attachments_and_says_what_still_costs(shop: Shop) -> None:
    host, (volume_id,) = storing(shop, "data")
    off = (await shop.client.post(f"/deployments/dep_{host.id}/actions", {"action": "stop"})).data
    assert [each["id"] for each in off["volumes_kept"]] == [volume_id]
    assert off["volumes"] == [volume_id]
    assert "volumes_kept" not in (await shop.client.get(f"/deployments/dep_{host.id}")).data

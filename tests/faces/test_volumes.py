"""Volumes over HTTP: what can be asked for, and every refusal by its code and reason."""

from berth.core import volumes
from tests import make
from tests.faces.conftest import Shop

WANTED = {"name": "training-data", "size": 500, "type": "NVMe", "location": "FIN-01"}


async def test_a_volume_is_created_attached_detached_trashed_and_purged(shop: Shop) -> None:
    running = make.instance(shop.db, by=shop.customer.by)
    ordered = (await shop.client.post("/volumes", WANTED)).data
    assert ordered["status"] == "ordered"
    path = f"/volumes/{ordered['id']}"
    row = make.volume_of(shop.db, shop.customer.by, ordered["id"])
    make.seen_volume(shop.db, row, volumes.created, make.volume_sighting(row))
    attaching = (
        await shop.client.post(f"{path}/actions", {"action": "attach", "deployment_id": f"dep_{running.id}"})
    ).data
    assert attaching["status"] == "attaching"
    assert attaching["deployment_id"] == attaching["instance_id"] == f"dep_{running.id}"
    make.seen_volume(shop.db, row, volumes.attached, running.id)
    assert (await shop.client.get(path)).data["status"] == "attached"
    assert (await shop.client.get(f"/deployments/dep_{running.id}")).data["volumes"] == [ordered["id"]]
    (await shop.client.delete(path)).refused(409, "in_use")
    detaching = (await shop.client.post(f"{path}/actions", {"action": "detach"})).data
    assert (detaching["status"], detaching["pending_action"]) == ("attached", "detach")
    make.seen_volume(shop.db, row, volumes.detached, running.id)
    trashed = (await shop.client.delete(path)).data
    assert trashed["status"] == "deleted"
    assert trashed["purge_at"] == "2026-04-07T10:00:00Z"
    assert not trashed["is_permanently_deleted"]
    purged = (await shop.client.delete(f"{path}?permanent=true")).data
    assert purged["is_permanently_deleted"]
    assert shop.pokes == ["volumes"] * 5

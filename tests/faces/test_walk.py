"""The main job over the retail API: deploy, look, stop, start, delete."""

from tests.faces.conftest import Shop
from tests.faces.samples import order


async def test_deploy_get_delete(shop: Shop) -> None:
    deployed = (await shop.client.post("/deployments/clusters", order(shop))).data
    assert deployed["status"] == "ordered"
    assert shop.pokes == ["provisioning"]
    path = f"/deployments/{deployed['id']}"
    assert (await shop.client.get(path)).data["hostname"] == "my-training-run"
    assert (await shop.client.delete(path)).data["status"] == "deleting"
    assert [row["id"] for row in (await shop.client.get("/deployments")).data] == [deployed["id"]]

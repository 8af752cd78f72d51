"""The main job over the retail API: deploy, look, stop, start, delete."""

from tests import make
from tests.faces.conftest import Shop


def order(shop: Shop, **members: object) -> dict[str, object]:
    """The body of a deploy that is accepted."""
    key = make.ssh_key(shop.db, shop.customer.by)
    return {
        "cluster_type": make.H100,
        "image": "ubuntu-24.04",
        "hostname": "my-training-run",
        "ssh_key_ids": [f"sk_{key.id}"],
        "location": "FIN-01",
    } | members


async def test_deploy_get_delete(shop: Shop) -> None:
    deployed = (await shop.client.post("/deployments/clusters", order(shop))).data
    assert deployed["status"] == "ordered"
    assert shop.pokes == ["provisioning"]
    path = f"/deployments/{deployed['id']}"
    assert (await shop.client.get(path)).data["hostname"] == "my-training-run"
    assert (await shop.client.delete(path)).data["status"] == "deleting"
    assert [row["id"] for row in (await shop.client.get("/deployments")).data] == [deployed["id"]]

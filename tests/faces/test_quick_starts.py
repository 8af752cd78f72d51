"""The curl commands of the vendor's own quick starts, as they are written there, in their order.

Only the base URL's host, the key, the public key and ids are other ones.
"""

import re
import shlex
from urllib.parse import urlsplit

from tests import make
from tests.faces.conftest import Client, Response, Shop

OVERVIEW = r"""
# 1. Check your credit balance (minimum $20 required to deploy)
curl -H "X-API-Key: mk_your_key" \
  https://gpu.huddleapis.com/api/v1/billing/balance

# 2. Browse available GPU offers and pricing
curl -H "X-API-Key: mk_your_key" \
  https://gpu.huddleapis.com/api/v1/gpus/available

# 3. Upload your SSH public key
curl -X POST -H "X-API-Key: mk_your_key" \
  -H "Content-Type: application/json" \
  -d '{"name": "my-laptop", "public_key": "ssh-ed25519 AAAA... user@host"}' \
  https://gpu.huddleapis.com/api/v1/ssh-keys

# 4. Pick a compatible OS image
curl -H "X-API-Key: mk_your_key" \
  https://gpu.huddleapis.com/api/v1/images

# 5. Deploy a GPU cluster
curl -X POST -H "X-API-Key: mk_your_key" \
  -H "Content-Type: application/json" \
  -d '{
    "cluster_type": "1H100.80S.30V",
    "image": "ubuntu-22.04-cuda-12.4-cluster",
    "hostname": "my-training-run",
    "ssh_key_ids": ["your-ssh-key-id"],
    "location": "FIN-01"
  }' \
  https://gpu.huddleapis.com/api/v1/deployments/clusters

# 7. When done, delete the deployment to stop billing
curl -X DELETE -H "X-API-Key: mk_your_key" \
  https://gpu.huddleapis.com/api/v1/deployments/<deployment_id>
"""

AUTHENTICATION = r"""
# Option 1: X-API-Key header (recommended)
curl -H "X-API-Key: mk_your_key_here" \
  https://gpu.huddleapis.com/api/v1/billing/balance

# Option 2: Bearer token
curl -H "Authorization: Bearer mk_your_key_here" \
  https://gpu.huddleapis.com/api/v1/billing/balance
"""

DEPLOYMENTS = r"""
# 1. Check your balance (minimum $20 required)
curl -H "X-API-Key: mk_your_key" \
https://gpu.huddleapis.com/api/v1/billing/balance
# 2. List available GPU types
curl -H "X-API-Key: mk_your_key" \
https://gpu.huddleapis.com/api/v1/gpus/available
# 3. List compatible OS images
curl -H "X-API-Key: mk_your_key" \
https://gpu.huddleapis.com/api/v1/images
# 4. Deploy a GPU instance
curl -X POST -H "X-API-Key: mk_your_key" \
-H "Content-Type: application/json" \
-d '{
"cluster_type": "1A100.22V",
"image": "e79a91e9-8750-44cb-af19-bf6ab83121ee",
"hostname": "my-gpu-instance",
"ssh_key_ids": ["your-ssh-key-id"],
"location": "FIN-01"
}' \
https://gpu.huddleapis.com/api/v1/deployments/clusters
# 5. Check deployment status
curl -H "X-API-Key: mk_your_key" \
https://gpu.huddleapis.com/api/v1/deployments/{deployment_id}
# Delete a deployment
curl -X POST -H "X-API-Key: mk_your_key" \
-H "Content-Type: application/json" \
-d '{"action": "delete"}' \
https://gpu.huddleapis.com/api/v1/deployments/{id}/actions
# Or use the DELETE endpoint directly
curl -X DELETE -H "X-API-Key: mk_your_key" \
https://gpu.huddleapis.com/api/v1/deployments/{id}
# Check availability
curl -H "X-API-Key: mk_your_key" \
https://gpu.huddleapis.com/api/v1/deployments/availability/1A100.22V
"""

SAFE_RETRY = r"""
curl -X POST -H "X-API-Key: mk_your_key" \
  -H "Idempotency-Key: deploy-training-run-001" \
  -H "Content-Type: application/json" \
  -d '{
    "cluster_type": "1H100.80S.30V",
    "image": "ubuntu-22.04-cuda-12.4-cluster",
    "hostname": "my-training-run",
    "ssh_key_ids": ["your-ssh-key-id"],
    "location": "FIN-01"
  }' \
  https://gpu.huddleapis.com/api/v1/deployments/clusters
"""


async def test_both_ways_to_authenticate(shop: Shop) -> None:
    for command in commands(AUTHENTICATION):
        assert (await run(shop, command)).data["balance_usd"] == 50


async def test_the_overview_from_balance_to_delete(shop: Shop) -> None:
    sell(shop)
    names: dict[str, str] = {"ssh-ed25519 AAAA... user@host": make.public_key("user@host")}
    balance, offers, key, images, deploy, delete = commands(OVERVIEW)
    assert (await run(shop, balance)).data["can_deploy"] is True
    listed = await run(shop, offers)
    assert {"1H100.80S.30V", "1A100.22V"} <= {offer["instance_type"] for offer in listed.data}
    assert set(listed.meta) == {"total", "cursor", "has_more"}
    added = (await run(shop, key, names)).data
    assert (added["name"], added["key_type"]) == ("my-laptop", "ed25519")
    slugs = {image["image_type"] for image in (await run(shop, images)).data}
    assert "ubuntu-22.04-cuda-12.4-cluster" in slugs
    deployed = (await run(shop, deploy, names | {"your-ssh-key-id": added["id"]})).data
    assert (deployed["status"], deployed["location"]) == ("ordered", "FIN-01")
    gone = (await run(shop, delete, {"<deployment_id>": deployed["id"]})).data
    assert gone["status"] == "deleting"


async def test_the_deployments_page_from_balance_to_delete(shop: Shop) -> None:
    sell(shop)
    key = make.ssh_key(shop.db, shop.customer.by)
    balance, offers, images, deploy, status, act, delete, availability = commands(DEPLOYMENTS)
    assert (await run(shop, balance)).status == 200
    assert (await run(shop, offers)).status == 200
    listed = (await run(shop, images)).data
    (image,) = [row for row in listed if row["image_type"] == "ubuntu-22.04-cuda-12.4-cluster"]
    deployed = (
        await run(
            shop,
            deploy,
            {"your-ssh-key-id": f"sk_{key.id}", "e79a91e9-8750-44cb-af19-bf6ab83121ee": image["id"]},
        )
    ).data
    assert set(RECOVERED) <= set(deployed)
    assert set(RECOVERED_SPECS) <= set(deployed["specs"])
    assert (await run(shop, status, {"{deployment_id}": deployed["id"]})).data["id"] == deployed["id"]
    assert (await run(shop, act, {"{id}": deployed["id"]})).data["status"] == "deleting"
    assert (await run(shop, delete, {"{id}": deployed["id"]})).data["status"] == "deleting"
    probe = (await run(shop, availability)).data
    assert (probe["cluster_type"], probe["is_available"]) == ("1A100.22V", True)


async def test_a_deploy_sent_again_under_its_key_is_one_deployment(shop: Shop) -> None:
    sell(shop)
    (command,) = commands(SAFE_RETRY)
    names = {"your-ssh-key-id": make.ssh_key(shop.db, shop.customer.by).id}
    first, again = await run(shop, command, names), await run(shop, command, names)
    assert first.data == again.data
    assert (await shop.client.get("/deployments")).meta["total"] == 1


async def test_the_sample_error_is_word_for_word(shop: Shop) -> None:
    response = await shop.client.post("/deployments/clusters", {})
    assert response.status == 400
    assert {"code": "BAD_REQUEST", "error": "cluster_type is required"}.items() <= response.json.items()


RECOVERED = (
    "id provider_id hostname cluster_type image os_name location status ssh_user ssh_key_ids specs volumes"
    " created_at updated_at"
).split()
RECOVERED_SPECS = "gpu_model gpu_count gpu_vram_gb total_vram_gb vcpu_count ram_gb price_per_hr".split()


def sell(shop: Shop) -> None:
    make.catalogue(
        shop.db,
        make.offer("1H100.80S.30V"),
        make.offer("1A100.22V", price="0.965", gpu_model="A100"),
        images=[make.image("ubuntu-22.04-cuda-12.4-cluster")],
    )


def commands(text: str) -> list[list[str]]:
    """The curl commands in `text`, each as its arguments."""
    joined = text.replace("\\\n", " ")
    return [
        shlex.split(part, comments=True)[1:]
        for part in re.split(r"(?m)^(?=curl )", joined)
        if "curl " in part
    ]


async def run(shop: Shop, arguments: list[str], names: dict[str, str] | None = None) -> Response:
    """Does what curl does with these arguments."""
    method, headers, body, url = "GET", {}, None, ""
    rest = iter(_replaced(argument, names or {}, shop.customer.api_key) for argument in arguments)
    for argument in rest:
        match argument:
            case "-X":
                method = next(rest)
            case "-H":
                name, _, value = next(rest).partition(": ")
                headers[name] = value
            case "-d":
                body = next(rest)
            case _:
                url = argument
    client = Client(shop.client.app)
    path = urlsplit(url).path.removeprefix("/api/v1")
    return await client.call(method, path, body=body, headers=headers)


def _replaced(argument: str, names: dict[str, str], key: str) -> str:
    argument = re.sub(r"mk_your_key(_here)?", key, argument)
    for name, value in names.items():
        argument = argument.replace(name, value)
    return argument

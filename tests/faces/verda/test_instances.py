"""Instances: ordered as each client orders them, and shown with every member that clients read."""

from typing import Any

import pytest

from berth.core import billing, instances
from berth.core.instances import Contract
from berth.faces.face import Policy
from tests import make
from tests.faces.verda.conftest import CPU, NOT_IDS, UNKNOWN_ID, Cloud, bare, core, refused, uuid

MEMBERS = {
    "contract",
    "cpu",
    "created_at",
    "description",
    "gpu",
    "gpu_memory",
    "hostname",
    "id",
    "image",
    "instance_type",
    "ip",
    "is_spot",
    "jupyter_token",
    "location",
    "memory",
    "os_name",
    "os_volume_id",
    "price_per_hour",
    "pricing",
    "ssh_key_ids",
    "startup_script_id",
    "status",
    "storage",
    "volume_ids",
}


async def deployed(cloud: Cloud, **members: Any) -> dict[str, Any]:
    """A deploy that is accepted, as it is shown at once."""
    instance_id = bare(await cloud.client.post("/instances", await cloud.order(**members)), 202)
    shown: dict[str, Any] = (await cloud.client.get(f"/instances/{instance_id}")).json
    return shown


async def test_the_answer_to_a_deploy_is_a_bare_id_that_can_be_asked_for_at_once(cloud: Cloud) -> None:
    key_id = await cloud.ssh_key()
    response = await cloud.client.post("/instances", await cloud.order(ssh_key_ids=[key_id]))
    instance_id = bare(response, 202)
    assert cloud.pokes == ["provisioning"]
    shown = (await cloud.client.get(f"/instances/{instance_id}")).json
    assert set(shown) >= MEMBERS
    assert shown["id"] == instance_id
    assert shown["status"] == "provisioning"
    assert shown["created_at"] == "2026-04-03T10:00:00.000Z"
    assert shown["ip"] is None
    assert shown["startup_script_id"] is None
    assert shown["ssh_key_ids"] == [key_id]
    assert (shown["contract"], shown["pricing"], shown["is_spot"]) == ("PAY_AS_YOU_GO", "FIXED_PRICE", False)
    assert shown["price_per_hour"] == 1.71
    assert shown["volume_ids"] == [shown["os_volume_id"]]
    assert (shown["hostname"], shown["description"], shown["location"]) == ("my-training-run", "", "FIN-01")
    assert (shown["instance_type"], shown["image"]) == (make.H100, "ubuntu-24.04")
    assert (await cloud.client.get("/instances")).json == [shown]


async def test_what_the_python_client_sends_is_taken_nulls_and_all(cloud: Cloud) -> None:
    shown = await deployed(
        cloud,
        ssh_key_ids=[await cloud.ssh_key(), await cloud.ssh_key()],
        volumes=[],
        existing_volumes=[],
        is_spot=False,
    )
    body = await cloud.order() | {
        "startup_script_id": None, "os_volume": None, "volumes": None, "existing_volumes": None,
        "is_spot": None, "coupon": None, "contract": None, "pricing": None, "tags": None,
    }  # fmt: skip
    bare(await cloud.client.post("/instances", body), 202)
    assert len(shown["ssh_key_ids"]) == 2


async def test_what_the_provider_of_terraform_sends_is_taken_unknown_members_and_all(cloud: Cloud) -> None:
    shown = await deployed(
        cloud,
        ssh_key_ids=await cloud.ssh_key(),
        os_volume={"name": "boot", "size": "100", "on_spot_discontinue": "keep_detached", "colour": 1},
        volumes=[{"name": "data", "size": "20", "type": "NVMe", "location_code": "FIN-01"}],
        pricing="DYNAMIC_PRICE",
        coupon="COUPON-CODE-2026",
        colour="blue",
        description="a box",
    )
    assert shown["description"] == "a box"
    assert shown["pricing"] == "FIXED_PRICE"
    disk, data = [(await cloud.client.get(f"/volumes/{each}")).json for each in shown["volume_ids"]]
    assert (disk["name"], disk["size"], disk["is_os_volume"]) == ("boot", 100, True)
    assert (data["name"], data["size"], data["is_os_volume"]) == ("data", 20, False)


async def test_without_an_os_volume_one_is_made_with_a_name_of_its_own(cloud: Cloud) -> None:
    names = set()
    for _ in range(2):
        shown = await deployed(cloud)
        disk = (await cloud.client.get(f"/volumes/{shown['os_volume_id']}")).json
        assert disk["name"].startswith("OS-NVMe-")
        assert disk["size"] == 50
        names.add(disk["name"])
    assert len(names) == 2


async def test_an_image_is_ordered_by_the_id_that_its_provider_gives_it(cloud: Cloud) -> None:
    known = "2404f580-1300-1111-82b3-f199fb9b701b"
    make.catalogue(cloud.db, images=[make.image(), make.image("open", known_id=core(known))])
    listed = {each["image_type"]: each["id"] for each in (await cloud.client.get("/images")).json}
    assert listed["open"] == known
    assert (await deployed(cloud, image=known))["image"] == known


async def test_an_image_is_named_by_its_type_or_by_its_id_and_shown_as_it_was_sent(cloud: Cloud) -> None:
    images = {each["image_type"]: each for each in (await cloud.client.get("/images")).json}
    for name in ("cuda-h100", images["cuda-h100"]["id"]):
        shown = await deployed(cloud, image=name)
        assert shown["image"] == name
        assert shown["os_name"] == "Ubuntu 24.04"


@pytest.mark.parametrize(
    "members", [{"is_spot": True}, {"contract": "SPOT"}, {"is_spot": True, "contract": "PAY_AS_YOU_GO"}]
)
async def test_either_member_alone_makes_a_spot_instance(cloud: Cloud, members: dict[str, Any]) -> None:
    shown = await deployed(cloud, **members)
    assert (shown["is_spot"], shown["contract"], shown["price_per_hour"]) == (True, "SPOT", 0.6)


async def test_a_long_term_is_cheaper_by_its_discount(cloud: Cloud) -> None:
    shown = await deployed(
        cloud,
        contract="LONG_TERM",
        long_term_period="3_MONTHS",
        extension_settings="end_contract",
    )
    assert (shown["contract"], shown["price_per_hour"]) == ("LONG_TERM", 1.4706)
    made = cloud.db.read_now(instances.get, cloud.customer.by, core(shown["id"]))
    assert made.contract is Contract.LONG_TERM
    shortest = await deployed(cloud, contract="LONG_TERM")
    assert shortest["price_per_hour"] == 1.5732
    refused(
        await cloud.client.post("/instances", await cloud.order(contract="LONG_TERM", is_spot=True)),
        400,
        "invalid_request",
    )


async def test_a_startup_script_comes_along_and_its_id_is_shown(cloud: Cloud) -> None:
    script_id = bare(await cloud.client.post("/scripts", {"name": "s", "script": "echo hello\n"}), 201)
    shown = await deployed(cloud, startup_script_id=script_id)
    assert shown["startup_script_id"] == script_id
    await cloud.client.delete(f"/scripts/{script_id}")
    made = cloud.db.read_now(instances.get, cloud.customer.by, core(shown["id"]))
    assert made.startup_script == "echo hello\n"
    assert (await deployed(cloud, startup_script_id=""))["startup_script_id"] is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"instance_type": None}, "instance_type is required"),
        ({"image": None}, "image is required"),
        ({"hostname": None}, "hostname is required"),
        ({"description": None}, "description is required"),
        ({"location_code": None}, "location_code is required"),
        ({"instance_type": "1MOON.1V"}, "instance_type: Unknown instance type '1MOON.1V'."),
        ({"location_code": "MOON-01"}, "location_code: unknown location 'MOON-01'."),
        ({"hostname": ""}, "hostname: must be 1 to 255 characters."),
        ({"hostname": ["a"]}, "hostname must be a string."),
        ({"hostname": "a\nb"}, "hostname: must hold printable characters only."),
        ({"ssh_key_ids": []}, "ssh_key_ids must name 1 to 20 keys."),
        ({"ssh_key_ids": {"a": 1}}, "ssh_key_ids must be a string or an array."),
        ({"ssh_key_ids": [UNKNOWN_ID]}, f"ssh_key_ids: unknown SSH key {UNKNOWN_ID}."),
        ({"ssh_key_ids": ["nothing"]}, "ssh_key_ids: invalid id."),
        ({"startup_script_id": UNKNOWN_ID}, "startup_script_id: unknown startup script."),
        ({"startup_script_id": "'"}, "startup_script_id: invalid id."),
        ({"os_volume": {"name": "boot"}}, "os_volume.size is required"),
        ({"os_volume": {"name": "boot", "size": "big"}}, None),
        ({"os_volume": {"name": "boot", "size": 1.5}}, "os_volume.size must be a whole number of GB."),
        ({"os_volume": {"name": "boot", "size": -1}}, None),
        ({"os_volume": {"name": "boot", "size": 100, "on_spot_discontinue": "burn"}}, None),
        ({"volumes": [{"name": "d", "size": 10, "type": "Floppy"}]}, None),
        ({"volumes": [{"name": "d", "type": "NVMe"}]}, "volumes.size is required"),
        ({"volumes": {"name": "d"}}, "volumes must be an array."),
        ({"existing_volumes": [UNKNOWN_ID]}, f"existing_volumes: unknown volume {UNKNOWN_ID}."),
        ({"existing_volumes": ["é"]}, "existing_volumes: invalid id."),
        ({"contract": "FOREVER"}, "contract must be one of LONG_TERM, PAY_AS_YOU_GO, SPOT."),
        ({"contract": "LONG_TERM", "long_term_period": "9_AEONS"}, None),
        ({"pricing": "FREE"}, "pricing must be one of DYNAMIC_PRICE, FIXED_PRICE."),
        ({"is_spot": "true"}, "is_spot must be true or false."),
        ({"image": "cuda-h100", "instance_type": CPU, "location_code": "FIN-03"},
         "Operating system is not valid for this instance type"),
    ],
)  # fmt: skip
async def test_a_deploy_that_is_wrong_names_what_is(
    cloud: Cloud, change: dict[str, Any], message: str | None
) -> None:
    body = {
        name: value
        for name, value in (await cloud.order() | change).items()
        if value is not None or name not in change
    }
    refused(await cloud.client.post("/instances", body), 400, "invalid_request", message)
    assert (await cloud.client.get("/instances")).json == []


@pytest.mark.parametrize(
    ("image_id", "sold", "slug"),
    [
        (
            "2088da25-bb0d-41cc-a191-dccae45d96fd",
            ["ubuntu-22.04-cuda-12.4-docker"],
            "ubuntu-22.04-cuda-12.4-docker",
        ),
        (
            "77777777-4F48-4249-82B3-F199FB9B701B",
            ["ubuntu-24.04-cuda-12.8-open-docker"],
            "ubuntu-24.04-cuda-12.8-open-docker",
        ),
        (
            "2404f580-1300-1111-82b3-f199fb9b701b",
            ["ubuntu-24.04-cuda-12.8-open-docker", "ubuntu-24.04-cuda-13.0-open-docker"],
            "ubuntu-24.04-cuda-13.0-open-docker",
        ),
        (
            "2404f580-1300-1111-82b3-f199fb9b701b",
            ["ubuntu-24.04-cuda-12.8-open-docker"],
            "ubuntu-24.04-cuda-12.8-open-docker",
        ),
        ("2404f580-1300-1111-82b3-f199fb9b701b", ["ubuntu-24.04"], None),
    ],
)
async def test_ids_that_a_client_has_built_in_mean_what_comes_close(
    cloud: Cloud, image_id: str, sold: list[str], slug: str | None
) -> None:
    make.catalogue(cloud.db, images=[make.image(each) for each in sold])
    response = await cloud.client.post("/instances", await cloud.order(image=image_id))
    if slug is None:
        refused(response, 404, "not_found", "Operating system or volume not found")
        return
    shown = (await cloud.client.get(f"/instances/{bare(response, 202)}")).json
    assert shown["image"] == slug


@pytest.mark.parametrize("image", ["windows-95", UNKNOWN_ID, "'", "é"])
async def test_an_unknown_image_is_not_found(cloud: Cloud, image: str) -> None:
    response = await cloud.client.post("/instances", await cloud.order(image=image))
    refused(response, 404, "not_found", "Operating system or volume not found")


async def test_what_is_sold_out_is_unavailable(cloud: Cloud) -> None:
    for change in (
        {"instance_type": "8H200.141S.176V", "location_code": "ICE-01"},
        {"location_code": "FIN-03"},
        {"instance_type": "1A100.22V", "location_code": "FIN-03", "is_spot": True},
    ):
        response = await cloud.client.post("/instances", await cloud.order(**change))
        refused(response, 503, "service_unavailable", "Not enough resources at the moment...")


async def test_without_money_nothing_is_deployed(cloud: Cloud) -> None:
    poor = make.project(cloud.db, credit="1")
    theirs = cloud.client.with_key(cloud.token(poor))
    key_id = (await theirs.post("/ssh-keys", {"name": "k", "key": make.public_key()})).content.decode()
    response = await theirs.post("/instances", await cloud.order(ssh_key_ids=[key_id]))
    refused(response, 402, "insufficient_funds")


async def test_a_new_instance_is_provisioning_for_two_seconds_however_soon_it_runs(cloud: Cloud) -> None:
    made = make.instance(cloud.db, "running", cloud.customer.by)
    path = f"/instances/{uuid(made.id)}"
    for seconds, status, ip in (
        (0, "provisioning", None),
        (1.9, "provisioning", None),
        (0.1, "running", "192.0.2.7"),
    ):
        cloud.clock.advance(seconds=seconds)
        shown = (await cloud.client.get(path)).json
        assert (shown["status"], shown["ip"]) == (status, ip)
        assert (await cloud.client.get("/instances")).json == [shown]
        for wanted in ("provisioning", "running"):
            listed = (await cloud.client.get("/instances", status=wanted)).json
            assert listed == ([shown] if wanted == status else [])
    at_once = cloud.under(policy=Policy(shown_provisioning_s=0))
    fresh = make.instance(cloud.db, "running", cloud.customer.by)
    assert (await at_once.get(f"/instances/{uuid(fresh.id)}")).json["status"] == "running"


@pytest.mark.parametrize(
    ("status", "word"),
    [
        ("ordered", "provisioning"),
        ("provisioning", "provisioning"),
        ("running", "running"),
        ("offline", "offline"),
        ("error", "error"),
        ("failed_no_capacity", "no_capacity"),
        ("deleting", "deleting"),
        ("deleted", "discontinued"),
    ],
)
async def test_every_status_has_a_word_and_can_be_listed_by_it(cloud: Cloud, status: str, word: str) -> None:
    made = cloud.instance(status)
    shown = (await cloud.client.get(f"/instances/{uuid(made.id)}")).json
    assert shown["status"] == word
    assert (await cloud.client.get("/instances", status=word)).json == [shown]
    assert (await cloud.client.get("/instances")).json == ([] if word == "discontinued" else [shown])
    for other in ("new", "ordered", "validating", "unknown", "notfound", "installation_failed"):
        assert (await cloud.client.get("/instances", status=other)).json == []


async def test_a_list_is_newest_first_and_whole(cloud: Cloud) -> None:
    made = [uuid(cloud.instance("failed_no_capacity").id) for _ in range(7)]
    listed = [each["id"] for each in (await cloud.client.get("/instances")).json]
    assert listed == list(reversed(made))
    by_status = [each["id"] for each in (await cloud.client.get("/instances?status=no_capacity")).json]
    assert by_status == listed


async def test_an_unknown_instance_is_told_in_the_words_that_clients_compare(cloud: Cloud) -> None:
    _, theirs = cloud.stranger()
    mine = uuid(cloud.instance().id)
    refused(await theirs.get(f"/instances/{mine}"), 404, "not_found", "Invalid instance id")
    for wanted in (UNKNOWN_ID, "nothing", "'"):
        if wanted != "'":
            response = await cloud.client.get(f"/instances/{wanted}")
            refused(response, 404, "not_found", "Invalid instance id")
        response = await cloud.client.put("/instances", {"action": "delete", "id": [wanted]})
        refused(response, 404, "not_found", "Invalid instance id")
    for wanted in NOT_IDS:
        if len(wanted) <= 64:
            response = await cloud.client.put("/instances", {"action": "start", "id": wanted})
            refused(response, 404, "not_found", "Invalid instance id")


async def test_a_charge_for_a_shut_down_instance_goes_on(cloud: Cloud) -> None:
    made = cloud.instance("offline")
    assert make.now(cloud.db, made).is_reserved
    assert cloud.db.read_now(billing.bill, made.id).is_charging

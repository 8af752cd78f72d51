"""Clusters: their types, ordered as the official clients order them, shown with every member that they read."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from berth.faces.face import Policy
from berth.faces.verda.clusters import translate
from berth.faces.verda.wire import Status
from tests import clustering, make
from tests.faces.conftest import Response
from tests.faces.verda.conftest import NOT_IDS, UNKNOWN_ID, Cloud, refused

MEMBERS = {
    "auto_rental_extension",
    "cluster_type",
    "contract",
    "cpu",
    "created_at",
    "description",
    "extension_settings",
    "gpu",
    "gpu_memory",
    "hostname",
    "id",
    "image",
    "ip",
    "location",
    "long_term_period",
    "memory",
    "os_name",
    "price_per_hour",
    "shared_volumes",
    "ssh_key_ids",
    "ssh_port",
    "ssh_user",
    "startup_script_id",
    "status",
    "tags",
    "turn_to_pay_as_you_go",
    "worker_nodes",
}


@pytest.fixture(autouse=True)
def _clusters(cloud: Cloud) -> None:
    clustering.shop(cloud.db)


async def order(cloud: Cloud, **members: Any) -> dict[str, Any]:
    known: dict[str, Any] = {
        "cluster_type": clustering.NAME,
        "image": clustering.IMAGE,
        "hostname": "trainer",
        "description": "",
        "location_code": "FIN-03",
        "shared_volume": {"name": "team", "size": 100},
    }
    if "ssh_key_ids" not in members:
        members["ssh_key_ids"] = [await cloud.ssh_key()]
    return {name: value for name, value in (known | members).items() if value is not None}


async def deployed(cloud: Cloud, **members: Any) -> dict[str, Any]:
    response = await cloud.client.post("/clusters", await order(cloud, **members))
    assert response.status == 202, response.content
    assert list(response.json) == ["id"]
    shown: dict[str, Any] = (await cloud.client.get(f"/clusters/{response.json['id']}")).json
    return shown


async def end(cloud: Cloud, body: Any) -> Response:
    return await cloud.client.put("/clusters", body)


async def test_a_type_of_cluster_is_priced_in_text_and_sums_up_its_workers(cloud: Cloud) -> None:
    (found,) = (await cloud.client.with_key(None).get("/cluster-types")).json
    assert set(found) == {
        "id", "model", "name", "cluster_type", "cpu", "gpu", "gpu_memory", "memory", "price_per_hour",
        "currency", "manufacturer", "node_details", "supported_os",
    }  # fmt: skip
    assert (found["cluster_type"], found["price_per_hour"], found["currency"]) == (
        clustering.NAME, clustering.PRICE, "usd",
    )  # fmt: skip
    assert found["gpu"] == {"description": "16x B200 80GB", "number_of_gpus": 16}
    assert found["gpu_memory"]["size_in_gigabytes"] == 1280
    assert found["node_details"] == [{"InfiniBand": "3200 Gbit/s"}]
    assert found["supported_os"] == [clustering.IMAGE]
    client = cloud.under(policy=Policy(eur_per_usd_micros=500_000))
    (euros,) = (await client.get("/cluster-types?currency=eur")).json
    assert (euros["price_per_hour"], euros["currency"]) == ("31.920001", "eur")


async def test_the_availability_of_clusters_is_a_list_and_a_bare_boolean(cloud: Cloud) -> None:
    found = (await cloud.client.get("/cluster-availability")).json
    assert {"location_code": "FIN-03", "availabilities": [clustering.NAME]} in found
    for code, there in (("FIN-03", [clustering.NAME]), ("FIN-01", []), ("MOON-01", [])):
        found = (await cloud.client.get("/cluster-availability", location_code=code)).json
        assert found == [{"location_code": code, "availabilities": there}]
    for path, is_there in (
        (clustering.NAME, b"true"),
        (f"{clustering.NAME}?location_code=FIN-01", b"false"),
        ("16MOON", b"false"),
    ):
        assert (await cloud.client.get(f"/cluster-availability/{path}")).content == is_there


async def test_images_of_clusters_are_those_that_their_workers_boot(cloud: Cloud) -> None:
    for query in ({}, {"instance_type": clustering.NAME}):
        (found,) = (await cloud.client.get("/images/cluster", **query)).json
        assert (found["image_type"], found["is_cluster"]) == (clustering.IMAGE, True)
    for unknown in ("16MOON", clustering.WORKER):
        response = await cloud.client.get("/images/cluster", instance_type=unknown)
        refused(response, 404, "not_found", "Instance type not found")


async def test_a_cluster_is_provisioning_at_once_and_shown_with_all_its_members(cloud: Cloud) -> None:
    key_id = await cloud.ssh_key()
    shown = await deployed(
        cloud, ssh_key_ids=[key_id], startup_script_id=None, contract="PAY_AS_YOU_GO", existing_volumes=[]
    )
    assert set(shown) == MEMBERS
    assert shown["status"] == "provisioning"
    assert (shown["ip"], shown["startup_script_id"], shown["ssh_key_ids"]) == (None, None, [key_id])
    assert (shown["cluster_type"], shown["image"], shown["location"]) == (
        clustering.NAME, clustering.IMAGE, "FIN-03",
    )  # fmt: skip
    assert Decimal(str(shown["price_per_hour"])) == Decimal(clustering.PRICE)
    assert shown["gpu"]["number_of_gpus"] == 16
    assert [each["hostname"] for each in shown["worker_nodes"]] == ["trainer-1", "trainer-2"]
    assert set(shown["worker_nodes"][0]) == {
        "id", "hostname", "public_ip", "private_ip", "ssh_port", "status",
    }  # fmt: skip
    (volume,) = shown["shared_volumes"]
    assert volume == {
        "id": volume["id"], "name": "team", "mount_point": "/home", "size_in_gigabytes": 100,
    }  # fmt: skip
    assert (await cloud.client.get("/clusters")).json == [shown]
    assert (await cloud.client.get("/clusters?status=provisioning")).json == [shown]
    assert (await cloud.client.get("/clusters?status=running")).json == []
    assert (await cloud.client.get("/instances")).json == []


def test_a_cluster_says_where_its_first_host_is_logged_in_to(cloud: Cloud) -> None:
    view = clustering.now(cloud.db, clustering.ordered(cloud.db, cloud.customer.by))
    view = replace(view, jump_host=replace(view.jump_host, ip="192.0.2.7", ssh_port=22007))
    worker = replace(view.workers[0], ip="192.0.2.7", ssh_port=22008)
    view = replace(view, workers=[worker, *view.workers[1:]])
    cases: list[tuple[Status, int | None, int | None]] = [
        ("running", 22007, 22008),
        ("provisioning", None, None),
    ]
    for status, jump, first in cases:
        shown = translate.cluster(view, status, None, (), now=cloud.clock.now(), shown_s=0)
        assert (shown.ssh_port, shown.ssh_user) == (jump, view.jump_host.ssh_user)
        assert [each.ssh_port for each in shown.worker_nodes] == [first, None]


async def test_a_long_term_of_a_cluster_is_shown_with_what_follows(cloud: Cloud) -> None:
    clustering.shop(cloud.db, workers=12, jump_hosts=6)
    cases: list[tuple[dict[str, Any], str]] = [
        ({}, "auto_renew"),
        ({"auto_rental_extension": True}, "auto_renew"),
        ({"auto_rental_extension": False}, "end_contract"),
        ({"auto_rent_extension": False}, "end_contract"),
        ({"turn_to_pay_as_you_go": True, "auto_rental_extension": False}, "pay_as_you_go"),
        ({"extension_settings": "end_contract", "auto_rental_extension": True}, "end_contract"),
    ]
    make.topup(cloud.db, cloud.customer.by, "1000")
    for members, extension in cases:
        shown = await deployed(cloud, contract="LONG_TERM", long_term_period="3_MONTHS", **members)
        assert (shown["contract"], shown["long_term_period"]) == ("LONG_TERM", "3 months")
        assert shown["extension_settings"] == extension
        assert shown["auto_rental_extension"] == (extension == "auto_renew")
        assert shown["turn_to_pay_as_you_go"] == (extension == "pay_as_you_go")


@pytest.mark.parametrize("form", ["one", "array"])
async def test_a_cluster_is_discontinued_and_twice_is_once(cloud: Cloud, form: str) -> None:
    shown = await deployed(cloud)
    action = {"id": shown["id"], "action": "discontinue"}
    for _ in range(2):
        response = await end(cloud, action if form == "one" else {"actions": [action]})
        assert (response.status, response.content) == (202, b"")
        now = (await cloud.client.get(f"/clusters/{shown['id']}")).json
        assert now["status"] in {"deleting", "discontinued"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"cluster_type": None}, "cluster_type is required"),
        ({"shared_volume": None}, "shared_volume is required"),
        ({"location_code": None}, "location_code is required"),
        ({"shared_volume": {"name": "team"}}, "shared_volume.size is required"),
        ({"shared_volume": {"name": "team", "size": "big"}}, None),
        ({"shared_volume": []}, "shared_volume must be an object."),
        ({"cluster_type": "16MOON"}, None),
        ({"location_code": "MOON-01"}, None),
        ({"image": "ubuntu-24.04"}, "Operating system is not valid for this instance type"),
        ({"ssh_key_ids": []}, None),
        ({"ssh_key_ids": ["x"]}, "ssh_key_ids: invalid id."),
        ({"existing_volumes": [{"id": "x"}]}, "existing_volumes: invalid id."),
        ({"existing_volumes": ["x"]}, None),
        ({"contract": "SPOT"}, None),
        ({"startup_script_id": "x"}, "startup_script_id: invalid id."),
    ],
)
async def test_a_cluster_that_is_wrong_names_what_is(
    cloud: Cloud, change: dict[str, Any], message: str | None
) -> None:
    body = {name: value for name, value in (await order(cloud) | change).items() if value is not None}
    refused(await cloud.client.post("/clusters", body), 400, "invalid_request", message)
    assert (await cloud.client.get("/clusters")).json == []


async def test_an_unknown_image_is_not_found_and_what_is_sold_out_unavailable(cloud: Cloud) -> None:
    response = await cloud.client.post("/clusters", await order(cloud, image="windows-95"))
    refused(response, 404, "not_found", "Operating system or volume not found")
    clustering.shop(cloud.db, workers=1)
    response = await cloud.client.post("/clusters", await order(cloud))
    refused(response, 503, "service_unavailable", "Not enough resources at the moment...")


async def test_an_action_that_is_none_is_refused(cloud: Cloud) -> None:
    bodies: list[Any] = [
        {},
        {"actions": []},
        {"actions": [{"id": UNKNOWN_ID}]},
        {"actions": [{"id": UNKNOWN_ID, "action": "dance"}]},
        {"actions": {"id": UNKNOWN_ID, "action": "discontinue"}},
        {"id": UNKNOWN_ID},
        {"action": "discontinue"},
    ]
    for body in bodies:
        refused(await end(cloud, body), 400, "invalid_request")
    for wanted in (UNKNOWN_ID, *(each for each in NOT_IDS if len(each) <= 64)):
        response = await end(cloud, {"id": wanted, "action": "discontinue"})
        refused(response, 404, "not_found")


async def test_several_clusters_are_discontinued_all_or_none(cloud: Cloud) -> None:
    made = [(await deployed(cloud))["id"] for _ in range(2)]
    actions = [{"id": each, "action": "discontinue"} for each in (*made, UNKNOWN_ID)]
    refused(await end(cloud, {"actions": actions}), 404, "not_found")
    assert {each["status"] for each in (await cloud.client.get("/clusters")).json} == {"provisioning"}
    assert (await end(cloud, {"actions": actions[:2]})).status == 202


async def test_a_cluster_has_tags_and_belongs_to_its_project_alone(cloud: Cloud) -> None:
    shown = await deployed(cloud, tags=[{"key": "Team", "value": "blue"}])
    assert [(tag["key"], tag["value"]) for tag in shown["tags"]] == [("team", "blue")]
    path = f"/clusters/{shown['id']}"
    assert (await cloud.client.post(f"{path}/tags", {"key": "stage"})).status == 201
    assert (await cloud.client.delete(f"{path}/tags/team")).status == 204
    assert [tag["key"] for tag in (await cloud.client.get(path)).json["tags"]] == ["stage"]
    _, theirs = cloud.stranger()
    refused(await theirs.get(path), 404, "not_found")
    response = await theirs.put("/clusters", {"id": shown["id"], "action": "discontinue"})
    refused(response, 404, "not_found")

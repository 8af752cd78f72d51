"""Volumes: made, shown in the shape of the living and of the deleted, and acted on one by one or several at once."""

from decimal import Decimal
from typing import Any

import pytest

from berth.core import instances, volumes
from berth.core.instances import Instance
from berth.core.volumes import Volume
from tests import make
from tests.faces.conftest import Response
from tests.faces.verda.conftest import NOT_IDS, UNKNOWN_ID, Cloud, bare, refused, uuid

ALWAYS = {
    "base_hourly_cost",
    "contract",
    "created_at",
    "currency",
    "id",
    "instance_id",
    "instances",
    "is_os_volume",
    "location",
    "monthly_price",
    "name",
    "size",
    "ssh_key_ids",
    "status",
    "tags",
    "target",
    "type",
}
LIVE = ALWAYS | {
    "create_directory_command",
    "filesystem_to_fstab_command",
    "long_term",
    "mount_command",
    "pseudo_path",
}
DELETED = ALWAYS | {"deleted_at", "is_permanently_deleted"}
NEW = {"type": "NVMe", "name": "data", "size": 50, "location_code": "FIN-01"}


async def show(cloud: Cloud, volume: Volume | str) -> dict[str, Any]:
    wanted = volume if isinstance(volume, str) else uuid(volume.id)
    response = await cloud.client.get(f"/volumes/{wanted}")
    assert response.status == 200, response.content
    shown: dict[str, Any] = response.json
    return shown


async def act(cloud: Cloud, action: str, wanted: Any, **members: Any) -> Response:
    return await cloud.client.put("/volumes", {"action": action, "id": wanted} | members)


def done(response: Response) -> None:
    assert (response.status, response.content) == (202, b"")


async def test_the_answer_to_a_create_is_a_bare_id_that_can_be_asked_for_at_once(cloud: Cloud) -> None:
    response = await cloud.client.post("/volumes", NEW | {"instance_id": None, "colour": 1})
    volume_id = bare(response, 202)
    assert cloud.pokes == ["volumes"]
    shown = await show(cloud, volume_id)
    assert set(shown) == LIVE
    assert shown["id"] == volume_id
    assert (shown["status"], shown["size"], shown["type"]) == ("ordered", 50, "NVMe")
    assert isinstance(shown["size"], int)
    assert shown["created_at"] == "2026-04-03T10:00:00.000Z"
    assert (shown["instance_id"], shown["instances"], shown["target"]) == (None, [], None)
    assert (shown["contract"], shown["currency"], shown["long_term"]) == ("PAY_AS_YOU_GO", "usd", None)
    assert {shown[member] for member in LIVE - ALWAYS} == {None}
    exact = (await cloud.client.get(f"/volumes/{volume_id}")).exact
    assert (exact["monthly_price"], exact["base_hourly_cost"]) == (10, Decimal("0.013699"))
    assert (await cloud.client.get("/volumes")).json == [shown]


@pytest.mark.parametrize("size", [50, "50", 50.0])
async def test_a_size_may_be_digits(cloud: Cloud, size: object) -> None:
    volume_id = bare(await cloud.client.post("/volumes", NEW | {"size": size}), 202)
    assert (await show(cloud, volume_id))["size"] == 50


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"type": None}, None),
        ({"name": None}, "name must be a string."),
        ({"location_code": None}, "location_code must be a string."),
        ({"size": None}, None),
        ({"size": 0}, None),
        ({"size": -1}, None),
        ({"size": 1.5}, "size must be a whole number of GB."),
        ({"size": "5 GB"}, None),
        ({"size": 10**30}, None),
        ({"size": [50]}, None),
        ({"type": "Floppy"}, None),
        ({"type": "NVMe_OS_Cluster"}, None),
        ({"type": "HDD"}, "type: unknown volume type 'HDD'."),
        ({"location_code": "MOON-01"}, "location_code: unknown location 'MOON-01'."),
        ({"location_code": "ICE-01"}, "type: NVMe is not offered in ICE-01."),
        ({"name": ""}, None),
        ({"name": ["data"]}, "name must be a string."),
        ({"instance_ids": UNKNOWN_ID}, "instance_ids must be an array."),
        ({"instance_id": [UNKNOWN_ID]}, "instance_id must be a string."),
    ],
)
async def test_a_volume_that_is_wrong_names_what_is(
    cloud: Cloud, change: dict[str, Any], message: str | None
) -> None:
    refused(await cloud.client.post("/volumes", NEW | change), 400, "invalid_request", message)
    assert (await cloud.client.get("/volumes")).json == []


@pytest.mark.parametrize("missing", sorted(NEW))
async def test_what_is_required_is_said(cloud: Cloud, missing: str) -> None:
    body = {name: value for name, value in NEW.items() if name != missing}
    refused(await cloud.client.post("/volumes", body), 400, "invalid_request", f"{missing} is required")


@pytest.mark.parametrize("member", ["instance_id", "instance_ids"])
async def test_a_volume_is_made_for_an_instance_that_is_off(cloud: Cloud, member: str) -> None:
    off, running = cloud.instance("offline"), cloud.instance()

    def named(made: Instance) -> dict[str, Any]:
        return {member: uuid(made.id) if member == "instance_id" else [uuid(made.id)]}

    volume_id = bare(await cloud.client.post("/volumes", NEW | named(off)), 202)
    assert (await show(cloud, volume_id))["instance_id"] == uuid(off.id)
    response = await cloud.client.post("/volumes", NEW | named(running))
    refused(response, 403, "forbidden_action", "One or more of the specified instances is not shut down")
    for unknown in (UNKNOWN_ID, "'"):
        wanted = unknown if member == "instance_id" else [unknown]
        response = await cloud.client.post("/volumes", NEW | {member: wanted})
        refused(response, 404, "not_found", "Invalid instance id")


async def test_a_volume_that_is_attached_shows_its_instance(cloud: Cloud) -> None:
    off = cloud.instance("offline")
    made = cloud.volume("attached", to=off)
    shown = await show(cloud, made)
    assert (shown["status"], shown["instance_id"], shown["target"]) == ("attached", uuid(off.id), "vdb")
    (host,) = shown["instances"]
    assert set(host) == {
        "id", "auto_rental_extension", "ip", "instance_type", "status", "os_volume_id", "hostname"
    }  # fmt: skip
    assert (host["id"], host["status"], host["hostname"]) == (uuid(off.id), "offline", off.hostname)
    instance = (await cloud.client.get(f"/instances/{uuid(off.id)}")).json
    assert instance["volume_ids"] == [instance["os_volume_id"], uuid(made.id)]
    disk = await show(cloud, instance["os_volume_id"])
    assert (disk["is_os_volume"], disk["target"], disk["status"]) == (True, "vda", "attached")
    assert disk["ssh_key_ids"] == instance["ssh_key_ids"]


async def test_a_shared_filesystem_has_commands_that_do_no_harm(cloud: Cloud) -> None:
    made = cloud.volume(kind="NVMe_Shared", name="shared")
    shown = await show(cloud, made)
    assert shown["pseudo_path"] == f"volume-{uuid(made.id)[-8:]}"
    assert shown["create_directory_command"] == "mkdir -p /mnt/shared"
    for member in ("mount_command", "filesystem_to_fstab_command"):
        assert shown[member] == "test -d /mnt/shared"
    assert shown["target"] is None


async def test_a_shared_filesystem_is_attached_to_several_instances(cloud: Cloud) -> None:
    made = cloud.volume(kind="NVMe_Shared")
    hosts = [cloud.instance("offline") for _ in range(2)]
    done(await act(cloud, "attach", uuid(made.id), instance_ids=[uuid(each.id) for each in hosts]))
    shown = await show(cloud, made)
    assert {each["id"] for each in shown["instances"]} == {uuid(each.id) for each in hosts}
    assert shown["status"] == "attaching"
    for host in hosts:
        make.seen_volume(cloud.db, made, volumes.attached, host.id)
    done(await act(cloud, "detach", [uuid(made.id)], instance_id=uuid(hosts[0].id)))
    assert (await show(cloud, made))["status"] == "detaching"
    done(await act(cloud, "detach", [uuid(made.id)]))
    for host in hosts:
        make.seen_volume(cloud.db, made, volumes.detached, host.id)
    assert (await show(cloud, made))["instances"] == []


async def test_attaching_and_detaching_ask_for_an_instance_that_is_off(cloud: Cloud) -> None:
    made, running = cloud.volume(), cloud.instance()
    refused(
        await act(cloud, "attach", uuid(made.id), instance_id=uuid(running.id)), 403, "forbidden_action",
        "One or more of the specified instances is not shut down",
    )  # fmt: skip
    attached = cloud.volume("attached", to=running)
    refused(await act(cloud, "detach", [uuid(attached.id)]), 403, "forbidden_action")
    refused(await act(cloud, "attach", uuid(made.id)), 400, "invalid_request", "instance_id is required")
    for unknown in (UNKNOWN_ID, "nothing"):
        response = await act(cloud, "attach", uuid(made.id), instance_id=unknown)
        refused(response, 404, "not_found", "Invalid instance id")
    far = cloud.instance("offline", instance_type="1A100.22V", location="FIN-03")
    response = await act(cloud, "attach", uuid(made.id), instance_id=uuid(far.id))
    assert "one location" in refused(response, 400, "invalid_request")


async def test_attaching_twice_and_detaching_what_is_detached_change_nothing(cloud: Cloud) -> None:
    made, off = cloud.volume(), cloud.instance("offline")
    for _ in range(2):
        done(await act(cloud, "attach", [uuid(made.id)], instance_id=uuid(off.id)))
    other = cloud.volume(name="other")
    for _ in range(2):
        done(await act(cloud, "detach", [uuid(other.id)]))
    elsewhere = cloud.instance("offline")
    response = await act(cloud, "attach", [uuid(made.id)], instance_id=uuid(elsewhere.id))
    refused(response, 403, "forbidden_action")
    response = await act(cloud, "detach", [uuid(other.id)], instance_id=uuid(elsewhere.id))
    refused(response, 400, "invalid_request")


async def test_a_volume_is_renamed_and_grows(cloud: Cloud) -> None:
    made = cloud.volume(size_gb=100)
    done(await act(cloud, "rename", uuid(made.id), name="renamed"))
    for size in (200, "300"):
        done(await act(cloud, "resize", [uuid(made.id)], size=size))
        now = make.volume_now(cloud.db, made)
        make.seen_volume(cloud.db, made, volumes.resized, now.wanted_size_gb)
    shown = await show(cloud, made)
    assert (shown["name"], shown["size"], shown["monthly_price"]) == ("renamed", 300, 60)
    for size in (299, 300, "1", 0, -5):
        refused(await act(cloud, "resize", uuid(made.id), size=size), 400, "invalid_request")
    refused(await act(cloud, "resize", uuid(made.id)), 400, "invalid_request", "size is required")
    refused(await act(cloud, "rename", uuid(made.id)), 400, "invalid_request", "name is required")
    refused(await act(cloud, "rename", uuid(made.id), name=None), 400, "invalid_request")


@pytest.mark.parametrize("status", ["ordered", "detached"])
async def test_a_deleted_volume_is_in_the_trash_at_once_and_comes_back(cloud: Cloud, status: str) -> None:
    made = cloud.volume(status)
    response = await cloud.client.call("DELETE", f"/volumes/{uuid(made.id)}", body={"is_permanent": False})
    done(response)
    shown = await show(cloud, made)
    assert set(shown) == DELETED
    assert (shown["status"], shown["is_permanently_deleted"]) == ("deleted", False)
    assert shown["deleted_at"] == "2026-04-03T10:00:00.000Z"
    assert (await cloud.client.get("/volumes/trash")).json == [shown]
    assert (await cloud.client.get("/volumes")).json == []
    assert (await cloud.client.get("/volumes?status=deleted")).json == [shown]
    again = await cloud.client.delete(f"/volumes/{uuid(made.id)}")
    assert (again.status, again.content) == (204, b"")
    done(await act(cloud, "restore", uuid(made.id)))
    back = await show(cloud, made)
    assert set(back) == LIVE
    assert back["status"] == status
    assert (await cloud.client.get("/volumes/trash")).json == []


@pytest.mark.parametrize("is_trashed", [False, True])
async def test_a_permanently_deleted_volume_answers_by_its_id_alone(cloud: Cloud, is_trashed: bool) -> None:
    made = cloud.volume("deleted" if is_trashed else "detached")
    path = f"/volumes/{uuid(made.id)}"
    done(await cloud.client.call("DELETE", path, body={"is_permanent": True}))
    shown = await show(cloud, made)
    assert (shown["status"], shown["is_permanently_deleted"]) == ("deleted", True)
    assert (await cloud.client.get("/volumes/trash")).json == []
    for body in ({"is_permanent": True}, {}, None):
        assert (await cloud.client.call("DELETE", path, body=body)).status == 204
    refused(await act(cloud, "restore", uuid(made.id)), 403, "forbidden_action")


async def test_a_delete_needs_no_body_and_ignores_what_others_put_in_the_query(cloud: Cloud) -> None:
    made = cloud.volume()
    done(await cloud.client.call("DELETE", f"/volumes/{uuid(made.id)}?force=true"))
    refused(
        await cloud.client.call("DELETE", f"/volumes/{uuid(made.id)}", body={"is_permanent": "yes"}),
        400,
        "invalid_request",
    )


async def test_what_is_attached_is_not_deleted(cloud: Cloud) -> None:
    made = cloud.volume("attached", to=cloud.instance("offline"))
    refused(await cloud.client.delete(f"/volumes/{uuid(made.id)}"), 403, "forbidden_action")
    refused(await act(cloud, "delete", uuid(made.id), is_permanent=True), 403, "forbidden_action")


async def test_several_volumes_are_acted_on_all_or_none(cloud: Cloud) -> None:
    made = [cloud.volume(name=f"data-{number}") for number in range(3)]
    wanted = [uuid(each.id) for each in made]
    refused(await act(cloud, "delete", [*wanted, UNKNOWN_ID]), 404, "not_found")
    assert (await cloud.client.get("/volumes/trash")).json == []
    done(await act(cloud, "delete", wanted, is_permanent=False))
    assert len((await cloud.client.get("/volumes/trash")).json) == 3
    done(await act(cloud, "delete", wanted[:2], is_permanent=True))
    assert [each["id"] for each in (await cloud.client.get("/volumes/trash")).json] == wanted[2:]


@pytest.mark.parametrize("action", ["create", "export", "transfer"])
async def test_what_is_the_operators_is_forbidden(cloud: Cloud, action: str) -> None:
    response = await act(cloud, action, uuid(cloud.volume().id))
    refused(response, 403, "forbidden_action", f"The action {action} is not available")


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"action": "delete"},
        {"id": UNKNOWN_ID},
        {"action": "dance", "id": UNKNOWN_ID},
        {"action": "delete", "id": []},
        {"action": "delete", "id": None},
        {"action": "delete", "id": {"a": 1}},
        {"action": "delete", "id": ["x"] * 101},
        {"action": "delete", "id": UNKNOWN_ID, "is_permanent": 1},
        {"action": "resize", "id": UNKNOWN_ID, "size": "big"},
    ],
)
async def test_a_request_that_is_none_is_a_400(cloud: Cloud, body: dict[str, Any]) -> None:
    refused(await cloud.client.put("/volumes", body), 400, "invalid_request")


async def test_an_unknown_volume_is_not_found_whatever_is_asked(cloud: Cloud) -> None:
    _, theirs = cloud.stranger()
    mine = uuid(cloud.volume().id)
    for action in ("detach", "delete", "rename", "resize", "restore", "attach", "clone", "cancel"):
        for wanted in (UNKNOWN_ID, *(each for each in NOT_IDS if len(each) <= 64)):
            body = {"action": action, "id": wanted, "name": "n", "size": 1000, "instance_id": UNKNOWN_ID}
            refused(await cloud.client.put("/volumes", body), 404, "not_found")
        body = {"action": action, "id": mine, "name": "n", "size": 1000, "instance_id": UNKNOWN_ID}
        refused(await theirs.put("/volumes", body), 404, "not_found")


async def test_a_list_of_volumes_can_be_of_one_status(cloud: Cloud) -> None:
    ordered, detached = cloud.volume("ordered"), cloud.volume()
    off = cloud.instance("offline")
    attached = cloud.volume("attached", to=off)
    disk = cloud.db.read_now(volumes.os_volume_of, off.id)
    assert disk is not None
    expected = {
        "ordered": [ordered],
        "detached": [detached],
        "attached": [disk, attached],
        "detaching": [],
        "cloning": [],
        "exported": [],
    }
    for status, found in expected.items():
        listed = (await cloud.client.get("/volumes", status=status)).json
        assert {each["id"] for each in listed} == {uuid(each.id) for each in found}, status
    cloud.db.write_now(instances.detach_volume, cloud.customer.by, attached.id, off.id)
    assert (await cloud.client.get("/volumes?status=detaching")).json == [await show(cloud, attached)]
    assert len((await cloud.client.get("/volumes")).json) == 4

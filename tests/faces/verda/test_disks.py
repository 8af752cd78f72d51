"""What becomes of volumes when their instance ends, OS volumes to boot from, and copies."""

from typing import Any

import pytest

from berth.core import instances, volumes
from berth.core.instances import Instance
from berth.core.volumes import Fate, Volume
from tests import make
from tests.faces.conftest import Response
from tests.faces.verda.conftest import UNKNOWN_ID, Cloud, bare, core, refused, uuid
from tests.faces.verda.test_volumes import act, done, show


async def end(cloud: Cloud, made: Instance, action: str = "delete", **members: Any) -> Response:
    return await cloud.client.put("/instances", {"action": action, "id": [uuid(made.id)]} | members)


def os_volume(cloud: Cloud, made: Instance) -> Volume:
    disk = cloud.db.read_now(volumes.os_volume_of, made.id)
    assert disk is not None
    return disk


@pytest.mark.parametrize(
    ("listed", "is_permanent", "disk", "data", "other"),
    [
        (None, False, "trash", "detached", "detached"),
        # One client sends the flag without naming a volume: it does nothing then.
        (None, True, "trash", "detached", "detached"),
        ([], False, "detached", "detached", "detached"),
        ([], True, "detached", "detached", "detached"),
        (["disk"], False, "trash", "detached", "detached"),
        (["data"], False, "detached", "trash", "detached"),
        (["disk", "data"], False, "trash", "trash", "detached"),
        (["disk", "data"], True, "gone", "gone", "detached"),
        (["data"], True, "detached", "gone", "detached"),
    ],
)
async def test_volumes_go_with_their_instance_as_its_delete_says(
    cloud: Cloud, listed: list[str] | None, is_permanent: bool, disk: str, data: str, other: str
) -> None:
    made = cloud.instance("offline")
    found = {
        "disk": os_volume(cloud, made),
        "data": cloud.volume("attached", to=made, name="data"),
        "other": cloud.volume("attached", to=made, name="other"),
    }
    body: dict[str, Any] = {
        "volume_ids": None if listed is None else [uuid(found[name].id) for name in listed]
    }
    if is_permanent:
        body["delete_permanently"] = True
    assert (await end(cloud, made, **body)).status == 202
    make.seen(cloud.db, made, instances.gone, make.RULES)
    trash = {each["id"] for each in (await cloud.client.get("/volumes/trash")).json}
    for name, expected in (("disk", disk), ("data", data), ("other", other)):
        shown = await show(cloud, found[name])
        assert shown["instances"] == []
        became = shown["status"]
        if became == "deleted":
            became = "gone" if shown["is_permanently_deleted"] else "trash"
        assert became == expected, name
        assert (shown["id"] in trash) == (expected == "trash")


async def test_without_a_list_is_as_with_null_and_one_id_needs_no_array(cloud: Cloud) -> None:
    first, second = cloud.instance("offline"), cloud.instance("offline")
    disks = [os_volume(cloud, made) for made in (first, second)]
    assert (await end(cloud, first)).status == 202
    assert (await end(cloud, second, volume_ids=uuid(disks[1].id), delete_permanently=True)).status == 202
    for made in (first, second):
        make.seen(cloud.db, made, instances.gone, make.RULES)
    kept, gone = [await show(cloud, disk) for disk in disks]
    assert (kept["is_permanently_deleted"], gone["is_permanently_deleted"]) == (False, True)


async def test_a_volume_of_another_instance_cannot_be_named(cloud: Cloud) -> None:
    made, other = cloud.instance(), cloud.instance()
    for wanted in (UNKNOWN_ID, uuid(os_volume(cloud, other).id), uuid(cloud.volume().id)):
        message = refused(await end(cloud, made, volume_ids=[wanted]), 400, "invalid_request")
        assert message == f"volume_ids: not attached to this instance: {wanted}."
    refused(
        await end(cloud, made, volume_ids=["'"]), 400, "invalid_request", "volume_ids: invalid volume id."
    )


async def test_hibernating_keeps_every_volume_whatever_is_named(cloud: Cloud) -> None:
    made = cloud.instance("offline")
    disk, data = os_volume(cloud, made), cloud.volume("attached", to=made)
    response = await end(cloud, made, "hibernate", volume_ids=[uuid(data.id)], delete_permanently=True)
    assert response.status == 202
    make.seen(cloud.db, made, instances.gone, make.RULES)
    for volume in (disk, data):
        assert (await show(cloud, volume))["status"] == "detached"


async def detached_disk(cloud: Cloud, **members: Any) -> str:
    made = cloud.instance("offline", **members)
    disk = os_volume(cloud, made)
    assert (await end(cloud, made, volume_ids=[])).status == 202
    make.seen(cloud.db, made, instances.gone, make.RULES)
    return uuid(disk.id)


async def test_an_instance_boots_from_an_os_volume_that_was_kept(cloud: Cloud) -> None:
    disk_id = await detached_disk(cloud)
    shown = await show(cloud, disk_id)
    assert (shown["is_os_volume"], shown["status"], shown["target"]) == (True, "detached", None)
    body = await cloud.order(image=disk_id)
    instance_id = bare(await cloud.client.post("/instances", body), 202)
    instance = (await cloud.client.get(f"/instances/{instance_id}")).json
    assert (instance["image"], instance["os_volume_id"]) == (disk_id, disk_id)
    assert instance["volume_ids"] == [disk_id]
    assert instance["os_name"] == "Ubuntu 24.04"
    again = await cloud.client.post("/instances", await cloud.order(image=disk_id))
    assert again.status == 403


async def test_an_os_volume_to_boot_from_goes_without_another(cloud: Cloud) -> None:
    disk_id = await detached_disk(cloud)
    data_id = uuid(cloud.volume().id)
    for members in (
        {"image": disk_id, "os_volume": {"name": "boot2", "size": 100}},
        {"image": data_id},
        {"image": UNKNOWN_ID},
    ):
        response = await cloud.client.post("/instances", await cloud.order(**members))
        refused(response, 404, "not_found", "Operating system or volume not found")
    _, theirs = cloud.stranger()
    key_id = (await theirs.post("/ssh-keys", {"name": "k", "key": make.public_key()})).content.decode()
    response = await theirs.post("/instances", await cloud.order(image=disk_id, ssh_key_ids=[key_id]))
    refused(response, 404, "not_found", "Operating system or volume not found")


async def test_what_an_eviction_does_to_volumes_is_kept_with_them(cloud: Cloud) -> None:
    fates = {"keep_detached": Fate.DETACH, "move_to_trash": Fate.TRASH, "delete_permanently": Fate.PURGE}
    for word, fate in fates.items():
        body = await cloud.order(
            is_spot=True,
            os_volume={"name": "boot", "size": 100, "on_spot_discontinue": word},
            volumes=[{"name": "data", "size": 20, "type": "NVMe", "on_spot_discontinue": word}],
        )
        instance_id = bare(await cloud.client.post("/instances", body), 202)
        instance = (await cloud.client.get(f"/instances/{instance_id}")).json
        for volume_id in instance["volume_ids"]:
            volume = cloud.db.read_now(volumes.get, cloud.customer.by, core(volume_id))
            assert volume.eviction_fate is fate


async def test_a_clone_answers_the_ids_of_the_copies(cloud: Cloud) -> None:
    made = cloud.volume(size_gb=100, name="data")
    response = await act(cloud, "clone", uuid(made.id), name=None, type=None)
    assert response.status == 202
    (copy_id,) = response.json
    copy = await show(cloud, copy_id)
    assert (copy["status"], copy["name"], copy["size"], copy["type"]) == (
        "cloning",
        "CLONE-data",
        100,
        "NVMe",
    )
    assert (await cloud.client.get("/volumes?status=cloning")).json == [copy]
    response = await act(cloud, "clone", [uuid(made.id)], name="copy", type="NVMe_Shared")
    assert (await show(cloud, response.json[0]))["type"] == "NVMe_Shared"
    other = cloud.volume(name="other")
    response = await act(cloud, "clone", [uuid(other.id), uuid(made.id)])
    assert [(await show(cloud, each))["name"] for each in response.json] == ["CLONE-other", "CLONE-data"]


async def test_a_copy_of_a_disk_with_any_name_needs_none_of_its_own(cloud: Cloud) -> None:
    disk_id = await detached_disk(cloud, os_volume_name="OS volume/é")
    response = await act(cloud, "clone", disk_id, name=None, type=None)
    assert response.status == 202, response.content
    assert (await show(cloud, response.json[0]))["name"] == "CLONE-OS-volume--"


async def test_a_location_in_the_place_of_a_type_means_the_same_type(cloud: Cloud) -> None:
    made = cloud.volume()
    for members in ({"type": "FIN-01"}, {"location_code": "FIN-01"}, {"type": "", "location_code": ""}):
        response = await act(cloud, "clone", uuid(made.id), name="copy", **members)
        assert (await show(cloud, response.json[0]))["type"] == "NVMe"
    for members in ({"type": "FIN-03"}, {"location_code": "FIN-03"}, {"location_code": "MOON-01"}):
        message = refused(await act(cloud, "clone", uuid(made.id), **members), 400, "invalid_request")
        assert message.startswith("location_code: ")
    refused(await act(cloud, "clone", uuid(made.id), type="Floppy"), 400, "invalid_request")


async def test_a_clone_under_way_can_be_cancelled(cloud: Cloud) -> None:
    made = cloud.volume()
    (copy_id,) = (await act(cloud, "clone", uuid(made.id))).json
    refused(await act(cloud, "cancel", uuid(made.id)), 403, "forbidden_action")
    for _ in range(2):
        done(await act(cloud, "cancel", copy_id))
    assert (await show(cloud, copy_id))["status"] == "canceled"
    assert copy_id not in {each["id"] for each in (await cloud.client.get("/volumes/trash")).json}
    assert copy_id in {each["id"] for each in (await cloud.client.get("/volumes?status=canceled")).json}

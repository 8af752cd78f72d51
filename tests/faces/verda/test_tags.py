"""Tags on instances and volumes, beside what they are put on and inside it."""

from typing import Any

import pytest

from tests.faces.verda.conftest import UNKNOWN_ID, Cloud, bare, refused, uuid
from tests.faces.verda.test_volumes import NEW


@pytest.fixture(params=["/instances", "/volumes"])
def thing(request: pytest.FixtureRequest, cloud: Cloud) -> str:
    """The path of something that can have tags."""
    made = cloud.instance() if request.param == "/instances" else cloud.volume()
    return f"{request.param}/{uuid(made.id)}"


async def test_a_tag_is_put_on_shown_and_taken_off(cloud: Cloud, thing: str) -> None:
    response = await cloud.client.post(f"{thing}/tags", {"key": "Team", "value": "Blue"})
    assert response.status == 201
    tag = response.json
    assert set(tag) == {"id", "key", "value"}
    assert (tag["key"], tag["value"]) == ("team", "Blue")
    assert (await cloud.client.get(thing)).json["tags"] == [tag]
    collection = thing.rsplit("/", 1)[0]
    (listed,) = [each for each in (await cloud.client.get(collection)).json if each["id"] in thing]
    assert listed["tags"] == [tag]
    gone = await cloud.client.delete(f"{thing}/tags/TEAM")
    assert (gone.status, gone.content) == (204, b"")
    assert (await cloud.client.get(thing)).json["tags"] == []
    (listed,) = [each for each in (await cloud.client.get(collection)).json if each["id"] in thing]
    assert listed["tags"] == []
    refused(await cloud.client.delete(f"{thing}/tags/team"), 404, "not_found", "Tag not found.")


async def test_a_value_may_be_left_out(cloud: Cloud, thing: str) -> None:
    for key, body in (("a", {}), ("b", {"value": None}), ("c", {"value": ""})):
        response = await cloud.client.post(f"{thing}/tags", {"key": key} | body)
        assert (response.status, response.json["value"]) == (201, "")


async def test_the_same_key_again_is_a_conflict(cloud: Cloud, thing: str) -> None:
    await cloud.client.post(f"{thing}/tags", {"key": "team", "value": "blue"})
    response = await cloud.client.post(f"{thing}/tags", {"key": "TEAM", "value": "red"})
    refused(response, 409, "conflict")


async def test_the_eleventh_tag_is_forbidden(cloud: Cloud, thing: str) -> None:
    for number in range(10):
        assert (await cloud.client.post(f"{thing}/tags", {"key": f"k{number}"})).status == 201
    refused(await cloud.client.post(f"{thing}/tags", {"key": "k10"}), 403, "forbidden_action")


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"key": None},
        {"key": ""},
        {"key": "a b"},
        {"key": "x" * 64},
        {"key": ["a"]},
        {"key": "a", "value": 1},
    ],
)
async def test_what_is_no_tag_is_a_400(cloud: Cloud, thing: str, body: Any) -> None:
    refused(await cloud.client.post(f"{thing}/tags", body), 400, "invalid_request")


async def test_things_are_made_with_tags_or_not_at_all(cloud: Cloud) -> None:
    wanted = [{"key": "Team", "value": "blue"}, {"key": "stage"}]
    instance_id = bare(await cloud.client.post("/instances", await cloud.order(tags=wanted)), 202)
    volume_id = bare(await cloud.client.post("/volumes", NEW | {"tags": wanted}), 202)
    for path in (f"/instances/{instance_id}", f"/volumes/{volume_id}"):
        tags = (await cloud.client.get(path)).json["tags"]
        assert {tag["key"]: tag["value"] for tag in tags} == {"team": "blue", "stage": ""}
    twice = [{"key": "a"}, {"key": "A"}]
    refused(await cloud.client.post("/instances", await cloud.order(tags=twice)), 409, "conflict")
    refused(await cloud.client.post("/volumes", NEW | {"tags": twice}), 409, "conflict")
    assert len((await cloud.client.get("/instances")).json) == 1
    assert len((await cloud.client.get("/volumes?status=ordered")).json) == 2


async def test_a_long_list_shows_the_tags_of_each(cloud: Cloud) -> None:
    made = [uuid(cloud.volume(name=f"data-{number}").id) for number in range(8)]
    for number, volume_id in enumerate(made):
        if number % 2:
            await cloud.client.post(f"/volumes/{volume_id}/tags", {"key": "number", "value": str(number)})
    listed = {each["id"]: each["tags"] for each in (await cloud.client.get("/volumes")).json}
    for number, volume_id in enumerate(made):
        assert [tag["value"] for tag in listed[volume_id]] == ([str(number)] if number % 2 else [])


async def test_nothing_is_tagged_that_is_not_there(cloud: Cloud) -> None:
    for path in ("/instances", "/volumes"):
        refused(await cloud.client.post(f"{path}/{UNKNOWN_ID}/tags", {"key": "a"}), 404, "not_found")

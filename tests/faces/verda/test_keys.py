"""SSH keys under both of their paths, and startup scripts: kept to the last line break, answered as clients read them."""

from typing import Any

import pytest

from berth.faces.face import Policy
from tests import make
from tests.faces.verda.conftest import NOT_IDS, UNKNOWN_ID, Cloud, bare, refused

PATHS = pytest.mark.parametrize("path", ["/sshkeys", "/ssh-keys"])
OTHER = {"/sshkeys": "/ssh-keys", "/ssh-keys": "/sshkeys"}


@PATHS
async def test_a_key_is_one_of_one_collection_under_two_paths(cloud: Cloud, path: str) -> None:
    line = make.public_key() + "\n"
    key_id = bare(await cloud.client.post(path, {"name": "laptop", "key": line, "colour": 1}), 201)
    for each in (path, OTHER[path]):
        (listed,) = (await cloud.client.get(each)).json
        (found,) = (await cloud.client.get(f"{each}/{key_id}")).json
        assert found == listed
        assert (found["id"], found["name"], found["key"]) == (key_id, "laptop", line)
    response = await cloud.client.delete(f"{OTHER[path]}/{key_id}")
    assert (response.status, response.content) == (200, b"")
    refused(await cloud.client.get(f"{path}/{key_id}"), 404, "not_found")
    refused(await cloud.client.delete(f"{path}/{key_id}"), 404, "not_found")


@PATHS
async def test_names_and_keys_may_repeat_and_a_key_that_is_none_is_kept(cloud: Cloud, path: str) -> None:
    line = "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABgQtest test@example.com"
    made = {bare(await cloud.client.post(path, {"name": "same", "key": line}), 201) for _ in range(2)}
    assert len(made) == 2
    assert {each["key"] for each in (await cloud.client.get(path)).json} == {line}


@PATHS
async def test_several_keys_are_deleted_at_once_and_missing_ones_are_no_error(
    cloud: Cloud, path: str
) -> None:
    made = [await cloud.ssh_key() for _ in range(3)]
    for keys in ([made[0], UNKNOWN_ID, *NOT_IDS[:6]], [made[0]], made[1], []):
        response = await cloud.client.call("DELETE", path, body={"keys": keys})
        assert (response.status, response.content) == (200, b"")
    assert [each["id"] for each in (await cloud.client.get(path)).json] == [made[2]]
    _, theirs = cloud.stranger()
    assert (await theirs.call("DELETE", path, body={"keys": made})).status == 200
    assert len((await cloud.client.get(path)).json) == 1


@PATHS
@pytest.mark.parametrize(
    "body",
    [
        {},
        {"name": "k"},
        {"key": "ssh-ed25519 AAAA"},
        {"name": None, "key": "ssh-ed25519 AAAA"},
        {"name": "k", "key": None},
        {"name": "k", "key": ""},
        {"name": "k", "key": "   "},
        {"name": "k", "key": "Tesla V100"},
        {"name": "k", "key": "-----BEGIN OPENSSH PRIVATE KEY-----"},
        {"name": "k", "key": "ssh-rsa AAAA\nssh-rsa BBBB"},
        {"name": "", "key": "ssh-ed25519 AAAA"},
        {"name": "x" * 256, "key": "ssh-ed25519 AAAA"},
        {"name": ["k"], "key": "ssh-ed25519 AAAA"},
        {"name": "k", "key": ["ssh-ed25519 AAAA"]},
    ],
)
async def test_what_is_no_key_is_a_400(cloud: Cloud, path: str, body: Any) -> None:
    refused(await cloud.client.post(path, body), 400, "invalid_request")
    assert (await cloud.client.get(path)).json == []


@PATHS
async def test_what_names_no_keys_is_a_400(cloud: Cloud, path: str) -> None:
    for keys in (None, 7, {"id": "x"}, [7], ["x" * 65], ["x"] * 1001):
        refused(await cloud.client.call("DELETE", path, body={"keys": keys}), 400, "invalid_request")
    refused(await cloud.client.call("DELETE", path, body={}), 400, "invalid_request", "keys is required")


async def script(cloud: Cloud, number: int = 0) -> str:
    body = {"name": f"setup {number}", "script": f"#!/bin/bash\n\necho {number}\n"}
    return bare(await cloud.client.post("/scripts", body), 201)


async def test_a_script_is_kept_to_its_last_line_break_and_shown_in_an_array(cloud: Cloud) -> None:
    made = await script(cloud)
    (found,) = (await cloud.client.get(f"/scripts/{made}")).json
    assert found == {"id": made, "name": "setup 0", "script": "#!/bin/bash\n\necho 0\n"}
    response = await cloud.client.delete(f"/scripts/{made}")
    assert (response.status, response.content) == (200, b"")
    refused(await cloud.client.get(f"/scripts/{made}"), 404, "not_found")


async def test_deleting_what_cannot_be_a_script_is_not_found(cloud: Cloud) -> None:
    for wanted in NOT_IDS:
        path = "/scripts/" + wanted.replace("%00", "\0")
        refused(await cloud.client.call("DELETE", path), 404, "not_found")


async def test_deleting_a_script_that_is_gone_changes_nothing(cloud: Cloud) -> None:
    made, kept = await script(cloud), await script(cloud, 1)
    for _ in range(2):
        assert (await cloud.client.delete(f"/scripts/{made}")).status == 200
    _, stranger = cloud.stranger()
    assert (await stranger.delete(f"/scripts/{kept}")).status == 200
    assert [each["id"] for each in (await cloud.client.get("/scripts")).json] == [kept]


async def test_without_a_page_all_scripts_are_listed_newest_first(cloud: Cloud) -> None:
    made = [await script(cloud, number) for number in range(12)]
    response = await cloud.client.get("/scripts")
    assert {each["id"] for each in response.json} == set(made)
    assert response.headers["x-total-count"] == "12"


async def test_a_page_of_scripts_says_where_it_stands_in_headers(cloud: Cloud) -> None:
    made = set()
    for number in range(12):
        cloud.clock.advance(seconds=1)
        made.add(await script(cloud, number))
    seen: list[str] = []
    for page, count in ((1, 5), (2, 5), (3, 2), (4, 0)):
        response = await cloud.client.get("/scripts", page=page, pageSize=5)
        assert response.status == 200
        assert isinstance(response.json, list)
        assert len(response.json) == count
        seen += [each["id"] for each in response.json]
        told = [response.headers[name] for name in ("x-page", "x-page-size", "x-total-count")]
        assert told == [str(page), "5", "12"]
    assert set(seen) == made
    assert len(seen) == 12
    assert len((await cloud.client.get("/scripts", page=1)).json) == 10
    assert len((await cloud.client.get("/scripts", pageSize=100)).json) == 12


@pytest.mark.parametrize(
    "query",
    ["pageSize=0", "pageSize=101", "page=0", "page=-1", "page=x", "pageSize=1.5", "page=1&page=2", "page="],
)
async def test_a_page_that_is_none_is_a_400(cloud: Cloud, query: str) -> None:
    refused(await cloud.client.get(f"/scripts?{query}"), 400, "invalid_request")


async def test_scripts_over_the_quota_are_forbidden(cloud: Cloud) -> None:
    client = cloud.under(policy=Policy(scripts_per_project=2))
    for number in range(2):
        bare(await client.post("/scripts", {"name": str(number), "script": "true"}), 201)
    response = await client.post("/scripts", {"name": "2", "script": "true"})
    refused(response, 403, "forbidden_action", "At most 2 startup scripts can be kept; delete one first.")


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"name": "k"},
        {"script": "true"},
        {"name": "k", "script": None},
        {"name": "", "script": "true"},
        {"name": "k", "script": ["true"]},
        {"name": "k", "script": "x" * (64 * 1024 - 100) + "é" * 200},
    ],
)
async def test_what_is_no_script_is_refused(cloud: Cloud, body: Any) -> None:
    response = await cloud.client.post("/scripts", body)
    assert response.status in {400, 413}
    refused(response, response.status, "invalid_request")


async def test_several_scripts_are_deleted_at_once_and_missing_ones_are_no_error(cloud: Cloud) -> None:
    made = [await script(cloud, number) for number in range(3)]
    for wanted in ([made[0], UNKNOWN_ID, "'"], made[1], made[1]):
        response = await cloud.client.call("DELETE", "/scripts", body={"scripts": wanted})
        assert (response.status, response.content) == (200, b"")
    assert [each["id"] for each in (await cloud.client.get("/scripts")).json] == [made[2]]

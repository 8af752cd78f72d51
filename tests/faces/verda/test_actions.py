"""Actions on instances: what each does and from where, what a repetition is, and several at once."""

from typing import Any

import pytest

from berth.core import catalog, instances
from berth.core.driver import Abilities
from berth.core.instances import Status, Wanted
from tests import make
from tests.faces.conftest import Response
from tests.faces.verda.conftest import UNKNOWN_ID, Cloud, refused, uuid

ROUTES = pytest.mark.parametrize(("method", "path"), [("PUT", "/instances"), ("POST", "/instances/action")])
PROVISIONING = "Can't discontinue a provisioning instance"


async def act(cloud: Cloud, action: str, wanted: Any, **members: Any) -> Response:
    return await cloud.client.put("/instances", {"action": action, "id": wanted} | members)


def done(response: Response, instance_id: str, action: str) -> None:
    assert response.status == 202, response.content
    assert response.json == [{"instanceId": instance_id, "action": action, "status": "success"}]


@ROUTES
async def test_an_action_that_is_taken_on_is_a_202_with_its_result(
    cloud: Cloud, method: str, path: str
) -> None:
    made = cloud.instance()
    shown = uuid(made.id)
    # What the Python client sends, in an array and with a null, and what the seed allows.
    for wanted in ([shown], shown):
        body = {"id": wanted, "action": "shutdown", "volume_ids": None}
        response = await cloud.client.call(method, path, body=body)
        if wanted == [shown]:
            done(response, shown, "shutdown")
            assert cloud.pokes == ["provisioning"]
        else:
            assert (response.status, response.content) == (204, b"")
            assert "content-length" not in response.headers
    assert make.now(cloud.db, made).wanted is Wanted.OFFLINE


@pytest.mark.parametrize("action", ["shutdown", "force_shutdown"])
async def test_a_shutdown_keeps_the_hardware(cloud: Cloud, action: str) -> None:
    made = cloud.instance()
    done(await act(cloud, action, [uuid(made.id)]), uuid(made.id), action)
    assert make.now(cloud.db, made).keeps_hardware
    off = make.seen(cloud.db, made, instances.stopped, releases_hardware=False)
    assert off.is_reserved
    assert (await act(cloud, action, [uuid(made.id)])).status == 204


@pytest.mark.parametrize("action", ["start", "boot"])
async def test_a_start_is_from_off_and_a_204_when_it_runs(cloud: Cloud, action: str) -> None:
    running = cloud.instance()
    assert (await act(cloud, action, [uuid(running.id)])).status == 204
    off = cloud.instance("offline")
    done(await act(cloud, action, [uuid(off.id)]), uuid(off.id), action)
    assert make.now(cloud.db, off).wanted is Wanted.RUNNING
    assert (await act(cloud, action, [uuid(off.id)])).status == 204


async def test_what_starts_again_is_provisioning_until_it_is_reached(cloud: Cloud) -> None:
    off = cloud.instance("offline")
    path = f"/instances/{uuid(off.id)}"
    listed = (await cloud.client.get("/instances")).json
    assert [each["status"] for each in listed] == ["offline"]
    done(await act(cloud, "start", uuid(off.id)), uuid(off.id), "start")
    shown = (await cloud.client.get(path)).json
    assert (shown["status"], shown["ip"]) == ("provisioning", None)
    assert (await cloud.client.get("/instances")).json == [shown]
    assert (await cloud.client.get("/instances?status=provisioning")).json == [shown]
    assert (await cloud.client.get("/instances?status=offline")).json == []
    done(await act(cloud, "delete", uuid(off.id)), uuid(off.id), "delete")


@pytest.mark.parametrize("action", ["start", "boot", "shutdown", "force_shutdown", "hibernate"])
@pytest.mark.parametrize("status", ["ordered", "provisioning", "error", "failed_no_capacity"])
async def test_what_its_state_does_not_allow_is_forbidden(cloud: Cloud, action: str, status: str) -> None:
    made = cloud.instance(status)
    refused(await act(cloud, action, [uuid(made.id)]), 403, "forbidden_action")
    assert make.now(cloud.db, made).wanted is made.wanted


@pytest.mark.parametrize("action", ["delete", "discontinue"])
async def test_what_is_being_provisioned_cannot_be_discontinued(cloud: Cloud, action: str) -> None:
    for status in ("ordered", "provisioning"):
        made = cloud.instance(status)
        refused(await act(cloud, action, [uuid(made.id)]), 403, "forbidden_action", PROVISIONING)
        assert make.now(cloud.db, made).wanted is Wanted.RUNNING


async def test_what_runs_and_is_only_shown_as_provisioning_can_be_discontinued(cloud: Cloud) -> None:
    made = make.instance(cloud.db, "running", cloud.customer.by)
    shown = uuid(made.id)
    assert (await cloud.client.get(f"/instances/{shown}")).json["status"] == "provisioning"
    done(await act(cloud, "delete", [shown]), shown, "delete")


@pytest.mark.parametrize("action", ["delete", "discontinue"])
@pytest.mark.parametrize("status", ["running", "offline", "error", "failed_no_capacity"])
async def test_everything_else_can_and_twice_is_once(cloud: Cloud, action: str, status: str) -> None:
    made = cloud.instance(status)
    shown = uuid(made.id)
    done(await act(cloud, action, [shown]), shown, action)
    assert make.now(cloud.db, made).wanted is Wanted.DELETED
    assert (await act(cloud, action, [shown])).status == 204
    make.seen(cloud.db, made, instances.gone, make.RULES)
    assert (await act(cloud, action, [shown])).status == 204
    assert (await cloud.client.get(f"/instances/{shown}")).json["status"] == "discontinued"
    for other in ("start", "shutdown"):
        refused(await act(cloud, other, [shown]), 403, "forbidden_action")


async def test_hibernating_is_deleting_what_is_off(cloud: Cloud) -> None:
    running = cloud.instance()
    refused(await act(cloud, "hibernate", [uuid(running.id)]), 403, "forbidden_action")
    off = cloud.instance("offline")
    done(await act(cloud, "hibernate", [uuid(off.id)]), uuid(off.id), "hibernate")
    assert make.now(cloud.db, off).status is Status.DELETING
    assert (await act(cloud, "hibernate", [uuid(off.id)])).status == 204


@pytest.mark.parametrize("action", ["configure_spot", "delete_stuck", "deploy", "transfer"])
async def test_what_is_the_operators_is_forbidden(cloud: Cloud, action: str) -> None:
    made = cloud.instance()
    response = await act(cloud, action, [uuid(made.id)])
    refused(response, 403, "forbidden_action", f"The action {action} is not available")


async def test_hardware_that_cannot_be_kept_is_not_given_back_by_a_shutdown(cloud: Cloud) -> None:
    cloud.db.write_now(catalog.introduce, make.PROVIDER, Abilities())
    made = cloud.instance()
    refused(await act(cloud, "shutdown", [uuid(made.id)]), 403, "forbidden_action")
    assert make.now(cloud.db, made).wanted is Wanted.RUNNING


@ROUTES
@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"id": UNKNOWN_ID}, "action is required"),
        ({"action": "start"}, "id is required"),
        ({"action": "dance", "id": UNKNOWN_ID}, None),
        ({"action": None, "id": UNKNOWN_ID}, None),
        ({"action": "start", "id": None}, "id must be a string or an array."),
        ({"action": "start", "id": []}, "id must name at least one."),
        ({"action": "start", "id": 7}, "id must be a string or an array."),
        ({"action": "start", "id": [7]}, "id must be a string."),
        ({"action": "start", "id": ["x"] * 101}, "id must have at most 100 entries."),
        ({"action": "start", "id": "x" * 65}, "id must have at most 64 characters."),
        ({"action": ["start"], "id": UNKNOWN_ID}, None),
        ({"action": "delete", "id": UNKNOWN_ID, "delete_permanently": "yes"}, None),
    ],
)
async def test_a_request_that_is_none_is_a_400(
    cloud: Cloud, method: str, path: str, body: dict[str, Any], message: str | None
) -> None:
    refused(await cloud.client.call(method, path, body=body), 400, "invalid_request", message)


async def test_several_that_all_succeed_are_a_202(cloud: Cloud) -> None:
    made = [uuid(cloud.instance().id) for _ in range(3)]
    response = await act(cloud, "shutdown", made)
    assert response.status == 202
    assert response.json == [{"instanceId": each, "action": "shutdown", "status": "success"} for each in made]
    assert cloud.pokes == ["provisioning"]
    # What is so already is no failure of a bulk.
    assert (await act(cloud, "shutdown", made)).status == 202


async def test_of_several_each_has_its_own_result_and_failures_leave_the_others_alone(cloud: Cloud) -> None:
    running, booting = cloud.instance(), cloud.instance("provisioning")
    _, theirs = cloud.stranger()
    wanted = [uuid(booting.id), "it's none", uuid(running.id), UNKNOWN_ID]
    response = await act(cloud, "delete", wanted)
    assert response.status == 207
    first, second, third, fourth = response.json
    assert first == {
        "instanceId": uuid(booting.id),
        "action": "delete",
        "status": "error",
        "error": PROVISIONING,
        "statusCode": 403,
    }
    assert (second["status"], second["statusCode"]) == ("error", 404)
    assert second["error"] == fourth["error"] == "Invalid instance id"
    assert third == {"instanceId": uuid(running.id), "action": "delete", "status": "success"}
    assert make.now(cloud.db, running).wanted is Wanted.DELETED
    assert make.now(cloud.db, booting).wanted is Wanted.RUNNING
    others = await theirs.put("/instances", {"action": "delete", "id": [uuid(running.id), uuid(booting.id)]})
    assert others.status == 207
    assert {each["statusCode"] for each in others.json} == {404}


async def test_one_id_twice_is_one(cloud: Cloud) -> None:
    made = cloud.instance("provisioning")
    refused(await act(cloud, "delete", [uuid(made.id)] * 2), 403, "forbidden_action", PROVISIONING)


async def test_a_bad_member_fails_every_one_of_several(cloud: Cloud) -> None:
    made = [uuid(cloud.instance().id) for _ in range(2)]
    response = await act(cloud, "delete", made, volume_ids=["nothing"])
    assert response.status == 207
    assert {(each["status"], each["statusCode"]) for each in response.json} == {("error", 400)}

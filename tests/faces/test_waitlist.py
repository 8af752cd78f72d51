"""The waitlist over HTTP: what an entry shows, every refusal with its reason, and a wait from beginning to end."""

from typing import Any

import pytest

from berth.base.clock import Instant, rfc3339
from tests import make, queueing
from tests.faces.conftest import Response, Shop
from tests.faces.samples import order

PATH = "/deployments/requests"
H200 = "8H200.141S.176V"
PLACE = "ICE-01"
DAY = 86400


def config(shop: Shop, **members: Any) -> dict[str, Any]:
    """What an entry deploys: as a deploy, with what the entry says itself left out."""
    return order(shop, cluster_type=None, location=None) | members


async def joined(shop: Shop, **members: Any) -> Any:
    return (await shop.client.post(PATH, {"cluster_type": H200, "location": PLACE} | members)).data


def free(shop: Shop, units: int) -> None:
    """So many of the type that is waited for, in as many listings as are believed."""
    for _ in range(2):
        make.catalogue(
            shop.db,
            make.offer(free=3),
            make.offer(
                H200, location=PLACE, price="2", gpu_model="H200", gpu_count=8, gpu_vram_gb=141, free=units
            ),
        )


async def test_an_entry_has_every_member(shop: Shop) -> None:
    entry = await joined(shop)
    now = rfc3339(shop.clock.now())
    assert entry.pop("id").startswith("wr_")
    assert entry == {
        "cluster_type": H200,
        "location": PLACE,
        "status": "waiting",
        "auto_deploy": False,
        "config": None,
        "max_price_per_hr": None,
        "position": 1,
        "ahead": 0,
        "blocked_reason": None,
        "notified_count": 0,
        "notified_at": None,
        "claim_expires_at": None,
        "deployment_id": None,
        "attempts": 0,
        "last_error": None,
        "expires_at": rfc3339(Instant(shop.clock.now() + 30 * DAY * 1_000_000)),
        "created_at": now,
        "updated_at": now,
    }


async def test_all_that_will_be_deployed_is_shown(shop: Shop) -> None:
    given = config(
        shop,
        description="nightly",
        os_volume={"name": "root", "size": 80},
        volumes=[{"name": "scratch", "size": 40, "type": "NVMe", "on_deployment_delete": "trash"}],
        existing_volumes=[f"vol_{make.volume(shop.db, by=shop.customer.by, location='FIN-01').id}"],
        auto_delete={"at": "2026-05-01T00:00:00Z", "max_spend_usd": 30, "idle_minutes": None},
    )
    entry = await joined(shop, cluster_type=make.H100, location="FIN-01", auto_deploy=True, config=given)
    assert entry["config"] == given | {"location": "FIN-01"}
    assert (await shop.client.get(f"{PATH}/{entry['id']}")).data["config"] == entry["config"]


@pytest.mark.parametrize("location", ["", None])
async def test_no_location_is_any_and_that_of_the_configuration_counts(
    shop: Shop, location: str | None
) -> None:
    assert (await joined(shop, location=location))["location"] is None
    given = config(shop, location=PLACE)
    entry = await joined(shop, location=location, auto_deploy=True, config=given)
    assert (entry["location"], entry["config"]["location"]) == (PLACE, PLACE)


WRONG: list[tuple[dict[str, Any], int, str, str | None]] = [
    ({"cluster_type": "9X9"}, 404, "instance_type_not_found", None),
    ({"cluster_type": 5}, 400, "invalid_field", "cluster_type"),
    ({"location": "MARS-01"}, 400, "invalid_field", "location"),
    ({"location": "a b"}, 400, "invalid_field", "location"),
    ({"auto_deploy": True}, 400, "invalid_field", "config"),
    ({"auto_deploy": "yes"}, 400, "invalid_field", "auto_deploy"),
    ({"config": {}}, 400, "missing_field", "config.image"),
    ({"config": []}, 400, "invalid_field", "config"),
    ({"max_price_per_hr": -1}, 400, "invalid_field", "max_price_per_hr"),
    ({"max_price_per_hr": 0.0000001}, 400, "invalid_field", "max_price_per_hr"),
    ({"max_price_per_hr": "much"}, 400, "invalid_field", "max_price_per_hr"),
    ({"max_price_per_hr": 1e30}, 400, "invalid_field", "max_price_per_hr"),
    ({"expires_at": "tomorrow"}, 400, "invalid_field", "expires_at"),
    ({"expires_at": "2020-01-01T00:00:00Z"}, 400, "invalid_field", "expires_at"),
    ({"expires_at": "9999-12-31T23:59:59-14:00"}, 400, "invalid_field", "expires_at"),
    ({"expires_at": "0001-01-01T00:00:00+14:00"}, 400, "invalid_field", "expires_at"),
    ({"expires_at": "2099-01-01T00:00:00Z"}, 400, "invalid_field", "expires_at"),
]
WRONG_CONFIGS: list[tuple[dict[str, Any], str, str]] = [
    ({"location": "FIN-01"}, "location_mismatch", "config.location"),
    ({"location": "MARS-01"}, "invalid_field", "config.location"),
    ({"cluster_type": make.H100}, "invalid_field", "config.cluster_type"),
    ({"image": "no-such"}, "invalid_field", "config.image"),
    ({"image": "cuda-h100"}, "image_incompatible", "config.image"),
    ({"image": None}, "missing_field", "config.image"),
    ({"hostname": None}, "missing_field", "config.hostname"),
    ({"hostname": "x" * 256}, "invalid_field", "config.hostname"),
    ({"ssh_key_ids": []}, "invalid_field", "config.ssh_key_ids"),
    ({"ssh_key_ids": ["sk_unknown"]}, "invalid_field", "config.ssh_key_ids"),
    ({"os_volume": {"size": 0}}, "invalid_field", "config.os_volume.size"),
    ({"auto_delete": {"at": "2020-01-01T00:00:00Z"}}, "invalid_field", "config.auto_delete.at"),
    ({"existing_volumes": ["vol_none"]}, "invalid_field", "config.existing_volumes"),
]


def refused(answer: Response, status: int, reason: str, field: str | None) -> None:
    problem = answer.refused(status, reason)
    assert problem.get("details", {}).get("field") == field, problem
    assert problem["error"].startswith("config.") == (field is not None and field.startswith("config."))


@pytest.mark.parametrize(("members", "status", "reason", "field"), WRONG)
async def test_a_wrong_member_is_named(
    shop: Shop, members: dict[str, Any], status: int, reason: str, field: str | None
) -> None:
    entry = await joined(shop, location=None)
    before = shop.rows()
    body = {"cluster_type": H200, "location": PLACE}
    refused(await shop.client.post(PATH, body | members), status, reason, field)
    refused(await shop.client.put(f"{PATH}/{entry['id']}", members), status, reason, field)
    assert shop.rows() == before


@pytest.mark.parametrize(("members", "reason", "field"), WRONG_CONFIGS)
async def test_a_wrong_configuration_is_refused_as_a_deploy_is(
    shop: Shop, members: dict[str, Any], reason: str, field: str
) -> None:
    given = config(shop) | members
    body = {"cluster_type": H200, "location": PLACE, "auto_deploy": True, "config": given}
    refused(await shop.client.post(PATH, body), 400, reason, field)


async def test_a_configuration_goes_with_auto_deploy_only(shop: Shop) -> None:
    answer = await shop.client.post(PATH, {"cluster_type": H200, "config": config(shop)})
    assert answer.refused(400, "invalid_field")["details"]["field"] == "config"


async def test_a_second_wish_to_be_told_names_the_first(shop: Shop) -> None:
    entry = await joined(shop)
    answer = await shop.client.post(PATH, {"cluster_type": H200, "location": PLACE})
    assert answer.refused(409, "duplicate")["details"] == {"existing_id": entry["id"]}


async def test_only_so_many_entries_are_active(shop: Shop) -> None:
    given = {"auto_deploy": True, "config": config(shop)}
    for _ in range(5):
        await joined(shop, **given)
    answer = await shop.client.post(PATH, {"cluster_type": H200, "location": PLACE, **given})
    assert "5 entries" in answer.refused(409, "quota")["error"]
    for location, kind in [(None, H200), ("FIN-01", make.H100), (None, make.H100)]:
        for _ in range(5):
            await joined(shop, cluster_type=kind, location=location, **given)
    answer = await shop.client.post(PATH, {"cluster_type": H200, "location": "FIN-03"})
    assert "20 waitlist entries" in answer.refused(409, "quota")["error"]


async def test_who_may_not_is_told_what_is_missing(shop: Shop) -> None:
    _, secret = make.key(shop.db, shop.customer.by, scopes=["waitlist:write"])
    client = shop.client.with_key(secret)
    body = {"cluster_type": H200, "auto_deploy": True, "config": config(shop)}
    problem = (await client.post(PATH, body)).refused(403, "missing_scope")
    assert problem["details"]["required"] == "deployments:write"
    entry = (await client.post(PATH, {"cluster_type": H200})).data
    _, secret = make.key(shop.db, shop.customer.by, scopes=["waitlist:read"])
    reader = shop.client.with_key(secret)
    assert (await reader.get(f"{PATH}/{entry['id']}")).data == entry
    for answer in (
        await reader.delete(f"{PATH}/{entry['id']}"),
        await reader.put(f"{PATH}/{entry['id']}", {"max_price_per_hr": 1}),
        await reader.post(PATH, {"cluster_type": H200}),
    ):
        assert answer.refused(403, "missing_scope")["details"]["required"] == "waitlist:write"


async def test_anothers_entry_is_not_there(shop: Shop) -> None:
    entry = await joined(shop)
    _, stranger = shop.stranger()
    for path in (f"{PATH}/{entry['id']}", f"{PATH}/wr_none", f"{PATH}/{entry['id'].removeprefix('wr_')}x"):
        for answer in (
            await stranger.get(path),
            await stranger.put(path, {"max_price_per_hr": 1}),
            await stranger.delete(path),
        ):
            answer.refused(404, "waitlist_entry_not_found")
    assert (await stranger.get(PATH)).data == []


async def test_those_in_line_are_listed_unless_others_are_asked_for(shop: Shop) -> None:
    first = await joined(shop)
    second = await joined(shop, location=None)
    await shop.client.delete(f"{PATH}/{first['id']}")
    listed = (await shop.client.get(PATH)).json
    assert [entry["id"] for entry in listed["data"]] == [second["id"]]
    cancelled = (await shop.client.get(PATH, status="cancelled")).data
    assert [(entry["id"], entry["position"], entry["ahead"]) for entry in cancelled] == [
        (first["id"], None, None)
    ]
    assert (await shop.client.get(PATH, status="fulfilled")).data == []
    problem = (await shop.client.get(PATH, status="gone")).refused(400, "invalid_field")
    assert problem["details"]["field"] == "status"


async def test_who_is_told_deploys_what_is_kept(shop: Shop) -> None:
    entry = await joined(shop)
    path = f"{PATH}/{entry['id']}"
    free(shop, 1)
    queueing.grants(shop.db)
    told = (await shop.client.get(path)).data
    assert (told["status"], told["notified_count"], told["position"]) == ("notified", 1, 1)
    assert told["claim_expires_at"] == rfc3339(Instant(shop.clock.now() + 600 * 1_000_000))
    body = order(shop, cluster_type=H200, location=PLACE)
    made = (await shop.client.post("/deployments/clusters", body)).data
    fulfilled = (await shop.client.get(path)).data
    assert (fulfilled["status"], fulfilled["deployment_id"]) == ("fulfilled", made["id"])
    for answer in (await shop.client.delete(path), await shop.client.put(path, {"max_price_per_hr": 9})):
        details = answer.refused(409, "invalid_state")["details"]
        assert details == {"status": "fulfilled", "deployment_id": made["id"]}


async def test_what_is_kept_is_nobody_elses(shop: Shop) -> None:
    await joined(shop)
    free(shop, 1)
    queueing.grants(shop.db)
    other, stranger = shop.stranger()
    key_ids = [f"sk_{make.ssh_key(shop.db, other.by).id}"]
    body = order(shop, cluster_type=H200, location=PLACE, ssh_key_ids=key_ids)
    (await stranger.post("/deployments/clusters", body)).refused(409, "no_capacity")
    probe = (await stranger.get(f"/deployments/availability/{H200}", location=PLACE)).data
    assert probe["is_available"] is False


async def test_what_is_deployed_for_an_entry_is_deleted_and_not_cancelled(shop: Shop) -> None:
    entry = await joined(shop, auto_deploy=True, config=config(shop))
    path = f"{PATH}/{entry['id']}"
    free(shop, 1)
    queueing.grants(shop.db)
    deploying = (await shop.client.get(path)).data
    assert (deploying["status"], deploying["position"]) == ("deploying", None)
    details = (await shop.client.delete(path)).refused(409, "invalid_state")["details"]
    assert details == {"status": "deploying", "deployment_id": deploying["deployment_id"]}
    made = (await shop.client.get(f"/deployments/{deploying['deployment_id']}")).data
    assert (made["cluster_type"], made["location"], made["hostname"]) == (H200, PLACE, "my-training-run")


async def test_a_wait_that_ended_is_not_ended_again(shop: Shop) -> None:
    entry = await joined(shop)
    path = f"{PATH}/{entry['id']}"
    shop.clock.advance(seconds=30 * DAY)
    queueing.attended(shop.db)
    assert (await shop.client.get(path)).data["status"] == "expired"
    details = (await shop.client.delete(path)).refused(409, "invalid_state")["details"]
    assert details == {"status": "expired"}


async def test_cancelling_twice_is_one_cancellation(shop: Shop) -> None:
    entry = await joined(shop)
    first = (await shop.client.delete(f"{PATH}/{entry['id']}")).data
    assert first["status"] == "cancelled"
    assert (await shop.client.delete(f"{PATH}/{entry['id']}")).data == first


async def test_a_change_shows_at_once_and_keeps_the_place(shop: Shop) -> None:
    other, _ = shop.stranger()
    entry = await joined(shop)
    queueing.waiting(shop.db, other.by, instance_type=H200, location=PLACE)
    path = f"{PATH}/{entry['id']}"
    changed = (await shop.client.put(path, {"auto_deploy": True, "config": config(shop)})).data
    assert (changed["auto_deploy"], changed["position"]) == (True, 1)
    later = rfc3339(Instant(shop.clock.now() + 60 * DAY * 1_000_000))
    changed = (await shop.client.put(path, {"expires_at": later, "max_price_per_hr": 40.5})).data
    assert (changed["expires_at"], changed["max_price_per_hr"], changed["position"]) == (later, 40.5, 1)
    assert (await shop.client.put(path, {"max_price_per_hr": None})).data["max_price_per_hr"] is None
    moved = (await shop.client.put(path, {"location": None})).data
    assert (moved["location"], moved["config"]["location"], moved["position"]) == (None, None, 2)
    told = (await shop.client.put(path, {"auto_deploy": False})).data
    assert (told["auto_deploy"], told["config"]) == (False, None)


async def test_what_is_in_the_way_is_said_and_not_refused(shop: Shop) -> None:
    make.topup(shop.db, shop.customer.by, "-40")
    entry = await joined(shop, auto_deploy=True, config=config(shop))
    assert (entry["blocked_reason"], entry["position"]) == ("insufficient_credits", 1)
    assert entry["last_error"]


async def test_what_a_revoked_key_asked_for_is_still_waited_for_and_deployed(shop: Shop) -> None:
    made, secret = make.key(shop.db, shop.customer.by)
    body = {"cluster_type": H200, "location": PLACE, "auto_deploy": True, "config": config(shop)}
    entry = (await shop.client.with_key(secret).post(PATH, body)).data
    await shop.client.delete(f"/api-keys/ak_{made.id}")
    free(shop, 1)
    queueing.grants(shop.db)
    deploying = (await shop.client.get(f"{PATH}/{entry['id']}")).data
    assert deploying["status"] == "deploying"
    assert (await shop.client.get(f"/deployments/{deploying['deployment_id']}")).data["status"] == "ordered"


async def test_a_replayed_join_is_one_entry(shop: Shop) -> None:
    body = {"cluster_type": H200, "auto_deploy": True, "config": config(shop)}
    first = await shop.client.post(PATH, body, idempotency_key="once")
    again = await shop.client.post(PATH, body, idempotency_key="once")
    assert again.headers["idempotent-replayed"] == "true"
    assert again.data == first.data
    assert len((await shop.client.get(PATH)).data) == 1

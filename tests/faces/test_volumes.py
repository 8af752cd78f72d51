"""Volumes over HTTP: what can be asked for, and every refusal by its code and reason."""

from typing import Any

import pytest

from berth.core import catalog, instances, volumes
from berth.core.catalog import refresh
from berth.core.driver import Abilities, Catalogue
from berth.core.volumes import Volume, service
from tests import make
from tests.faces.conftest import Shop
from tests.world import truth

WANTED = {"name": "training-data", "size": 500, "type": "NVMe", "location": "FIN-01"}


def path(volume: Volume, ending: str = "") -> str:
    return f"/volumes/vol_{volume.id}{ending}"


async def act(shop: Shop, volume: Volume, action: str, **members: Any) -> Any:
    return await shop.client.post(path(volume, "/actions"), {"action": action, **members})


def sell(shop: Shop, *kinds: Any) -> None:
    """What storage there is from now on."""
    make.catalogue(
        shop.db,
        make.offer(),
        make.offer("1A100.22V", location="FIN-03", price="0.965", gpu_model="A100"),
        images=[make.image()],
        volume_types=kinds,
    )


async def test_a_volume_is_created_attached_detached_trashed_and_purged(shop: Shop) -> None:
    running = make.instance(shop.db, by=shop.customer.by)
    ordered = (await shop.client.post("/volumes", WANTED)).data
    assert ordered["status"] == "ordered"
    row = make.volume_of(shop.db, shop.customer.by, ordered["id"])
    make.seen_volume(shop.db, row, volumes.created, make.volume_sighting(row))
    attaching = (await act(shop, row, "attach", deployment_id=f"dep_{running.id}")).data
    assert attaching["status"] == "attaching"
    assert attaching["deployment_id"] == attaching["instance_id"] == f"dep_{running.id}"
    make.seen_volume(shop.db, row, volumes.attached, running.id)
    assert (await shop.client.get(path(row))).data["status"] == "attached"
    assert (await shop.client.get(f"/deployments/dep_{running.id}")).data["volumes"] == [ordered["id"]]
    assert (await shop.client.get("/deployments")).data[0]["volumes"] == [ordered["id"]]
    problem = (await shop.client.delete(path(row))).refused(409, "in_use")
    assert problem["details"]["attached_to"] == [f"dep_{running.id}"]
    detaching = (await act(shop, row, "detach")).data
    assert (detaching["status"], detaching["pending_action"]) == ("attached", "detach")
    assert (await act(shop, row, "detach")).data == detaching
    make.seen_volume(shop.db, row, volumes.detached, running.id)
    assert (await act(shop, row, "detach")).data["status"] == "detached"
    trashed = (await shop.client.delete(path(row))).data
    assert trashed["status"] == "deleted"
    assert (trashed["deleted_at"], trashed["purge_at"]) == ("2026-04-03T10:00:00Z", "2026-04-07T10:00:00Z")
    assert not trashed["is_permanently_deleted"]
    assert (await shop.client.delete(path(row))).data == trashed
    assert (await shop.client.get(path(row))).data == trashed
    purged = (await shop.client.delete(path(row, "?permanent=true"))).data
    assert purged["is_permanently_deleted"]
    assert (await shop.client.delete(path(row))).data["is_permanently_deleted"]
    (await act(shop, row, "restore")).refused(409, "invalid_state")
    assert set(shop.pokes) == {"volumes"}


async def test_a_volume_shows_what_it_costs_to_the_digit(shop: Shop) -> None:
    shown = (await shop.client.post("/volumes", WANTED)).exact["data"]
    assert str(shown["monthly_price"]) == "100"
    assert str(shown["base_hourly_cost"]) == "0.136986"
    assert {name: shown[name] for name in ("contract", "currency", "is_os_volume", "instance_ids")} == {
        "contract": "hourly",
        "currency": "USD",
        "is_os_volume": False,
        "instance_ids": [],
    }
    assert shown["mount"] == {"device": None, "path": "/mnt/training-data", "fstab": None}
    assert shown["on_deployment_delete"] == "detach"


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("name", ""),
        ("name", "x" * 65),
        ("name", "a b"),
        ("name", "a/b"),
        ("name", "a\n"),
        ("name", "é"),
        ("name", 1),
        ("size", 9),
        ("size", 0),
        ("size", -1),
        ("size", 10_241),
        ("size", 1.5),
        ("size", "100"),
        ("size", 10**30),
        ("type", "Tape"),
        ("type", ""),
        ("type", "NVMe_OS_Cluster"),
        ("location", "MOON-01"),
        ("location", "FIN-03"),
        ("instance_id", "dep_nobody"),
        ("instance_id", "a b"),
        ("instance_ids", ["dep_nobody"]),
        ("instance_ids", "dep_nobody"),
        ("instance_ids", ["x"] * 65),
        ("on_deployment_delete", "burn"),
    ],
)
async def test_a_wrong_member_of_a_volume_is_named(shop: Shop, member: str, value: Any) -> None:
    before = shop.rows()
    problem = (await shop.client.post("/volumes", WANTED | {member: value})).refused(400, "invalid_field")
    field = problem["details"]["field"].split("[")[0]
    assert field == {"location": "location" if value == "MOON-01" else "type", "instance_ids": field}.get(
        member, member
    )
    assert shop.rows() == before
    assert shop.pokes == []


@pytest.mark.parametrize("member", ["name", "size", "type", "location"])
async def test_a_missing_member_of_a_volume_is_required(shop: Shop, member: str) -> None:
    body = {name: value for name, value in WANTED.items() if name != member}
    problem = (await shop.client.post("/volumes", body)).refused(400, "missing_field")
    assert problem["details"] == {"field": member}


async def test_a_type_that_is_sold_elsewhere_says_where(shop: Shop) -> None:
    problem = (await shop.client.post("/volumes", WANTED | {"location": "FIN-03"})).refused(
        400, "invalid_field"
    )
    assert problem["details"] == {"field": "type", "locations": ["FIN-01"]}


async def test_a_volume_needs_credit_but_not_twenty_dollars(shop: Shop) -> None:
    make.topup(shop.db, shop.customer.by, "-49.99")
    assert (await shop.client.post("/volumes", WANTED)).data["status"] == "ordered"
    make.topup(shop.db, shop.customer.by, "-0.01")
    (await shop.client.post("/volumes", WANTED)).refused(402, "account_suspended")
    volume = make.volume(shop.db, by=make.project(shop.db).by)
    assert volume.status == "detached"


async def test_the_quota_counts_the_trash(shop: Shop) -> None:
    for _ in range(3):
        make.volume(shop.db, "deleted", shop.customer.by)
    size_gb = service.GB_PER_PROJECT
    sell(shop, make.volume_type(most=size_gb))
    (await shop.client.post("/volumes", WANTED | {"size": size_gb - 299})).refused(409, "quota")
    whole = (await shop.client.post("/volumes", WANTED | {"size": size_gb - 300})).data
    assert whole["size"] == size_gb - 300
    (await shop.client.post("/volumes", WANTED)).refused(409, "quota")
    grown = make.volume_of(shop.db, shop.customer.by, whole["id"])
    make.seen_volume(shop.db, grown, volumes.created, make.volume_sighting(grown))
    (await act(shop, grown, "resize", size=size_gb)).refused(409, "quota")


async def test_attaching_is_refused_where_it_cannot_be(shop: Shop) -> None:
    sell(shop, make.volume_type(), make.volume_type("HDD", live=False), make.volume_type(location="FIN-03"))
    by = shop.customer.by
    running = make.instance(shop.db, by=by)
    far = make.volume(shop.db, by=by, location="FIN-03")
    problem = (await act(shop, far, "attach", deployment_id=f"dep_{running.id}")).refused(
        400, "location_mismatch"
    )
    assert problem["details"]["location"] == "FIN-03"

    near = make.volume(shop.db, by=by)
    (await act(shop, near, "attach")).refused(400, "missing_field")
    (await act(shop, near, "attach", deployment_id="dep_nobody")).refused(400, "invalid_field")
    (await act(shop, near, "attach", deployment_id="dep_a", instance_id="dep_b")).refused(
        400, "invalid_field"
    )
    stranger = make.instance(shop.db)
    (await act(shop, near, "attach", deployment_id=f"dep_{stranger.id}")).refused(400, "invalid_field")

    cold = make.volume(shop.db, by=by, kind="HDD")
    problem = (await act(shop, cold, "attach", deployment_id=f"dep_{running.id}")).refused(
        409, "invalid_state"
    )
    assert "stop it first" in problem["error"]
    assert problem["details"]["hint"] == "stop first"

    booting = make.instance(shop.db, "provisioning", by)
    problem = (await act(shop, near, "attach", deployment_id=f"dep_{booting.id}")).refused(
        409, "invalid_state"
    )
    assert problem["details"]["deployment_status"] == "provisioning"

    assert (await act(shop, near, "attach", instance_id=running.id)).data["status"] == "attaching"
    assert (await act(shop, near, "attach", instance_id=running.id)).data["status"] == "attaching"
    other = make.instance(shop.db, by=by)
    (await act(shop, near, "attach", deployment_id=f"dep_{other.id}")).refused(409, "in_use")
    (await act(shop, near, "resize", size=200)).refused(409, "invalid_state")
    (await act(shop, near, "detach")).refused(409, "invalid_state")
    (await shop.client.delete(path(near))).refused(409, "in_use")
    ordered = make.volume(shop.db, "ordered", by)
    (await act(shop, ordered, "attach", deployment_id=f"dep_{other.id}")).refused(409, "invalid_state")
    trashed = make.volume(shop.db, "deleted", by)
    (await act(shop, trashed, "attach", deployment_id=f"dep_{other.id}")).refused(409, "invalid_state")


async def test_a_cold_volume_is_attached_and_detached_while_the_deployment_is_off(shop: Shop) -> None:
    sell(shop, make.volume_type("HDD", live=False))
    off = make.instance(shop.db, "offline", shop.customer.by)
    cold = make.volume(shop.db, by=shop.customer.by, kind="HDD")
    assert (await act(shop, cold, "attach", deployment_id=off.id)).data["status"] == "attaching"
    make.seen_volume(shop.db, cold, volumes.attached, off.id)
    await shop.client.post(f"/deployments/dep_{off.id}/actions", {"action": "start"})
    (await act(shop, cold, "detach")).refused(409, "invalid_state")


async def test_a_shared_volume_has_several_deployments_and_is_detached_from_one_by_name(shop: Shop) -> None:
    sell(shop, make.volume_type("NVMe_Shared", max_attachments=2))
    hosts = [make.instance(shop.db, by=shop.customer.by, hostname=f"h{number}") for number in range(3)]
    ids = [f"dep_{host.id}" for host in hosts]
    made = (
        await shop.client.post("/volumes", WANTED | {"type": "NVMe_Shared", "instance_ids": ids[:2]})
    ).data
    assert (made["status"], made["instance_ids"]) == ("ordered", ids[:2])
    row = make.volume_of(shop.db, shop.customer.by, made["id"])
    make.seen_volume(shop.db, row, volumes.created, make.volume_sighting(row))
    for host in hosts[:2]:
        make.seen_volume(shop.db, row, volumes.attached, host.id)
    (await act(shop, row, "attach", deployment_id=ids[2])).refused(409, "in_use")
    (await act(shop, row, "detach")).refused(400, "missing_field")
    (await act(shop, row, "detach", deployment_id=ids[2])).refused(400, "invalid_field")
    assert (await act(shop, row, "detach", deployment_id=ids[1])).data["pending_action"] == "detach"
    make.seen_volume(shop.db, row, volumes.detached, hosts[1].id)
    shown = (await act(shop, row, "attach", deployment_id=ids[2])).data
    assert (shown["status"], shown["pending_action"], shown["instance_ids"]) == (
        "attached",
        "attach",
        [ids[0], ids[2]],
    )
    only = WANTED | {"instance_ids": ids[:2]}
    sell(shop, make.volume_type(), make.volume_type("NVMe_Shared", max_attachments=2))
    (await shop.client.post("/volumes", only)).refused(400, "invalid_field")


async def test_a_volume_grows_and_never_shrinks(shop: Shop) -> None:
    volume = make.volume(shop.db, by=shop.customer.by)
    for size in (100, 99, 0, -5, 10_241):
        problem = (await act(shop, volume, "resize", size=size)).refused(400, "invalid_field")
        assert problem["details"]["field"] == "size"
    (await act(shop, volume, "resize")).refused(400, "missing_field")
    growing = (await act(shop, volume, "resize", size=200)).data
    assert (growing["size"], growing["pending_action"]) == (100, "resize")
    assert (await act(shop, volume, "resize", size=200)).data == growing
    (await act(shop, volume, "resize", size=150)).refused(400, "invalid_field")
    make.seen_volume(shop.db, volume, volumes.resized, 200)
    grown = (await shop.client.get(path(volume))).exact["data"]
    assert (grown["size"], str(grown["monthly_price"]), grown["pending_action"]) == (200, "40", None)


async def test_what_grew_while_it_was_trashed_grows_on_from_there(shop: Shop) -> None:
    volume = make.volume(shop.db, by=shop.customer.by)
    await act(shop, volume, "resize", size=200)
    await shop.client.delete(path(volume))
    make.seen_volume(shop.db, volume, volumes.resized, 200)
    restored = (await act(shop, volume, "restore")).data
    assert (restored["size"], restored["pending_action"]) == (200, None)
    (await act(shop, volume, "resize", size=150)).refused(400, "invalid_field")
    assert (await act(shop, volume, "resize", size=201)).data["pending_action"] == "resize"


async def test_a_volume_is_renamed_while_it_lives(shop: Shop) -> None:
    volume = make.volume(shop.db, "attached", shop.customer.by)
    renamed = (await act(shop, volume, "rename", name="other")).data
    assert renamed["name"] == "other"
    assert renamed["mount"]["path"] == "/mnt/data"
    (await act(shop, volume, "rename", name="a b")).refused(400, "invalid_field")
    (await act(shop, volume, "rename")).refused(400, "missing_field")
    gone = make.volume(shop.db, "deleted", shop.customer.by)
    (await act(shop, gone, "rename", name="other")).refused(409, "invalid_state")


async def test_what_is_in_the_trash_is_restored_while_it_is_there(shop: Shop) -> None:
    volume = make.volume(shop.db, "deleted", shop.customer.by)
    restored = (await act(shop, volume, "restore")).data
    assert (restored["status"], restored["deleted_at"], restored["purge_at"]) == ("detached", None, None)
    (await act(shop, volume, "restore")).refused(409, "invalid_state")
    await shop.client.delete(path(volume))
    shop.clock.advance(seconds=96 * 3600)
    (await act(shop, volume, "restore")).refused(409, "invalid_state")


@pytest.mark.parametrize("status", ["ordered", "attached", "detached", "deleted"])
async def test_every_action_that_a_volume_shows_is_one_that_it_takes(shop: Shop, status: str) -> None:
    host, other = (make.instance(shop.db, by=shop.customer.by, hostname=name) for name in ("host", "other"))
    members: dict[str, dict[str, object]] = {
        "attach": {"deployment_id": f"dep_{host.id}"},
        "resize": {"size": 200},
        "rename": {"name": "other"},
    }

    def volume(name: str) -> Volume:
        to = other if status == "attached" else None
        return make.volume(shop.db, status, shop.customer.by, to=to, name=name)

    shown = (await shop.client.get(path(volume("shown")))).data["actions"]
    assert shown
    for action in shown:
        assert (await act(shop, volume(action), action, **members.get(action, {}))).status == 200, action
    for action in {"attach", "resize", "restore"} - set(shown):
        assert (await act(shop, volume(action), action, **members.get(action, {}))).status == 409, action


async def test_deleting_is_an_action_too(shop: Shop) -> None:
    volume = make.volume(shop.db, by=shop.customer.by)
    trashed = (await act(shop, volume, "delete")).data
    assert (trashed["status"], trashed["is_permanently_deleted"]) == ("deleted", False)
    assert (await act(shop, volume, "delete")).data == trashed
    assert (await act(shop, volume, "purge")).data["is_permanently_deleted"]
    used = make.volume(shop.db, "attached", shop.customer.by)
    for action in ("delete", "purge"):
        (await act(shop, used, action)).refused(409, "in_use")


async def test_a_size_that_only_the_dearer_provider_has_is_made_there(shop: Shop) -> None:
    make.catalogue(
        shop.db, make.offer(), provider="roomy", volume_types=[make.volume_type(price="0.5", most=50_000)]
    )
    made = (await shop.client.post("/volumes", WANTED | {"size": 20_000})).data
    assert make.volume_of(shop.db, shop.customer.by, made["id"]).provider == "roomy"
    small = (await shop.client.post("/volumes", WANTED)).data
    assert make.volume_of(shop.db, shop.customer.by, small["id"]).provider == make.PROVIDER
    problem = (await shop.client.post("/volumes", WANTED | {"size": 50_001})).refused(400, "invalid_field")
    assert problem["details"]["field"] == "size"


@pytest.mark.parametrize("body", [{"is_permanent": True}, {"is_permanent": False}, None])
async def test_a_volume_is_deleted_for_good_when_the_body_says_so(shop: Shop, body: Any) -> None:
    volume = make.volume(shop.db, by=shop.customer.by)
    gone = (await shop.client.call("DELETE", path(volume), body=body)).data
    assert gone["status"] == "deleted"
    assert gone["is_permanently_deleted"] == bool(body and body["is_permanent"])


async def test_lists_are_filtered_and_paged_in_both_envelopes(shop: Shop) -> None:
    by = shop.customer.by
    sell(shop, make.volume_type(), make.volume_type("HDD", location="FIN-03"))
    made = [make.volume(shop.db, by=by, name=f"v{number}") for number in range(3)]
    far = make.volume(shop.db, by=by, name="far", kind="HDD", location="FIN-03")
    host = make.instance(shop.db, by=by)
    used = make.volume(shop.db, "attached", by, to=host, name="used")
    make.volume(shop.db, "deleted", by, name="gone")

    async def names(**query: Any) -> set[str]:
        return {row["name"] for row in (await shop.client.get("/volumes", **query)).data}

    assert await names() == {"v0", "v1", "v2", "far", "used", "boot"}
    assert await names(status="deleted") == {"gone"}
    assert await names(status="detached") == {"v0", "v1", "v2", "far"}
    assert await names(location="FIN-03") == await names(type="HDD") == {"far"}
    assert await names(attached=True) == {"used", "boot"}
    assert await names(attached=False) == {"v0", "v1", "v2", "far"}
    assert await names(deployment_id=f"dep_{host.id}") == {"used", "boot"}
    assert await names(deployment_id="dep_nobody") == set()

    first = await shop.client.get("/volumes", limit=2, status="detached")
    assert (first.meta["total"], first.meta["has_more"]) == (4, True)
    second = await shop.client.get("/volumes", limit=2, status="detached", cursor=first.meta["cursor"])
    assert (second.meta["has_more"], second.meta["cursor"]) == (False, None)
    ids = [row["id"] for row in (*first.data, *second.data)]
    assert sorted(ids) == sorted(f"vol_{each.id}" for each in (*made, far))
    (await shop.client.get("/volumes", cursor=first.meta["cursor"])).refused(400, "invalid_cursor")
    nested = (await shop.nested().get("/volumes", limit=2)).json["data"]
    assert len(nested["data"]) == 2
    assert (nested["meta"]["total"], nested["meta"]["limit"]) == (6, 2)
    assert nested["meta"]["next_cursor"] == nested["meta"]["cursor"]
    assert used.name == "used"
    for wrong in (
        {"status": "lost"},
        {"limit": 0},
        {"limit": 101},
        {"attached": "perhaps"},
        {"location": "MOON-01"},
        {"deployment_id": "dep_a\n"},
        {"type": "NVMe\n"},
    ):
        (await shop.client.get("/volumes", **wrong)).refused(400, "invalid_field")


async def test_boot_disks_are_listed_and_stay_with_their_deployment(shop: Shop) -> None:
    host = make.instance(shop.db, by=shop.customer.by)
    (disk,) = (await shop.client.get("/volumes")).exact["data"]
    assert (disk["is_os_volume"], disk["status"], disk["size"]) == (True, "attached", 50)
    assert disk["deployment_id"] == f"dep_{host.id}"
    assert disk["monthly_price"] == disk["base_hourly_cost"] == 0
    for action in (
        {"action": "detach"},
        {"action": "resize", "size": 100},
    ):
        (await shop.client.post(f"/volumes/{disk['id']}/actions", action)).refused(409, "invalid_state")
    renamed = await shop.client.post(f"/volumes/{disk['id']}/actions", {"action": "rename", "name": "x"})
    assert (renamed.data["name"], renamed.data["actions"]) == ("x", ["rename"])
    for ending in ("", "?permanent=true"):
        problem = (await shop.client.delete(f"/volumes/{disk['id']}{ending}")).refused(409, "in_use")
        assert problem["details"]["attached_to"] == [f"dep_{host.id}"]
    make.instance(shop.db, "deleted", shop.customer.by)
    assert len((await shop.client.get("/volumes")).data) == 1
    assert len((await shop.client.get("/volumes", status="deleted")).data) == 1


async def test_volume_types_say_what_they_cost_and_where_they_are(shop: Shop) -> None:
    sell(
        shop,
        make.volume_type(price="0.25"),
        make.volume_type(location="FIN-03"),
        make.volume_type("NVMe_Shared", max_attachments=8, live=False),
    )
    local, shared = (await shop.client.get("/volume-types")).exact["data"]
    assert (str(local["price"]["price_per_month_per_gb"]), local["price"]["currency"]) == ("0.2", "usd")
    assert f"{local['price']['cps_per_gb']:.10e}" == "7.6103500761e-8"
    assert (local["type"], local["is_shared_fs"], local["locations"]) == ("NVMe", False, ["FIN-01", "FIN-03"])
    assert (local["burst_bandwidth"], local["continuous_bandwidth"], local["iops"]) == (2500, 2000, "100k")
    assert (local["internal_network_speed"], local["throughput_gbps"]) == (50, 4)
    assert (local["min_size_gb"], local["max_size_gb"], local["attachable_hot"]) == (10, 10_240, True)
    assert (shared["is_shared_fs"], shared["max_attachments"], shared["attachable_hot"]) == (True, 8, False)
    regions = {row["code"]: row for row in (await shop.client.get("/regions")).data}
    assert regions["FIN-01"]["volume_types"] == ["NVMe", "NVMe_Shared"]
    assert (regions["FIN-01"]["shared_fs"], regions["FIN-03"]["shared_fs"]) == (True, False)
    nothing = Catalogue((), (), ())
    shop.db.write_now(lambda tx: refresh(tx, make.PROVIDER, nothing, listed_at=tx.now, margin_percent=0))
    assert (await shop.client.get("/volume-types")).data == []


async def test_what_this_api_has_no_word_for_is_shown_in_its_own(shop: Shop) -> None:
    by = shop.customer.by
    source = make.volume(shop.db, by=by)
    able = Abilities(volumes=True, clones_volumes=True)
    shop.db.write_now(catalog.introduce, make.PROVIDER, able)
    copy = shop.db.write_now(instances.clone_volume, by, source.id)
    shown = (await shop.client.get(path(copy))).data
    assert (shown["status"], shown["name"], shown["actions"]) == (
        "ordered",
        "CLONE-data",
        ["rename", "delete"],
    )
    ordered = (await shop.client.get("/volumes?status=ordered")).data
    assert [each["id"] for each in ordered] == [shown["id"]]
    told = truth.event_data(shop.db, copy.id, "volume.ordered")
    assert [each["status"] for each in told] == ["ordered"]

"""What was used, by any measure, over HTTP: every report agrees with the ledger."""

from typing import Any

from berth.core import billing, events, reports, volumes
from berth.core.reports import MarginBy
from tests import make
from tests.faces.conftest import Shop
from tests.faces.spending import START, all_rows, pages, volume, worked_example


async def test_usage_by_deployment_has_every_member(shop: Shop) -> None:
    deployment = worked_example(shop)
    response = await shop.client.get("/billing/usage")
    assert response.data == [
        {
            "deployment_id": deployment,
            "hostname": "my-training-run",
            "cluster_type": make.H100,
            "location": "FIN-01",
            "status": "deleting",
            "gpu_seconds": 1530,
            "billed_seconds": 1530,
            "minimum_applied": False,
            "unit_price_per_hr": 1.71,
            "compute_micros": 726750,
            "storage_micros": 0,
            "total_micros": 726750,
            "total_usd": 0.72675,
            "started_at": START,
            "ended_at": "2026-04-03T10:25:30Z",
        }
    ]
    assert response.meta == {
        "total": 1,
        "cursor": None,
        "has_more": False,
        "from": "2026-03-04T10:00:00Z",
        "to": "2026-04-03T11:00:00Z",
        "group_by": "deployment",
        "totals": {
            "gpu_seconds": 1530,
            "compute_micros": 726750,
            "storage_micros": 0,
            "total_micros": 726750,
            "total_usd": 0.72675,
        },
    }


async def test_every_grouping_adds_up_to_the_ledger(shop: Shop) -> None:
    worked_example(shop)
    volume(shop, seconds=90_000)
    make.instance(shop.db, by=shop.customer.by, instance_type="1A100.22V", location="FIN-03")
    shop.clock.advance(seconds=700)
    shop.db.write_now(billing.sweep)
    spent = -sum(
        row["amount_micros"]
        for row in await all_rows(shop.client, "/billing/transactions")
        if row["type"] != "topup"
    )
    for group, keys in {
        "day": ("period_start", ["2026-04-04T00:00:00Z", "2026-04-03T00:00:00Z"]),
        "gpu_model": ("gpu_model", ["H100", "A100", None]),
    }.items():
        rows = (await shop.client.get("/billing/usage", group_by=group)).data
        assert [row[keys[0]] for row in rows] == keys[1]
    for group in ("day", "hour", "gpu_model", "api_key"):
        response = await shop.client.get("/billing/usage", group_by=group, limit=100)
        assert sum(row["total_micros"] for row in response.data) == spent, group
        assert response.meta["totals"]["total_micros"] == spent
        assert response.meta["totals"]["gpu_seconds"] == 1530 + 600
    compute = (await shop.client.get("/billing/usage")).meta["totals"]
    storage = (await shop.client.get("/billing/usage", group_by="volume")).meta["totals"]
    assert compute["total_micros"] + storage["total_micros"] == spent
    assert storage["storage_micros"] == billing.monthly(20_000_000, 90_000)
    keys = (await shop.client.get("/billing/usage", group_by="api_key")).data
    assert keys[0]["api_key_id"] == f"ak_{shop.customer.by.key_id}"


async def test_windows_that_adjoin_add_up(shop: Shop) -> None:
    deployment = worked_example(shop)
    shop.clock.advance(seconds=7200)
    made = make.instance(shop.db, by=shop.customer.by)
    shop.clock.advance(seconds=1200)
    shop.db.write_now(billing.sweep)

    async def total(start: str, end: str) -> Any:
        meta = (await shop.client.get("/billing/usage", **{"from": start, "to": end})).meta
        assert (meta["from"], meta["to"]) == (start, end)
        return meta["totals"]["total_micros"]

    assert await total("2026-04-03T10:00:00Z", "2026-04-03T11:00:00Z") == 726750
    assert await total("2026-04-03T11:00:00Z", "2026-04-03T13:00:00Z") == 570000
    assert await total("2026-04-03T10:00:00Z", "2026-04-03T13:00:00Z") == 726750 + 570000
    only = await shop.client.get("/billing/usage", deployment_id=deployment, group_by="hour")
    assert [row["total_micros"] for row in only.data] == [726750]
    running = await shop.client.get("/billing/usage", status="running")
    assert [row["deployment_id"] for row in running.data] == [f"dep_{made.id}"]
    assert running.data[0]["ended_at"] is None
    assert (await shop.client.get("/billing/usage", status="detached")).data == []


async def test_a_window_is_widened_to_whole_buckets(shop: Shop) -> None:
    for group, start, end in (
        ("deployment", "2026-04-03T09:00:00Z", "2026-04-03T11:00:00Z"),
        ("day", "2026-04-03T00:00:00Z", "2026-04-04T00:00:00Z"),
    ):
        asked = {"from": "2026-04-03T09:59:59Z", "to": "2026-04-03T10:00:01Z", "group_by": group}
        meta = (await shop.client.get("/billing/usage", **asked)).meta
        assert (meta["from"], meta["to"], meta["total"]) == (start, end, 0)


async def test_a_window_is_at_most_a_year_and_a_day(shop: Shop) -> None:
    longest = {"from": "2025-04-03T00:00:00Z", "to": "2026-04-04T00:00:00Z"}
    assert (await shop.client.get("/billing/usage", **longest)).data == []
    longer = {"from": "2025-04-02T23:00:00Z", "to": "2026-04-04T00:00:00Z"}
    (await shop.client.get("/billing/usage", **longer)).refused(400, "invalid_field")
    (await shop.client.get("/billing/usage", group_by="colour")).refused(400, "invalid_field")


async def test_usage_pages_hold_every_group_once(shop: Shop) -> None:
    made = []
    for _ in range(3):
        made.append(f"dep_{make.instance(shop.db, by=shop.customer.by).id}")
        shop.clock.advance(seconds=1)
    shop.clock.advance(seconds=4000)
    shop.db.write_now(billing.sweep)
    seen = []
    async for page in pages(shop.client, "/billing/usage", limit=1):
        assert (page.meta["total"], page.meta["totals"]["total_micros"]) == (3, 3 * 1_710_000)
        seen += [row["deployment_id"] for row in page.data]
    assert seen == made[::-1]
    hours = await all_rows(shop.client, "/billing/usage", limit=1, group_by="hour")
    assert len(hours) == 1


async def test_nobody_sees_what_others_used(shop: Shop) -> None:
    deployment = worked_example(shop)
    _, stranger = shop.stranger()
    for group in ("deployment", "volume", "day", "hour", "gpu_model", "api_key"):
        assert (await stranger.get("/billing/usage", group_by=group)).data == []
    assert (await stranger.get("/billing/usage", deployment_id=deployment)).data == []
    rows = (await stranger.get("/billing/transactions")).data
    assert [row["type"] for row in rows] == ["topup"]


async def test_the_nested_mount_has_the_same_meta(shop: Shop) -> None:
    worked_example(shop)
    flat = await shop.client.get("/billing/usage")
    nested = await shop.nested().get("/billing/usage")
    assert (nested.meta, nested.data) == (flat.meta, flat.data)


async def test_a_volume_is_named_long_after_it_is_gone(shop: Shop) -> None:
    kept = make.volume(shop.db, by=shop.customer.by, name="training-data")
    shop.clock.advance(seconds=9000)
    shop.db.write_now(volumes.purge, shop.customer.by, kept.id)
    rows = (await shop.client.get("/billing/transactions", volume_id=f"vol_{kept.id}")).data
    assert {row["resource_name"] for row in rows} == {"training-data"}
    (used,) = (await shop.client.get("/billing/usage", group_by="volume")).data
    assert (used["volume_id"], used["name"], used["type"]) == (f"vol_{kept.id}", "training-data", "NVMe")
    assert used["storage_micros"] == used["total_micros"] == billing.monthly(20_000_000, 9000)
    assert (used["gpu_seconds"], used["compute_micros"], used["minimum_applied"]) == (0, 0, False)
    assert (used["unit_price_per_hr"], used["started_at"]) == (0.027397, START)
    by_key = (await shop.client.get("/billing/usage", group_by="api_key")).data
    assert [row["api_key_id"] for row in by_key] == [f"ak_{shop.customer.by.key_id}"]
    margin = shop.db.read_now(
        reports.margin, events.operator(""), group_by=MarginBy.PROVIDER, from_at=None, to_at=None
    )
    assert [(row.key, row.seconds, row.cost) for row in margin] == [
        (make.PROVIDER, 9000, billing.monthly(10_000_000, 9000))
    ]

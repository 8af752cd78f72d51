"""Money over HTTP: the ledger, usage, receipts and an operator's credit."""

import csv
import io
from collections.abc import AsyncIterator
from typing import Any

import pytest

from berth.core import billing, events, instances, ledger
from tests import make
from tests.faces.conftest import Client, Response, Shop

START = "2026-04-03T10:00:00Z"


def worked_example(shop: Shop) -> str:
    """The published one: 1.71 an hour, deleted at 25:30. Its id."""
    made = make.instance(shop.db, by=shop.customer.by)
    for seconds in (600, 600):
        shop.clock.advance(seconds=seconds)
        shop.db.write_now(billing.sweep)
    shop.clock.advance(seconds=330)
    shop.db.write_now(instances.delete, shop.customer.by, made.id, make.RULES)
    return f"dep_{made.id}"


def volume(shop: Shop, subject: str = "VOLUME", *, seconds: int = 5000) -> None:
    shop.db.write_now(billing.start_storage, shop.customer.id, subject, 20_000_000)
    shop.clock.advance(seconds=seconds)
    shop.db.write_now(billing.finish_storage, shop.customer.id, subject, shop.clock.now())


async def pages(client: Client, path: str, **query: Any) -> AsyncIterator[Response]:
    """Every page of a list, a cursor at a time."""
    for _ in range(100):
        response = await client.get(path, **query)
        yield response
        if not response.meta["has_more"]:
            assert response.meta["cursor"] is None
            return
        query["cursor"] = response.meta["cursor"]
    pytest.fail("the list does not end")


async def all_rows(client: Client, path: str, **query: Any) -> list[Any]:
    return [row async for page in pages(client, path, **query) for row in page.data]


async def test_the_worked_example_is_in_the_ledger_to_the_last_member(shop: Shop) -> None:
    deployment = worked_example(shop)
    response = await shop.client.get("/billing/transactions")
    last, second, first, credit = response.data
    assert response.meta == {"total": 4, "cursor": None, "has_more": False}
    assert first.pop("id").startswith("txn_")
    assert first == {
        "type": "usage",
        "amount_micros": -285000,
        "amount_usd": -0.285,
        "currency": "USD",
        "balance_after_micros": 49715000,
        "deployment_id": deployment,
        "volume_id": None,
        "tick": 1,
        "final": False,
        "period_start": "2026-04-03T10:00:00Z",
        "period_end": "2026-04-03T10:10:00Z",
        "billed_seconds": 600,
        "unit_price_per_hr": 1.71,
        "resource_name": "my-training-run",
        "reference": None,
        "reverses": None,
        "description": "GPU usage",
        "created_at": "2026-04-03T10:10:00Z",
    }
    assert [row["amount_micros"] for row in (second, last)] == [-285000, -156750]
    assert [row["balance_after_micros"] for row in (second, last)] == [49430000, 49273250]
    assert (last["final"], last["billed_seconds"]) == (True, 330)
    assert (credit["type"], credit["deployment_id"], credit["tick"]) == ("topup", None, None)
    assert credit["reference"]


async def test_what_the_minimum_adds_is_a_row_of_its_own(shop: Shop) -> None:
    made = make.instance(shop.db, by=shop.customer.by)
    shop.clock.advance(seconds=120)
    shop.db.write_now(instances.delete, shop.customer.by, made.id, make.RULES)
    rows = (await shop.client.get("/billing/transactions", deployment_id=f"dep_{made.id}")).data
    assert [(row["type"], row["amount_micros"]) for row in rows] == [("minimum", -228000), ("usage", -57000)]
    assert [row["billed_seconds"] for row in rows] == [480, 120]


async def test_filters_narrow_the_rows_and_the_total(shop: Shop) -> None:
    deployment = worked_example(shop)
    volume(shop)
    count = {
        "type=usage": 3,
        f"deployment_id={deployment}": 3,
        f"deployment_id={deployment.removeprefix('dep_')}": 3,
        "deployment_id=dep_NOTHING": 0,
        "deployment_id=VOLUME": 0,
        "type=promo": 0,
        "from=2026-04-03T10:10:00Z&to=2026-04-03T10:20:00Z": 1,
        "from=2026-04-03T10:10:00Z&to=2026-04-03T10:20:01Z": 2,
        "to=2026-04-03T10:00:00Z": 0,
        "to=2026-04-03T12:00:01%2B02:00": 1,
    }
    for query, total in count.items():
        response = await shop.client.get(f"/billing/transactions?{query}")
        assert (response.meta["total"], len(response.data)) == (total, total), query
    storage = (await shop.client.get("/billing/transactions", volume_id="vol_VOLUME")).data
    assert {row["type"] for row in storage} == {"storage"}
    assert {row["volume_id"] for row in storage} == {"vol_VOLUME"}
    assert {row["deployment_id"] for row in storage} == {None}
    assert -sum(row["amount_micros"] for row in storage) == billing.monthly(20_000_000, 5000)
    assert storage[0]["unit_price_per_hr"] == 0.027397


async def test_pages_hold_every_row_once_while_others_are_written(shop: Shop) -> None:
    for number in range(25):
        make.topup(shop.db, shop.customer.by, "1", reference=f"r{number}")
        shop.clock.advance(seconds=number % 2)
    seen = []
    async for page in pages(shop.client, "/billing/transactions", limit=4):
        seen += [row["id"] for row in page.data]
        make.topup(shop.db, shop.customer.by, "1")
    assert len(seen) == len(set(seen)) == 26
    assert seen == sorted(seen, reverse=True)


async def test_one_row_is_found_by_its_id_and_only_by_its_owner(shop: Shop) -> None:
    worked_example(shop)
    rows = (await shop.client.get("/billing/transactions")).data
    for row in rows:
        assert (await shop.client.get(f"/billing/transactions/{row['id']}")).data == row
        assert (await shop.client.get(f"/billing/transactions/{row['id'][4:]}")).data == row
    _, stranger = shop.stranger()
    (await stranger.get(f"/billing/transactions/{rows[0]['id']}")).refused(404, "transaction_not_found")
    for wrong in ("txn_", "txn_0", "txn_" + "Z" * 13, "txn_000000000000u", rows[0]["id"] + "0"):
        (await shop.client.get(f"/billing/transactions/{wrong}")).refused(404, "transaction_not_found")


@pytest.mark.parametrize(
    ("query", "reason", "field"),
    [
        ("from=yesterday", "invalid_field", "from"),
        ("to=2026-04-03", "invalid_field", "to"),
        ("from=2026-13-01T00:00:00Z", "invalid_field", "from"),
        ("from=2026-04-03T10:00:00Z&to=2026-04-03T10:00:00Z", "invalid_field", "from"),
        ("limit=0", "invalid_field", "limit"),
        ("limit=101", "invalid_field", "limit"),
        ("cursor=bogus", "invalid_cursor", "cursor"),
        ("deployment_id=a%20b", "invalid_field", "deployment_id"),
    ],
)
@pytest.mark.parametrize("path", ["/billing/transactions", "/billing/usage"])
async def test_what_cannot_be_asked_is_refused_by_name(
    shop: Shop, path: str, query: str, reason: str, field: str
) -> None:
    problem = (await shop.client.get(f"{path}?{query}")).refused(400, reason)
    assert problem["details"]["field"] == field


async def test_a_cursor_of_other_filters_is_refused(shop: Shop) -> None:
    for _ in range(3):
        make.topup(shop.db, shop.customer.by, "1")
    cursor = (await shop.client.get("/billing/transactions", limit=1)).meta["cursor"]
    (await shop.client.get("/billing/transactions", cursor=cursor, type="topup")).refused(
        400, "invalid_cursor"
    )
    (await shop.client.get("/billing/transactions", type="bonus")).refused(400, "invalid_field")


async def test_csv_holds_the_same_rows_and_pages(shop: Shop) -> None:
    worked_example(shop)
    as_json = (await shop.client.get("/billing/transactions")).exact["data"]
    first = await shop.client.call(
        "GET", "/billing/transactions?limit=3", headers={"accept": "text/csv, application/json;q=0.5"}
    )
    assert first.headers["content-type"] == "text/csv; charset=utf-8"
    rest = await shop.client.call(
        "GET",
        "/billing/transactions",
        query={"limit": 3, "cursor": first.headers["x-next-cursor"]},
        headers={"accept": "text/csv"},
    )
    assert "x-next-cursor" not in rest.headers
    rows = [
        row
        for page in (first, rest)
        for row in csv.DictReader(io.StringIO(page.content.decode(), newline=""))
    ]
    shown = [{name: _written(value) for name, value in row.items()} for row in as_json]
    assert rows == shown


def _written(value: object) -> str:
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)


@pytest.mark.parametrize(
    ("accept", "is_csv"),
    [
        ("text/csv", True),
        ("TEXT/CSV; q=0.9, */*;q=0.1", True),
        ("application/json, text/csv;q=0.5", False),
        ("text/csv;q=0", False),
        ("text/csv;q=x", False),
        ("*/*", False),
        ("", False),
    ],
)
async def test_csv_is_for_those_who_ask_for_it(shop: Shop, accept: str, is_csv: bool) -> None:
    response = await shop.client.call("GET", "/billing/transactions", headers={"accept": accept})
    assert response.headers["content-type"].startswith("text/csv" if is_csv else "application/json")


@pytest.mark.parametrize("name", ["=HYPERLINK(1)", "+1", "-1", "@SUM(A1)"])
async def test_no_cell_is_a_formula(shop: Shop, name: str) -> None:
    make.topup(shop.db, shop.customer.by, "5", reference=name)
    response = await shop.client.call("GET", "/billing/transactions", headers={"accept": "text/csv"})
    row = next(csv.DictReader(io.StringIO(response.content.decode())))
    assert row["reference"] == f"'{name}"
    assert row["amount_usd"] == "5"


async def test_refusals_are_not_csv(shop: Shop) -> None:
    response = await shop.client.call("GET", "/billing/transactions?limit=0", headers={"accept": "text/csv"})
    response.refused(400, "invalid_field")


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
    flat = (await shop.client.get("/billing/usage")).meta
    nested = (await shop.nested().get("/billing/usage")).data["meta"]
    assert {name: nested[name] for name in flat} == flat
    assert (nested["page"], nested["limit"], nested["next_cursor"]) == (1, 20, None)


async def test_a_bill_is_live_and_becomes_a_receipt(shop: Shop) -> None:
    made = make.instance(shop.db, by=shop.customer.by)
    path = f"/deployments/dep_{made.id}/billing"
    shop.clock.advance(seconds=700)
    shop.db.write_now(billing.sweep)
    bill = (await shop.client.get(path)).data
    assert bill["segments"] == [{"start": START, "end": None, "seconds": 700}]
    assert (bill["compute_micros"], bill["accrued_micros"], bill["total_micros"]) == (285000, 47500, 332500)
    assert (bill["next_tick_at"], bill["is_final"]) == ("2026-04-03T10:20:00Z", False)
    shop.db.write_now(instances.stop, shop.customer.by, made.id)
    make.seen(shop.db, made, instances.stopped, releases_hardware=True)
    bill = (await shop.client.get(path)).data
    assert (bill["next_tick_at"], bill["is_final"], bill["accrued_micros"]) == (None, False, 0)
    shop.clock.advance(seconds=3600)
    shop.db.write_now(instances.delete, shop.customer.by, made.id, make.RULES)
    receipt = (await shop.client.get(path)).data
    assert receipt["is_final"] is True
    assert receipt["segments"] == [{"start": START, "end": "2026-04-03T10:11:40Z", "seconds": 700}]
    assert receipt["total_micros"] == -sum(row["amount_micros"] for row in receipt["charges"]) == 332500
    assert sum(row["seconds"] for row in receipt["charges"]) == receipt["billed_seconds"] == 700
    assert not {"cost", "cost_micros_per_hour", "provider_cost"} & receipt.keys()


async def test_a_receipt_shows_what_was_taken_back(shop: Shop) -> None:
    deployment = worked_example(shop)
    charge = (await shop.client.get("/billing/transactions", deployment_id=deployment)).data[-1]
    entries = shop.db.read_now(ledger.entries_of, shop.customer.by, deployment[4:], limit=9)
    operator = events.operator(shop.customer.id)
    shop.db.write_now(ledger.reverse, operator, shop.customer.id, entries[0].seq, note="host was slow")
    receipt = (await shop.client.get(f"/deployments/{deployment}/billing")).data
    assert receipt["total_micros"] == 726750 - 285000 == -sum(r["amount_micros"] for r in receipt["charges"])
    row = (await shop.client.get("/billing/transactions", type="reversal")).data[0]
    assert (row["reverses"], row["amount_micros"], row["deployment_id"]) == (charge["id"], 285000, deployment)
    assert (row["tick"], row["description"]) == (None, "Reversal: host was slow")
    assert (await shop.client.get("/billing/usage")).data[0]["total_micros"] == 441750


async def test_what_never_ran_has_an_empty_receipt(shop: Shop) -> None:
    made = make.instance(shop.db, "failed_no_capacity", shop.customer.by)
    receipt = (await shop.client.get(f"/deployments/dep_{made.id}/billing")).data
    assert (receipt["total_micros"], receipt["segments"], receipt["charges"]) == (0, [], [])
    assert receipt["is_final"] is True


def operator_client(shop: Shop) -> Client:
    _, secret = make.key(shop.db, events.operator(make.project(shop.db).id), scopes=["admin"])
    return shop.client.with_key(secret)


def credit(shop: Shop, **members: Any) -> dict[str, Any]:
    known = {"account_id": shop.customer.id, "amount_usd": 12.34, "type": "promo", "reference": "r"}
    return known | members


async def test_an_operator_credits_any_account_once_for_each_reference(shop: Shop) -> None:
    client = operator_client(shop)
    row = (await client.post("/billing/credits", credit(shop, note="welcome"))).data
    assert (row["type"], row["amount_micros"], row["reference"]) == ("promo", 12_340_000, "r")
    assert row["description"] == "Promotional credit: welcome"
    assert (await client.post("/billing/credits", credit(shop))).data["id"] == row["id"]
    (await client.post("/billing/credits", credit(shop, amount_usd=12.35))).refused(409, "duplicate")
    (await client.post("/billing/credits", credit(shop, type="topup"))).refused(409, "duplicate")
    assert (await shop.client.get("/billing/balance")).data["balance_micros"] == 62_340_000
    shown = (await shop.client.get("/billing/transactions", type="promo")).data
    assert [each["id"] for each in shown] == [row["id"]]


async def test_a_customer_cannot_credit_itself_with_any_key(shop: Shop) -> None:
    before = shop.rows()
    (await shop.client.post("/billing/credits", credit(shop))).refused(403, "missing_scope")
    (await shop.client.post("/api-keys", {"name": "k", "scopes": ["admin"]})).refused(403, "missing_scope")
    assert shop.rows() == before
    for scopes in (["full"], ["*"], None):
        made = (
            await shop.client.post("/api-keys", {"name": "k", **({"scopes": scopes} if scopes else {})})
        ).data
        customer = shop.client.with_key(made["secret"])
        (await customer.post("/billing/credits", credit(shop))).refused(403, "missing_scope")


@pytest.mark.parametrize(
    ("members", "status", "reason", "field"),
    [
        ({"amount_usd": 0}, 400, "invalid_field", "amount_usd"),
        ({"amount_usd": 0.009}, 400, "invalid_field", "amount_usd"),
        ({"amount_usd": 1.001}, 400, "invalid_field", "amount_usd"),
        ({"amount_usd": -5}, 400, "invalid_field", "amount_usd"),
        ({"amount_usd": 100_000.01}, 400, "invalid_field", "amount_usd"),
        ({"amount_usd": 1e300}, 400, "invalid_field", "amount_usd"),
        ({"amount_usd": "NaN"}, 400, "invalid_field", "amount_usd"),
        ({"type": "usage"}, 400, "invalid_field", "type"),
        ({"reference": ""}, 400, "invalid_field", "reference"),
        ({"reference": "x" * 256}, 400, "invalid_field", "reference"),
        ({"reference": "a\nb"}, 400, "invalid_field", "reference"),
        ({"note": "x" * 501}, 400, "invalid_field", "note"),
        ({"account_id": "NOBODY"}, 404, "account_not_found", None),
        ({"type": "refund"}, 409, "refund_too_large", None),
    ],
)
async def test_credit_that_cannot_be_added_changes_nothing(
    shop: Shop, members: dict[str, Any], status: int, reason: str, field: str | None
) -> None:
    client = operator_client(shop)
    before = shop.rows()
    problem = (await client.post("/billing/credits", credit(shop, **members))).refused(status, reason)
    assert field is None or problem["details"]["field"] == field
    assert shop.rows() == before


@pytest.mark.parametrize(("amount", "micros"), [(0.01, 10_000), (100_000, 10**11), ("5.10", 5_100_000)])
async def test_the_bounds_of_credit_are_in_it(shop: Shop, amount: object, micros: int) -> None:
    row = (await operator_client(shop).post("/billing/credits", credit(shop, amount_usd=amount))).data
    assert row["amount_micros"] == micros


async def test_a_refund_gives_back_what_was_spent(shop: Shop) -> None:
    worked_example(shop)
    client = operator_client(shop)
    refund = credit(shop, type="refund", amount_usd=0.73)
    (await client.post("/billing/credits", refund)).refused(409, "refund_too_large")
    row = (await client.post("/billing/credits", refund | {"amount_usd": 0.72})).data
    assert (row["type"], row["balance_after_micros"]) == ("refund", 49_993_250)
    usage = (await shop.client.get("/billing/usage")).data
    assert usage[0]["total_micros"] == 726750

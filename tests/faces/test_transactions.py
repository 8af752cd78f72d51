"""The ledger over HTTP: every row, by any filter, as JSON and as CSV."""

import base64
import csv
import io
import json

import pytest

from berth.core import billing, instances
from berth.core.instances import Contract
from tests import make
from tests.faces.conftest import Shop
from tests.faces.spending import pages, volume, worked_example


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


async def test_what_leaving_a_long_term_early_costs_is_an_adjustment(shop: Shop) -> None:
    made = make.instance(
        shop.db, by=shop.customer.by, contract=Contract.LONG_TERM, long_term_period="3_MONTHS"
    )
    shop.clock.advance(seconds=3600)
    shop.db.write_now(instances.delete, shop.customer.by, made.id, make.RULES)
    rows = (await shop.client.get("/billing/transactions", type="adjustment")).data
    assert [(row["amount_micros"], row["deployment_id"], row["billed_seconds"]) for row in rows] == [
        (1_470_600 - 1_710_000, f"dep_{made.id}", 3600)
    ]


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


@pytest.mark.parametrize("last", ["", "x", "9" * 30])
async def test_a_cursor_that_names_no_row_is_refused(shop: Shop, last: str) -> None:
    for _ in range(2):
        make.topup(shop.db, shop.customer.by, "1")
    cursor = (await shop.client.get("/billing/transactions", limit=1)).meta["cursor"]
    fields = json.loads(base64.urlsafe_b64decode(cursor)) | {"id": last}
    made_up = base64.urlsafe_b64encode(json.dumps(fields).encode()).decode()
    (await shop.client.get("/billing/transactions", cursor=made_up)).refused(400, "invalid_cursor")


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

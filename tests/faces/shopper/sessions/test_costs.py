"""Costs over the wire: windows by name and by date, per second at their edges, and the same figure at every face."""

from decimal import Decimal
from typing import Any

import pytest

from berth.base.clock import parse_rfc3339
from berth.core import billing, instances, ledger
from berth.faces import huddle
from berth.faces.shopper import words
from tests import make
from tests.faces.conftest import PREFIX, Client
from tests.faces.shopper.conftest import refused
from tests.faces.shopper.sessions.conftest import Desk


async def costs(desk: Desk, **query: Any) -> Any:
    response = await desk.client.get("/api/v1/costs", **query)
    assert response.status == 200, response.content
    return response.exact


@pytest.mark.parametrize(
    ("query", "start", "end"),
    [
        ({}, "2026-04-01", "2026-05-01"),
        ({"period": "monthly"}, "2026-04-01", "2026-05-01"),
        ({"period": "daily"}, "2026-04-03", "2026-04-04"),
        (
            {"period": "daily", "start_date": "2020-01-01", "end_date": "2020-02-01"},
            "2026-04-03",
            "2026-04-04",
        ),
        ({"start_date": "2026-03-10"}, "2026-03-10", "2026-04-01"),
        ({"start_date": "2026-12-31"}, "2026-12-31", "2027-01-01"),
        ({"end_date": "2026-03-10"}, "2026-03-01", "2026-03-10"),
        ({"end_date": "2026-03-01"}, "2026-02-01", "2026-03-01"),
        ({"start_date": "2026-03-10", "end_date": "2026-04-20"}, "2026-03-10", "2026-04-20"),
        ({"start_date": "2024-02-29"}, "2024-02-29", "2024-03-01"),
        ({"start_date": "", "end_date": "", "consumer_id": ""}, "2026-04-01", "2026-05-01"),
    ],
)
async def test_which_window_is_meant(desk: Desk, query: dict[str, str], start: str, end: str) -> None:
    shown = await costs(desk, **query)
    assert (shown["period_start"], shown["period_end"]) == (f"{start}T00:00:00Z", f"{end}T00:00:00Z")


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ({"period": "weekly"}, 'period must be one of daily, monthly, got "weekly"'),
        ({"period": ""}, "period must be one of daily, monthly"),
        ({"start_date": "2026-13-01"}, 'start_date must be a date as YYYY-MM-DD, got "2026-13-01"'),
        ({"start_date": "2026-02-30"}, 'start_date must be a date as YYYY-MM-DD, got "2026-02-30"'),
        ({"end_date": "yesterday"}, 'end_date must be a date as YYYY-MM-DD, got "yesterday"'),
        ({"end_date": "20260401"}, "end_date must be a date as YYYY-MM-DD"),
        ({"end_date": "2026-W10-1"}, "end_date must be a date as YYYY-MM-DD"),
        ({"end_date": "2026-4-1"}, "end_date must be a date as YYYY-MM-DD"),
        ({"start_date": "2026-04-01T00:00:00Z"}, "start_date must be a date as YYYY-MM-DD"),
        ({"start_date": "9999-12-01"}, "start_date must be a date as YYYY-MM-DD"),
        ({"end_date": "0001-01-01"}, 'end_date must be after 0001-01-01, got "0001-01-01"'),
        ({"consumer_id": "a\0b"}, 'consumer_id holds a character that is not text, got "ab"'),
        ({"start_date": "\x1b[31m<b>"}, 'got "[31mb"'),
        (
            {"start_date": "2026-04-03", "end_date": "2026-04-03"},
            'end_date must be after start_date, which is 2026-04-03, got "2026-04-03"',
        ),
        ({"start_date": "2026-04-03", "end_date": "2026-04-01"}, "end_date must be after start_date"),
        ("period=daily&period=monthly", "period is given more than once"),
    ],
)
async def test_a_wrong_window_is_a_400(desk: Desk, query: Any, says: str) -> None:
    refused(await desk.client.call("GET", "/api/v1/costs", query=query), 400, says)


@pytest.mark.parametrize("session_id", ["sess-abc", "sess-01kg0000000000000000000000", "x", "sess-"])
async def test_the_cost_of_an_unknown_session_is_a_404(desk: Desk, session_id: str) -> None:
    refused(await desk.client.get("/api/v1/costs", session_id=session_id), 404, "session not found")
    refused(await desk.client.get("/api/v1/costs", session_id=session_id, start_date="nonsense"), 404)


async def test_years_before_anything_was_sold_cost_nothing(desk: Desk) -> None:
    await desk.running()
    desk.clock.advance(seconds=60)
    for query in ({"start_date": "0001-01-01"}, {"end_date": "0001-01-02"}, {"start_date": "2030-01-01"}):
        shown = await costs(desk, **query)
        assert (shown["total_cost"], shown["session_count"], shown["hours_used"]) == (0, 0, 0)
        assert (shown["by_provider"], shown["by_gpu_type"]) == ({}, {})


async def test_a_session_over_midnight_is_split_there_to_the_second(desk: Desk) -> None:
    desk.clock.set(parse_rfc3339("2026-04-30T23:58:20Z"))
    made = await desk.running(offer_id="tensordock-a1")
    desk.clock.advance(seconds=100 + 77)
    await desk.client.delete(f"/api/v1/sessions/{made['id']}")
    desk.gone(made["id"])
    april = await costs(desk, start_date="2026-04-30")
    may = await costs(desk, start_date="2026-05-01")
    both = await costs(desk, start_date="2026-04-30", end_date="2026-05-02")
    assert [shown["hours_used"] for shown in (april, may, both)] == [
        Decimal("0.0278"),
        Decimal("0.0214"),
        Decimal("0.0492"),
    ]
    assert april["total_cost"] == Decimal("0.030556")
    assert may["total_cost"] == Decimal("0.023527")
    assert april["total_cost"] + may["total_cost"] == both["total_cost"] == Decimal("0.054083")
    assert (await costs(desk, session_id=made["id"]))["total_cost"] == both["total_cost"]
    assert [shown["session_count"] for shown in (april, may, both)] == [1, 1, 1]


async def test_what_runs_costs_up_to_this_second(desk: Desk) -> None:
    made = await desk.running()
    for seconds, total in ((1, "0.000125"), (599, "0.075"), (1, "0.075125"), (2999, "0.45")):
        desk.clock.advance(seconds=seconds)
        desk.db.write_now(billing.sweep)
        assert (await costs(desk))["total_cost"] == Decimal(total)
        assert (await costs(desk, session_id=made["id"]))["total_cost"] == Decimal(total)


async def test_a_session_has_no_minimum(desk: Desk) -> None:
    made = await desk.running()
    desk.clock.advance(seconds=60)
    await desk.client.post(f"/api/v1/sessions/{made['id']}/done")
    desk.gone(made["id"])
    assert (await costs(desk, session_id=made["id"]))["total_cost"] == Decimal("0.0075")
    assert (await costs(desk))["total_cost"] == Decimal("0.0075")
    assert make.balance(desk.db, desk.broker.customer.by).balance == make.micros("500") - 7500


async def test_what_ran_as_nothing_else_than_a_session_counts(desk: Desk) -> None:
    make.catalogue(desk.db)
    make.instance(desk.db, by=desk.broker.customer.by)
    await desk.created()
    desk.clock.advance(seconds=3600)
    shown = await costs(desk)
    assert (shown["total_cost"], shown["session_count"]) == (0, 0)


async def test_sessions_are_counted_once_however_often_they_were_charged(desk: Desk) -> None:
    await desk.running(reservation_hours=12)
    for _ in range(5):
        desk.clock.advance(seconds=3600)
        desk.db.write_now(billing.sweep)
    shown = await costs(desk)
    assert (shown["session_count"], shown["hours_used"], shown["total_cost"]) == (1, 5, Decimal("2.25"))


async def test_a_charge_that_was_taken_back_is_no_cost(desk: Desk) -> None:
    made = await desk.running()
    desk.clock.advance(seconds=1200)
    desk.db.write_now(billing.sweep)
    instance_id = words.instance_id(made["id"])
    operator = make.allowed(desk.broker.customer.by, "admin")
    row = desk.db.read_now(ledger.entries_of, desk.system(), instance_id, limit=1)[0]
    desk.db.write_now(ledger.reverse, operator, desk.broker.customer.id, row.seq)
    assert (await costs(desk))["total_cost"] == 0
    assert (await costs(desk, session_id=made["id"]))["total_cost"] == 0
    desk.clock.advance(seconds=8)
    assert (await costs(desk))["total_cost"] == Decimal("0.001")


async def test_every_face_says_the_same_of_one_instance(desk: Desk) -> None:
    """To the micro-dollar, whatever was charged already, while it runs and after it."""
    made = await desk.running(offer_id="tensordock-a1", reservation_hours=12)
    retail = Client(huddle.build(desk.broker.context), desk.broker.customer.api_key, PREFIX)
    deployment = f"dep_{words.instance_id(made['id'])}"

    async def agrees() -> None:
        bill = (await retail.get(f"/deployments/{deployment}/billing")).data
        one = (await costs(desk, session_id=made["id"]))["total_cost"]
        month = await costs(desk, consumer_id="my-application")
        assert one == month["total_cost"] == Decimal(bill["total_micros"]) / 1_000_000
        assert month["hours_used"] == round(Decimal(bill["gpu_seconds"]) / 3600, 4).normalize()

    for seconds in (7, 593, 601, 1799, 3333):
        desk.clock.advance(seconds=seconds)
        await agrees()
        desk.db.write_now(billing.sweep)
        await agrees()
    await desk.client.delete(f"/api/v1/sessions/{made['id']}")
    await agrees()
    desk.clock.advance(seconds=3600)
    desk.gone(made["id"])
    await agrees()
    usage = (await retail.get("/billing/usage", group_by="deployment")).data
    assert sum(row["total_micros"] for row in usage) == (await costs(desk))["total_cost"] * 1_000_000
    assert desk.db.read_now(instances.get, desk.system(), words.instance_id(made["id"])).price == 1_100_000


async def test_amounts_are_written_without_noise(desk: Desk) -> None:
    await desk.running()
    await desk.running(consumer_id="another", offer_id="tensordock-a1")
    desk.clock.advance(seconds=1111)
    content = (await desk.client.get("/api/v1/costs")).content
    assert b'"total_cost":0.478347,' in content
    assert b'"by_provider":{"tensordock":0.339472,"vastai":0.138875}' in content
    assert b'"hours_used":0.6172,' in content

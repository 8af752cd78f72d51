"""Alerts and limits over HTTP, and every refusal for want of money."""

from typing import Any

import pytest

from berth.core import billing, instances
from berth.core.errors import InsufficientCredits
from tests import make
from tests.faces.conftest import Shop
from tests.faces.samples import order

ALERTS = {"balance_usd": [20], "runway_seconds": [86400, 3600, 900], "emails": [], "enabled": True}


async def test_alerts_have_defaults_and_change_in_part(shop: Shop) -> None:
    assert (await shop.client.get("/billing/alerts")).data == ALERTS
    changed = (await shop.client.call("PUT", "/billing/alerts", body={"balance_usd": [20, 5.5]})).data
    assert changed == ALERTS | {"balance_usd": [20, 5.5]}
    changed = (
        await shop.client.call(
            "PUT",
            "/billing/alerts",
            body={"emails": ["ops@example.com"], "enabled": False, "runway_seconds": []},
        )
    ).data
    expected = {
        "balance_usd": [20, 5.5],
        "runway_seconds": [],
        "emails": ["ops@example.com"],
        "enabled": False,
    }
    assert changed == (await shop.client.get("/billing/alerts")).data == expected
    assert "credit" in shop.pokes


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"balance_usd": [0]}, "balance_usd"),
        ({"balance_usd": [-1]}, "balance_usd"),
        ({"balance_usd": [0.0000001]}, "balance_usd"),
        ({"balance_usd": [10**12]}, "balance_usd"),
        ({"balance_usd": [5, 5]}, "balance_usd"),
        ({"balance_usd": list(range(1, 12))}, "balance_usd"),
        ({"balance_usd": "20"}, "balance_usd"),
        ({"runway_seconds": [0]}, "runway_seconds"),
        ({"runway_seconds": [10**9]}, "runway_seconds"),
        ({"runway_seconds": [60.5]}, "runway_seconds"),
        ({"runway_seconds": list(range(1, 12))}, "runway_seconds"),
        ({"emails": ["nobody"]}, "emails"),
        ({"emails": [f"a{number}@example.com" for number in range(11)]}, "emails"),
        ({"enabled": "yes"}, "enabled"),
    ],
)
async def test_alerts_that_mean_nothing_are_refused(shop: Shop, body: dict[str, Any], field: str) -> None:
    refused = (await shop.client.call("PUT", "/billing/alerts", body=body)).refused(400, "invalid_field")
    assert refused["details"]["field"] == field
    assert (await shop.client.get("/billing/alerts")).data == ALERTS


async def test_limits_have_defaults_and_change_in_part(shop: Shop) -> None:
    free = {
        "max_hourly_usd": None,
        "monthly_budget_usd": None,
        "on_budget": "notify",
        "auto_resume": False,
        "spent_this_month_usd": 0,
        "grace": {"seconds": 600, "volume_retention_hours": 72},
    }
    assert (await shop.client.get("/billing/limits")).data == free
    first = {"max_hourly_usd": 80, "monthly_budget_usd": 100.25, "on_budget": "stop", "auto_resume": True}
    assert (await shop.client.call("PUT", "/billing/limits", body=first)).data == free | first
    second = {"max_hourly_usd": None}
    assert (await shop.client.call("PUT", "/billing/limits", body=second)).data == free | first | second


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"max_hourly_usd": 0}, "max_hourly_usd"),
        ({"max_hourly_usd": -1}, "max_hourly_usd"),
        ({"max_hourly_usd": 1e300}, "max_hourly_usd"),
        ({"monthly_budget_usd": 0.0000005}, "monthly_budget_usd"),
        ({"monthly_budget_usd": "much"}, "monthly_budget_usd"),
        ({"on_budget": "panic"}, "on_budget"),
        ({"on_budget": None}, "on_budget"),
        ({"auto_resume": 1}, "auto_resume"),
    ],
)
async def test_limits_that_mean_nothing_are_refused(shop: Shop, body: dict[str, Any], field: str) -> None:
    refused = (await shop.client.call("PUT", "/billing/limits", body=body)).refused(400, "invalid_field")
    assert refused["details"]["field"] == field


async def test_a_months_spending_is_live(shop: Shop) -> None:
    make.instance(shop.db, by=shop.customer.by)
    shop.clock.advance(seconds=1000)
    shop.db.write_now(billing.sweep)
    assert (await shop.client.get("/billing/limits")).data["spent_this_month_usd"] == 0.475
    shop.clock.advance(seconds=31 * 24 * 3600)
    shop.db.write_now(billing.sweep)
    spent = (await shop.client.get("/billing/limits")).data["spent_this_month_usd"]
    assert spent == pytest.approx(31 * 24 * 1.71, abs=0.3)


async def test_a_deploy_above_the_limit_of_an_hour_is_refused(shop: Shop) -> None:
    await shop.client.call("PUT", "/billing/limits", body={"max_hourly_usd": 3.42})
    body = order(shop)
    for _ in range(2):
        assert (await shop.client.post("/deployments/clusters", body)).status == 200
    refused = (await shop.client.post("/deployments/clusters", body)).refused(402, "spend_limit")
    assert refused["code"] == "INSUFFICIENT_CREDITS"
    assert refused["details"] == {
        "limit": "max_hourly_usd",
        "limit_usd": 3.42,
        "hourly_usd": 3.42,
        "added_usd": 1.71,
    }
    await shop.client.call("PUT", "/billing/limits", body={"max_hourly_usd": None})
    assert (await shop.client.post("/deployments/clusters", body)).status == 200


async def test_starts_count_before_they_run(shop: Shop) -> None:
    made = [make.instance(shop.db, "offline", shop.customer.by) for _ in range(2)]
    await shop.client.call("PUT", "/billing/limits", body={"max_hourly_usd": 2})
    first, second = (f"/deployments/dep_{each.id}/actions" for each in made)
    assert (await shop.client.post(first, {"action": "start"})).status == 200
    (await shop.client.post(second, {"action": "start"})).refused(402, "spend_limit")


async def test_a_budget_that_stops_refuses_deploys_and_starts_until_it_is_raised(shop: Shop) -> None:
    off = make.instance(shop.db, "offline", shop.customer.by)
    make.instance(shop.db, by=shop.customer.by)
    shop.clock.advance(seconds=3600)
    await shop.client.call("PUT", "/billing/limits", body={"monthly_budget_usd": 1.71, "on_budget": "stop"})
    body = order(shop)
    (await shop.client.post("/deployments/clusters", body)).refused(402, "spend_limit")
    (await shop.client.post(f"/deployments/dep_{off.id}/actions", {"action": "start"})).refused(
        402, "spend_limit"
    )
    assert (await shop.client.get("/billing/balance")).data["can_deploy"] is False
    await shop.client.call("PUT", "/billing/limits", body={"monthly_budget_usd": 5})
    assert (await shop.client.post("/deployments/clusters", body)).status == 200


async def test_a_budget_that_only_notifies_refuses_nothing(shop: Shop) -> None:
    make.instance(shop.db, by=shop.customer.by)
    shop.clock.advance(seconds=3600)
    await shop.client.call("PUT", "/billing/limits", body={"monthly_budget_usd": 1})
    assert (await shop.client.post("/deployments/clusters", order(shop))).status == 200


async def test_while_the_balance_is_used_up_deploys_and_starts_are_refused_and_the_balance_says_so(
    shop: Shop,
) -> None:
    off = make.instance(shop.db, "offline", shop.customer.by)
    make.topup(shop.db, shop.customer.by, "-49")
    make.topup(shop.db, shop.customer.by, "-1")
    shop.db.write_now(billing.advance, shop.customer.id, make.RULES)
    (await shop.client.post("/deployments/clusters", order(shop))).refused(402, "account_suspended")
    refused = (await shop.client.post(f"/deployments/dep_{off.id}/actions", {"action": "start"})).refused(
        402, "account_suspended"
    )
    assert refused["details"]["balance_usd"] == 0
    balance = (await shop.client.get("/billing/balance")).data
    assert (balance["state"], balance["can_deploy"]) == ("depleted", False)
    assert (balance["depleted_at"], balance["stops_at"]) == ("2026-04-03T10:00:00Z", "2026-04-03T10:10:00Z")
    shop.clock.advance(seconds=600)
    shop.db.write_now(billing.advance, shop.customer.id, make.RULES)
    balance = (await shop.client.get("/billing/balance")).data
    assert (balance["state"], balance["stops_at"]) == ("suspended", None)
    make.topup(shop.db, shop.customer.by, "30")
    assert (await shop.client.post("/deployments/clusters", order(shop))).status == 200


async def test_credit_shows_at_once_and_not_when_the_next_sweep_has_seen_it(shop: Shop) -> None:
    make.topup(shop.db, shop.customer.by, "-50")
    shop.db.write_now(billing.advance, shop.customer.id, make.RULES)
    for dollars, state, can_deploy in (("5", "low", False), ("25", "active", True)):
        make.topup(shop.db, shop.customer.by, dollars)
        balance = (await shop.client.get("/billing/balance")).data
        assert (balance["state"], balance["can_deploy"]) == (state, can_deploy)
        assert (balance["depleted_at"], balance["stops_at"]) == (None, None)


async def test_a_refusal_for_want_of_credit_names_what_there_is_and_what_it_takes(shop: Shop) -> None:
    off = make.instance(shop.db, "offline", shop.customer.by)
    make.topup(shop.db, shop.customer.by, "-50.25")
    shop.db.write_now(billing.advance, shop.customer.id, make.RULES)
    deploy = await shop.client.post("/deployments/clusters", order(shop))
    start = await shop.client.post(f"/deployments/dep_{off.id}/actions", {"action": "start"})
    for response, required in ((deploy, 20), (start, 0.000001)):
        refused = response.refused(402, "account_suspended")
        assert refused["details"] == {"balance_usd": -0.25, "required_usd": required}
        assert "Available: -$0.25" in refused["error"]


async def test_a_clock_that_was_ahead_for_a_while_does_not_lift_the_budget(shop: Shop) -> None:
    make.topup(shop.db, shop.customer.by, "5000")
    made = make.instance(shop.db, by=shop.customer.by)
    start = shop.clock.now()
    await shop.client.call("PUT", "/billing/limits", body={"monthly_budget_usd": 3, "on_budget": "stop"})
    shop.clock.advance(seconds=31 * 24 * 3600)
    shop.db.write_now(billing.advance, shop.customer.id, make.RULES)
    shop.clock.set(start)
    shop.clock.advance(seconds=7200)
    shop.db.write_now(instances.delete, shop.customer.by, made.id, make.RULES)
    assert (await shop.client.get("/billing/limits")).data["spent_this_month_usd"] == 3.42
    (await shop.client.post("/deployments/clusters", order(shop))).refused(402, "spend_limit")


async def test_nobody_reads_or_changes_another_ones(shop: Shop) -> None:
    _, client = shop.stranger()
    await client.call("PUT", "/billing/limits", body={"max_hourly_usd": 1})
    assert (await shop.client.get("/billing/limits")).data["max_hourly_usd"] is None


def test_a_deploy_needs_the_runway_that_the_operator_asks_for(shop: Shop) -> None:
    for minutes, is_enough in ((29 * 60, True), (30 * 60, False)):
        rules = billing.Rules(min_runway_minutes=minutes)
        if is_enough:
            make.ordered(shop.db, shop.customer.by, rules=rules)
            continue
        with pytest.raises(InsufficientCredits) as refusal:
            make.ordered(shop.db, shop.customer.by, rules=rules)
        assert (refusal.value.code, refusal.value.details["required_micros"]) == ("below_minimum", 51_300_000)

"""Credit that an operator adds over HTTP, and that a customer cannot."""

from typing import Any

import pytest

from berth.core import events
from tests import make
from tests.faces.conftest import Client, Shop
from tests.faces.spending import worked_example


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
    for changed in ({"amount_usd": 12.35}, {"type": "topup"}):
        assert (await client.post("/billing/credits", credit(shop, **changed))).data["id"] == row["id"]
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

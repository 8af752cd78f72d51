"""The bill of one deployment over HTTP: live while it runs, a receipt when it has ended."""

from berth.core import billing, events, instances, ledger
from tests import make
from tests.faces.conftest import Shop
from tests.faces.spending import START, worked_example


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

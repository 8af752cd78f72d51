"""A session as the retail API shows it: one deployment among others, at the same price and the same bill."""

from berth.core import billing, instances
from tests import make
from tests.faces.conftest import Shop


async def test_a_session_is_a_deployment_of_the_same_price(shop: Shop) -> None:
    session = make.session(shop.db, shop.customer.by, disk_gb=700).session
    shown = (await shop.client.get(f"/deployments/dep_{session.id}")).data
    assert shown["hostname"] == f"sess-{session.id.lower()}"
    assert shown["os_volume"] == {"name": "boot", "size": 700}
    assert shown["ssh_key_ids"] == []
    listed = (await shop.client.get("/deployments")).data
    assert [each["id"] for each in listed] == [shown["id"]]


async def test_its_bill_is_the_one_of_its_session_to_the_micro_dollar(shop: Shop) -> None:
    session = make.session(shop.db, shop.customer.by).session
    made = make.provisioned(shop.db, session.instance)
    make.seen(shop.db, made, instances.reachable, make.sighting(made))
    shop.clock.advance(seconds=77)
    cost = billing.total(session.price, 77)
    bill = (await shop.client.get(f"/deployments/dep_{session.id}/billing")).data
    assert cost in {round(value * 1_000_000) for value in bill.values() if isinstance(value, float)}
    balance = (await shop.client.get("/billing/balance")).data
    assert balance["accrued_micros"] == cost


async def test_it_is_not_stopped_from_here_and_can_be_deleted(shop: Shop) -> None:
    session = make.session(shop.db, shop.customer.by).session
    made = make.provisioned(shop.db, session.instance)
    make.seen(shop.db, made, instances.reachable, make.sighting(made))
    path = f"/deployments/dep_{session.id}"
    assert (await shop.client.get(path)).data["actions"] == ["restart", "delete"]
    (await shop.client.post(f"{path}/actions", {"action": "stop"})).refused(409, "not_supported")
    assert (await shop.client.delete(f"/deployments/dep_{session.id}")).status == 200
    make.seen(shop.db, made, instances.gone, make.RULES)
    shown = await shop.client.get(f"/deployments/dep_{session.id}")
    assert shown.data["status"] == "deleted"

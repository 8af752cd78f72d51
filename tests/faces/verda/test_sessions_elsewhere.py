"""A session as the IaaS API shows it: one instance among others."""

from berth.base import ids
from berth.core import instances
from tests import make
from tests.faces.verda.conftest import Cloud


async def test_a_session_is_an_instance_that_can_be_looked_at_and_deleted(cloud: Cloud) -> None:
    make.catalogue(cloud.db, make.offer(name="one"))
    session = make.session(cloud.db, cloud.customer.by, offer_id="sandbox-one").session
    made = make.provisioned(cloud.db, session.instance)
    make.seen(cloud.db, made, instances.reachable, make.sighting(made))
    cloud.clock.advance(seconds=10)
    shown = (await cloud.client.get(f"/instances/{ids.to_uuid(session.id)}")).json
    assert (shown["status"], shown["hostname"]) == ("running", f"sess-{session.id.lower()}")
    assert round(shown["price_per_hour"] * 1_000_000) == session.price
    answer = await cloud.client.put("/instances", {"action": "shutdown", "id": shown["id"]})
    assert (answer.status, answer.json["code"]) == (403, "forbidden_action")
    assert make.now(cloud.db, made).wanted.value == "running"
    await cloud.client.put("/instances", {"action": "delete", "id": shown["id"]})
    assert make.now(cloud.db, made).wanted.value == "deleted"

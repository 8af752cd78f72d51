"""Deliveries to real receivers on loopback, by a clock turned by hand: signed, repeated, limited, never lost."""

import pytest
from standardwebhooks import Webhook

from berth.base.clock import SystemClock
from berth.base.db import Database
from berth.loops.deliveries import Sender
from tests import make
from tests.conftest import FakeClock
from tests.world import truth
from tests.world.provider import Provider
from tests.world.receiver import listening
from tests.world.world import World


@pytest.fixture
def sender(clock: FakeClock) -> Sender:
    return Sender(make.WEBHOOK_RULES, clock)


@pytest.fixture
def world(db: Database, clock: FakeClock, provider: Provider, sender: Sender) -> World:
    """One whose deliveries go out for real."""
    return World(db, clock, provider, post=sender.post)


def statuses(world: World) -> list[str]:
    return [row[0] for row in truth.rows(world.db, "SELECT status FROM deliveries ORDER BY seq")]


async def test_an_order_is_told_to_a_receiver_that_the_reference_implementation_believes(
    world: World, clock: FakeClock, sender: Sender
) -> None:
    clock.set(SystemClock().now())
    async with listening() as receiver:
        customer = await world.customer()
        _, secret = make.webhook(world.db, customer.by, "instance.*", url=receiver.url)
        made = await world.running(customer)
        await world.tick("deliveries")
        await sender.close()
    bodies = [Webhook(secret).verify(each.body, dict(each.headers)) for each in receiver.received]
    assert [body["event"] for body in bodies] == [
        "deployment.ordered",
        "deployment.provisioning",
        "deployment.running",
    ]
    assert [body["sequence"] for body in bodies] == [1, 2, 3]
    assert list(bodies[-1])[:8] == [
        "event",
        "deployment_id",
        "provider_id",
        "status",
        "cluster_type",
        "hostname",
        "image",
        "location",
    ]
    assert bodies[-1]["deployment_id"] == f"dep_{made.id}"
    assert bodies[-1]["ip"] == made.ip
    assert bodies[-1]["previous_status"] == "provisioning"
    assert {each.headers["content-type"] for each in receiver.received} == {"application/json"}
    assert statuses(world) == ["success"] * 3

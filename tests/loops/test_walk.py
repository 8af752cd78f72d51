"""The main job through all loops: order, run, stop, start, restart, delete, and an exact bill."""

from berth.core import billing
from berth.core.billing import rates
from berth.core.instances import Status
from tests import make
from tests.conftest import FakeClock
from tests.world.world import World


async def test_an_order_runs_stops_starts_restarts_and_is_deleted(world: World, clock: FakeClock) -> None:
    instance = await world.running()
    price = instance.price
    assert world.machines(instance) == 1
    assert instance.ip
    assert instance.ssh_port == 22
    assert world.free() == 7

    await world.live(700)
    world.stop(instance)
    await world.settle()
    assert world.status(instance) == "offline"
    used_s = _billed_s(world, instance.id)
    assert used_s == 700
    assert world.charged(instance) == rates.total(price, 700)
    assert world.free() == 8
    await world.live(500)
    assert world.charged(instance) == rates.total(price, 700)

    world.start(instance)
    await world.settle()
    assert world.status(instance) == "running"
    assert world.free() == 7
    await world.live(65)

    world.restart(instance)
    await world.settle()
    assert world.status(instance) == "running"
    await world.live(100)
    world.check()

    world.delete(instance)
    await world.settle()
    gone = world.now(instance)
    assert gone.status is Status.DELETED
    assert gone.handle is None
    assert world.machines(instance) == 0
    assert world.charged(instance) == rates.total(price, _billed_s(world, instance.id))
    assert world.events(instance) == [
        "instance.ordered",
        "instance.provisioning",
        "instance.running",
        "instance.stop_wanted",
        "instance.offline",
        "instance.start_wanted",
        "instance.running",
        "instance.restart_wanted",
        "instance.restarted",
        "instance.deleting",
        "instance.deleted",
    ]
    await world.calm()
    world.check()
    assert world.free() == 8


async def test_several_orders_at_once_get_one_machine_each(world: World) -> None:
    customer = await world.customer()
    ordered = [await world.order(customer) for _ in range(8)]
    await world.settle()
    assert [world.status(instance) for instance in ordered] == ["running"] * 8
    assert [world.machines(instance) for instance in ordered] == [1] * 8
    assert world.free() == 0
    await world.calm()
    world.check()


async def test_a_delete_within_seconds_costs_the_minimum(world: World) -> None:
    instance = await world.running()
    await world.live(5)
    world.delete(instance)
    await world.settle()
    assert world.charged(instance) == rates.total(instance.price, 600)
    world.check()


async def test_two_customers_pay_each_their_own(world: World) -> None:
    first, second = await world.customer(), await world.customer()
    one, other = await world.running(first), await world.running(second)
    await world.live(1300)
    world.delete(one)
    await world.settle()
    assert world.charged(one) == rates.total(one.price, _billed_s(world, one.id))
    assert make.balance(world.db, first.by).balance == 1_000_000_000 - world.charged(one)
    assert make.balance(world.db, second.by).effective < 1_000_000_000
    assert world.status(other) == "running"
    world.check()


def _billed_s(world: World, subject: str) -> int:
    return world.db.read_now(billing.bill, subject).billed_s

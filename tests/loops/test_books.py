"""Once a day the books are looked through, and what disagrees is said aloud."""

from structlog.typing import EventDict

from berth.base.db import Tx
from tests.world.world import World

DAY_S = 24 * 3600


def found(log: list[EventDict]) -> list[str]:
    return [entry["problem"] for entry in log if entry["event"] == "books_disagree"]


def tamper(tx: Tx) -> None:
    tx.run("UPDATE accounts SET balance_micros = balance_micros + 1")


async def test_books_that_disagree_are_told_of_once_a_day(world: World, log: list[EventDict]) -> None:
    customer = await world.customer("50")
    world.db.write_now(tamper)
    for _ in range(3):
        await world.tick("housekeeping")
        world.turn(60)
    told = f"account {customer.id}: balance 50000001, rows 50000000; held 0, holds 0"
    assert found(log) == [told]
    world.turn(DAY_S)
    await world.tick("housekeeping")
    assert found(log) == [told] * 2


async def test_books_that_agree_are_not_told_of(world: World, log: list[EventDict]) -> None:
    await world.running()
    world.turn(DAY_S)
    await world.tick("metering")
    await world.tick("housekeeping")
    assert found(log) == []


async def test_a_clock_that_is_set_back_puts_off_no_check(world: World, log: list[EventDict]) -> None:
    await world.customer("50")
    await world.tick("housekeeping")
    world.clock.set(world.turned(-300 * DAY_S))
    world.db.write_now(tamper)
    await world.tick("housekeeping")
    assert len(found(log)) == 1

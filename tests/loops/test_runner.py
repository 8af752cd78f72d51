"""The runner: periods, pokes, back-off, drains. A real event loop, with waits of milliseconds."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise

import pytest
from structlog.typing import EventDict

from berth.base.clock import Instant
from berth.base.db import DatabaseUnavailable
from berth.loops.loop import Loop, Runner
from berth.loops.world import Report
from berth.loops.world import World as LoopWorld
from tests import make
from tests.world.provider import Provider
from tests.world.world import TICKS, World

NEVER_S = 1000.0
SOON_S = 5.0
POLL_S = 0.002
SHORT_S = 0.01

pytestmark = pytest.mark.parametrize("engine", ["sqlite"], indirect=True)


@dataclass
class Counted:
    """A tick that is counted, and does what it was told for each count."""

    script: list[Report | BaseException] = field(default_factory=list)
    gate: asyncio.Event | None = None
    times: list[float] = field(default_factory=list)
    at_once: int = 0
    most_at_once: int = 0
    finished: int = 0

    @property
    def count(self) -> int:
        return len(self.times)

    async def __call__(self, _world: LoopWorld) -> Report:
        self.times.append(asyncio.get_running_loop().time())
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            if self.gate is not None:
                await self.gate.wait()
        finally:
            self.at_once -= 1
        self.finished += 1
        outcome = self.script.pop(0) if self.script else Report()
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(SOON_S):
        while not condition():
            await asyncio.sleep(POLL_S)


async def a_moment() -> None:
    """Long enough for whatever would happen at once."""
    await asyncio.sleep(4 * POLL_S)


async def test_every_loop_runs_when_it_starts(world: World) -> None:
    one, other = Counted(), Counted()
    runner = Runner(world.loops, [Loop("one", one, NEVER_S), Loop("other", other, NEVER_S)])
    runner.start()
    await until(lambda: one.count >= 1 and other.count >= 1)
    await a_moment()
    assert (one.count, other.count) == (1, 1)
    await runner.stop(grace_s=1)


async def test_a_poke_wakes_its_loop_at_once_and_no_other(world: World) -> None:
    one, other = Counted(), Counted()
    runner = Runner(world.loops, [Loop("one", one, NEVER_S), Loop("other", other, NEVER_S)])
    runner.start()
    await until(lambda: one.count >= 1 and other.count >= 1)
    runner.poke("one")
    runner.poke("nobody")
    await until(lambda: one.count == 2)
    await a_moment()
    assert other.count == 1
    await runner.stop(grace_s=1)


async def test_pokes_during_a_tick_are_one_more_tick(world: World) -> None:
    tick = Counted(gate=asyncio.Event())
    runner = Runner(world.loops, [Loop("one", tick, NEVER_S)])
    runner.start()
    await until(lambda: tick.count >= 1)
    for _ in range(10):
        runner.poke("one")
    assert tick.gate is not None
    tick.gate.set()
    await until(lambda: tick.count >= 2)
    await a_moment()
    assert tick.count == 2
    await runner.stop(grace_s=1)


async def test_a_loop_comes_again_after_its_period(world: World) -> None:
    tick = Counted()
    runner = Runner(world.loops, [Loop("one", tick, SHORT_S)])
    runner.start()
    await until(lambda: tick.count >= 4)
    assert all(later - earlier >= 0.9 * SHORT_S for earlier, later in pairwise(tick.times))
    await runner.stop(grace_s=1)


async def test_a_loop_comes_sooner_when_something_is_due(world: World) -> None:
    due_at = Instant(world.clock.now() + 20_000)
    tick = Counted([Report(wake_at=due_at)])
    runner = Runner(world.loops, [Loop("one", tick, NEVER_S)])
    runner.start()
    await until(lambda: tick.count >= 2)
    assert tick.times[1] - tick.times[0] >= 0.019
    await runner.stop(grace_s=1)


async def test_a_later_tick_does_not_put_off_an_earlier_wake_up(world: World) -> None:
    due_at = Instant(world.clock.now() + 30_000)
    tick = Counted([Report(wake_at=due_at), Report()])
    runner = Runner(world.loops, [Loop("one", tick, NEVER_S)])
    runner.start()
    await until(lambda: tick.count >= 1)
    runner.poke("one")
    await until(lambda: tick.count >= 3)
    await runner.stop(grace_s=1)


async def test_a_loop_that_has_more_comes_again_at_once(world: World) -> None:
    tick = Counted([Report(has_more=True), Report(has_more=True), Report()])
    runner = Runner(world.loops, [Loop("one", tick, NEVER_S)])
    runner.start()
    await until(lambda: tick.count >= 3)
    await a_moment()
    assert tick.count == 3
    await runner.stop(grace_s=1)


async def test_a_failing_tick_is_tried_again_later_and_later(world: World) -> None:
    failures: list[Report | Exception] = [ValueError("no")] * 4
    tick = Counted(list(failures))
    loop = Loop("one", tick, NEVER_S, backoff_first_s=SHORT_S, backoff_most_s=4 * SHORT_S)
    runner = Runner(world.loops, [loop])
    runner.start()
    await until(lambda: tick.count >= 5)
    gaps = [later - earlier for earlier, later in pairwise(tick.times)]
    for gap, least in zip(gaps, [SHORT_S, 2 * SHORT_S, 4 * SHORT_S, 4 * SHORT_S], strict=True):
        assert gap >= 0.9 * least
    health = runner.health["one"]
    await until(lambda: health.ticks == 1)
    assert (health.failures, health.last_failure) == (4, "ValueError('no')")
    assert health.last_tick_at == world.clock.now()
    assert health.last_report == Report()
    await runner.stop(grace_s=1)


async def test_a_database_that_is_away_is_said_once_until_it_is_back(
    world: World, log: list[EventDict]
) -> None:
    """By each of hundreds of workers, with a traceback, it would fill the disk."""
    gone = DatabaseUnavailable("gone")
    of_steps = ExceptionGroup("steps", [gone, gone])
    tick = Counted(
        [gone, of_steps, Report(has_more=True), gone, gone, Report(has_more=True), ValueError("no")]
    )
    loop = Loop("one", tick, NEVER_S, backoff_first_s=POLL_S, backoff_most_s=POLL_S)
    runner = Runner(world.loops, [loop])
    runner.start()
    await until(lambda: tick.count >= 8)
    failures = [entry for entry in log if entry["event"] == "loop_failed"]
    assert [entry.get("error") for entry in failures] == ["gone", "gone", None]
    assert runner.health["one"].failures == 5
    await runner.stop(grace_s=1)


async def test_success_ends_the_back_off(world: World) -> None:
    failure = ValueError("no")
    tick = Counted([failure, failure, failure, Report(has_more=True)] * 5)
    loop = Loop("one", tick, NEVER_S, backoff_first_s=SHORT_S, backoff_most_s=NEVER_S)
    runner = Runner(world.loops, [loop])
    runner.start()
    await until(lambda: tick.count >= 20)
    after_first_failure = [tick.times[at + 1] - tick.times[at] for at in range(0, 20, 4)]
    assert min(after_first_failure) < 8 * SHORT_S, "without an end it would be a hundred times that"
    await runner.stop(grace_s=1)


async def test_a_tick_a_period_and_no_more(world: World) -> None:
    tick = Counted()
    runner = Runner(world.loops, [Loop("one", tick, SHORT_S)])
    runner.start()
    await until(lambda: tick.count >= 20)
    assert tick.times[19] - tick.times[0] >= 19 * 0.9 * SHORT_S
    await runner.stop(grace_s=1)


async def test_a_loop_that_fails_leaves_the_others_alone(world: World) -> None:
    bad, good = Counted([ValueError("no")] * 1000), Counted()
    runner = Runner(
        world.loops, [Loop("bad", bad, SHORT_S, backoff_first_s=POLL_S), Loop("good", good, SHORT_S)]
    )
    runner.start()
    await until(lambda: good.count >= 3 and bad.count >= 3)
    await runner.stop(grace_s=1)


async def test_a_loop_has_as_many_workers_as_it_says(world: World) -> None:
    tick = Counted(gate=asyncio.Event())
    runner = Runner(world.loops, [Loop("one", tick, NEVER_S, workers=3)])
    runner.start()
    for _ in range(6):
        runner.poke("one")
        await a_moment()
    assert tick.most_at_once == 3
    assert tick.gate is not None
    tick.gate.set()
    await until(lambda: tick.finished == 4)
    await runner.stop(grace_s=1)


async def test_stop_lets_a_tick_under_way_finish(world: World) -> None:
    tick = Counted(gate=asyncio.Event())
    runner = Runner(world.loops, [Loop("one", tick, SHORT_S), Loop("idle", Counted(), NEVER_S)])
    runner.start()
    await until(lambda: tick.count >= 1)
    assert tick.gate is not None
    asyncio.get_running_loop().call_later(SHORT_S, tick.gate.set)
    await runner.stop(grace_s=SOON_S)
    assert tick.finished == 1
    runner.poke("one")
    await a_moment()
    assert tick.count == 1, "nothing begins any more"


async def test_stop_cuts_off_what_does_not_finish(world: World) -> None:
    tick = Counted(gate=asyncio.Event())
    runner = Runner(world.loops, [Loop("one", tick, NEVER_S)])
    runner.start()
    await until(lambda: tick.count >= 1)
    await runner.stop(grace_s=SHORT_S)
    assert tick.at_once == 0
    assert tick.finished == 0


async def test_stopping_what_never_started_is_no_error(world: World) -> None:
    await Runner(world.loops, [Loop("one", Counted(), NEVER_S)]).stop(grace_s=1)


# With the real loops.


async def test_an_order_and_a_poke_are_enough_to_run(world: World) -> None:
    customer = await world.customer()
    runner = Runner(world.loops, [Loop(name, tick, NEVER_S, workers=2) for name, tick in TICKS.items()])
    runner.start()
    await until(lambda: runner.health["provisioning"].ticks >= 1)
    instance = await world.order(customer)
    runner.poke("provisioning")
    await until(lambda: world.status(instance) == "running")
    world.delete(instance)
    runner.poke("provisioning")
    await until(lambda: world.status(instance) == "deleted")
    await runner.stop(grace_s=1)
    assert not any(health.failures for health in runner.health.values())
    world.check()


async def test_a_full_batch_wakes_the_other_workers(world: World, provider: Provider) -> None:
    provider.offers = [make.offer(free=30)]
    customer = await world.customer("10000")
    for _ in range(9):
        await world.order(customer)
    await world.tick("provisioning")
    assert world.pokes == ["provisioning"]


async def test_one_row_that_fails_stops_no_other(world: World, provider: Provider) -> None:
    provider.breaks("create", ValueError("a bug of the driver"))
    customer = await world.customer()
    ordered = [await world.order(customer) for _ in range(3)]
    with pytest.raises(ExceptionGroup):
        await world.tick("provisioning")
    for _ in range(3):
        await world.tick("provisioning")
    assert sorted(world.status(instance) for instance in ordered) == ["provisioning", "running", "running"]
    await world.settle()
    assert {world.status(instance) for instance in ordered} == {"running"}
    assert len(provider.made) == 3
    world.check()


async def test_a_provider_that_is_no_longer_configured_leaves_its_rows_waiting(world: World) -> None:
    instance = await world.running()
    without = World(world.db, world.clock, Provider(world.clock, "other", []))
    without.delete(instance)
    await without.live(60)
    assert without.status(instance) == "deleting"
    await world.settle()
    assert world.status(instance) == "deleted"


async def test_a_step_that_was_cancelled_by_itself_does_not_end_its_worker(world: World) -> None:
    tick = Counted([BaseExceptionGroup("steps", [asyncio.CancelledError(), ValueError("a bug")])])
    runner = Runner(world.loops, [Loop("one", tick, SHORT_S)])
    runner.start()
    await until(lambda: tick.finished >= 3)
    assert runner.health["one"].failures == 1
    await runner.stop(grace_s=1)


async def test_a_loop_that_rests_does_not_tick_at_every_poke(world: World) -> None:
    restless, resting = Counted(), Counted()
    loops = [Loop("restless", restless, NEVER_S), Loop("resting", resting, NEVER_S, rest_s=NEVER_S)]
    runner = Runner(world.loops, loops)
    runner.start()
    await until(lambda: restless.count == 1 and resting.count == 1)
    for number in range(2, 6):
        runner.poke("restless")
        runner.poke("resting")
        await until(lambda number=number: restless.count == number)  # type: ignore[misc]
    assert resting.count == 1
    await runner.stop(grace_s=SOON_S)
    assert resting.finished == 1


async def test_what_a_resting_loop_was_poked_for_is_looked_at_once_it_has_rested(world: World) -> None:
    resting = Counted()
    runner = Runner(world.loops, [Loop("resting", resting, NEVER_S, rest_s=SHORT_S)])
    runner.start()
    await until(lambda: resting.count == 1)
    runner.poke("resting")
    await until(lambda: resting.count == 2)
    assert resting.times[1] - resting.times[0] >= SHORT_S / 2
    await runner.stop(grace_s=SOON_S)

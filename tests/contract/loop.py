"""What every loop keeps, whatever it keeps true. Run for each rig by a class that inherits `LoopContract`.

A rig brings about something to do and says when it has been done, as the state of the world.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from itertools import count

import pytest

from berth.base.db import Database
from berth.core.driver import (
    BadCredentials,
    DriverError,
    NoCapacity,
    NotSupported,
    OutcomeUnknown,
    RateLimited,
    Refused,
    Unreachable,
)
from tests import make
from tests.world import truth
from tests.world.parts import VERBS
from tests.world.provider import Provider
from tests.world.world import Turnable, World

STEPS = 60
STEP_S = 30
MOST_CALLS = 100
ERRORS: list[DriverError | TimeoutError] = [
    NoCapacity("contract"),
    RateLimited("contract", retry_after_s=1),
    Unreachable("contract"),
    OutcomeUnknown("contract"),
    BadCredentials("contract"),
    Refused("contract"),
    NotSupported("contract"),
    TimeoutError("contract"),
]


@dataclass(frozen=True)
class Rig:
    """One loop's work. `is_done` may be asked at any time."""

    loop: str
    prepare: Callable[[World], Awaitable[None]]
    is_done: Callable[[World], bool]


async def work(rig: Rig, world: World, *, at_once: int = 1) -> None:
    """Ticks the loop while time passes until its work is done."""
    for _ in range(STEPS):
        await asyncio.gather(*(world.tick(rig.loop) for _ in range(at_once)))
        if rig.is_done(world):
            return
        world.turn(STEP_S)
    raise AssertionError(f"{rig.loop} did not come to an end: {world.unsettled()}")


def state(world: World) -> list[object]:
    """Everything that a customer, an operator or a provider could tell apart; not when it was looked at last."""
    statements = (
        "SELECT id, status, wanted, handle, status_reason, sequence FROM instances ORDER BY id",
        "SELECT subject, tick, code, amount_micros FROM entries ORDER BY seq",
        "SELECT subject, sequence, type FROM events ORDER BY seq",
        "SELECT subject, offer_id FROM claims ORDER BY subject",
        "SELECT provider, provider_offer_id, free_units, is_listed FROM offers ORDER BY id",
        "SELECT subject, number, started_at, ended_at FROM segments ORDER BY subject, number",
        "SELECT provider, handle, destroyed_at FROM orphans ORDER BY provider, handle",
        "SELECT id, status, attempt, finished_at FROM notices ORDER BY id",
        "SELECT id, status, wanted, handle, size_gb, sequence FROM volumes ORDER BY id",
        "SELECT volume_id, instance_id, state FROM attachments ORDER BY volume_id, instance_id",
        "SELECT provider, handle, destroyed_at FROM orphan_volumes ORDER BY provider, handle",
    )
    machines = [(each.handle, each.power) for provider in world.providers for each in provider.alive()]
    disks = [(each.handle, each.size_gb) for provider in world.providers for each in provider.disks.values()]
    return [*(truth.rows(world.db, statement) for statement in statements), machines, disks]


class LoopContract:
    """Inherit it in a class whose module has a `rig` fixture and the fixtures of a world."""

    async def test_it_does_its_work(self, rig: Rig, world: World) -> None:
        await rig.prepare(world)
        assert not rig.is_done(world)
        await work(rig, world)
        world.check(at_rest=False)

    async def test_with_nothing_to_do_it_does_nothing(self, rig: Rig, world: World) -> None:
        await world.open_shop()
        before = state(world)
        for _ in range(3):
            await world.tick(rig.loop)
            world.turn(STEP_S)
        assert state(world) == before

    async def test_on_an_empty_database_it_runs(self, rig: Rig, world: World) -> None:
        await world.tick(rig.loop)

    async def test_run_again_it_changes_nothing(self, rig: Rig, world: World) -> None:
        await rig.prepare(world)
        await work(rig, world)
        before = state(world)
        for _ in range(3):
            await world.tick(rig.loop)
        assert state(world) == before

    async def test_run_by_several_at_once_it_is_run_once(self, rig: Rig, world: World) -> None:
        await rig.prepare(world)
        await work(rig, world, at_once=4)
        world.check(at_rest=False)
        await world.calm()
        world.check()

    @pytest.mark.parametrize("is_after", [False, True], ids=["before the call", "before the answer"])
    async def test_killed_at_any_call_it_is_taken_up_again(
        self, rig: Rig, db: Database, clock: Turnable, is_after: bool
    ) -> None:
        for call in count(1):
            assert call < MOST_CALLS
            # A provider of its own, and cheaper than those before: what is ordered is ordered there.
            price = f"{5 - call / 100:.2f}"
            provider = Provider(clock, f"provider-{call}", [make.offer(price=price)])
            provider.volume_types = [make.volume_type(price=price)]
            world = World(db, clock, provider)
            await rig.prepare(world)
            world.doomed(call, is_after=is_after)
            await work(rig, world)
            world.check(at_rest=False)
            if world.deaths == 0:
                return

    @pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
    async def test_whatever_a_provider_answers_it_goes_on(
        self, rig: Rig, world: World, provider: Provider, error: DriverError | TimeoutError
    ) -> None:
        await rig.prepare(world)
        for verb in VERBS:
            provider.breaks(verb, error)
        for _ in range(4):
            await world.tick(rig.loop)
            world.turn(STEP_S)
        provider.heals()
        world.check(at_rest=False)
        await world.calm()
        world.check()

"""Random history: people, weather, deaths, replicas and time, drawn from one seed so that it can be had again.

Each act is noted, so that a failure can be read like a story. `judge` says what is wrong with the world now.
"""

import asyncio
from collections.abc import Awaitable, Callable
from random import Random

from berth.base.clock import SECOND, Instant
from berth.base.db import Database
from berth.loops.world import Patience
from tests.world import meters, told
from tests.world.people import People
from tests.world.weather import SteadyClock, Weather
from tests.world.weather import providers as some_providers
from tests.world.witness import Watched
from tests.world.world import PATIENCE, TICKS, Turnable, World

BUSY = (
    *("provisioning", "volumes", "observation", "volume_observation", "metering", "waitlist", "reservations"),
    *("credit", "deliveries"),
)
"""The loops that are worth their time in a short history; the others have their turn now and then."""
STEPS_BACK_AT_MOST_S = 540
"""How far the clock may fall behind the latest instant it showed: less than a tick, as NTP and replicas do."""
FREEZES = {
    "provisioning": (
        "create answered",
        "inspect answered",
        "destroy answered",
        "stop answered",
        "probe answered",
    ),
    "volumes": ("create_volume answered", "attach_volume answered", "destroy_volume answered"),
    "observation": ("list_own", "list_own answered", "inspect answered"),
    "volume_observation": ("list_own_volumes answered", "inspect_volume answered"),
    "catalog": ("catalogue answered",),
    "deliveries": ("post answered",),
}
"""Where a process is frozen, by its loop."""
LOOPS_OF_TWO = (*FREEZES, "metering", "waitlist", "credit", "reservations")


class Storm:
    """Acts on a world, at random."""

    def __init__(
        self,
        db: Database,
        clock: Turnable,
        random: Random,
        *,
        patience: Patience = PATIENCE,
        is_short: bool = False,
    ) -> None:
        """A short one is lived in few and long steps, on a database that does one thing at a time."""
        watched = Watched(db, clock, is_in_turn=is_short)
        self.witness = watched.witness
        self.outside = SteadyClock(clock)
        sellers = some_providers(random, self.outside)
        self.world = World(watched, clock, *sellers, patience=patience)
        self.clock = clock
        self.random = random
        self.is_short = is_short
        self.story: list[str] = []
        self.people = People(self.world, random, self.story)
        self.weather = Weather(self.world, random, self.people.note)
        self.note = self.people.note
        self.latest = clock.now()
        self.is_steady = True
        """The clock has never stepped back."""
        self._acts: list[tuple[int, Callable[[], Awaitable[None]]]] = [
            (50, self._somebody_acts),
            (22, self._something_breaks),
            (16, self._live),
            (6, self._tick),
            (3, self._turn),
            (3, self._leap),
            (3, self._replica),
            (4, self._interrupt),
            (4, self._doom),
            (2, self._doom_at_write),
            (2, self._crash),
        ]

    async def begin(self) -> None:
        await self.world.open_shop()
        self.people.settle_down("60", "1000", "21")
        if self.is_short:
            # Something runs and something is stored already.
            for act in (self.people.order, self.people.order, self.people.store):
                act()
            await self.world.live(20, loops=("provisioning",))

    async def act(self) -> None:
        weights, acts = zip(*self._acts, strict=True)
        await self.random.choices(acts, weights)[0]()

    async def end(self) -> None:
        """What was away comes back, and the sky clears."""
        self.clock.set(max(self.clock.now(), self.latest))
        self.weather.clear()
        self.note("calm")
        if self.is_short:
            await self.world.calm(step_s=200, loops=BUSY)
        else:
            await self.world.calm()

    def judge(self, *, at_rest: bool) -> None:
        """Raises AssertionError with a sentence for each thing that is wrong."""
        found = list(self.witness.problems)
        found += meters.problems(self.world.db, self.witness.instants, is_steady=self.is_steady)
        found += told.problems(self.world.db, self.people.subscribed)
        found += self._doubled()
        assert not found, "\n" + "\n".join(found)
        self.world.check(at_rest=at_rest)

    def _doubled(self) -> list[str]:
        """Orders that more than one instance exists for, wherever."""
        live: dict[str, int] = {}
        for provider in self.world.providers:
            for each in provider.alive():
                if each.label is not None:
                    live[each.label.instance_id] = live.get(each.label.instance_id, 0) + 1
        return [f"{count} live for {name}" for name, count in live.items() if count > 1]

    async def _somebody_acts(self) -> None:
        self.people.act()

    async def _something_breaks(self) -> None:
        self.weather.act()

    # Time.

    async def _live(self) -> None:
        seconds = self.random.choice([1, 7, 61, 130, 400, 900])
        step_s = self.random.choice([20, 60, 200])
        self.note(f"live {seconds} s")
        if self.is_short:
            loops = () if self.random.random() < 0.3 else BUSY
            await self.world.live(seconds, step_s=max(step_s, seconds / 2), loops=loops)
        else:
            await self.world.live(seconds, step_s=step_s)

    async def _tick(self) -> None:
        name = self.random.choice(list(TICKS))
        self.note(f"tick {name}")
        await self.world.tick(name)

    async def _turn(self) -> None:
        seconds = self.random.choice([0.3, 5, 59, PATIENCE.lease_s + 1, 650])
        self.note(f"turn {seconds} s")
        self.world.turn(seconds)

    async def _leap(self) -> None:
        """Nothing works for long, as in an outage, and then everything has to catch up."""
        hours = self.random.choice([1, 1, 5, 14, 25, 100])
        self.note(f"leap {hours} h")
        for _ in range(2):
            self.world.turn(hours * 1800 + self.random.random())
            await self.world.tick()

    # Deaths, and others at work.

    async def _replica(self) -> None:
        """A second process works on the same database; now and then it freezes, and wakes up too late."""
        name = self.random.choice(LOOPS_OF_TWO)
        world = self.world
        other = World(world.db, self.clock, *world.providers, patience=world.patience)
        if name not in FREEZES or self.random.random() < 0.4:
            self.note(f"two tick {name}")
            await asyncio.gather(world.tick(name), other.tick(name))
            return
        point = self.random.choice(FREEZES[name])
        other.fate.freeze(point)
        frozen, there = other.begin(name), asyncio.create_task(other.fate.frozen(point))
        await asyncio.wait({frozen, there}, return_when=asyncio.FIRST_COMPLETED)
        if there.done():
            seconds = self.random.choice([1, 30, PATIENCE.lease_s + 31])
            self.note(f"another {name} is frozen at {point} for {seconds} s")
            world.turn(seconds)
            self.people.act()
            await world.tick(name)
        there.cancel()
        other.fate.thaw(point)
        await asyncio.gather(frozen, return_exceptions=True)

    async def _interrupt(self) -> None:
        call = self.random.randrange(1, 6)
        self.note(f"somebody acts during call {call}")
        self.world.fate.interrupt(call, self.people.act)

    async def _doom(self) -> None:
        call, is_after = self.random.randrange(1, 12), self.random.random() < 0.5
        self.world.doomed(call, is_after=is_after)
        self.note(f"dies at call {call}, after={is_after}")

    async def _doom_at_write(self) -> None:
        write, is_after = self.random.randrange(1, 25), self.random.random() < 0.5
        self.world.doomed_at_write(write, is_after=is_after)
        self.note(f"dies at write {write}, after={is_after}")

    async def _crash(self) -> None:
        """A new process begins, perhaps by a clock that was set back meanwhile."""
        self.latest = max(self.latest, self.clock.now())
        seconds = self.random.choice([0, 3, 95.5, 400])
        back = Instant(self.clock.now() - int(seconds * SECOND))
        if not seconds or back < self.latest - STEPS_BACK_AT_MOST_S * SECOND:
            self.note("crash")
            self.world.crash()
            return
        # What went off a moment ago goes on again before that moment.
        switched_off = self.people.switch_off()
        await self.world.tick("provisioning")
        self.note(f"crash, {seconds} s back")
        self.world.crash()
        self.is_steady = False
        self.outside.ahead += self.clock.now() - back
        self.clock.set(back)
        if switched_off is not None:
            self.people.switch_on(switched_off)

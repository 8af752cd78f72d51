"""The runner: wakes each loop on its period or when poked, runs its ticks, backs off when they fail.

Correctness never depends on a poke: a loop that is never woken early only is later.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from time import perf_counter

import structlog

from berth.base.clock import SECOND, Instant
from berth.base.db import DatabaseUnavailable
from berth.base.meters import Reading
from berth.loops.world import Report, World

_REST_SHARE = 10
_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Loop:
    name: str
    tick: Callable[[World], Awaitable[Report]]
    period_s: float
    workers: int = 1
    """How many ticks may run at once in this process."""
    backoff_first_s: float = 0.5
    """After a failed tick; twice that after the next in a row, and so on up to `backoff_most_s`."""
    backoff_most_s: float = 30.0
    rest_s: float = 0.0
    """After a tick nothing wakes a worker for so long, nor, if it rests at all, for ten times what the tick took."""


@dataclass(slots=True)
class Health:
    """What is known of a loop, for operators."""

    ticks: int = 0
    failures: int = 0
    last_tick_at: Instant | None = None
    last_report: Report | None = None
    last_s: float = 0.0
    """How long the last tick that did not fail took."""
    last_failure: str | None = None


@dataclass(frozen=True, slots=True)
class _Timer:
    """A planned wake-up. The instant is kept here: not every event loop's handle can tell it."""

    when: float
    handle: asyncio.Handle


class Runner:
    """Runs loops in this event loop until it is told to stop."""

    def __init__(self, world: World, loops: Sequence[Loop]) -> None:
        self.world = world
        self._loops = loops
        self._wakes: dict[str, asyncio.Queue[None]] = {loop.name: asyncio.Queue(1) for loop in loops}
        self._timers: dict[str, _Timer] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._working: set[str] = set()
        self._cut_off: set[str] = set()
        self._is_stopping = False
        self.health = {loop.name: Health() for loop in loops}

    def start(self) -> None:
        for loop in self._loops:
            self._tasks.extend(
                asyncio.create_task(self._work(loop), name=f"loop-{loop.name}-{number}")
                for number in range(loop.workers)
            )
            self.poke(loop.name)

    def poke(self, name: str) -> None:
        """Wakes one worker of the loop, now or as soon as one is free. Unknown names are ignored."""
        wake = self._wakes.get(name)
        if wake is not None:
            with contextlib.suppress(asyncio.QueueFull):
                wake.put_nowait(None)

    def readings(self) -> Sequence[Reading]:
        """How the loops are doing: ticks, failures, when each ticked last and how long that took."""
        health = sorted(self.health.items())
        return (
            Reading(
                "berth_loop_ticks",
                "Ticks that did not fail.",
                [((name,), each.ticks) for name, each in health],
                ("loop",),
                is_total=True,
            ),
            Reading(
                "berth_loop_failures",
                "Ticks that failed.",
                [((name,), each.failures) for name, each in health],
                ("loop",),
                is_total=True,
            ),
            Reading(
                "berth_loop_last_tick_timestamp_seconds",
                "When the last tick ended that did not fail.",
                [((name,), (each.last_tick_at or 0) / SECOND) for name, each in health],
                ("loop",),
            ),
            Reading(
                "berth_loop_last_tick_seconds",
                "How long that took.",
                [((name,), each.last_s) for name, each in health],
                ("loop",),
            ),
        )

    async def stop(self, *, grace_s: float) -> None:
        """Lets ticks under way finish for `grace_s`, then cancels them: a step cut off is taken up by its lease."""
        self._is_stopping = True
        for timer in self._timers.values():
            timer.handle.cancel()
        for task in self._tasks:
            if task.get_name() not in self._working:
                task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=grace_s)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _work(self, loop: Loop) -> None:
        backoff_s, wait_s = loop.backoff_first_s, loop.period_s
        while not self._is_stopping:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._wakes[loop.name].get()
            task = asyncio.current_task()
            name = loop.name if task is None else task.get_name()
            self._working.add(name)
            began_s = asyncio.get_running_loop().time()
            try:
                delay_s = await self._tick(loop)
                backoff_s, wait_s = loop.backoff_first_s, loop.period_s
            except (
                Exception,
                BaseExceptionGroup,
            ) as error:  # a loop must outlive whatever one tick runs into
                if not _is_survivable(error):
                    raise
                self._note_failure(loop, error)
                delay_s = backoff_s
                wait_s = max(loop.period_s, backoff_s)
                backoff_s = min(backoff_s * 2, loop.backoff_most_s)
            finally:
                self._working.discard(name)
                took_s = asyncio.get_running_loop().time() - began_s
            if loop.rest_s:
                await asyncio.sleep(max(loop.rest_s, _REST_SHARE * took_s))
            # Whole periods each worker waits by itself: a timer beside that would make two ticks of one.
            if delay_s < loop.period_s:
                self._wake_in(loop.name, delay_s)

    async def _tick(self, loop: Loop) -> float:
        """Runs one tick; returns the seconds until the next."""
        began = perf_counter()
        report = await loop.tick(self.world)
        self._cut_off.discard(loop.name)
        health = self.health[loop.name]
        health.ticks += 1
        health.last_tick_at = self.world.clock.now()
        health.last_report = report
        health.last_s = perf_counter() - began
        if report.has_more:
            return 0.0
        if report.wake_at is None:
            return loop.period_s
        return min(loop.period_s, max(0.0, (report.wake_at - self.world.clock.now()) / SECOND))

    def _note_failure(self, loop: Loop, error: BaseException) -> None:
        health = self.health[loop.name]
        health.failures += 1
        health.last_failure = repr(error)
        if not _is_cut_off(error):
            _log.error("loop_failed", loop=loop.name, exc_info=error)
        elif loop.name not in self._cut_off:
            # Once until the loop ticks again: hundreds of workers find out, and none knows more than the first.
            self._cut_off.add(loop.name)
            _log.error("loop_failed", loop=loop.name, error=str(error))

    def _wake_in(self, name: str, delay_s: float) -> None:
        """Keeps the earliest wake-up of a loop."""
        if self._is_stopping:
            return
        if delay_s == 0:
            self.poke(name)
            return
        running = asyncio.get_running_loop()
        when = running.time() + delay_s
        planned = self._timers.get(name)
        if planned is not None:
            if planned.when <= when:
                return
            planned.handle.cancel()
        self._timers[name] = _Timer(when, running.call_at(when, self._ring, name))

    def _ring(self, name: str) -> None:
        # Forgotten as it rings, not by comparing times: an event loop may ring a little early.
        del self._timers[name]
        self.poke(name)


def _is_survivable(error: BaseException) -> bool:
    """Whether it is a step's failure. One step's own cancellation is no more than that; being told to end is."""
    if isinstance(error, BaseExceptionGroup):
        return all(_is_survivable(each) for each in error.exceptions)
    return isinstance(error, Exception | asyncio.CancelledError)


def _is_cut_off(error: BaseException) -> bool:
    """Whether it is the database that is away, and nothing else."""
    if isinstance(error, BaseExceptionGroup):
        return all(_is_cut_off(each) for each in error.exceptions)
    return isinstance(error, DatabaseUnavailable)

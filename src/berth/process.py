"""What `serve` and `work` start and stop: the loops, what they listen to, and what is given back at the end."""

import asyncio
import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import structlog

from berth.base import leases
from berth.base.db import Database, DatabaseUnavailable, Tx
from berth.base.db_signals import Signals
from berth.core import instances, notices, volumes, webhooks
from berth.core.driver import Driver, DriverError, Telling
from berth.drivers.metered import unmetered
from berth.faces.face import Context
from berth.loops import catalog, deliveries, inventory
from berth.loops.loop import Runner
from berth.settings import Settings

SWEEP_S = 120.0
"""How long a start is not ready while a provider was not looked at as a whole."""
_FIRST_CATALOGUE_S = 10.0
_BETWEEN_LOOKS_S = 2.0
_LISTEN_AGAIN_S = 15.0
_log = structlog.get_logger()


@dataclass(slots=True)
class Process:
    """One running Berth: what `serve` and `work` start and stop."""

    settings: Settings
    database: Database
    drivers: Mapping[str, Driver]
    runner: Runner
    context: Context
    sender: deliveries.Sender
    signals: Signals | None
    """What other processes on the same database are told and heard by; None where there are none."""
    _patience: asyncio.TimerHandle | None = None
    listening: Sequence[asyncio.Task[None]] = ()

    async def start(self) -> None:
        """Asks every provider what it sells, for a while, then lets the loops run."""
        if not self.database.is_shared:
            # Nobody else works on this file, so what a killed process held need not wait for its leases to end.
            await self.database.write(release_everything)
        try:
            async with asyncio.timeout(_FIRST_CATALOGUE_S):
                await catalog.tick_all(self.runner.world)
        except Exception as error:  # noqa: BLE001 - what was sold last time stands, and the loop tries again
            _log.warning("no_first_catalogue", error=repr(error))
        await inventory.tick(self.runner.world)
        self.runner.start()
        if self.signals is not None:
            self.signals.start()
        self._patience = asyncio.get_running_loop().call_later(SWEEP_S, self._stop_waiting)
        self.listening = [
            asyncio.create_task(listen(name, telling, self.runner.poke))
            for name, driver in self.drivers.items()
            if isinstance(telling := unmetered(driver), Telling)
        ]

    async def stop(self) -> None:
        """Drains. Instances stay as they are."""
        self.context.readiness.drain()
        if self.signals is not None:
            await self.signals.stop()
        if self._patience is not None:
            self._patience.cancel()
        for task in self.listening:
            task.cancel()
        await asyncio.gather(*self.listening, return_exceptions=True)
        await self.runner.stop(grace_s=self.settings.server.drain_s)
        await self.context.known_keys.settle()
        if self.context.rates is not None:
            await self.context.rates.settle()
        for name, driver in self.drivers.items():
            try:
                await driver.close()
            except Exception as error:  # noqa: BLE001 - what is held must be given back all the same
                _log.warning("driver_not_closed", provider=name, error=repr(error))
        await self.sender.close()
        # Last, when nothing that was begun under them is under way any more.
        with contextlib.suppress(DatabaseUnavailable):
            await self._give_back()
        self.database.close()

    async def _give_back(self) -> None:
        """Lets the other replicas go on at once with what was cut off here."""
        world = self.runner.world
        for give_back in world.unfinished:
            await give_back()
        await self.database.write(leases.release_held_by, world.holder)

    def _stop_waiting(self) -> None:
        # One provider that cannot be reached must not keep everything else from being sold.
        missing = self.context.readiness.give_up()
        if missing:
            _log.warning("sweep_not_complete", providers=sorted(missing), seconds=SWEEP_S)


async def listen(provider: str, driver: Telling, poke: Callable[[str], None]) -> None:
    """Has the observation loop look sooner when a provider says that something changed. Nothing depends on it."""
    while True:
        try:
            async for _ in driver.changes():
                poke("observation")
                # Many come at once, and one look sees them all.
                await asyncio.sleep(_BETWEEN_LOOKS_S)
        except DriverError as error:
            _log.info("provider_tells_nothing", provider=provider, error=repr(error))
        await asyncio.sleep(_LISTEN_AGAIN_S)


def release_everything(tx: Tx) -> None:
    """Ends every lease. Only for a process that knows that it is alone."""
    leases.release_all(tx)
    instances.release_leases(tx)
    webhooks.release_leases(tx)
    notices.release_leases(tx)
    volumes.release_leases(tx)

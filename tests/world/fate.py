"""Death of the control plane at a chosen outside call, before it takes effect or before its answer arrives.

A world reaches providers, SSH servers and the database only through its fate. Once dead it reaches nothing: what
was not committed before never will be.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Concatenate, TypeVar

from berth.base.db import Database, P, R, Tx
from berth.base.meters import Reading
from berth.core.driver import (
    Abilities,
    Catalogue,
    CreateOrder,
    Label,
    Listing,
    Mount,
    ProviderTemplate,
    Sighting,
    VolumeListing,
    VolumeOrder,
    VolumeSighting,
)
from tests.world.provider import Provider

T = TypeVar("T")
SPEAKING_S = 5.0
"""How long a real event loop waits for anything here: nothing in memory takes that long."""


class Killed(BaseException):
    """The process died here: no `except Exception` and no `finally` of ours saves it."""


class Fate:
    """When one world dies, and what it called until then."""

    def __init__(
        self, *, dies_at: int | None = None, dies_at_write: int | None = None, is_after: bool = False
    ) -> None:
        self._dies_at = dies_at
        self._dies_at_write = dies_at_write
        self._writes = 0
        self._is_after = is_after
        self.calls: list[str] = []
        self.is_dead = False
        self.gates: dict[str, asyncio.Event] = {}
        """Calls, by verb, that do not go out before their gate opens: a process that is frozen."""
        self.waiting: dict[str, asyncio.Event] = {}
        """Set once somebody stands at the gate of that name."""
        self._interludes: dict[int, Callable[[], None]] = {}

    async def meets(self, verb: str, call: Callable[[], Awaitable[T]]) -> T:
        """Makes one outside call, unless the world dies of it."""
        self.check()
        self.calls.append(verb)
        is_last = len(self.calls) == self._dies_at
        if is_last and not self._is_after:
            self.die()
        await self._pass_gate(verb)
        try:
            answer = await call()
        except Exception:
            await self._pass_gate(f"{verb} failed")
            raise
        finally:
            if is_last:
                self.die()
            self._interludes.pop(len(self.calls), _nothing)()
        await self._pass_gate(f"{verb} answered")
        self.check()
        return answer

    async def writes(self, write: Callable[[], Awaitable[T]]) -> T:
        """Runs one transaction, unless the world dies of it: just before it begins, or just after its commit."""
        self.check()
        self._writes += 1
        is_last = self._writes == self._dies_at_write
        if is_last and not self._is_after:
            self.die()
        answer = await write()
        if is_last:
            self.die()
        return answer

    def interrupt(self, call: int, act: Callable[[], None]) -> None:
        """Somebody does something while the answer to the `call`-th outside call from now on is under way."""
        self._interludes[len(self.calls) + call] = act

    async def reads(self, verb: str) -> None:
        """Something is about to be read from the database: a place to freeze between two calls."""
        await self._pass_gate(f"read {verb}")

    def freeze(self, point: str) -> None:
        """Calls of that verb (`create`), or answers (`create answered`, `create failed`), wait until `thaw`."""
        self.gates[point] = asyncio.Event()
        self.waiting[point] = asyncio.Event()

    async def frozen(self, point: str) -> None:
        """Returns once somebody stands there."""
        async with asyncio.timeout(SPEAKING_S):
            await self.waiting[point].wait()

    def thaw(self, point: str) -> None:
        self.gates.pop(point).set()

    def die(self) -> None:
        self.is_dead = True
        raise Killed

    def check(self) -> None:
        if self.is_dead:
            raise Killed

    async def _pass_gate(self, point: str) -> None:
        gate = self.gates.get(point)
        if gate is not None:
            self.waiting[point].set()
            async with asyncio.timeout(SPEAKING_S):
                await gate.wait()
            self.check()


def _nothing() -> None:
    """Most calls are alone."""


class MortalDatabase:
    """A database as a process that may die has it."""

    def __init__(self, db: Database, fate: Fate) -> None:
        self.on_signal = db.on_signal
        self._db = db
        self._fate = fate

    @property
    def is_shared(self) -> bool:
        return self._db.is_shared

    async def write(self, verb: Callable[Concatenate[Tx, P], R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        return await self._fate.writes(lambda: self._db.write(verb, *args, **kwargs))

    async def read(self, verb: Callable[Concatenate[Tx, P], R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        self._fate.check()
        await self._fate.reads(getattr(verb, "__name__", ""))
        return await self._db.read(verb, *args, **kwargs)

    def write_now(self, verb: Callable[Concatenate[Tx, P], R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        self._fate.check()
        return self._db.write_now(verb, *args, **kwargs)

    def read_now(self, verb: Callable[Concatenate[Tx, P], R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        self._fate.check()
        return self._db.read_now(verb, *args, **kwargs)

    def readings(self) -> Sequence[Reading]:
        return self._db.readings()

    def close(self) -> None:
        """The real one belongs to the test."""


class MortalDriver:
    """A provider as a process that may die reaches it. Implements `Driver`."""

    def __init__(self, provider: Provider, fate: Fate) -> None:
        self._provider = provider
        self._fate = fate

    @property
    def abilities(self) -> Abilities:
        return self._provider.abilities

    async def catalogue(self) -> Catalogue:
        return await self._fate.meets("catalogue", self._provider.catalogue)

    async def templates(self) -> Sequence[ProviderTemplate]:
        return await self._fate.meets("templates", self._provider.templates)

    async def create(self, order: CreateOrder) -> Sighting:
        return await self._fate.meets("create", lambda: self._provider.create(order))

    async def inspect(self, label: Label, handle: str | None) -> Sighting | None:
        return await self._fate.meets("inspect", lambda: self._provider.inspect(label, handle))

    async def list_own(self, install_id: str) -> Listing:
        return await self._fate.meets("list_own", lambda: self._provider.list_own(install_id))

    async def start(self, handle: str, order: CreateOrder | None = None) -> None:
        await self._fate.meets("start", lambda: self._provider.start(handle, order))

    async def stop(self, handle: str, *, release: bool = True) -> None:
        await self._fate.meets("stop", lambda: self._provider.stop(handle, release=release))

    async def restart(self, handle: str) -> None:
        await self._fate.meets("restart", lambda: self._provider.restart(handle))

    async def destroy(self, handle: str, *, keep_disk: bool = False) -> None:
        await self._fate.meets("destroy", lambda: self._provider.destroy(handle, keep_disk=keep_disk))

    async def create_volume(self, order: VolumeOrder) -> VolumeSighting:
        return await self._fate.meets("create_volume", lambda: self._provider.create_volume(order))

    async def inspect_volume(self, label: Label, handle: str | None) -> VolumeSighting | None:
        return await self._fate.meets("inspect_volume", lambda: self._provider.inspect_volume(label, handle))

    async def list_own_volumes(self, install_id: str) -> VolumeListing:
        return await self._fate.meets("list_own_volumes", lambda: self._provider.list_own_volumes(install_id))

    async def attach_volume(self, instance_handle: str, mount: Mount) -> None:
        await self._fate.meets("attach_volume", lambda: self._provider.attach_volume(instance_handle, mount))

    async def detach_volume(self, instance_handle: str, volume_handle: str) -> None:
        await self._fate.meets(
            "detach_volume", lambda: self._provider.detach_volume(instance_handle, volume_handle)
        )

    async def resize_volume(self, handle: str, size_gb: int) -> None:
        await self._fate.meets("resize_volume", lambda: self._provider.resize_volume(handle, size_gb))

    async def destroy_volume(self, handle: str) -> None:
        await self._fate.meets("destroy_volume", lambda: self._provider.destroy_volume(handle))

    async def close(self) -> None:
        """Nothing to let go of."""

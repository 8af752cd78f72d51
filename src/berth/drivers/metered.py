"""A driver as the process uses it: what it is asked, how long that takes and how often it fails is counted."""

import time
from collections.abc import Awaitable, Sequence
from typing import TypeVar

from berth.base.meters import Meters
from berth.core import measures
from berth.core.driver import (
    Abilities,
    Catalogue,
    CreateOrder,
    Driver,
    Label,
    Listing,
    Mount,
    ProviderTemplate,
    Sighting,
    VolumeListing,
    VolumeOrder,
    VolumeSighting,
)

T = TypeVar("T")


def unmetered(driver: Driver) -> Driver:
    """The driver itself, with whatever it has beside the verbs of all."""
    return driver.driver if isinstance(driver, Metered) else driver


class Metered:
    """Implements `Driver` by asking another, whose answers and errors it passes on as they are."""

    def __init__(self, driver: Driver, provider: str, meters: Meters) -> None:
        self.driver = driver
        self._provider = provider
        self._meters = meters

    @property
    def abilities(self) -> Abilities:
        return self.driver.abilities

    async def catalogue(self) -> Catalogue:
        return await self._ask("catalogue", self.driver.catalogue())

    async def templates(self) -> Sequence[ProviderTemplate]:
        return await self._ask("templates", self.driver.templates())

    async def create(self, order: CreateOrder) -> Sighting:
        return await self._ask("create", self.driver.create(order))

    async def inspect(self, label: Label, handle: str | None) -> Sighting | None:
        return await self._ask("inspect", self.driver.inspect(label, handle))

    async def list_own(self, install_id: str) -> Listing:
        return await self._ask("list", self.driver.list_own(install_id))

    async def start(self, handle: str, order: CreateOrder | None = None) -> None:
        await self._ask("start", self.driver.start(handle, order))

    async def stop(self, handle: str, *, release: bool = True) -> None:
        await self._ask("stop", self.driver.stop(handle, release=release))

    async def restart(self, handle: str) -> None:
        await self._ask("restart", self.driver.restart(handle))

    async def destroy(self, handle: str, *, keep_disk: bool = False) -> None:
        try:
            await self._ask("destroy", self.driver.destroy(handle, keep_disk=keep_disk))
        except BaseException:
            self._meters.add(measures.DESTROY_FAILURES)
            raise

    async def create_volume(self, order: VolumeOrder) -> VolumeSighting:
        return await self._ask("create_volume", self.driver.create_volume(order))

    async def inspect_volume(self, label: Label, handle: str | None) -> VolumeSighting | None:
        return await self._ask("inspect_volume", self.driver.inspect_volume(label, handle))

    async def list_own_volumes(self, install_id: str) -> VolumeListing:
        return await self._ask("list_volumes", self.driver.list_own_volumes(install_id))

    async def attach_volume(self, instance_handle: str, mount: Mount) -> None:
        await self._ask("attach_volume", self.driver.attach_volume(instance_handle, mount))

    async def detach_volume(self, instance_handle: str, volume_handle: str) -> None:
        await self._ask("detach_volume", self.driver.detach_volume(instance_handle, volume_handle))

    async def resize_volume(self, handle: str, size_gb: int) -> None:
        await self._ask("resize_volume", self.driver.resize_volume(handle, size_gb))

    async def destroy_volume(self, handle: str) -> None:
        await self._ask("destroy_volume", self.driver.destroy_volume(handle))

    async def close(self) -> None:
        await self.driver.close()

    async def _ask(self, operation: str, call: Awaitable[T]) -> T:
        began = time.perf_counter()
        status = "error"
        try:
            answer = await call
            status = "success"
            return answer
        finally:
            meters, provider = self._meters, self._provider
            meters.add(measures.PROVIDER_CALLS, provider=provider, operation=operation, status=status)
            if status == "error":
                meters.add(measures.PROVIDER_ERRORS, provider=provider, operation=operation)
            meters.observe(
                measures.PROVIDER_SECONDS,
                time.perf_counter() - began,
                provider=provider,
                operation=operation,
            )

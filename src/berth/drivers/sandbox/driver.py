"""The sandbox provider: every instance is a directory and a process tree on this very host.

It keeps nothing in memory that a new control plane would miss: what exists is read from the directories
and from the host's processes each time.
"""

import asyncio
import contextlib
import errno
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from berth.base import permits
from berth.core.driver import (
    Abilities,
    Catalogue,
    CreateOrder,
    Label,
    Listing,
    Mount,
    Power,
    Sighting,
    Unreachable,
    VolumeListing,
    VolumeOrder,
    VolumeSighting,
    WithoutTemplates,
)
from berth.drivers.sandbox import images, simulated
from berth.drivers.sandbox.config import SandboxConfig
from berth.drivers.sandbox.copying import Copies, is_being_copied
from berth.drivers.sandbox.instances import Instances
from berth.drivers.sandbox.store import Store
from berth.drivers.sandbox.volumes import Volumes

Answer = TypeVar("Answer")

_ISOLATION = (
    "The sandbox driver is for one trusted user. Instances share the kernel, see the host's /usr, and limits "
    "depend on the host. It keeps honest programs apart; it does not hold a hostile one."
)
_UNLIMITED = (
    "The sizes of disks and volumes are not enforced: an instance can fill the file system they are all on."
)
_SHARED_NETWORK = "Instances share the host's network: they reach its loopback, the control plane and each other's services."
_SIMULATED = "The catalogue is simulated: the GPUs, places and prices on offer are pretended."
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.EAGAIN)

_THREADS = 16
"""How many instances are worked on at once; a stop may hold one for its whole grace."""
_COPIES = 2
"""How many volumes are copied at once."""


class SandboxDriver(WithoutTemplates):
    """Implements `berth.core.driver.Driver`. One per state directory."""

    def __init__(self, config: SandboxConfig) -> None:
        store = Store(config.state_dir)
        self._volumes = Volumes(config, store)
        self._instances = Instances(config, store, self._volumes)
        host = self._instances.host
        notes = [_ISOLATION, _UNLIMITED]
        if config.network == "host":
            notes.append(_SHARED_NETWORK)
        if config.simulate:
            notes.append(_SIMULATED)
        if host.problem is not None:
            notes.append(f"No instance can be created here: {host.problem}")
        self._images = images.SIMULATED if config.simulate else (images.of_this_host(),)
        self._cluster_types = simulated.cluster_types() if config.simulate else []
        self._abilities = Abilities(
            stop_keeps_hardware=True,
            reports_use=True,
            volumes=True,
            clones_volumes=True,
            keeps_disks=True,
            limits=host.limits,
            notes=tuple(notes),
        )
        # Threads of our own: waiting for an instance must not hold up the other users of the loop's pool.
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="sandbox")
        self._copies = Copies(self._volumes)
        self._copiers = ThreadPoolExecutor(_COPIES, thread_name_prefix="sandbox-copy")
        self._copying: dict[str, asyncio.Future[None]] = {}
        self._removals: set[asyncio.Future[None]] = set()
        self._recovery: asyncio.Future[None] | None = None

    @property
    def abilities(self) -> Abilities:
        return self._abilities

    async def catalogue(self) -> Catalogue:
        offers = await self._run(self._instances.offers)
        return Catalogue(
            offers=offers,
            images=self._images,
            volume_types=self._volumes.types(),
            cluster_types=self._cluster_types,
        )

    async def create(self, order: CreateOrder) -> Sighting:
        return await self._run(lambda: self._instances.create(order))

    async def inspect(self, label: Label, handle: str | None) -> Sighting | None:
        instance_id = handle or label.instance_id
        sighting = await self._run(lambda: self._instances.inspect(label.install_id, instance_id))
        if sighting is not None and sighting.power == Power.DELETING:
            self._remove_later(self._instances.remove_condemned, instance_id)
        return sighting

    async def list_own(self, install_id: str) -> Listing:
        return await self._run(lambda: self._instances.list_own(install_id))

    async def start(self, handle: str, order: CreateOrder | None = None) -> None:  # noqa: ARG002 - a directory stays
        await self._run(lambda: self._instances.start(handle))

    async def stop(self, handle: str, *, release: bool = True) -> None:
        await self._run(lambda: self._instances.stop(handle, keeps_hardware=not release))

    async def restart(self, handle: str) -> None:
        await self._run(lambda: self._instances.restart(handle))

    async def destroy(self, handle: str, *, keep_disk: bool = False) -> None:
        await self._run(lambda: self._instances.condemn(handle, keep_disk=keep_disk))
        self._remove_later(self._instances.remove_condemned, handle)

    async def create_volume(self, order: VolumeOrder) -> VolumeSighting:
        return self._seen(await self._run(lambda: self._volumes.create(order)))

    async def inspect_volume(self, label: Label, handle: str | None) -> VolumeSighting | None:
        volume_id = handle or label.instance_id
        sighting = await self._run(lambda: self._volumes.inspect(label.install_id, volume_id))
        return None if sighting is None else self._seen(sighting)

    async def list_own_volumes(self, install_id: str) -> VolumeListing:
        for volume_id in await self._run(self._volumes.condemned_ids):
            self._remove_later(self._remove_volume, volume_id)
        listing = await self._run(lambda: self._volumes.list_own(install_id))
        for sighting in listing.sightings:
            self._seen(sighting)
        return listing

    async def attach_volume(self, instance_handle: str, mount: Mount) -> None:
        await self._run(lambda: self._volumes.attach(instance_handle, mount))

    async def detach_volume(self, instance_handle: str, volume_handle: str) -> None:
        await self._run(lambda: self._volumes.detach(instance_handle, volume_handle))

    async def resize_volume(self, handle: str, size_gb: int) -> None:
        await self._run(lambda: self._volumes.resize(handle, size_gb))

    async def destroy_volume(self, handle: str) -> None:
        await self._run(lambda: self._volumes.condemn(handle))
        self._remove_later(self._remove_volume, handle)

    async def close(self) -> None:
        self._copies.close()
        self._copiers.shutdown(wait=False, cancel_futures=True)
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _seen(self, sighting: VolumeSighting) -> VolumeSighting:
        """Makes sure that what is to be a copy becomes one, also after the control plane that began it."""
        if not sighting.is_ready and sighting.handle not in self._copying:
            copying = asyncio.get_running_loop().run_in_executor(
                self._copiers, lambda: self._copies.finish(sighting.handle)
            )
            self._copying[sighting.handle] = copying
            copying.add_done_callback(lambda done: self._forget_copying(sighting.handle, done))
        return sighting

    def _forget_copying(self, handle: str, copying: asyncio.Future[None]) -> None:
        # What did not become whole is looked at again with the next look.
        _has_failed(copying)
        self._copying.pop(handle, None)

    def _remove_volume(self, handle: str) -> None:
        if not is_being_copied(self._volumes.deleting(handle)):
            self._volumes.remove_condemned(handle)

    def _remove_later(self, remove: Callable[[str], None], handle: str) -> None:
        """Large trees take long to remove; nobody can see them any more."""
        removal = asyncio.get_running_loop().run_in_executor(self._threads, lambda: remove(handle))
        self._removals.add(removal)
        removal.add_done_callback(self._forget_removal)

    def _forget_removal(self, removal: asyncio.Future[None]) -> None:
        # What could not be removed is still condemned, and the next look tries again.
        _has_failed(removal)
        self._removals.discard(removal)

    async def _run(self, work: Callable[[], Answer]) -> Answer:
        """Runs `work` on a thread, after what an earlier control plane left half-done has been finished."""
        loop = asyncio.get_running_loop()
        if self._recovery is None or _has_failed(self._recovery):
            self._recovery = loop.run_in_executor(self._threads, lambda: _guarded(self._instances.recover))
        # One caller's impatience is not the others'.
        await asyncio.shield(self._recovery)
        permits.check()
        return await loop.run_in_executor(self._threads, lambda: _guarded(work))


def _has_failed(future: asyncio.Future[None]) -> bool:
    return future.done() and (future.cancelled() or future.exception() is not None)


def _guarded(work: Callable[[], Answer]) -> Answer:
    with _full_host_is_unreachable():
        return work()


@contextlib.contextmanager
def _full_host_is_unreachable() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in _NO_ROOM:
            raise
        raise Unreachable(
            f"the host has no room: {error}", reason="The host has no room for this at the moment."
        ) from error

"""Own GPU hosts behind Incus: one server, or a cluster of them.

An instance's handle is its name, which follows from its label, so that one order can only ever make one. Nothing is kept in
memory that another process would miss: who has which card is read off the devices of all instances.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

import asyncssh

from berth.core.driver import (
    Abilities,
    Catalogue,
    CreateOrder,
    Label,
    Listing,
    Mount,
    NoCapacity,
    OutcomeUnknown,
    Refused,
    Sighting,
    Unreachable,
    VolumeListing,
    VolumeOrder,
    VolumeSighting,
    WithoutTemplates,
)
from berth.drivers.incus import disk, moves, names, rooms, translate
from berth.drivers.incus.client import PAUSE_S, Client, segment
from berth.drivers.incus.config import IncusConfig
from berth.drivers.incus.errors import (
    Changed,
    Colliding,
    Exists,
    Missing,
    PortTaken,
    RunsAlready,
    StoppedAlready,
)
from berth.drivers.incus.stock import Stock
from berth.drivers.incus.translate import Json, text
from berth.drivers.incus.turns import Turns
from berth.drivers.incus.volumes import Volumes

APPEARS_WITHIN_S = 30
_STOP_GRACE_S = 10
_WRITES = 5
"""How often a change is tried anew that somebody else's came before."""
_PORTS = 16
"""How many are tried where something else listens on those that no instance has."""
_NOTES = (
    "Containers share their host's kernel: fit for tenants who are not hostile. Virtual machines have not been exercised.",
    "GPUs are given to instances by PCI address; this has been exercised with stand-ins, not with cards.",
)


class IncusDriver(WithoutTemplates):
    """Implements `berth.core.driver.Driver`. One per server or cluster."""

    def __init__(self, config: IncusConfig, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._config = config
        self.client = Client(config)
        self.stock = Stock(config, self.client, clock)
        self._turns = Turns()
        self.volumes = Volumes(config, self.client, self.stock, self._turns)

    @property
    def abilities(self) -> Abilities:
        return Abilities(
            stop_keeps_hardware=True,
            ip_may_change=self._config.ssh == "address",
            volumes=True,
            volumes_attach_live=True,
            clones_volumes=True,
            clones_live=True,
            appears_within_s=APPEARS_WITHIN_S,
            finishes_creates=True,
            limits=("memory", "cpu", "processes", "disk"),
            notes=_NOTES,
        )

    async def catalogue(self) -> Catalogue:
        await self.client.check_project()
        await self.volumes.check_pool()
        return Catalogue(
            offers=await self.stock.offers(),
            images=[translate.image(sold) for sold in self._config.images],
            volume_types=translate.volume_types(self._config, self.stock.places()),
        )

    async def create(self, order: CreateOrder) -> Sighting:
        name = names.instance(order.label)
        async with self._turns.of(name):
            key, found = disk.host_key(name), await self._find_made(name)
            if found is None:
                found = await self._make(order, name, key)
            if found is not None:
                if translate.label_of(found) != order.label:
                    raise Refused(f"{name} is there and not ours")
                _check_stays(found)
                if translate.was_started(found):
                    return await self._seen(found)
                if not self._is_machine(order):
                    # Made by a call that broke off, with a key that nobody has.
                    await self._tell_key(name, key)
            await self._complete(order, name, key)
            made, members = await asyncio.gather(self._get(name), self.stock.members())
            return self._sighting(made, members)

    async def inspect(self, label: Label, handle: str | None) -> Sighting | None:
        found = await self._find(handle or names.instance(label))
        if found is None:
            await self.client.check_project()
            return None
        if translate.label_of(found) != label:
            return None
        seen = await self._seen(found)
        if seen.is_unreachable:
            raise Unreachable(f"{seen.handle}: on its way, or its host {text(found, 'location')!r} is silent")
        return seen

    async def list_own(self, install_id: str) -> Listing:
        await self.client.check_project()
        depth = "2" if self._config.ssh == "address" else "1"
        listed, members = await asyncio.gather(
            self.client.get("/1.0/instances", recursion=depth), self.stock.members()
        )
        if not isinstance(listed, list):
            raise Unreachable("GET /1.0/instances: no list in the answer")
        ours = [
            instance
            for instance in translate.rows(listed)
            if (label := translate.label_of(instance)) is not None and label.install_id == install_id
        ]
        return Listing(tuple(self._sighting(each, members) for each in ours), is_complete=True)

    async def start(self, handle: str, order: CreateOrder | None = None) -> None:  # noqa: ARG002 - its disk is here
        async with self._turns.of(handle):
            found = await self._ours(handle)
            has = translate.use(found)
            if not has.holds:
                await self._take_again(found)
                return
            if has.cards and text(found, "status") == "Stopped":
                # It may have been given them by a process that was killed before it looked who else was.
                await self._check_or_yield(handle)
            await self.boot(handle)

    async def stop(self, handle: str, *, release: bool = True) -> None:
        async with self._turns.of(handle):
            await self._ours(handle)
            await self.halt(handle)
            await self.write(handle, lambda found: _holding(found, holds=not release))

    async def restart(self, handle: str) -> None:
        async with self._turns.of(handle):
            await self._ours(handle)
            await self.halt(handle)
            await self.boot(handle)

    async def destroy(self, handle: str, *, keep_disk: bool = False) -> None:  # noqa: ARG002 - no ability says so
        async with self._turns.of(handle):
            found = await self._find(handle)
            if found is None:
                return
            if translate.label_of(found) is None:
                raise Refused(f"{handle} is not ours")
            await self._remove(handle)

    async def create_volume(self, order: VolumeOrder) -> VolumeSighting:
        return await self.volumes.create(order)

    async def inspect_volume(self, label: Label, handle: str | None) -> VolumeSighting | None:
        return await self.volumes.inspect(label, handle)

    async def list_own_volumes(self, install_id: str) -> VolumeListing:
        return await self.volumes.list_own(install_id)

    async def attach_volume(self, instance_handle: str, mount: Mount) -> None:
        async with self._turns.of(instance_handle):
            instance = await self._ours(instance_handle)
            await self.volumes.ready_for(mount.volume_handle, instance_handle, text(instance, "location"))
            device = translate.volume_device(mount, self._config.pool)
            await self.write(instance_handle, lambda found: _with_device(found, mount.volume_handle, device))

    async def detach_volume(self, instance_handle: str, volume_handle: str) -> None:
        async with self._turns.of(instance_handle):
            instance = await self._find(instance_handle)
            if instance is not None:
                _check_stays(instance)
                await self.write(instance_handle, lambda found: _with_device(found, volume_handle, None))

    async def resize_volume(self, handle: str, size_gb: int) -> None:
        await self.volumes.resize(handle, size_gb)

    async def destroy_volume(self, handle: str) -> None:
        await self.volumes.destroy(handle)

    async def changes(self) -> AsyncIterator[None]:
        """One of nothing for each change at the cluster: worth a look, and no more than that."""
        async for _ in self.client.events():
            yield None

    async def close(self) -> None:
        await self.volumes.close()
        await self.client.close()

    async def _make(self, order: CreateOrder, name: str, key: asyncssh.SSHKey) -> Json | None:
        """Makes the instance as it is before its first start. What is there by that name already, if anything is."""
        hardware = order.hardware
        sold, location = self.stock.sold(
            order.provider_offer_id, hardware.vcpu_count, hardware.ram_gb, hardware.gpu_count
        )
        where = await self.volumes.members_of([mount.volume_handle for mount in order.mounts])
        async with self.stock.claim(name, sold, location, only_on=where) as grant:
            body = translate.instance_body(order, sold, grant, self._config)
            body["config"][names.HOST_KEY] = key.get_fingerprint()
            if sold.is_virtual_machine:
                body["config"]["cloud-init.user-data"] = disk.cloud_config(order, key)
            try:
                await self.client.change("POST", "/1.0/instances", body, **self.stock.target(grant.member))
            except Exists:
                # By a call whose answer was lost, or by another process.
                found = await self._find_made(name)
                if found is None:
                    raise Unreachable(f"{name}: making it has just failed for somebody else") from None
                return found
        return None

    async def _find_made(self, name: str) -> Json | None:
        """As it is once the call that makes it has ended: to touch it before would break what that call is making."""
        found = await self._find(name)
        if found is None or translate.was_started(found):
            return found
        await self.client.ended(name)
        return await self._find(name)

    async def _complete(self, order: CreateOrder, name: str, key: asyncssh.SSHKey) -> None:
        """Starts what was made for the first time. What the hosts cannot start is not left lying there."""
        try:
            await _all_of(self.stock.check(name, is_new=True), self._furnish(order, name, key))
            await self.boot(name)
        except (NoCapacity, Refused):
            await self._remove(name)
            raise

    async def _furnish(self, order: CreateOrder, name: str, key: asyncssh.SSHKey) -> None:
        """Writes into its disk what is its owner's, before it starts for the first time."""
        if self._is_machine(order):
            return
        for files in (disk.directories(order), disk.files(order, key)):
            await _all_of(
                *(self.client.put_file(name, file.path, file.content, mode=file.mode) for file in files)
            )

    def _is_machine(self, order: CreateOrder) -> bool:
        name, _, _ = order.provider_offer_id.rpartition("@")
        return any(sold.name == name and sold.is_virtual_machine for sold in self._config.types)

    async def _tell_key(self, name: str, key: asyncssh.SSHKey) -> None:
        fingerprint = key.get_fingerprint()
        await self.write(name, lambda now: translate.written(now, config={names.HOST_KEY: fingerprint}))

    async def boot(self, name: str) -> None:
        for _ in range(_PORTS):
            try:
                await self._act(name, "start")
            except RunsAlready:
                return
            except PortTaken:
                await self._move_port(name)
            else:
                return
        raise NoCapacity(f"{name}: something listens on every port that was tried")

    async def _move_port(self, name: str) -> None:
        """Something that is no instance listens on its port: it gets the next that none has."""
        uses, ports = await self.stock.uses(), self.stock.ports
        mine = next((port for use in uses if use.name == name for port in use.ports), ports.start)
        port = rooms.free_port(uses, [*range(mine + 1, ports.stop), *range(ports.start, mine)])
        await self.write(
            name, lambda found: _with_device(found, names.SSH_DEVICE, translate.proxy_device(port))
        )

    async def halt(self, name: str) -> None:
        try:
            await self._act(name, "stop", timeout=_STOP_GRACE_S)
        except StoppedAlready:
            return
        except Missing as error:
            raise Refused(f"{name}: nothing to stop") from error
        except (Refused, OutcomeUnknown):
            # It did not go down when asked.
            await self._force_off(name)

    async def _force_off(self, name: str) -> None:
        try:
            await self._act(name, "stop", force=True)
        except StoppedAlready:
            return

    async def _act(self, name: str, action: str, **how: Any) -> None:
        path = f"/1.0/instances/{segment(name)}/state"
        await self.client.change("PUT", path, {"action": action, **how})

    async def _take_again(self, found: Json) -> None:
        """Hardware for one that gave it back, on the member that its disk is on. Raises NoCapacity."""
        name, config = text(found, "name"), found.get("config") or {}
        type_name, _, _ = text(config, names.OFFER).rpartition("@")
        sold = next((each for each in self._config.types if each.name == type_name), None)
        if sold is None:
            raise Refused(
                f"{name}: {type_name} is not sold any more", reason="This instance type is not sold any more."
            )
        member = text(found, "location")
        place = self._config.location_of(member)
        location = place.code if place else ""
        async with self.stock.claim(name, sold, location, only_on={member}) as grant:
            await self.write(name, lambda now: _granted(now, grant.cards))
        if grant.cards:
            await self._check_or_yield(name)
        try:
            await self.boot(name)
        except (NoCapacity, Refused):
            # Of any other error it may run all the same.
            await self.write(name, lambda now: _holding(now, holds=False))
            raise

    async def _check_or_yield(self, name: str) -> None:
        try:
            await self.stock.check(name, is_new=False)
        except NoCapacity:
            await self.write(name, lambda now: _holding(now, holds=False))
            raise

    async def _remove(self, name: str) -> None:
        await self._force_off_if_there(name)
        try:
            await self.client.change("DELETE", f"/1.0/instances/{segment(name)}", {})
        except Missing:
            return

    async def _force_off_if_there(self, name: str) -> None:
        try:
            await self._force_off(name)
        except Missing:
            return

    async def write(self, name: str, changed: Callable[[Json], dict[str, Any] | None]) -> None:
        """Writes what `changed` makes of the instance; None: it is so already. What others wrote meanwhile is kept."""
        path = f"/1.0/instances/{segment(name)}"
        for _ in range(_WRITES):
            answer = await self.client.read(path)
            body = changed(answer.metadata)
            if body is None:
                return
            try:
                await self.client.change("PUT", path, body, etag=answer.etag)
            except Changed:
                continue
            except Colliding:
                await asyncio.sleep(PAUSE_S)
                continue
            return
        raise Unreachable(f"{name}: others change it all the time")

    async def _ours(self, handle: str) -> Json:
        found = await self._find(handle)
        if found is None or translate.label_of(found) is None:
            raise Refused(f"{handle}: there is no such instance of ours")
        _check_stays(found)
        return found

    async def _get(self, name: str) -> Json:
        found: Json = await self.client.get(f"/1.0/instances/{segment(name)}")
        return found

    async def _find(self, name: str) -> Json | None:
        query = {"recursion": "1"} if self._config.ssh == "address" else {}
        return await self.client.find(f"/1.0/instances/{segment(name)}", **query)

    async def _seen(self, instance: Json) -> Sighting:
        return self._sighting(instance, await self.stock.members())

    def _sighting(self, instance: Json, members: Mapping[str, Json]) -> Sighting:
        member = members.get(text(instance, "location"), {})
        return translate.sighting(
            instance,
            self._config,
            host=translate.host_of(member, text(instance, "location"), self._config.public_addresses),
            evicts_at=translate.evicts_at(member),
        )


def _check_stays(found: Json) -> None:
    move = moves.of(found)
    if move is not None:
        raise Unreachable(
            f"{text(found, 'name')} is on its way to {move.target}",
            reason="The instance is being moved to another host.",
        )


def _holding(found: Json, *, holds: bool) -> dict[str, Any] | None:
    """What is off keeps its hardware, or gives it back, its cards out of its devices."""
    devices = found.get("devices") or {}
    if not holds:
        devices = {name: device for name, device in devices.items() if not names.is_our_gpu(name)}
    wanted = "1" if holds else "0"
    if (found.get("config") or {}).get(names.HOLDS) == wanted and devices == found.get("devices"):
        return None
    return translate.written(found, config={names.HOLDS: wanted}, devices=devices)


def _granted(found: Json, cards: Any) -> dict[str, Any]:
    kept = {name: each for name, each in (found.get("devices") or {}).items() if not names.is_our_gpu(name)}
    return translate.written(found, config={names.HOLDS: "1"}, devices={**kept, **names.gpu_devices(cards)})


def _with_device(found: Json, name: str, device: Mapping[str, str] | None) -> dict[str, Any] | None:
    devices = dict(found.get("devices") or {})
    if devices.get(name) == device:
        return None
    devices.pop(name, None)
    if device is not None:
        devices[name] = device
    return translate.written(found, devices=devices)


async def _all_of(*calls: Awaitable[None]) -> None:
    """All of them at once, each brought to its end. Raises what the first of those that failed raised."""
    for outcome in await asyncio.gather(*calls, return_exceptions=True):
        if isinstance(outcome, BaseException):
            raise outcome

"""Verda Cloud as a provider.

An instance's handle is its label: a machine whose hardware was given back is deleted, with its disk kept, and made again
at the next start, so its own id does not last. Which machine carries a label is looked up and remembered, never trusted.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import structlog

from berth.core.driver import (
    Abilities,
    Catalogue,
    CreateOrder,
    DriverError,
    Label,
    Listing,
    Mount,
    OutcomeUnknown,
    Power,
    Refused,
    Sighting,
    Unreachable,
    VolumeListing,
    VolumeOrder,
    VolumeSighting,
    WithoutTemplates,
)
from berth.drivers.verda import names, translate
from berth.drivers.verda.client import Client, segment
from berth.drivers.verda.config import VerdaConfig
from berth.drivers.verda.errors import Gone, Missing
from berth.drivers.verda.keyring import Keyring
from berth.drivers.verda.looks import Looks
from berth.drivers.verda.names import Disk, DiskName
from berth.drivers.verda.settling import Settling
from berth.drivers.verda.translate import Json, text
from berth.drivers.verda.turns import Turns
from berth.drivers.verda.volumes import Host, Volumes

APPEARS_WITHIN_S = 60
_log = structlog.get_logger()
_NOTES = (
    "A plain stop at Verda keeps the hardware and its bill; it is given back by deleting the machine and keeping its disk.",
    "Volumes at Verda are block devices: the instance's own system has to format and mount them.",
)


class VerdaDriver(WithoutTemplates):
    """Implements `berth.core.driver.Driver`. One per account."""

    def __init__(
        self,
        config: VerdaConfig,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._config = config
        self._settling = Settling(clock, sleep, config.settle_s)
        self._client = Client(config, clock)
        self._keyring = Keyring(self._client)
        self._volumes = Volumes(self._client, self._handles_of, self._settling)
        self._looks = Looks(self._get, self._list, clock, sleep)
        self._turns = Turns()
        self._machines: dict[str, str] = {}
        """The id of the machine that carried a label when it was last seen."""

    @property
    def abilities(self) -> Abilities:
        return Abilities(
            stop_releases_hardware=False,
            stop_keeps_hardware=True,
            ip_may_change=True,
            counts_units=False,
            volumes=True,
            clones_volumes=True,
            keeps_disks=True,
            places_volumes=False,
            appears_within_s=APPEARS_WITHIN_S,
            notes=_NOTES,
        )

    async def catalogue(self) -> Catalogue:
        get = self._client.get
        types, locations, listed, cluster_images, storage, available, spot, _ = await asyncio.gather(
            get("/instance-types"),
            get("/locations"),
            get("/images"),
            get("/images/cluster"),
            get("/volume-types"),
            get("/instance-availability", is_spot="false"),
            get("/instance-availability", is_spot="true"),
            self._watch_balance(),
        )
        where = translate.places(locations)
        both = {
            text(row, "image_type"): row for row in (*translate.rows(cluster_images), *translate.rows(listed))
        }
        return Catalogue(
            offers=translate.offers(
                types,
                where,
                translate.availability(available),
                translate.availability(spot),
                units=self._config.units,
            ),
            images=translate.images(list(both.values()), types),
            volume_types=translate.volume_types(storage, where.values()),
        )

    async def create(self, order: CreateOrder) -> Sighting:
        async with self._turns.of(str(order.label)):
            machine = await self._machine(order.label)
            if machine is not None:
                return self._seen(machine, order.label)
            if order.boot_volume is not None:
                return await self._boot_from(order, order.boot_volume)
            return await self._make(order, boot_volume=None)

    async def inspect(self, label: Label, handle: str | None) -> Sighting | None:
        label = _label(handle) or label
        machine = await self._machine(label)
        if machine is not None:
            return self._seen(machine, label)
        disk = await self._volumes.disk_of(label)
        return None if disk is None else translate.released(disk, str(label))

    async def list_own(self, install_id: str) -> Listing:
        leftovers = await self._keyring.made_for(install_id)
        machines = await self._list()
        found = {
            str(label): self._seen(machine, label)
            for machine in machines
            if (label := translate.label_of(machine)) is not None and names.is_of(label, install_id)
        }
        for disk in await self._volumes.list_all():
            owner = names.disk_of(text(disk, "name"))
            if owner is not None and names.is_of(owner.label, install_id) and str(owner.label) not in found:
                sighting = translate.released(disk, str(owner.label))
                if sighting is not None:
                    found[sighting.handle] = sighting
        await self._keyring.tidy(leftovers, set(found))
        return Listing(tuple(found.values()), is_complete=True)

    async def start(self, handle: str, order: CreateOrder | None = None) -> None:
        label = _required(handle)
        async with self._turns.of(str(label)):
            machine = await self._machine(label)
            if machine is None:
                await self._make_again(label, order)
            elif self._seen(machine, label).power is Power.STOPPED:
                await self._act(text(machine, "id"), "start")

    async def stop(self, handle: str, *, release: bool = True) -> None:
        label = _required(handle)
        machine = await self._machine(label)
        if machine is None or text(machine, "status") == "deleting":
            return  # given back before, or gone
        machine_id = text(machine, "id")
        if self._seen(machine, label).power is Power.RUNNING:
            await self._act(machine_id, "shutdown")
            if release:
                machine = await self._until(machine_id, label, Power.STOPPED)
        if release:
            # Should it be deleted and nobody told, the disk must say already that a machine can be made of it.
            await self._volumes.mark(text(machine, "os_volume_id"), label, Disk.MACHINE)
            await self._delete(machine_id, [])

    async def restart(self, handle: str) -> None:
        label = _required(handle)
        machine = await self._machine(label)
        if machine is None:
            raise Refused(f"{handle}: nothing to restart")
        machine_id = text(machine, "id")
        if self._seen(machine, label).power is Power.RUNNING:
            await self._act(machine_id, "shutdown")
            await self._until(machine_id, label, Power.STOPPED)
        await self._act(machine_id, "start")

    async def destroy(self, handle: str, *, keep_disk: bool = False) -> None:
        label = _label(handle)
        machine = await (self._get(handle) if label is None else self._machine(label))
        if machine is not None and text(machine, "status") == "deleting":
            return
        if machine is not None:
            disk_id = text(machine, "os_volume_id")
            if keep_disk and disk_id and label is not None:
                await self._volumes.mark(disk_id, label, Disk.KEPT)
            await self._delete(text(machine, "id"), [] if keep_disk or not disk_id else [disk_id])
        elif label is not None:
            await self._end_released(label, keep_disk=keep_disk)
        if label is not None:
            await self._keyring.forget(label)

    async def create_volume(self, order: VolumeOrder) -> VolumeSighting:
        async with self._turns.of(str(order.label)):
            return await self._volumes.create(order)

    async def inspect_volume(self, label: Label, handle: str | None) -> VolumeSighting | None:
        return await self._volumes.inspect(label, handle)

    async def list_own_volumes(self, install_id: str) -> VolumeListing:
        return await self._volumes.list_own(install_id)

    async def attach_volume(self, instance_handle: str, mount: Mount) -> None:
        label = _required(instance_handle)
        machine = await self._machine(label)
        if machine is not None:
            await self._volumes.attach(self._host(machine, label), mount.volume_handle)
        elif await self._volumes.disk_of(label) is None:
            raise Refused(f"{instance_handle}: nothing to attach to")
        # What was given back gets its volumes when it is made again.

    async def detach_volume(self, instance_handle: str, volume_handle: str) -> None:
        label = _label(instance_handle)
        machine = await (self._get(instance_handle) if label is None else self._machine(label))
        if machine is not None:
            label = label or translate.label_of(machine) or Label("", "")
            await self._volumes.detach(self._host(machine, label), volume_handle)

    async def resize_volume(self, handle: str, size_gb: int) -> None:
        await self._volumes.resize(handle, size_gb)

    async def destroy_volume(self, handle: str) -> None:
        await self._volumes.destroy(handle)

    async def close(self) -> None:
        await self._client.close()

    async def _boot_from(self, order: CreateOrder, handle: str) -> Sighting:
        """A volume that nobody boots from is this instance's, by its name, for as long as that may exist."""
        volume = await self._volumes.check_ready(handle)
        if text(volume, "status") != "detached":
            raise Refused(f"{handle}: {text(volume, 'status')}, so nothing else boots from it")
        name = _disk_name(order)
        before = text(volume, "name") if order.disk_label is None else str(order.disk_label)
        await self._volumes.rename(handle, name, text(volume, "name"))
        try:
            return await self._make(order, boot_volume=handle)
        except OutcomeUnknown:
            raise
        except Exception:
            # A disk that is named for an instance that never was would be taken for one that gave its machine back.
            await self._volumes.rename(handle, before, name)
            raise

    async def _watch_balance(self) -> None:
        try:
            left = translate.balance_micros(await self._client.get("/balance"))
        except DriverError as error:
            _log.warning("upstream_balance_unknown", base_url=self._config.base_url, error=repr(error))
            return
        if left is not None and left < self._config.low_balance_micros:
            _log.warning("upstream_balance_low", base_url=self._config.base_url, left_micros=left)

    async def _make(self, order: CreateOrder, *, boot_volume: str | None) -> Sighting:
        for mount in order.mounts:
            await self._volumes.check_ready(mount.volume_handle)
        key_ids = await self._keyring.keys(order.label, order.ssh_public_keys)
        script_id = None
        if order.startup_script and boot_volume is None:
            script_id = await self._keyring.script(order.label, order.startup_script)
        body = translate.order_body(
            label=order.label,
            type_name=order.hardware.name,
            image=boot_volume or order.image_slug,
            hostname=names.hostname(order.hostname, order.label),
            location=order.location,
            key_ids=key_ids,
            script_id=script_id,
            mounts=order.mounts,
            is_spot=order.is_spot,
            os_volume=None if boot_volume else {"name": _disk_name(order), "size": order.os_volume_gb},
        )
        if order.is_spot and boot_volume is None:
            # What was taken away is judged by what is left of it: see `names`.
            body["os_volume"]["on_spot_discontinue"] = "keep_detached"
        try:
            answer = await self._client.change("POST", "/instances", body)
        except OutcomeUnknown:
            raise
        except Exception:
            await self._keyring.forget(order.label)
            raise
        machine_id = answer.new_id("POST /instances")
        self._machines[str(order.label)] = machine_id
        machine = await self._get(machine_id)
        if machine is None:
            return Sighting(order.label, str(order.label), Power.CREATING)
        return self._seen(machine, order.label)

    async def _make_again(self, label: Label, order: CreateOrder | None) -> None:
        disk = await self._volumes.disk_of(label)
        if disk is None or translate.released(disk, str(label)) is None or order is None:
            raise Refused(f"{label}: neither a machine nor a disk to make it from")
        await self._make(order, boot_volume=text(disk, "id"))
        if order.is_spot:
            await self._volumes.mark(text(disk, "id"), label, Disk.SPOT)

    async def _end_released(self, label: Label, *, keep_disk: bool) -> None:
        disk = await self._volumes.disk_of(label)
        if disk is None:
            return
        if keep_disk:
            await self._volumes.mark(text(disk, "id"), label, Disk.KEPT)
        elif translate.released(disk, str(label)) is not None:
            await self._volumes.destroy(text(disk, "id"))

    async def _act(self, machine_id: str, action: str) -> None:
        await self._client.change("PUT", "/instances", {"action": action, "id": machine_id})

    async def _delete(self, machine_id: str, volume_ids: Sequence[str]) -> None:
        body: dict[str, Any] = {"action": "delete", "id": machine_id, "volume_ids": list(volume_ids)}
        if volume_ids:
            # Trash lasts for days and counts toward the account's quota.
            body["delete_permanently"] = True
        try:
            await self._client.change("PUT", "/instances", body)
        except (Gone, Missing):
            return

    async def _until(self, machine_id: str, label: Label, power: Power) -> Json:
        """The machine once it is so. Raises Unreachable when that takes long: nothing is half done."""
        machine, is_so = await self._settling.until(
            lambda: self._get(machine_id),
            lambda machine: machine is None or self._seen(machine, label).power is power,
        )
        if machine is None:
            raise Refused(f"{label}: ended meanwhile")
        if not is_so:
            raise Unreachable(f"{label}: still {text(machine, 'status')}")
        return machine

    def _host(self, machine: Json, label: Label) -> Host:
        is_off = self._seen(machine, label).power is Power.STOPPED
        return Host(text(machine, "id"), is_off=is_off)

    async def _handles_of(self, machine_ids: frozenset[str]) -> frozenset[str]:
        """The handles of machines; one that carries no label goes by its id."""
        if not machine_ids <= set(self._machines.values()):
            await self._list()
        handles = {machine_id: label for label, machine_id in self._machines.items()}
        return frozenset(handles.get(machine_id, machine_id) for machine_id in machine_ids)

    async def _machine(self, label: Label) -> Json | None:
        """What carries the label and is not gone, by its id where that is known, else out of the whole list."""
        known = self._machines.get(str(label))
        if known is not None:
            machine = await self._looks.at(known)
            if machine is not None and names.is_same(translate.label_of(machine), label):
                return machine
            self._machines.pop(str(label), None)
        for machine in await self._list():
            if names.is_same(translate.label_of(machine), label):
                return machine
        return None

    async def _get(self, machine_id: str) -> Json | None:
        try:
            found = translate.rows(await self._client.get(f"/instances/{segment(machine_id)}"))
        except Missing:
            return None
        if not found:
            raise Unreachable(f"{machine_id}: no instance in the answer")
        return found[0] if translate.is_there(found[0]) else None

    async def _list(self) -> Sequence[Json]:
        answer = await self._client.get("/instances")
        if not isinstance(answer, list):
            raise Unreachable("GET /instances: no list in the answer")
        machines = [machine for machine in translate.rows(answer) if translate.is_there(machine)]
        self._machines = {
            str(label): text(machine, "id")
            for machine in machines
            if (label := translate.label_of(machine)) is not None
        }
        return machines

    def _seen(self, machine: Json, label: Label) -> Sighting:
        self._machines[str(label)] = text(machine, "id")
        sighting = translate.sighting(machine, str(label))
        if sighting is None:
            raise Unreachable(f"{label}: status {text(machine, 'status')!r}")
        return sighting


def _disk_name(order: CreateOrder) -> str:
    return str(DiskName(order.label, Disk.SPOT if order.is_spot else Disk.MACHINE, order.disk_label))


def _label(handle: str | None) -> Label | None:
    return None if handle is None else Label.parse(handle)


def _required(handle: str) -> Label:
    label = _label(handle)
    if label is None:
        raise Refused(f"{handle!r} is no handle of ours")
    return label

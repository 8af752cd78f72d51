"""Volumes at Verda: each named for its label, so that one whose create was never answered is found again."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from berth.core.driver import (
    Label,
    OutcomeUnknown,
    Refused,
    Unreachable,
    VolumeListing,
    VolumeOrder,
    VolumeSighting,
)
from berth.drivers.verda import names, translate
from berth.drivers.verda.client import Client, segment
from berth.drivers.verda.errors import Missing
from berth.drivers.verda.names import Disk, DiskName
from berth.drivers.verda.settling import Settling
from berth.drivers.verda.translate import Json, text

_RUNNING = "The instance has to be stopped first."


@dataclass(frozen=True, slots=True)
class Host:
    """A machine, as far as a volume needs to know it."""

    machine_id: str
    is_off: bool


class Volumes:
    """`handles_of` turns machines' ids into the handles that they go by."""

    def __init__(
        self,
        client: Client,
        handles_of: Callable[[frozenset[str]], Awaitable[frozenset[str]]],
        settling: Settling,
    ) -> None:
        self._client = client
        self._handles_of = handles_of
        self._settling = settling

    async def create(self, order: VolumeOrder) -> VolumeSighting:
        known = await self.inspect(order.label, None)
        if known is not None:
            return known
        if order.source is None:
            answer = await self._client.change(
                "POST",
                "/volumes",
                {
                    "type": order.type,
                    "name": str(order.label),
                    "size": order.size_gb,
                    "location_code": order.location,
                },
            )
            handle = answer.new_id("POST /volumes")
            seen, _ = await self._settling.until(
                lambda: self.inspect(order.label, handle), lambda seen: seen is None or seen.is_ready
            )
        else:
            answer = await self._act("clone", order.source, name=str(order.label), type=order.type)
            handle = answer.new_id("PUT /volumes")
            seen = await self.inspect(order.label, handle)
        return seen or VolumeSighting(order.label, handle, order.size_gb, is_ready=False)

    async def inspect(self, label: Label, handle: str | None) -> VolumeSighting | None:
        if handle is not None:
            volume = await self.get(handle)
            return None if volume is None else await self._seen(volume)
        for volume in await self.list_all():
            sighting = translate.volume_sighting(volume)
            if sighting is not None and names.is_same(sighting.label, label):
                return await self._seen(volume)
        return None

    async def _seen(self, volume: Json) -> VolumeSighting | None:
        sighting = translate.volume_sighting(volume)
        if sighting is None or not sighting.attached_to:
            return sighting
        return replace(sighting, attached_to=await self._handles_of(sighting.attached_to))

    async def list_own(self, install_id: str) -> VolumeListing:
        found = []
        for volume in await self.list_all():
            disk = names.disk_of(text(volume, "name"))
            label = Label.parse(text(volume, "name")) if disk is None else disk.label
            sighting = await self._seen(volume) if names.is_of(label, install_id) else None
            if sighting is not None:
                found.append(sighting)
        return VolumeListing(tuple(found), is_complete=True)

    async def list_all(self) -> Sequence[Json]:
        """Every volume of the account that is not deleted."""
        answer = await self._client.get("/volumes")
        if not isinstance(answer, list):
            raise Unreachable("GET /volumes: no list in the answer")
        return translate.rows(answer)

    async def get(self, handle: str) -> Json | None:
        """None for what is gone or in the trash."""
        try:
            found = translate.rows(await self._client.get(f"/volumes/{segment(handle)}"))
        except Missing:
            return None
        return found[0] if found and text(found[0], "status") != "deleted" else None

    async def disk_of(self, label: Label) -> Json | None:
        """The boot disk of an instance, unless it outlived it as a volume."""
        for volume in await self.list_all():
            found = names.disk_of(text(volume, "name"))
            if found is not None and found.disk is not Disk.KEPT and names.is_same(found.label, label):
                return volume
        return None

    async def attach(self, host: Host, handle: str) -> None:
        volume = await self.check_ready(handle)
        if host.machine_id not in _attached_to(volume):
            if not host.is_off:
                raise Refused(f"{handle}: attached while its instance is off only", reason=_RUNNING)
            await self._act("attach", handle, instance_id=host.machine_id)
        await self._until(handle, lambda volume: text(volume, "status") != "attaching" or not host.is_off)

    async def detach(self, host: Host, handle: str) -> None:
        volume = await self.get(handle)
        if volume is None or host.machine_id not in _attached_to(volume):
            return
        if not host.is_off:
            raise Refused(f"{handle}: detached while its instance is off only", reason=_RUNNING)
        if text(volume, "status") != "detaching":
            await self._act("detach", handle, instance_id=host.machine_id)
        await self._until(handle, lambda volume: host.machine_id not in _attached_to(volume))

    async def mark(self, handle: str, label: Label, disk: Disk) -> None:
        """Has the name of an instance's boot disk say what it is for now; what it is to be found by stays."""
        volume = await self.get(handle) if handle else None
        if volume is None:
            return
        known = names.disk_of(text(volume, "name"))
        wanted = DiskName(label, disk, None if known is None else known.own)
        await self.rename(handle, str(wanted), text(volume, "name"))

    async def rename(self, handle: str, name: str, now: str) -> None:
        if name != now:
            await self._act("rename", handle, name=name)

    async def resize(self, handle: str, size_gb: int) -> None:
        volume = await self.get(handle)
        if volume is None:
            raise Refused(f"{handle}: no such volume")
        sighting = translate.volume_sighting(volume)
        if sighting is None or sighting.size_gb != size_gb:
            await self._act("resize", handle, size=size_gb)
            await self._until(handle, lambda volume: translate.size_gb(volume) >= size_gb)

    async def destroy(self, handle: str) -> None:
        volume = await self.get(handle) if handle else None
        if volume is not None and _attached_to(volume):
            raise Refused(f"{handle}: still attached")
        if not handle:
            return
        try:
            await self._client.change("DELETE", f"/volumes/{segment(handle)}", {"is_permanent": True})
        except (Missing, OutcomeUnknown):
            # Whether it is gone is read, not believed.
            if await self.get(handle) is not None:
                raise

    async def check_ready(self, handle: str) -> Json:
        """The volume, if it can be attached by now. Raises Refused without one, Unreachable while it is on its way."""
        volume = await self.get(handle)
        if volume is None:
            raise Refused(f"{handle}: no such volume")
        status = text(volume, "status")
        if status in translate.UNDER_WAY:
            raise Unreachable(f"{handle}: still {status}")
        return volume

    async def _until(self, handle: str, is_so: Callable[[Json], bool]) -> None:
        """Raises Unreachable when that takes long: asking again is safe."""
        volume, has_happened = await self._settling.until(
            lambda: self.get(handle), lambda volume: volume is None or is_so(volume)
        )
        if not has_happened:
            raise Unreachable(f"{handle}: still {text(volume or {}, 'status')}")

    async def _act(self, action: str, handle: str, **members: Any) -> Any:
        return await self._client.change("PUT", "/volumes", {"action": action, "id": handle, **members})


def _attached_to(volume: Json) -> set[str]:
    attached = {text(instance, "id") for instance in translate.rows(volume.get("instances"))}
    return {each for each in (*attached, text(volume, "instance_id")) if each}

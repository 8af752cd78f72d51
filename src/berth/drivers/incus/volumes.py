"""Volumes as Incus's custom volumes. One on a pool of its member's own goes where it is wanted while nobody has it."""

import asyncio
import contextlib
from collections.abc import Collection, Sequence
from typing import Any

import structlog

from berth.core.driver import (
    Label,
    NoCapacity,
    OutcomeUnknown,
    Refused,
    Unreachable,
    VolumeListing,
    VolumeOrder,
    VolumeSighting,
)
from berth.drivers.incus import names, translate
from berth.drivers.incus.client import Client, segment
from berth.drivers.incus.config import IncusConfig
from berth.drivers.incus.errors import Exists, Missing
from berth.drivers.incus.stock import Stock
from berth.drivers.incus.translate import Json, text
from berth.drivers.incus.turns import Turns

_log = structlog.get_logger()
_MOVE_S = 24 * 3600.0
_ON_ITS_WAY = "The volume is being taken to another host."
_ELSEWHERE = "The volume is attached to another instance."


class Volumes:
    def __init__(self, config: IncusConfig, client: Client, stock: Stock, turns: Turns) -> None:
        self._config = config
        self._client = client
        self._stock = stock
        self._turns = turns
        self._moves: dict[str, asyncio.Task[None]] = {}
        """Of this process, by handle: they go on when whoever asked for one has no more time."""
        self._base = f"/1.0/storage-pools/{segment(config.pool)}/volumes/custom"

    async def check_pool(self) -> None:
        """Raises Refused for a pool that is not there, or that cannot enforce a size."""
        pool = await self._client.get(f"/1.0/storage-pools/{segment(self._config.pool)}")
        if text(pool, "driver") == "dir":
            raise Refused(f"incus.pool {self._config.pool!r} is of the kind `dir`, which enforces no sizes")

    async def create(self, order: VolumeOrder) -> VolumeSighting:
        name = names.volume(order.label)
        self._check_sold(order)
        async with self._turns.of(name):
            if await self._find(name) is None:
                await self._make(order, name)
            return self._seen(await self._get(name), await self._client.under_way())

    async def inspect(self, label: Label, handle: str | None) -> VolumeSighting | None:
        found = await self._find(handle or names.volume(label))
        if found is None:
            await self._client.check_project()
            return None
        if translate.label_of(found) != label:
            return None
        return self._seen(found, await self._client.under_way() if _is_copy(found) else ())

    async def list_own(self, install_id: str) -> VolumeListing:
        await self._client.check_project()
        ours = [
            volume
            for volume in await self._list()
            if (label := translate.label_of(volume)) is not None and label.install_id == install_id
        ]
        copying = await self._client.under_way() if any(_is_copy(volume) for volume in ours) else ()
        # One that is on its way to another member is on both until it has arrived.
        by_name = {text(volume, "name"): volume for volume in sorted(ours, key=_moves, reverse=True)}
        return VolumeListing(
            tuple(self._seen(volume, copying) for volume in by_name.values()), is_complete=True
        )

    async def resize(self, handle: str, size_gb: int) -> None:
        self._check_stays(handle)
        volume = await self._get(handle)
        has_gb = translate.volume_sighting(volume, is_ready=True).size_gb
        if size_gb < has_gb:
            raise Refused(f"{handle}: {size_gb} GB is less than its {has_gb}")
        if size_gb > has_gb:
            await self._client.change(
                "PATCH", self._path(handle), {"config": {"size": f"{size_gb}GiB"}}, **self._at(volume)
            )

    async def destroy(self, handle: str) -> None:
        self._check_stays(handle)
        async with self._turns.of(handle):
            volume = await self._find(handle)
            if volume is None:
                return
            if translate.label_of(volume) is None:
                raise Refused(f"{handle} is not ours")
            if translate.attached(volume):
                raise Refused(f"{handle}: attached", reason="The volume is attached.")
            for each in reversed(await self._all(handle)):
                with contextlib.suppress(Missing):
                    await self._client.change("DELETE", self._path(handle), {}, **self._at(each))

    async def ready_for(self, handle: str, instance: str, member: str) -> None:
        """Sees to it that the instance, on `member`, can have it. Raises Refused where another has it."""
        async with self._turns.of(handle):
            if (move := self._moves.get(handle)) is not None:
                await asyncio.shield(move)
            volume = await self._find(handle)
            if volume is None or translate.label_of(volume) is None:
                raise Refused(f"{handle}: there is no such volume of ours")
            has = translate.attached(volume)
            if any(each != instance for each in has):
                raise Refused(f"{handle}: attached to {has}", reason=_ELSEWHERE)
            if not has and text(volume, "location") not in {"", member, translate.STANDALONE}:
                await self._move(volume, member)

    async def members_of(self, handles: Sequence[str]) -> Collection[str] | None:
        """Where an instance can be that gets these from its first boot on; None: anywhere. Raises Refused."""
        where: set[str] = set()
        for handle in handles:
            self._check_stays(handle)
            volume = await self._find(handle)
            if volume is None or translate.label_of(volume) is None:
                raise Refused(f"{handle}: there is no such volume of ours")
            if translate.attached(volume):
                raise Refused(f"{handle}: attached to {translate.attached(volume)}", reason=_ELSEWHERE)
            where |= {text(volume, "location")} - {""}
        if len(where) > 1:
            raise Refused(
                f"{handles} are on {sorted(where)}",
                reason="The volumes are on different hosts: attach them one after another once it runs.",
            )
        return where or None

    async def close(self) -> None:
        """What is on its way is left to whoever takes it up."""
        for move in self._moves.values():
            move.cancel()
        await asyncio.gather(*self._moves.values(), return_exceptions=True)

    async def _move(self, volume: Json, member: str) -> None:
        """Takes it, attached to nothing, to another member. That may take longer than who asks for it can wait."""
        name = text(volume, "name")
        move = asyncio.create_task(self._copy_over(volume, member))
        self._moves[name] = move

        def forget(_: asyncio.Task[None]) -> None:
            del self._moves[name]

        move.add_done_callback(forget)
        await asyncio.shield(move)

    async def _copy_over(self, volume: Json, member: str) -> None:
        """Copies it there, and only then deletes it here.

        Of two that go by one name the one that moved less often is whole; the other was left by a move that broke off.
        """
        name, there = text(volume, "name"), text(volume, "location")
        leftovers = (await self._all(name))[1:]
        if leftovers and name in await self._client.under_way():
            raise Unreachable(f"{name}: another process takes it to another member", reason=_ON_ITS_WAY)
        for leftover in leftovers:
            await self._client.change("DELETE", self._path(name), {}, **self._at(leftover))
        config = {key: value for key, value in volume["config"].items() if not key.startswith("volatile.")}
        config[names.MOVES] = str(_moves(volume) + 1)
        # A copy inside the cluster is refused for what is in no default project: so the one member pulls from the other.
        operation, secrets = await self._client.begin(
            self._path(name),
            {"name": name, "pool": self._config.pool, "migration": True, "volume_only": True},
            **self._at(volume),
        )
        source = {
            "type": "migration",
            "mode": "pull",
            "operation": f"{await self._stock.url_of(there)}{operation}",
            "certificate": await self._stock.certificate(),
            "secrets": secrets,
            "volume_only": True,
        }
        body = {
            "name": name,
            "type": "custom",
            "content_type": "filesystem",
            "config": config,
            "source": source,
        }
        await self._client.make_within(_MOVE_S, self._base, body, **self._stock.target(member))
        await self._client.change("DELETE", self._path(name), {}, **self._at(volume))

    async def _make(self, order: VolumeOrder, name: str) -> None:
        config = {
            names.INSTALLATION: order.label.install_id,
            names.INSTANCE: order.label.instance_id,
            "size": f"{order.size_gb}GiB",
        }
        body: dict[str, Any] = {
            "name": name,
            "type": "custom",
            "content_type": "filesystem",
            "config": config,
        }
        if order.source is None:
            member = await self._roomiest(order.location)
        else:
            source = await self._find(order.source)
            if source is None or translate.label_of(source) is None:
                raise Refused(f"{order.source}: there is no such volume of ours")
            if translate.volume_sighting(source, is_ready=True).size_gb > order.size_gb:
                raise Refused(f"{order.source}: larger than its copy is to be")
            member = text(source, "location")
            config[names.COPYING] = "1"
            body["source"] = {
                "type": "copy",
                "name": order.source,
                "pool": self._config.pool,
                "location": member,
                "volume_only": True,
            }
        target = self._stock.target(member) if member else {}
        try:
            await self._client.change("POST", self._base, body, **target)
        except Exists:
            return
        except OutcomeUnknown:
            if order.source is None or await self._find(name) is None:
                raise

    async def _roomiest(self, location: str) -> str:
        """The member of the location whose pool has most room. Raises NoCapacity where none can be asked."""
        best: tuple[int, str] | None = None
        for room in await self._stock.rooms():
            if room.location != location or not room.is_open:
                continue
            pool = segment(self._config.pool)
            try:
                found = await self._client.get(
                    f"/1.0/storage-pools/{pool}/resources", **self._stock.target(room.member)
                )
            except Unreachable as error:
                _log.warning("pool_not_asked", member=room.member, error=repr(error))
                continue
            space = found.get("space") or {}
            free = translate.whole(space.get("total")) - translate.whole(space.get("used"))
            if best is None or free > best[0]:
                best = (free, room.member)
        if best is None:
            raise NoCapacity(f"no member of {location} answers", reason="No host has room at the moment.")
        return best[1]

    def _check_stays(self, handle: str) -> None:
        if handle in self._moves:
            raise Unreachable(f"{handle} is on its way to another member", reason=_ON_ITS_WAY)

    def _check_sold(self, order: VolumeOrder) -> None:
        for kind in translate.volume_types(self._config, self._stock.places()):
            if (kind.name, kind.place.code) == (order.type, order.location):
                if kind.min_size_gb <= order.size_gb <= kind.max_size_gb:
                    return
                raise Refused(f"{order.size_gb} GB: sold from {kind.min_size_gb} to {kind.max_size_gb}")
        raise Refused(f"{order.type} is not sold in {order.location}")

    def _seen(self, volume: Json, copying: Collection[str]) -> VolumeSighting:
        is_ready = not _is_copy(volume) or text(volume, "name") not in copying
        return translate.volume_sighting(volume, is_ready=is_ready)

    async def _get(self, name: str) -> Json:
        found = await self._find(name)
        if found is None:
            raise Refused(f"{name}: there is no such volume")
        return found

    async def _find(self, name: str) -> Json | None:
        return next(iter(await self._all(name)), None)

    async def _all(self, name: str) -> Sequence[Json]:
        """Those of one name, the one that counts first: names are unique on a member only."""
        return sorted((each for each in await self._list() if text(each, "name") == name), key=_moves)

    async def _list(self) -> Sequence[Json]:
        listed = await self._client.get(self._base, recursion="1")
        if not isinstance(listed, list):
            raise Unreachable(f"GET {self._base}: no list in the answer")
        return translate.rows(listed)

    def _at(self, volume: Json) -> dict[str, str]:
        member = text(volume, "location")
        return self._stock.target(member) if member else {}

    def _path(self, name: str) -> str:
        return f"{self._base}/{segment(name)}"


def _moves(volume: Json) -> int:
    """How often it went to another member."""
    return translate.whole_of(text(volume.get("config") or {}, names.MOVES))


def _is_copy(volume: Json) -> bool:
    return (volume.get("config") or {}).get(names.COPYING) == "1"

"""Empties a member for its maintenance: what runs there goes on elsewhere in its location, volumes and all.

It takes full rights at the cluster. Each step is safe to repeat, so that a run that broke off is taken up by the next; what
belongs to an instance and is not attached to it for the moment is written on it.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Any

from berth.base.clock import Instant
from berth.core.driver import DriverError, Label, NoCapacity, Refused
from berth.drivers.incus import moves, names, translate
from berth.drivers.incus.client import segment
from berth.drivers.incus.config import IncusConfig
from berth.drivers.incus.driver import IncusDriver
from berth.drivers.incus.moves import Move
from berth.drivers.incus.translate import Json, text

# Starlark. Where it fits tightest, so that those with many cards still fit elsewhere.
_PLACEMENT = """
def instance_placement(request, candidate_members):
    wanted = int(request.config.get("user.gpus", "0"))
    best = None
    for member in candidate_members:
        left = int(member.config.get("user.gpus", "0"))
        for instance in get_instances(location=member.server_name):
            left -= int(instance.config.get("user.gpus", "0"))
        if left >= wanted and (best == None or left < best[0]):
            best = (left, member.server_name)
    if best == None:
        fail("no capacity")
    set_target(best[1])
"""


@dataclass(frozen=True, slots=True)
class Moved:
    """What became of one instance. Without a member it was left where it is, for the reason given."""

    handle: str
    label: Label
    member: str | None
    problem: str | None = None


class Mover:
    """Over a driver whose connection has full rights."""

    def __init__(self, config: IncusConfig, driver: IncusDriver) -> None:
        self._config = config
        self._driver = driver
        self._client = driver.client

    async def announce(self, member: str, at: Instant | None) -> None:
        """From now on nothing is placed there, and its instances are known to leave it at `at`; None takes that back."""
        await self._configure(member, names.EVACUATES_AT, None if at is None else str(int(at)))

    async def guard(self) -> dict[str, int]:
        """Has the engine count cards too, wherever it places what names no member. The cards of each member.

        Raises DriverError for a server that is no cluster: it places nothing.
        """
        found = {}
        for member in await self._driver.stock.members():
            resources = await self._client.get("/1.0/resources", **self._driver.stock.target(member))
            found[member] = len(translate.cards(resources))
            await self._configure(member, names.GPUS, str(found[member]))
        await self._client.change("PATCH", "/1.0", {"config": {"instances.placement.scriptlet": _PLACEMENT}})
        return found

    async def announced(self, member: str) -> Instant | None:
        """When it is to be emptied, if somebody said so."""
        return translate.evicts_at(await self._client.get(f"/1.0/cluster/members/{segment(member)}"))

    async def on(self, member: str) -> list[tuple[str, Label]]:
        """Handles and labels of the instances of any Berth's on a member."""
        return [(text(found, "name"), label) for found, label in await self._there(member)]

    async def empty(self, member: str) -> AsyncIterator[Moved]:
        """Takes every instance of ours elsewhere, one after another, then has the engine see to what is left.

        Not while one of ours stays: the engine would stop it, or take it out of its location.
        """
        stays = False
        for found, label in await self._there(member):
            name = text(found, "name")
            try:
                yield Moved(name, label, await self._take_elsewhere(name, member))
            except DriverError as error:
                if await self._client.find(f"/1.0/instances/{segment(name)}") is None:
                    continue  # its owner deleted it meanwhile
                stays = True
                yield Moved(name, label, None, error.reason or str(error))
        if not stays and not await self._is_evacuated(member):
            await self._set(member, "evacuate")

    async def restore(self, member: str) -> None:
        """It takes part again. What left it stays where it went, and what was on its way arrives."""
        for found, _ in await self._there(member):
            await self._arrive(text(found, "name"))
        await self.announce(member, None)
        if await self._is_evacuated(member):
            await self._set(member, "restore")

    async def _is_evacuated(self, member: str) -> bool:
        found = await self._client.get(f"/1.0/cluster/members/{segment(member)}")
        return text(found, "status") == "Evacuated"

    async def _configure(self, member: str, key: str, value: str | None) -> None:
        """Sets a key of a member, or takes it out; the others are kept."""
        path = f"/1.0/cluster/members/{segment(member)}"
        answer = await self._client.read(path)
        found = answer.metadata
        config = {name: each for name, each in (found.get("config") or {}).items() if name != key}
        if value is not None:
            config[key] = value
        body = {
            "config": config,
            "roles": found.get("roles") or [],
            "failure_domain": text(found, "failure_domain"),
            "description": text(found, "description"),
            "groups": found.get("groups") or [],
        }
        await self._client.change("PUT", path, body, etag=answer.etag)

    async def _set(self, member: str, action: str) -> None:
        path = f"/1.0/cluster/members/{segment(member)}/state"
        await self._client.change("POST", path, {"action": action, "mode": ""})

    async def _there(self, member: str) -> list[tuple[Json, Label]]:
        """The instances on a member, and those that left it and have not arrived."""
        listed = translate.rows(await self._client.get("/1.0/instances", recursion="1"))
        return [
            (found, label)
            for found in listed
            if (label := translate.label_of(found)) is not None
            and (text(found, "location") == member or _left(found, member))
        ]

    async def _take_elsewhere(self, name: str, member: str) -> str:
        """The member that it is on now. Raises NoCapacity where no other has room."""
        found = await self._client.get(f"/1.0/instances/{segment(name)}")
        if text(found, "location") == member:
            try:
                move = await self._bind(found, member)
                await self._carry(name, move)
            except DriverError:
                await self._arrive(name)
                raise
        return await self._arrive(name)

    async def _bind(self, found: Json, member: str) -> Move:
        """Chooses where it goes, and writes that on it, so that all see it. Raises NoCapacity."""
        name = text(found, "name")
        type_name, _, location = text(found.get("config") or {}, names.OFFER).rpartition("@")
        sold = next((each for each in self._config.types if each.name == type_name), None)
        if sold is None:
            raise Refused(f"{name}: {type_name!r} is on no price list here")
        before = moves.of(found)
        elsewhere = [each.member for each in await self._driver.stock.rooms() if each.member != member]
        async with self._driver.stock.claim(name, sold, location, only_on=elsewhere) as grant:
            move = Move(
                member,
                grant.member,
                grant.cards if translate.use(found).holds else (),
                is_on=text(found, "status") != "Stopped" if before is None else before.is_on,
                luggage={} if before is None else before.luggage,
            )
            await self._driver.write(name, lambda now: _marked(now, move))
        await self._driver.stock.check(name, is_new=False)
        return move

    async def _carry(self, name: str, move: Move) -> None:
        if move.is_on:
            await self._driver.halt(name)
        await self._driver.write(name, _unloaded)
        packed = moves.of(await self._client.get(f"/1.0/instances/{segment(name)}")) or move
        for volume in packed.volumes():
            await self._driver.volumes.ready_for(volume, name, move.target)
        body = {"name": name, "migration": True}
        await self._client.change("POST", f"/1.0/instances/{segment(name)}", body, target=move.target)

    async def _arrive(self, name: str) -> str:
        """Puts on it what was taken off, wherever it got to, and starts it if it ran: the member that it is on."""
        found = await self._client.get(f"/1.0/instances/{segment(name)}")
        move, member = moves.of(found), text(found, "location")
        if move is None:
            return member
        for volume in move.volumes():
            await self._driver.volumes.ready_for(volume, name, member)
        await self._driver.write(name, _loaded)
        try:
            if move.is_on:
                await self._driver.boot(name)
        except (NoCapacity, Refused):
            await self._driver.write(name, _settled)
            raise
        # Last, so that nobody else starts it, or takes it for one that is to be off.
        await self._driver.write(name, _settled)
        return member


def _left(found: Json, member: str) -> bool:
    move = moves.of(found)
    return move is not None and move.source == member


def _marked(now: Json, move: Move) -> dict[str, Any]:
    return translate.written(now, config={names.MOVE: move.text()})


def _unloaded(now: Json) -> dict[str, Any] | None:
    """Without its volumes and cards, which are written down."""
    move, devices = moves.of(now), now.get("devices") or {}
    if move is None:
        return None
    packed = move.packed(devices)
    kept = {name: each for name, each in devices.items() if name not in packed.luggage}
    return translate.written(now, config={names.MOVE: packed.text()}, devices=kept)


def _loaded(now: Json) -> dict[str, Any] | None:
    move = moves.of(now)
    if move is None:
        return None
    devices = {**(now.get("devices") or {}), **move.unpacked(text(now, "location"))}
    return translate.written(now, config={names.MOVE: replace(move, luggage={}).text()}, devices=devices)


def _settled(now: Json) -> dict[str, Any]:
    return translate.written(now, config={names.MOVE: None})

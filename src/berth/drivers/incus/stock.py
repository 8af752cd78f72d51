"""What the members have left, as they say now, and claims on it that they cannot know of yet."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from typing import Any

import structlog

from berth.core.driver import (
    BadCredentials,
    DriverError,
    NoCapacity,
    Place,
    ProviderOffer,
    Refused,
    Unreachable,
)
from berth.drivers.incus import rooms, translate
from berth.drivers.incus.client import Client
from berth.drivers.incus.config import ALL_HOSTS, IncusConfig, TypeSold
from berth.drivers.incus.rooms import Grant, Room, Use
from berth.drivers.incus.translate import Json, text

_RESOURCES_LAST_S = 60.0
_NOWHERE = ""
_log = structlog.get_logger()


class Stock:
    """`clock` counts seconds and only goes forward."""

    def __init__(self, config: IncusConfig, client: Client, clock: Callable[[], float]) -> None:
        self._config = config
        self._client = client
        self._clock = clock
        self._choosing = asyncio.Lock()
        self._claims: dict[str, Use] = {}
        self._resources: dict[str, tuple[float, Json]] = {}
        self._server: Json = {}

    @property
    def ports(self) -> range:
        return range(self._config.first_port, self._config.last_port + 1)

    async def members(self) -> Mapping[str, Json]:
        """By name. A server that is no cluster is its own only member."""
        server = (await self._server_itself()).get("environment") or {}
        if server.get("server_clustered") is False:
            url = next(iter(self._config.addresses), "")
            own = {"server_name": translate.STANDALONE, "status": "Online", "url": url, "config": {}}
            return {translate.STANDALONE: own}
        found = translate.rows(await self._client.get("/1.0/cluster/members", recursion="1"))
        return {text(member, "server_name"): member for member in found}

    def target(self, member: str) -> dict[str, str]:
        """What a request carries that is for one member; nothing where there is only one."""
        return {} if member == translate.STANDALONE else {"target": member}

    async def url_of(self, member: str) -> str:
        """Where other members reach it."""
        return text((await self.members()).get(member, {}), "url")

    async def certificate(self) -> str:
        """Of the cluster, in PEM: by which members know each other."""
        return text((await self._server_itself()).get("environment") or {}, "certificate")

    async def rooms(self, *, is_fresh: bool = False) -> Sequence[Room]:
        members = await self.members()
        for name in sorted(each for location in self._config.locations for each in location.members):
            if name not in members:
                _log.warning("member_not_there", member=name, there=sorted(members))
        return await asyncio.gather(*(self._room(member, is_fresh=is_fresh) for member in members.values()))

    async def uses(self) -> Sequence[Use]:
        """Of all instances that we may see, and of those that are being made."""
        listed = translate.rows(
            await self._client.get("/1.0/instances", **{"recursion": "1", "all-projects": "true"})
        )
        found = [use for instance in listed for use in translate.uses(instance)]
        # What is off and gave its hardware back is seen as well, and takes it again only by its claim.
        seen = {(use.name, use.member) for use in found if use.holds}
        return [*found, *(each for each in self._claims.values() if (each.name, each.member) not in seen)]

    async def offers(self) -> list[ProviderOffer]:
        there, uses = await asyncio.gather(self.rooms(is_fresh=True), self.uses())
        places = self.places()
        free = {
            translate.offer_id(sold.name, place.code): rooms.units(sold, there, uses, place.code)
            for place in places
            for sold in self._config.types
        }
        return translate.offers(self._config, free, places)

    def places(self) -> Sequence[Place]:
        return [each.place for each in self._config.locations] or [ALL_HOSTS]

    def sold(self, offer_id: str, vcpus: int, ram_gb: int, gpus: int) -> tuple[TypeSold, str]:
        """The line of the price list and the location of an offer. Raises Refused for what is not sold as it was."""
        name, _, location = offer_id.rpartition("@")
        sold = next((each for each in self._config.types if each.name == name), None)
        if sold is None or location not in {place.code for place in self.places()}:
            raise Refused(
                f"no such offer: {offer_id}", reason="This instance type is not sold here any more."
            )
        if (sold.vcpu_count, sold.ram_gb, sold.gpu_count) != (vcpus, ram_gb, gpus):
            raise Refused(f"the hardware of {offer_id} changed", reason="This instance type has changed.")
        return sold, location

    @contextlib.asynccontextmanager
    async def claim(
        self, name: str, sold: TypeSold, location: str, *, only_on: Collection[str] | None = None
    ) -> AsyncIterator[Grant]:
        """Holds a place for an instance until the engine knows that it has it. Raises NoCapacity."""
        async with self._choosing:
            there, uses = await asyncio.gather(self.rooms(), self.uses())
            others = [use for use in uses if use.name != name]
            grant = rooms.place(sold, there, others, location=location, ports=self.ports, only_on=only_on)
            self._claims[name] = Use(
                name,
                grant.member,
                sold.vcpu_count,
                sold.ram_gb * 1024,
                frozenset(grant.cards),
                ports=frozenset({grant.port}),
            )
        try:
            yield grant
        finally:
            self._claims.pop(name, None)

    async def check(self, name: str, *, is_new: bool) -> None:
        """Raises NoCapacity where another process gave the same card or port away, and is not the one to yield.

        Raises Unreachable where nobody can say so.
        """
        uses = await self.uses()
        mine = [use for use in uses if use.name == name]
        where = {use.member for use in mine}
        if not mine or not all(use.is_known for use in uses if use.member in where):
            raise Unreachable(f"{name}: what else is on {sorted(where)} cannot be seen")
        for each in mine:
            if others := rooms.rivals(each, uses, is_new=is_new):
                raise NoCapacity(f"{name}: {others[0].name} was given the same before")

    async def _room(self, member: Json, *, is_fresh: bool) -> Room:
        name = text(member, "server_name")
        place = self._config.location_of(name)
        resources = await self._resources_of(member, is_fresh=is_fresh)
        return translate.room(
            member,
            resources or {},
            place.code if place else _NOWHERE,
            reserved_ram_gb=self._config.reserved_ram_gb,
            has_room=resources is not None,
        )

    async def _resources_of(self, member: Json, *, is_fresh: bool) -> Any | None:
        """What it has; None while it cannot be asked."""
        name = text(member, "server_name")
        if not translate.is_online(member):
            return None
        read_at, known = self._resources.get(name, (float("-inf"), {}))
        if not is_fresh and self._clock() - read_at < _RESOURCES_LAST_S:
            return known
        try:
            found = await self._client.get("/1.0/resources", **self.target(name))
        except DriverError as error:
            _log.warning("member_does_not_answer", member=name, error=repr(error))
            return None
        self._resources[name] = (self._clock(), found)
        return found

    async def _server_itself(self) -> Json:
        if not self._server:
            found = await self._client.get("/1.0")
            if found.get("auth") != "trusted":
                raise BadCredentials("the cluster does not trust our certificate (incus.certificate)")
            self._server = found
        return self._server

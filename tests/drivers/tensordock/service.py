"""A stand-in for TensorDock's API v2: its shapes as they were seen, over real HTTP, with faults that are switched on.

It moves on by being looked at: each look at a virtual machine that is on its way brings it one step further. It meters
what it sold by a clock of its own, whatever the other side believes.
"""

import asyncio
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from random import Random
from typing import Any, Literal

from aiohttp import web

from berth.base.clock import Clock, SystemClock
from tests.drivers.tensordock import rules
from tests.drivers.tensordock.doors import Doors
from tests.drivers.tensordock.stock import LOCATIONS

TOKEN = "token-of-the-organisation"
PREFIX = "/api/v2"
SOLD_OUT = "No available nodes found"
_PATH = ("CREATING", "queued", "Running")
_RETURN = ("Starting", "Running")


class Problem(Exception):
    """A refusal, in whatever body it comes with."""

    def __init__(self, status: int, body: object) -> None:
        super().__init__(str(body))
        self.status, self.body = status, body


@dataclass
class Faults:
    """What goes wrong, from now on."""

    answers: list[tuple[str, int, str, dict[str, str]]] = field(default_factory=list)
    """Endpoint, status, body and headers of the next answers, each once, with nothing done."""
    lost: list[str] = field(default_factory=list)
    """Endpoints whose next answer does not arrive, each once: done, and the connection cut."""
    slow_creates: int = 0
    """How many creates to come are made but not answered for as long as anybody waits."""
    sold_out: bool = False
    """Creates are answered by 200 and an error in the body."""
    sticks: str = ""
    """The status that what is on its way does not get beyond."""
    keeps_listing: int = 0
    """How many more lists show what was deleted, as if nothing had happened."""
    lists_late: int = 0
    """How many lists do not show yet what was just made."""
    ignores_forwards: bool = False
    chance: float = 0.0
    """How likely each call is to meet one of: 429, answer lost, 500, sold out."""


@dataclass
class Machine:
    """One virtual machine, and what the service knows of it alone."""

    id: str
    name: str
    status: str
    resources: dict[str, Any]
    rate_hourly: float
    begun_at: int
    ended_at: int | None = None
    ip: str = ""
    forwards: list[dict[str, int]] = field(default_factory=list)
    asked_forwards: list[dict[str, int]] = field(default_factory=list)
    has_own_ip: bool = False
    path: list[str] = field(default_factory=list)
    attributes: dict[str, Any] = field(default_factory=dict)
    """As it was ordered."""
    listed_late: int = 0


class Service:
    """Its state, and its routes. `shape_of_list` and `shape_of_show` switch between what was documented and seen."""

    def __init__(self, *, clock: Clock | None = None, seed: int = 0, doors: Doors | None = None) -> None:
        """With `doors`, what runs can be logged in to, on loopback."""
        self.faults = Faults()
        self.clock = clock or SystemClock()
        self.locations: list[dict[str, Any]] = LOCATIONS
        self.hostnodes: list[dict[str, Any]] | None = None
        """None: closed, as to most accounts."""
        self.machines: dict[str, Machine] = {}
        self.calls: Counter[str] = Counter()
        self.shape_of_list: Literal["documented", "live", "bare"] = "live"
        self.shape_of_show: Literal["flat", "data", "attributes"] = "flat"
        self.balance = 100.0
        self._random = Random(seed)
        self._ports = iter(range(30_000, 60_000))
        self._addresses = iter(range(1, 60_000))
        self._ended: dict[str, int] = {}
        self._closing = asyncio.Event()
        self._doors = doors

    def app(self) -> web.Application:
        app = web.Application(middlewares=[self._guard])
        app.add_routes(
            [
                web.post(f"{PREFIX}/auth/test", self._auth),
                web.get(f"{PREFIX}/locations", self._locations),
                web.get(f"{PREFIX}/hostnodes", self._hostnodes),
                web.post(f"{PREFIX}/instances", self._create),
                web.get(f"{PREFIX}/instances", self._list),
                web.get(f"{PREFIX}/instances/{{id}}", self._show),
                web.post(f"{PREFIX}/instances/{{id}}/start", self._start),
                web.post(f"{PREFIX}/instances/{{id}}/stop", self._stop),
                web.delete(f"{PREFIX}/instances/{{id}}", self._delete),
                web.get(f"{PREFIX}/_test/meter", self._meter),
            ]
        )
        return app

    def metered_micros(self) -> int:
        """What everything has cost so far, to the microsecond, what still runs included."""
        now = self.clock.now()
        return sum(
            round(machine.rate_hourly * ((machine.ended_at or now) - machine.begun_at) / 3600)
            for machine in self.machines.values()
        )

    def there(self) -> list[Machine]:
        return [machine for machine in self.machines.values() if machine.ended_at is None]

    def let_go(self) -> None:
        """Ends calls that nobody was going to be answered."""
        self._closing.set()

    @web.middleware
    async def _guard(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        endpoint = f"{request.method} {request.path.removeprefix(PREFIX)}"
        self.calls[endpoint] += 1
        for fault in self.faults.answers:
            if endpoint == fault[0]:
                self.faults.answers.remove(fault)
                return web.Response(status=fault[1], text=fault[2], headers=fault[3])
        is_lost = False
        try:
            if request.path.endswith("/_test/meter"):
                return await handler(request)
            if not request.path.endswith("/locations"):
                self._let_in(request)
            is_lost = self._misfortune()
            response = await handler(request)
        except Problem as problem:
            response = web.json_response(problem.body, status=problem.status)
        if endpoint in self.faults.lost:
            self.faults.lost.remove(endpoint)
            is_lost = True
        if is_lost and request.transport is not None:
            request.transport.abort()
        return response

    def _let_in(self, request: web.Request) -> None:
        if request.headers.get("Authorization") != f"Bearer {TOKEN}":
            raise Problem(401, {"error": "Invalid API credentials"})

    def _misfortune(self) -> bool:
        """Whether this answer gets lost, once what is asked was done. Raises for a call that is refused before that."""
        if self._random.random() >= self.faults.chance:
            return False
        kind = self._random.choice(("lost", "limited", "broken"))
        if kind == "limited":
            raise Problem(429, {"error": "Rate limit exceeded"})
        if kind == "broken":
            raise Problem(500, {"errors": [{"status": 500, "title": "Internal Server Error", "detail": "?"}]})
        return True

    async def _auth(self, _request: web.Request) -> web.Response:
        return web.json_response({"success": True})

    async def _locations(self, _request: web.Request) -> web.Response:
        return web.json_response({"data": {"locations": self.locations}})

    async def _hostnodes(self, _request: web.Request) -> web.Response:
        if self.hostnodes is None:
            raise Problem(403, {"error": "Forbidden"})
        return web.json_response({"data": {"hostnodes": self.hostnodes}})

    async def _create(self, request: web.Request) -> web.Response:
        body = await request.json()
        attributes = body["data"]["attributes"]
        gpu = self._check(attributes)
        if self.faults.sold_out or self._random.random() < self.faults.chance:
            return web.json_response({"status": 400, "error": SOLD_OUT})
        machine = self._made(attributes, gpu)
        if self.faults.slow_creates:
            self.faults.slow_creates -= 1
            await self._closing.wait()
        answer = {"type": "virtualmachine", "id": machine.id, "name": machine.name, "status": machine.status}
        return web.json_response({"data": answer}, status=201)

    def _made(self, attributes: dict[str, Any], gpu: dict[str, Any]) -> Machine:
        wanted = attributes["resources"]
        ((v0_name, counted),) = wanted["gpus"].items()
        pricing = gpu["pricing"]
        rate = (
            float(gpu["price_per_hr"]) * counted["count"]
            + pricing["per_vcpu_hr"] * wanted["vcpu_count"]
            + pricing["per_gb_ram_hr"] * wanted["ram_gb"]
            + pricing["per_gb_storage_hr"] * wanted["storage_gb"]
        )
        machine = Machine(
            id=str(uuid.uuid4()),
            name=attributes["name"],
            status=_PATH[0],
            resources={
                **{member: wanted[member] for member in ("vcpu_count", "ram_gb", "storage_gb")},
                "gpus": {v0_name: {"count": counted["count"], "v0Name": v0_name}},
            },
            rate_hourly=round(rate, 6),
            begun_at=self.clock.now(),
            asked_forwards=attributes.get("port_forwards", []),
            has_own_ip=attributes.get("useDedicatedIp", False),
            path=list(_PATH[1:]),
            attributes=attributes,
            listed_late=self.faults.lists_late,
        )
        self.machines[machine.id] = machine
        return machine

    def _check(self, attributes: dict[str, Any]) -> dict[str, Any]:
        """The rules of an order. Answers the row of the GPU that is asked for."""
        if problems := rules.problems(attributes):
            raise Problem(400, problems)
        if not rules.is_reached(attributes):
            raise Problem(
                400, {"error": "Port 22 must be forwarded or a dedicated IP be used for Ubuntu images"}
            )
        if self.balance < 1:
            raise Problem(400, {"error": "Account balance is too low"})
        ((v0_name, counted),) = attributes["resources"]["gpus"].items()
        for location in self.locations:
            for gpu in location["gpus"]:
                is_it = location["id"] == attributes.get("location_id") and gpu["v0Name"] == v0_name
                if is_it and counted["count"] <= gpu["max_count"]:
                    found: dict[str, Any] = gpu
                    return found
        raise Problem(400, {"error": "Requested GPU is not available in this location"})

    async def _list(self, _request: web.Request) -> web.Response:
        rows: list[dict[str, Any]] = []
        for machine in self.machines.values():
            if machine.listed_late:
                machine.listed_late -= 1
            elif machine.ended_at is None or self._ended.get(machine.id, 0):
                if machine.ended_at is not None:
                    self._ended[machine.id] -= 1
                rows.append(
                    {
                        "type": "virtualmachine",
                        "id": machine.id,
                        "name": machine.name,
                        "status": machine.status,
                    }
                )
        if self.shape_of_list == "documented":
            rows = [
                {
                    "type": row["type"],
                    "id": row["id"],
                    "attributes": {"name": row["name"], "status": row["status"]},
                }
                for row in rows
            ]
            return web.json_response({"data": {"instances": rows}})
        return web.json_response(rows if self.shape_of_list == "bare" else {"data": rows})

    async def _show(self, request: web.Request) -> web.Response:
        machine = self._found(request)
        self._move(machine)
        if self._doors is not None and machine.status.casefold() == "running" and machine.forwards:
            machine.ip = "127.0.0.1"
            port = await self._doors.open(machine.id, machine.attributes["cloud_init"])
            machine.forwards[0]["external_port"] = port
        flat = {
            "type": "virtualmachine",
            "id": machine.id,
            "name": machine.name,
            "status": machine.status,
            "ipAddress": machine.ip,
            "portForwards": machine.forwards,
            "resources": machine.resources,
            "rateHourly": machine.rate_hourly,
            "somethingNew": {"nobody": "knows"},
        }
        if self.shape_of_show == "data":
            return web.json_response({"data": flat})
        if self.shape_of_show == "attributes":
            outer = {"type": flat.pop("type"), "id": flat.pop("id"), "attributes": flat}
            return web.json_response({"data": outer})
        return web.json_response(flat)

    async def _start(self, request: web.Request) -> web.Response:
        machine = self._found(request)
        if machine.status.casefold() not in {"stopped", "stoppeddisassociated"}:
            raise Problem(400, {"error": f"Instance is {machine.status}"})
        if self.faults.sold_out:
            return web.json_response({"status": 400, "error": SOLD_OUT})
        machine.status, machine.path = _RETURN[0], list(_RETURN[1:])
        return _acted("starting")

    async def _stop(self, request: web.Request) -> web.Response:
        machine = self._found(request)
        if machine.status.casefold() != "running":
            raise Problem(400, {"error": f"Instance is {machine.status}"})
        machine.status, machine.path = "Stopping", ["StoppedDisassociated"]
        self._shut(machine)
        return _acted("stopping")

    async def _delete(self, request: web.Request) -> web.Response:
        machine = self._found(request)
        machine.ended_at = self.clock.now()
        self._ended[machine.id] = self.faults.keeps_listing
        self._shut(machine)
        return web.json_response(
            {"data": {"type": "success", "attributes": {"message": "Instance deleted successfully"}}}
        )

    async def _meter(self, _request: web.Request) -> web.Response:
        now = self.clock.now()
        rows = [
            {
                "id": machine.id,
                "name": machine.name,
                "is_there": machine.ended_at is None,
                "seconds": ((machine.ended_at or now) - machine.begun_at) / 1_000_000,
                "rate_hourly": machine.rate_hourly,
            }
            for machine in self.machines.values()
        ]
        return web.json_response({"micros": self.metered_micros(), "machines": rows})

    def _shut(self, machine: Machine) -> None:
        if self._doors is not None:
            self._doors.close(machine.id)

    def _found(self, request: web.Request) -> Machine:
        machine = self.machines.get(request.match_info["id"])
        if machine is None or machine.ended_at is not None:
            raise Problem(404, {"error": "Instance not found"})
        return machine

    def _move(self, machine: Machine) -> None:
        """One step on its way. Addresses come with running, and at a port of the service's own choice."""
        if not machine.path or self.faults.sticks.casefold() == machine.status.casefold():
            return
        machine.status = machine.path.pop(0)
        if machine.status.casefold() == "running":
            machine.ip = machine.ip or f"192.0.2.{next(self._addresses)}"
            ignores = self.faults.ignores_forwards or machine.has_own_ip
            machine.forwards = [
                {"internal_port": each["internal_port"], "external_port": next(self._ports)}
                for each in ([] if ignores else machine.asked_forwards)
            ]


def _acted(status: str) -> web.Response:
    return web.json_response({"data": {"attributes": {"status": status}}})


@asynccontextmanager
async def serving(service: Service, *, port: int = 0) -> AsyncIterator[str]:
    """The service on loopback; its base URL."""
    runner = web.AppRunner(service.app(), shutdown_timeout=1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", port)
        await site.start()
        host, bound = runner.addresses[0][:2]
        yield f"http://{host}:{bound}{PREFIX}"
    finally:
        service.let_go()
        await asyncio.wait_for(runner.cleanup(), 10)

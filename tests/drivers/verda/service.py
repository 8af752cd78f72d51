"""A stand-in for the real service: its shapes as recorded, over real HTTP, with faults that are switched on.

It moves on by being looked at: each look at an instance that is on its way brings it one step further.
"""

import asyncio
import json
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

CLIENT_ID, CLIENT_SECRET = "client", "secret-of-the-account"
TYPES: list[dict[str, Any]] = [
    {
        "id": "c01dd00d-0000-4972-ae4e-d429115d055b",
        "instance_type": "1H100.80S.22V",
        "model": "H100",
        "name": "H100 SXM5 80GB",
        "description": "Dedicated Hardware Instance",
        "cpu": {"description": "22 CPU", "number_of_cores": 22},
        "gpu": {"description": "1x H100 SXM5 80GB", "number_of_gpus": 1},
        "gpu_memory": {"description": "80GB GPU RAM", "size_in_gigabytes": 80},
        "memory": {"description": "187GB RAM", "size_in_gigabytes": 187},
        "storage": {"description": "dynamic"},
        "price_per_hour": "3.17",
        "spot_price": "0.31",
        "best_for": ["Giant ML models"],
        "p2p": "600 GB/s",
        "currency": "usd",
        "manufacturer": "NVIDIA",
        "supported_os": ["ubuntu-24.04", "ubuntu-22.04-cuda-12.3"],
    },
    {
        "id": "c01dd00d-0001-4972-ae4e-d429115d055b",
        "instance_type": "CPU.4V.16G",
        "model": "CPU Node",
        "name": "CPU Node",
        "description": "Dedicated Hardware Instance",
        "cpu": {"description": "4 CPU", "number_of_cores": 4},
        "gpu": {"description": "", "number_of_gpus": 0},
        "gpu_memory": {"description": "", "size_in_gigabytes": 0},
        "memory": {"description": "16GB RAM", "size_in_gigabytes": 16},
        "storage": {"description": "dynamic"},
        "price_per_hour": 0.0279,
        "spot_price": "0.0098",
        "best_for": [],
        "p2p": None,
        "currency": "usd",
        "manufacturer": "AMD",
        "supported_os": ["ubuntu-24.04"],
    },
]
IMAGES = [
    {
        "id": "342377e1-9f51-4c30-8797-1e12f6ae1d22",
        "image_type": slug,
        "name": name,
        "is_default": False,
        "is_cluster": False,
        "details": [name],
        "category": "ubuntu",
    }
    for slug, name in (
        ("ubuntu-24.04", "Ubuntu 24.04"),
        ("ubuntu-22.04-cuda-12.3", "Ubuntu 22.04 + CUDA 12.3"),
    )
]
VOLUME_TYPES = [
    {
        "type": name,
        "price": {"price_per_month_per_gb": 0.2, "cps_per_gb": 7.6103500761035e-8, "currency": "usd"},
        "is_shared_fs": is_shared,
        "burst_bandwidth": 2500,
        "continuous_bandwidth": 2000,
        "internal_network_speed": 50,
        "iops": "100k",
        "throughput_gbps": 4,
    }
    for name, is_shared in (("NVMe", False), ("NVMe_Shared", True))
]
LOCATIONS = [{"code": "FIN-01", "name": "Finland 1", "country_code": "FI"}]
_PATH = ("ordered", "provisioning", "running")


class Problem(Exception):
    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message


@dataclass
class Faults:
    """What goes wrong, from now on."""

    answers: list[tuple[str, int, str, dict[str, str]]] = field(default_factory=list)
    """Endpoint, status, body and headers of the next answers, each once, with nothing done."""
    lost: list[str] = field(default_factory=list)
    """Endpoints whose next answer does not arrive, each once: done, and the connection cut."""
    no_capacity: bool = False
    fails: bool = False
    """Instances end in `error` instead of running."""
    sticks: str = ""
    """The status that instances do not get beyond."""
    refresh_refused: bool = False
    keeps_listing: int = 0
    """How many more looks a deleted instance is there for."""


class Service:
    """Its state, and its routes."""

    def __init__(self, *, stock: int = 1000) -> None:
        self.stock = stock
        self.faults = Faults()
        self.instances: dict[str, dict[str, Any]] = {}
        self.volumes: dict[str, dict[str, Any]] = {}
        self.keys: dict[str, dict[str, Any]] = {}
        self.scripts: dict[str, dict[str, Any]] = {}
        self.tokens: set[str] = set()
        self.refresh_tokens: set[str] = set()
        self.calls: Counter[str] = Counter()
        self.balance: object = {"amount": 1000, "currency": "usd"}
        self.headers: dict[str, str] = {}
        """Sent with every answer."""
        self._ports = iter(range(20_000, 60_000))

    def app(self) -> web.Application:
        app = web.Application(middlewares=[self._guard])
        app.add_routes(
            [
                web.post("/v1/oauth2/token", self._token),
                web.get("/v1/balance", self._balance),
                web.get("/v1/instance-types", _fixed(TYPES)),
                web.get("/v1/locations", _fixed(LOCATIONS)),
                web.get("/v1/images", _fixed(IMAGES)),
                web.get("/v1/images/cluster", _fixed([])),
                web.get("/v1/volume-types", _fixed(VOLUME_TYPES)),
                web.get("/v1/instance-availability", self._availability),
                web.get("/v1/instances", self._list_instances),
                web.post("/v1/instances", self._deploy),
                web.put("/v1/instances", self._act),
                web.get("/v1/instances/{id}", self._instance),
                web.get("/v1/volumes", self._list_volumes),
                web.post("/v1/volumes", self._create_volume),
                web.put("/v1/volumes", self._act_on_volume),
                web.get("/v1/volumes/{id}", self._volume),
                web.delete("/v1/volumes/{id}", self._delete_volume),
                web.get("/v1/ssh-keys", self._listed(self.keys)),
                web.post("/v1/ssh-keys", self._added(self.keys)),
                web.delete("/v1/ssh-keys/{id}", self._removed(self.keys)),
                web.get("/v1/scripts", self._listed(self.scripts)),
                web.post("/v1/scripts", self._added(self.scripts)),
                web.delete("/v1/scripts/{id}", self._removed(self.scripts)),
            ]
        )
        return app

    def evict(self, instance_id: str) -> None:
        """Takes a spot instance away without a warning; its volumes by their policy."""
        instance = self.instances[instance_id]
        instance["status"] = "discontinued"
        for volume in self._attached(instance_id):
            self._detach(volume, instance_id)
            if volume.get("on_spot_discontinue") == "delete_permanently":
                volume["status"] = "deleted"

    @web.middleware
    async def _guard(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        endpoint = f"{request.method} {request.path.removeprefix('/v1')}"
        self.calls[endpoint] += 1
        for fault in self.faults.answers:
            if endpoint == fault[0]:
                self.faults.answers.remove(fault)
                return web.Response(status=fault[1], text=fault[2], headers=fault[3])
        try:
            self._let_in(request)
            response = await handler(request)
        except Problem as problem:
            body = {"code": problem.code, "message": problem.message}
            response = web.json_response(body, status=problem.status)
        if endpoint in self.faults.lost:
            self.faults.lost.remove(endpoint)
            assert request.transport is not None
            request.transport.abort()
        response.headers.update(self.headers)
        return response

    def _let_in(self, request: web.Request) -> None:
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if request.path not in {"/v1/oauth2/token", "/v1/instance-types"} and token not in self.tokens:
            raise Problem(401, "unauthorized_request", "Access token is missing or invalid")

    async def _token(self, request: web.Request) -> web.Response:
        body = await request.json()
        if body["grant_type"] == "refresh_token":
            is_known = body["refresh_token"] in self.refresh_tokens and not self.faults.refresh_refused
        else:
            is_known = (body["client_id"], body["client_secret"]) == (CLIENT_ID, CLIENT_SECRET)
        if not is_known:
            raise Problem(401, "unauthorized_request", "Invalid client id or client secret")
        access, refresh = uuid.uuid4().hex, uuid.uuid4().hex
        self.tokens.add(access)
        self.refresh_tokens.add(refresh)
        return web.json_response(
            {
                "access_token": access,
                "token_type": "Bearer",
                "expires_in": 3600,
                "refresh_token": refresh,
                "scope": "cloud-api-v1",
            }
        )

    async def _availability(self, _request: web.Request) -> web.Response:
        used = Counter(
            each["instance_type"] for each in self.instances.values() if each["status"] != "discontinued"
        )
        names = [kind["instance_type"] for kind in TYPES if used[kind["instance_type"]] < self.stock]
        return web.json_response([{"location_code": "FIN-01", "availabilities": names}])

    async def _list_instances(self, _request: web.Request) -> web.Response:
        found = [self._look(each) for each in list(self.instances.values())]
        return web.json_response([each for each in found if each["status"] != "discontinued"])

    async def _instance(self, request: web.Request) -> web.Response:
        instance = self.instances.get(request.match_info["id"])
        if instance is None:
            raise Problem(404, "not_found", "Invalid instance id")
        return web.json_response(self._look(instance))

    def _look(self, instance: dict[str, Any]) -> dict[str, Any]:
        """The instance as it is, and one step further for the next look."""
        shown = {key: value for key, value in instance.items() if not key.startswith("_")}
        status = instance["status"]
        if status == "ordered":
            shown.pop("image")
            shown["ip"] = None
        if status == "deleting":
            if self.faults.keeps_listing > 0:
                self.faults.keeps_listing -= 1
            else:
                instance["status"] = "discontinued"
        elif status in _PATH[:-1] and status != self.faults.sticks:
            instance["status"] = "error" if self.faults.fails else _PATH[_PATH.index(status) + 1]
        return shown

    async def _deploy(self, request: web.Request) -> web.Response:
        body = await request.json()
        kinds = {kind["instance_type"]: kind for kind in TYPES}
        kind = kinds.get(body["instance_type"])
        if kind is None or body["location_code"] != "FIN-01":
            raise Problem(400, "invalid_request", "Invalid instance type")
        boot = self.volumes.get(body["image"])
        if boot is not None and ("os_volume" in body or boot["status"] != "detached"):
            raise Problem(404, "not_found", "Operating system or volume not found")
        if boot is None and body["image"] not in kind["supported_os"]:
            raise Problem(400, "invalid_request", "Operating system is not valid for this instance type")
        used = sum(
            each["instance_type"] == body["instance_type"] and each["status"] != "discontinued"
            for each in self.instances.values()
        )
        if self.faults.no_capacity or used >= self.stock:
            raise Problem(503, "service_unavailable", "Not enough resources at the moment, try again later")
        extra = [self._free(volume_id) for volume_id in body.get("existing_volumes", [])]
        instance_id = str(uuid.uuid4())
        if boot is None:
            wanted = body["os_volume"]
            boot = self._new_volume(wanted["name"], wanted["size"], "NVMe", is_os=True)
            boot["on_spot_discontinue"] = wanted.get("on_spot_discontinue")
        for volume in (boot, *extra):
            self._attach(volume, instance_id)
        self.instances[instance_id] = {
            "id": instance_id,
            "ip": f"192.0.2.{1 + len(self.instances) % 250}",
            "status": "ordered",
            "created_at": "2026-04-03T10:00:00.000Z",
            "hostname": body["hostname"],
            "description": body["description"],
            "location": body["location_code"],
            "instance_type": body["instance_type"],
            "image": body["image"],
            "is_spot": body["is_spot"],
            "ssh_key_ids": body["ssh_key_ids"],
            "startup_script_id": body.get("startup_script_id"),
            "os_volume_id": boot["id"],
            "volume_ids": [boot["id"], *(volume["id"] for volume in extra)],
            "ssh_port": next(self._ports),
        }
        return web.Response(status=202, text=instance_id)

    async def _balance(self, _request: web.Request) -> web.Response:
        return web.json_response(self.balance)

    async def _act(self, request: web.Request) -> web.Response:
        body = await request.json()
        instance = self.instances.get(body["id"])
        if instance is None:
            raise Problem(404, "not_found", "Invalid instance id")
        action, status = body["action"], instance["status"]
        if action == "delete":
            return self._discontinue(instance, body)
        wanted = {"start": "running", "shutdown": "offline"}[action]
        if status == wanted:
            return web.Response(status=204)
        if (status, wanted) not in {("offline", "running"), ("running", "offline")}:
            raise Problem(403, "forbidden_action", f"Can't {action} a {status} instance")
        instance["status"] = wanted
        return web.json_response(
            [{"instanceId": instance["id"], "action": action, "status": "success"}], status=202
        )

    def _discontinue(self, instance: dict[str, Any], body: dict[str, Any]) -> web.Response:
        if instance["status"] in {"ordered", "provisioning"}:
            raise Problem(403, "forbidden_action", "Can't discontinue a provisioning instance")
        if instance["status"] in {"deleting", "discontinued"}:
            raise Problem(403, "forbidden_action", "Can't discontinue a discontinued instance")
        doomed = body.get("volume_ids")
        for volume in self._attached(instance["id"]):
            self._detach(volume, instance["id"])
            if volume["id"] in (doomed if doomed is not None else [instance["os_volume_id"]]):
                volume["status"] = "deleted"
                volume["is_permanently_deleted"] = bool(body.get("delete_permanently") and doomed)
        instance["status"] = "deleting"
        return web.json_response(
            [{"instanceId": instance["id"], "action": "delete", "status": "success"}], status=202
        )

    async def _list_volumes(self, _request: web.Request) -> web.Response:
        return web.json_response([each for each in self.volumes.values() if each["status"] != "deleted"])

    async def _volume(self, request: web.Request) -> web.Response:
        volume = self.volumes.get(request.match_info["id"])
        if volume is None:
            raise Problem(404, "not_found", "Volume not found")
        shown = dict(volume)
        if volume["status"] in {"ordered", "cloning"}:
            volume["status"] = "detached"
        return web.json_response(shown)

    async def _create_volume(self, request: web.Request) -> web.Response:
        body = await request.json()
        is_sold = body["type"] in {kind["type"] for kind in VOLUME_TYPES}
        if not is_sold or body["location_code"] != "FIN-01" or not 10 <= body["size"] <= 10_240:
            raise Problem(400, "invalid_request", "Invalid volume")
        volume = self._new_volume(body["name"], body["size"], body["type"])
        return web.Response(status=202, text=volume["id"])

    async def _act_on_volume(self, request: web.Request) -> web.Response:
        body = await request.json()
        volume = self.volumes.get(body["id"])
        if volume is None:
            raise Problem(404, "not_found", "Volume not found")
        action = body["action"]
        if action == "clone":
            made = self._new_volume(
                body["name"], volume["size"], volume["type"], is_os=volume["is_os_volume"]
            )
            made["status"] = "cloning"
            return web.json_response([made["id"]], status=202)
        if action == "rename":
            volume["name"] = body["name"]
        elif action == "resize":
            if body["size"] <= volume["size"]:
                raise Problem(400, "invalid_request", "The size can only grow")
            volume["size"] = body["size"]
        elif action == "attach":
            self._check_off(body["instance_id"])
            self._attach(self._free(volume["id"]), body["instance_id"])
        elif action == "detach":
            self._check_off(body["instance_id"])
            self._detach(volume, body["instance_id"])
        else:
            raise Problem(400, "invalid_request", f"Unknown action {action}")
        return web.Response(status=202)

    async def _delete_volume(self, request: web.Request) -> web.Response:
        volume = self.volumes.get(request.match_info["id"])
        if volume is None:
            raise Problem(404, "not_found", "Volume not found")
        body = json.loads(await request.text() or "{}")
        if volume["instances"]:
            raise Problem(403, "forbidden_action", "The volume is attached")
        is_old = volume["status"] == "deleted"
        volume["status"] = "deleted"
        volume["is_permanently_deleted"] = bool(body.get("is_permanent"))
        return web.Response(status=204 if is_old else 202)

    def _listed(self, kept: dict[str, dict[str, Any]]) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def handle(request: web.Request) -> web.Response:
            page, size = int(request.query.get("page", 1)), int(request.query.get("pageSize", 1000))
            return web.json_response(list(kept.values())[(page - 1) * size : page * size])

        return handle

    def _added(self, kept: dict[str, dict[str, Any]]) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def handle(request: web.Request) -> web.Response:
            row = {"id": str(uuid.uuid4()), **await request.json()}
            kept[row["id"]] = row
            return web.Response(status=201, text=row["id"])

        return handle

    def _removed(self, kept: dict[str, dict[str, Any]]) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def handle(request: web.Request) -> web.Response:
            if kept.pop(request.match_info["id"], None) is None:
                raise Problem(404, "not_found", "Not found")
            return web.Response(status=200)

        return handle

    def _new_volume(self, name: str, size: int, kind: str, *, is_os: bool = False) -> dict[str, Any]:
        volume: dict[str, Any] = {
            "id": str(uuid.uuid4()),
            "instance_id": None,
            "instances": [],
            "name": name,
            "status": "detached",
            "size": size,
            "is_os_volume": is_os,
            "type": kind,
            "location": "FIN-01",
        }
        self.volumes[volume["id"]] = volume
        return volume

    def _free(self, volume_id: str) -> dict[str, Any]:
        volume = self.volumes.get(volume_id)
        if volume is None or volume["status"] == "deleted":
            raise Problem(404, "not_found", "Volume not found")
        if volume["instances"] and not volume["type"].endswith("_Shared"):
            raise Problem(403, "forbidden_action", "The volume is attached")
        return volume

    def _attached(self, instance_id: str) -> list[dict[str, Any]]:
        return [
            volume
            for volume in self.volumes.values()
            if instance_id in {each["id"] for each in volume["instances"]}
        ]

    def _check_off(self, instance_id: str) -> None:
        if self.instances[instance_id]["status"] != "offline":
            raise Problem(403, "forbidden_action", "The instance must be shut down")

    @staticmethod
    def _attach(volume: dict[str, Any], instance_id: str) -> None:
        volume["instances"].append({"id": instance_id})
        volume["instance_id"] = volume["instances"][0]["id"]
        volume["status"] = "attached"

    @staticmethod
    def _detach(volume: dict[str, Any], instance_id: str) -> None:
        volume["instances"] = [each for each in volume["instances"] if each["id"] != instance_id]
        volume["instance_id"] = volume["instances"][0]["id"] if volume["instances"] else None
        volume["status"] = "attached" if volume["instances"] else "detached"


def _fixed(answer: object) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def handle(_request: web.Request) -> web.Response:
        return web.json_response(answer)

    return handle


@asynccontextmanager
async def serving(service: Service) -> AsyncIterator[str]:
    """The service on loopback; its base URL."""
    runner = web.AppRunner(service.app(), shutdown_timeout=1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        yield f"http://{host}:{port}/v1"
    finally:
        await asyncio.wait_for(runner.cleanup(), 10)

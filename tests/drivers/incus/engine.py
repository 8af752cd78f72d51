"""Answers as a cluster does, where what matters is what happens between two requests: others act, answers fail, we die.

It keeps what it is told and no more. What an engine makes of it is for the real cluster to say.
"""

import asyncio
import hashlib
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiohttp import web

H100 = "NVIDIA H100 80GB HBM3"
_TURNS = 50
"""Of the event loop, that each request takes: enough for what was sent with it to arrive."""
NEVER = "1970-01-01T00:00:00Z"
Act = Callable[[], Awaitable[None]]


class Refusal(Exception):
    """An answer other than a success."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status, self.sentence = status, sentence


class Engine:
    """`cards` are PCI addresses by member: there is a member for each."""

    def __init__(self, cards: Mapping[str, list[str]]) -> None:
        self.cards = dict(cards)
        self.members: dict[str, dict[str, str]] = {name: {} for name in cards}
        self.evacuated: set[str] = set()
        self.silent: set[str] = set()
        """Members that are online, and whose instances are known by their names only."""
        self.instances: dict[str, dict[str, Any]] = {}
        self.files: dict[str, dict[str, tuple[str, bytes]]] = {}
        """By instance and path: mode and content."""
        self.volumes: dict[tuple[str, str], dict[str, Any]] = {}
        """By member and name."""
        self.busy_ports: set[int] = set()
        self.seen: list[str] = []
        self.kill: tuple[int, Callable[[], object]] | None = None
        """After how many requests from now the one who asks is killed, before it has the answer, and how."""
        self.most_at_once = 0
        self._at_once = 0
        self._born = 0
        self._before: list[tuple[str, str, Act]] = []
        self._after: list[tuple[str, str, Act]] = []
        self.operations: list[Any] = []
        self.waits: list[tuple[int, dict[str, Any]]] = []
        """What each wait for an operation is answered with, in turn; while there are any, starts are operations."""

    def before(self, method: str, end: str, act: Act) -> None:
        """Once, before such a request is done."""
        self._before.append((method, end, act))

    def after(self, method: str, end: str, act: Act) -> None:
        """Once, after such a request was done and before it is answered."""
        self._after.append((method, end, act))

    def fail(self, method: str, end: str, status: int, sentence: str) -> None:
        async def refuse() -> None:
            raise Refusal(status, sentence)

        self.before(method, end, refuse)

    def count(self, method: str, end: str = "") -> int:
        return sum(each.startswith(f"{method} ") and each.endswith(end) for each in self.seen)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.seen.append(f"{request.method} {request.path}")
        self._at_once += 1
        self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            for _ in range(_TURNS):
                await asyncio.sleep(0)
            content = await request.read()
            await self._perform(self._before, request)
            metadata = self._answer(request, content)
            await self._perform(self._after, request)
            self._maybe_kill()
        except Refusal as refusal:
            body = {"type": "error", "error": refusal.sentence, "error_code": refusal.status}
            return web.json_response(body, status=refusal.status)
        finally:
            self._at_once -= 1
        if isinstance(metadata, web.Response):
            return metadata
        return web.json_response({"type": "sync", "metadata": metadata}, headers={"ETag": _etag(metadata)})

    def _maybe_kill(self) -> None:
        if self.kill is not None:
            left, kill = self.kill
            self.kill = (left - 1, kill) if left > 1 else None
            if left == 1:
                kill()

    async def _perform(self, planned: list[tuple[str, str, Act]], request: web.Request) -> None:
        for number, (method, end, act) in enumerate(planned):
            if (request.method, request.path.endswith(end)) == (method, True):
                del planned[number]
                await act()
                return

    def _answer(self, request: web.Request, content: bytes) -> Any:
        parts = request.path.strip("/").split("/")[1:]
        is_json = request.headers.get("Content-Type", "") == "application/json"
        body = json.loads(content) if content and is_json else {}
        match parts:
            case ["instances"]:
                return self._instances(request, body)
            case ["instances", name]:
                return self._instance(request, name, body)
            case ["instances", name, "state"]:
                return self._state(name, body)
            case ["instances", name, "files"]:
                mode = request.headers["X-Incus-mode"]
                self.files.setdefault(name, {})[request.query["path"]] = (mode, content)
                return {}
            case ["storage-pools", _, "volumes", "custom", *rest]:
                return self._volume(request, rest, body)
        return self._about(request, parts, body)

    def _about(self, request: web.Request, parts: list[str], body: dict[str, Any]) -> Any:
        """What is said of the cluster itself, and of what is under way there."""
        match parts:
            case []:
                return {"auth": "trusted", "environment": {"server_clustered": True, "certificate": "PEM"}}
            case ["projects", _]:
                return {}
            case ["cluster", "members", *rest]:
                return self._members(request, rest, body)
            case ["resources"]:
                return self._resources(request.query["target"])
            case ["storage-pools", _]:
                return {"driver": "btrfs"}
            case ["storage-pools", _, "resources"]:
                return {"space": {"total": 1 << 40, "used": 0}}
            case ["operations", _, "wait"]:
                status, answer = self.waits.pop(0)
                return web.json_response(answer, status=status)
            case ["operations", _]:
                return {"status": "Running" if self.waits else "Success"}
            case ["operations"]:
                return {"running": self.operations}
        raise Refusal(404, f"{request.path}: not found")

    def _members(self, request: web.Request, rest: list[str], body: dict[str, Any]) -> Any:
        if not rest:
            return [self._member(name) for name in self.members]
        if request.method == "PUT":
            self.members[rest[0]] = body["config"]
        if request.method == "POST":
            is_to_go = body["action"] == "evacuate"
            if is_to_go == (rest[0] in self.evacuated):
                raise Refusal(400, f"Cluster member is already {body['action']}d")
            self.evacuated ^= {rest[0]}
        return self._member(rest[0])

    def _member(self, name: str) -> dict[str, Any]:
        url = f"https://192.0.2.{sorted(self.members).index(name) + 1}:8443"
        status = "Evacuated" if name in self.evacuated else "Online"
        return {"server_name": name, "status": status, "url": url, "config": self.members[name]}

    def _resources(self, member: str) -> dict[str, Any]:
        cards = [{"pci_address": pci, "product": H100} for pci in self.cards[member]]
        return {"cpu": {"total": 64}, "memory": {"total": 256 << 30}, "gpu": {"cards": cards}}

    def _instances(self, request: web.Request, body: dict[str, Any]) -> Any:
        if request.method == "GET":
            return [self._shown(each) for each in self.instances.values()]
        if body["name"] in self.instances:
            raise Refusal(409, "Instance already exists")
        self.add(request.query["target"], **body)
        return {}

    def add(self, member: str, *, name: str, **body: Any) -> dict[str, Any]:
        self._born += 1
        made = {
            "name": name,
            "location": member,
            "status": "Stopped",
            "created_at": f"2026-01-01T00:00:00.{self._born:09}Z",
            "last_used_at": NEVER,
            "config": {},
            "devices": {},
            **body,
        }
        self.instances[name] = made
        return made

    def _shown(self, found: dict[str, Any]) -> dict[str, Any]:
        if found["location"] in self.silent:
            kept = {key: found[key] for key in ("name", "location")}
            return {**kept, "status": "Error", "config": {}, "devices": {}, "created_at": NEVER}
        return {**found, "expanded_config": found["config"], "expanded_devices": found["devices"]}

    def _instance(self, request: web.Request, name: str, body: dict[str, Any]) -> Any:
        found = self.instances.get(name)
        if found is None:
            raise Refusal(404, "Instance not found")
        match request.method:
            case "PUT":
                if request.headers.get("If-Match", "") not in {"", _etag(self._shown(found))}:
                    raise Refusal(412, "ETag doesn't match")
                found |= {"config": body["config"], "devices": body["devices"]}
                self._check_volumes(found)
            case "POST":
                if found["status"] != "Stopped":
                    raise Refusal(400, "Instance is running")
                found["location"] = request.query["target"]
            case "DELETE":
                del self.instances[name]
                return {}
        return self._shown(found)

    def _check_volumes(self, found: dict[str, Any]) -> None:
        for device in found["devices"].values():
            if device.get("source") and (found["location"], device["source"]) not in self.volumes:
                raise Refusal(404, "Storage pool volume not found")

    def _state(self, name: str, body: dict[str, Any]) -> Any:
        found = self.instances.get(name)
        if found is None:
            raise Refusal(404, "Instance not found")
        wanted = "Running" if body["action"] == "start" else "Stopped"
        if found["status"] == wanted:
            said = "running" if wanted == "Running" else "stopped"
            raise Refusal(500, f"The instance is already {said}")
        for device in found["devices"].values() if wanted == "Running" else ():
            if int(device.get("listen", ":0").rpartition(":")[2]) in self.busy_ports:
                raise Refusal(500, "listen tcp 0.0.0.0: bind: address already in use")
        found |= {"status": wanted, "last_used_at": "2026-01-02T00:00:00Z"}
        if self.waits:
            return web.json_response({"type": "async", "operation": "/1.0/operations/1"}, status=202)
        return {}

    def _volume(self, request: web.Request, rest: list[str], body: dict[str, Any]) -> Any:
        target = request.query.get("target", "")
        if not rest:
            if request.method == "POST":
                self.volumes[target, body["name"]] = {"config": body["config"]}
            return [self._volume_shown(*key) for key in self.volumes]
        if request.method == "DELETE":
            self.volumes.pop((target, rest[0]))
        if request.method == "POST":
            return {"metadata": {"secret": "s"}}
        return {}

    def _volume_shown(self, member: str, name: str) -> dict[str, Any]:
        used_by = [
            f"/1.0/instances/{each['name']}"
            for each in self.instances.values()
            if each["location"] == member
            and any(device.get("source") == name for device in each["devices"].values())
        ]
        return {"name": name, "location": member, "used_by": used_by, **self.volumes[member, name]}


@asynccontextmanager
async def answering(engine: Engine, directory: Path) -> AsyncIterator[Path]:
    """The socket that a driver reaches it by."""
    runner = await _served(engine)
    path = directory / "engine.socket"
    await web.UnixSite(runner, str(path)).start()
    try:
        yield path
    finally:
        await runner.cleanup()


@dataclass(frozen=True, slots=True)
class Address:
    """A member, as it is reached over HTTPS on this host."""

    port: int
    stop: Act


@asynccontextmanager
async def reached(engine: Engine, context: ssl.SSLContext) -> AsyncIterator[Address]:
    runner = await _served(engine)
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    try:
        yield Address(runner.addresses[0][1], runner.cleanup)
    finally:
        await runner.cleanup()


async def _served(engine: Engine) -> web.AppRunner:
    application = web.Application(client_max_size=1 << 28)
    application.router.add_route("*", "/{path:.*}", engine.handle)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    return runner


def _etag(metadata: Any) -> str:
    return hashlib.sha256(json.dumps(metadata, sort_keys=True).encode()).hexdigest()

"""Stands between a driver and a member's socket, and puts graphics cards into the member.

There is no GPU here. `/1.0/resources` says that there are some, and what asks for one of them gets a character device in its
place, in both directions, so that everything but the card itself is the engine's own.
"""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web


class StandIn:
    """`cards` are PCI addresses by member. What is in `broken` is named as a card and is none."""

    def __init__(self, socket: Path, cards: Mapping[str, list[str]]) -> None:
        self._socket = socket
        self.cards = dict(cards)
        self.broken: set[str] = set()
        self.drops: list[tuple[str, str]] = []
        """Method and end of the path of requests whose answers are lost."""
        self.seen: list[str] = []

    async def handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        self.seen.append(f"{request.method} {request.path}")
        if body and request.headers.get("Content-Type", "").startswith("application/json"):
            body = json.dumps(self._inward(json.loads(body))).encode()
        headers = {
            name: value
            for name, value in request.headers.items()
            if name.lower().startswith(("x-incus", "if-match", "content-type"))
        }
        connector = aiohttp.UnixConnector(str(self._socket))
        async with (
            aiohttp.ClientSession(connector=connector) as session,
            session.request(
                request.method, f"http://incus{request.rel_url}", data=body, headers=headers
            ) as answer,
        ):
            content = await answer.read()
            found = self._outward(json.loads(content), request) if content else {}
            for number, (method, end) in enumerate(self.drops):
                if (request.method, request.path.endswith(end)) == (method, True):
                    del self.drops[number]
                    assert request.transport is not None
                    request.transport.close()
                    break
            kept = {name: value for name, value in answer.headers.items() if name == "Etag"}
            return web.json_response(found, status=answer.status, headers=kept)

    def _inward(self, body: Any) -> Any:
        for name, device in (body.get("devices") or {}).items() if isinstance(body, dict) else ():
            if device.get("type") == "gpu" and device["pci"] not in self.broken:
                path = f"/dev/card-{device['pci']}"
                body["devices"][name] = {"type": "unix-char", "source": "/dev/zero", "path": path}
        return body

    def _outward(self, answer: Any, request: web.Request) -> Any:
        metadata = answer.get("metadata") if isinstance(answer, dict) else None
        if request.path == "/1.0/resources" and isinstance(metadata, dict):
            member = request.query.get("target", "")
            metadata["gpu"] = {"cards": [_card(pci) for pci in self.cards.get(member, [])]}
        for found in metadata if isinstance(metadata, list) else [metadata]:
            if isinstance(found, dict):
                for kind in ("devices", "expanded_devices"):
                    for device in (found.get(kind) or {}).values():
                        if device.get("path", "").startswith("/dev/card-"):
                            pci = device.pop("path").removeprefix("/dev/card-")
                            device.pop("source")
                            device |= {"type": "gpu", "gputype": "physical", "pci": pci}
        return answer


def _card(pci: str) -> dict[str, Any]:
    return {
        "pci_address": pci,
        "vendor": "NVIDIA Corporation",
        "product": "GH100 [H100 SXM5 80GB]",
        "nvidia": {"model": "NVIDIA H100 80GB HBM3", "brand": "Nvidia", "uuid": f"GPU-{pci}"},
    }


@asynccontextmanager
async def standing_in(
    socket: Path, directory: Path, cards: Mapping[str, list[str]]
) -> AsyncIterator[tuple[StandIn, Path]]:
    """The stand-in and the socket that a driver reaches it by."""
    stand_in = StandIn(socket, cards)
    application = web.Application(client_max_size=1 << 28)
    application.router.add_route("*", "/{path:.*}", stand_in.handle)
    runner = web.AppRunner(application)
    await runner.setup()
    path = directory / "stand-in.socket"
    path.unlink(missing_ok=True)
    await web.UnixSite(runner, str(path)).start()
    try:
        yield stand_in, path
    finally:
        await runner.cleanup()

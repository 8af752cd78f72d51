"""A provider in a process of its own that outlives those who call it, and keeps what each of them did.

It is the stand-in for the real service with SSH servers that greet, and takes a while for everything. Whoever calls
says by its client id who it is. Started as a child; it prints its port, and ends with its input.
"""

import asyncio
import json
import random
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from itertools import repeat
from typing import Any

from aiohttp import web

from tests.drivers.verda.service import CLIENT_SECRET, Service, serving

SLOWEST_S = 0.4


class Upstream(Service):
    def __init__(self, ssh_port: int) -> None:
        super().__init__(stock=10**6)
        self._ports = repeat(ssh_port)
        self.made: list[dict[str, Any]] = []
        """Every instance ever, in the order they were made in."""
        self.acts: list[dict[str, Any]] = []
        """Every call that makes an instance or changes one, as it came in: when, by whom, what, for which label."""
        self._clients: dict[str, str] = {}

    def app(self) -> web.Application:
        app = super().app()
        app.add_routes([web.get("/truth", self._truth)])
        return app

    @web.middleware
    async def _guard(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        # Looking takes its time too, so that whoever is struck is often about to act on what it saw.
        await asyncio.sleep(random.random() * SLOWEST_S / 2)
        return await super()._guard(request, handler)

    async def _truth(self, _request: web.Request) -> web.Response:
        alive = [each for each in self.instances.values() if each["status"] != "discontinued"]
        return web.json_response({"made": self.made, "acts": self.acts, "alive": alive})

    def _look(self, instance: dict[str, Any]) -> dict[str, Any]:
        shown = super()._look(instance)
        return {**shown, "ip": None if shown["ip"] is None else "127.0.0.1"}

    def _let_in(self, request: web.Request) -> None:
        if request.path != "/truth":
            super()._let_in(request)

    async def _token(self, request: web.Request) -> web.Response:
        body = await request.json()
        if body["grant_type"] != "client_credentials":
            return await super()._token(request)  # whose it was is not known: refused, and asked for anew
        assert body["client_secret"] == CLIENT_SECRET
        access = f"{body['client_id']}.{random.getrandbits(64):x}"
        self.tokens.add(access)
        self._clients[access] = body["client_id"]
        return web.json_response({"access_token": access, "token_type": "Bearer", "expires_in": 3600})

    async def _deploy(self, request: web.Request) -> web.Response:
        body = await request.json()
        self._note(request, "create", body["description"])
        await asyncio.sleep(random.random() * SLOWEST_S)
        answer = await super()._deploy(request)
        self.made.append({"id": answer.text, "label": body["description"], "at": time.time()})
        await asyncio.sleep(random.random() * SLOWEST_S)
        return answer

    async def _act(self, request: web.Request) -> web.Response:
        body = await request.json()
        instance = self.instances.get(body["id"])
        self._note(request, body["action"], "" if instance is None else instance["description"])
        await asyncio.sleep(random.random() * SLOWEST_S)
        return await super()._act(request)

    def _note(self, request: web.Request, action: str, label: str) -> None:
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        self.acts.append(
            {"at": time.time(), "by": self._clients.get(token, ""), "action": action, "label": label}
        )


async def greet(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"SSH-2.0-upstream\r\n")
    with suppress(OSError):
        await writer.drain()
    writer.close()


async def main() -> None:
    greeter = await asyncio.start_server(greet, "127.0.0.1", 0)
    upstream = Upstream(greeter.sockets[0].getsockname()[1])
    async with serving(upstream) as url:
        sys.stdout.write(json.dumps(url) + "\n")
        sys.stdout.flush()
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main())

"""A face in this process: called over ASGI as a server would call it, on a real database, without a socket."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any
from urllib.parse import quote

import pytest

from berth.base.db import Database, Tx
from berth.faces import huddle
from berth.faces.face import Context, Edge, KnownKeys
from tests import make
from tests.conftest import FakeClock

Body = bytes | str | Mapping[str, Any] | Sequence[Any] | None
PREFIX = "/api/v1"


@dataclass
class Response:
    """What came back."""

    status: int
    headers: dict[str, str]
    content: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.content)

    @property
    def exact(self) -> Any:
        """With amounts as they are written, to the last digit."""
        return json.loads(self.content, parse_float=Decimal)

    @property
    def data(self) -> Any:
        """The data of a success; anything else fails the test, saying what it was."""
        assert self.status == 200, self.content
        assert self.json["code"] == "OK"
        return self.json["data"]

    @property
    def meta(self) -> Any:
        assert self.status == 200, self.content
        return self.json["meta"]

    def refused(self, status: int, reason: str) -> Any:
        """The envelope of a refusal, which must be this one."""
        assert self.status == status, self.content
        problem = self.json
        assert problem["reason"] == reason, problem
        assert problem["request_id"] == self.headers["x-request-id"]
        assert problem["error"]
        return problem


@dataclass
class Client:
    """Speaks ASGI to one face."""

    app: Edge
    key: str | None = None
    prefix: str = PREFIX
    address: str | None = "192.0.2.10"
    """Where it calls from."""

    async def get(self, path: str, **query: Any) -> Response:
        return await self.call("GET", path, query=query)

    async def post(self, path: str, body: Body = None, **headers: str) -> Response:
        return await self.call("POST", path, body=body, headers=headers)

    async def put(self, path: str, body: Body = None, **headers: str) -> Response:
        return await self.call("PUT", path, body=body, headers=headers)

    async def delete(self, path: str, **headers: str) -> Response:
        return await self.call("DELETE", path, headers=headers)

    async def call(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | str | None = None,
        body: Body = None,
        headers: Mapping[str, str] | None = None,
        chunks: int = 1,
        is_cut_off: bool = False,
    ) -> Response:
        """`headers` may use underscores for dashes; `chunks` cuts the body and leaves out its length.

        With `is_cut_off` the caller goes away before the end of the body.
        """
        content = _encoded(body)
        sent = [(name.replace("_", "-").lower(), value) for name, value in (headers or {}).items()]
        names = {name for name, _ in sent}
        if self.key is not None and not names & {"x-api-key", "authorization"}:
            sent.append(("x-api-key", self.key))
        if body is not None and "content-type" not in names:
            sent.append(("content-type", "application/json"))
        if content and chunks == 1 and "content-length" not in names:
            sent.append(("content-length", str(len(content))))
        path, _, written = path.partition("?")
        scope = {
            "type": "http",
            "method": method,
            "path": self.prefix + path,
            "root_path": self.prefix,
            "client": None if self.address is None else (self.address, 40000),
            "query_string": _query(query, written).encode(),
            "headers": [(name.encode(), value.encode("latin-1")) for name, value in sent],
        }
        return await self._call(scope, _cut(content, chunks), is_cut_off=is_cut_off)

    async def _call(self, scope: dict[str, Any], parts: list[bytes], *, is_cut_off: bool) -> Response:
        messages: list[Any] = []

        async def receive() -> dict[str, Any]:
            if not parts:
                return {"type": "http.disconnect"}
            part = parts.pop(0)
            return {"type": "http.request", "body": part, "more_body": bool(parts) or is_cut_off}

        async def send(message: Any) -> None:
            messages.append(message)

        await self.app(scope, receive, send)
        start, *rest = messages
        headers = {name.decode(): value.decode("latin-1") for name, value in start["headers"]}
        content = b"".join(message.get("body", b"") for message in rest)
        length = int(headers.get("content-length", "0"))
        assert scope["method"] == "HEAD" or length == len(content)
        return Response(start["status"], headers, content)

    def with_key(self, key: str | None) -> "Client":
        return Client(self.app, key, self.prefix, self.address)

    def at(self, address: str | None) -> "Client":
        return Client(self.app, self.key, self.prefix, address)


@dataclass
class Shop:
    """A face over a database, a customer with 50 dollars, and what was poked."""

    db: Database
    clock: FakeClock
    context: Context
    client: Client
    customer: make.Customer
    pokes: list[str]

    def rows(self) -> dict[str, int]:
        """How many rows each table has that a request could write to."""
        return self.db.read_now(_rows)

    def nested(self) -> Client:
        """The same face under its other mount."""
        return Client(huddle.build(self.context, is_nested=True), self.customer.api_key, "/hudl/api/v1")

    def replica(self) -> Client:
        """The same face in what might be another process: nothing in memory is shared."""
        return self.under()

    def under(self, **members: Any) -> Client:
        """The same face in a process of its own, with other members of its context."""
        alone: dict[str, Any] = {"known_keys": KnownKeys(), "in_flight": set()} | members
        return Client(huddle.build(replace(self.context, **alone)), self.customer.api_key)

    def stranger(self) -> tuple[make.Customer, Client]:
        """Somebody else, at the same face."""
        other = make.project(self.db)
        return other, self.client.with_key(other.api_key)


@pytest.fixture
def shop(db: Database, clock: FakeClock) -> Shop:
    pokes: list[str] = []
    context = Context(
        db=db,
        clock=clock,
        pepper=make.PEPPER,
        rules=make.RULES,
        poke=pokes.append,
        version="0.0.0-test",
        test_wait_s=0,
        body_limit=64 * 1024,
    )
    make.catalogue(
        db,
        make.offer(free=3),
        make.offer("1A100.22V", location="FIN-03", price="0.965", gpu_model="A100", spot_price="0.4"),
        make.offer(
            "8H200.141S.176V",
            location="ICE-01",
            price="32",
            gpu_model="H200",
            gpu_count=8,
            gpu_vram_gb=141,
            free=0,
        ),
        images=[make.image(), make.image("cuda-h100", gpu_models=["H100"], min_os_volume_gb=60)],
    )
    customer = make.project(db)
    client = Client(huddle.build(context), customer.api_key)
    return Shop(db, clock, context, client, customer, pokes)


def _rows(tx: Tx) -> dict[str, int]:
    found = {}
    for table in ("instances", "ssh_keys", "api_keys", "events", "entries", "holds", "idempotency_records"):
        row = tx.one(f"SELECT COUNT(*) FROM {table}")
        found[table] = row[0] if row else 0
    return found


def _encoded(body: Body) -> bytes:
    if body is None:
        return b""
    if isinstance(body, bytes):
        return body
    return body.encode() if isinstance(body, str) else json.dumps(body).encode()


def _query(query: Mapping[str, Any] | str | None, written: str) -> str:
    if isinstance(query, str):
        return query
    pairs = [
        f"{quote(name)}={quote(str(value).lower() if isinstance(value, bool) else str(value))}"
        for name, value in (query or {}).items()
    ]
    return "&".join(([written] if written else []) + pairs)


def _cut(content: bytes, chunks: int) -> list[bytes]:
    size = max(1, -(-len(content) // chunks))
    return [content[start : start + size] for start in range(0, len(content), size)] or [b""]

"""The HTTP server waits so long for a request, and no longer; what is none is refused as everything is."""

import asyncio
import json
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
import uvicorn
from uvicorn.server import ServerState

from berth.serving import BODY_DEADLINE_S, HEADER_DEADLINE_S, HEADER_LIMIT, BoundedProtocol

HEAD = b"POST /v1/scripts HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n\r\n"


class Timers:
    """In the place of a loop: keeps what is put off, and runs nothing."""

    def __init__(self) -> None:
        self.waiting: dict[asyncio.Handle, float] = {}

    def call_later(self, delay_s: float, callback: Callable[[], object]) -> asyncio.Handle:
        timer = Timer(callback, self)
        self.waiting[timer] = delay_s
        return timer

    def create_task(self, coroutine: Coroutine[Any, Any, None], **_: Any) -> "asyncio.Future[None]":
        coroutine.close()
        return asyncio.get_running_loop().create_future()


class Timer(asyncio.Handle):
    def __init__(self, callback: Callable[[], object], timers: Timers) -> None:
        super().__init__(callback, (), asyncio.get_running_loop())
        self._timers = timers

    def cancel(self) -> None:
        self._timers.waiting.pop(self, None)
        super().cancel()


class Wire(asyncio.Transport):
    is_closed = False
    sent = b""

    def write(self, data: Any) -> None:
        self.sent += data

    def close(self) -> None:
        self.is_closed = True

    def is_closing(self) -> bool:
        return self.is_closed


@pytest.fixture
def timers() -> Timers:
    return Timers()


async def nothing(scope: object, receive: object, send: object) -> None:
    """An application that is never run."""


def connected(timers: Timers) -> BoundedProtocol:
    config = uvicorn.Config(nothing, log_config=None)
    protocol = BoundedProtocol(config, ServerState(), {}, _loop=timers)  # type: ignore[arg-type]
    protocol.connection_made(Wire())
    return protocol


async def test_a_body_has_to_arrive_in_time(timers: Timers) -> None:
    protocol = connected(timers)
    assert list(timers.waiting.values()) == [HEADER_DEADLINE_S]
    protocol.data_received(HEAD + b"ab")
    ((timer, delay_s),) = timers.waiting.items()
    assert delay_s == BODY_DEADLINE_S
    protocol.data_received(b"c")
    assert list(timers.waiting) == [timer], "a little more buys no time"
    timer._run()
    assert protocol.transport.is_closing()


async def test_a_request_that_is_whole_is_not_cut_off(timers: Timers) -> None:
    protocol = connected(timers)
    for part in (HEAD[:20], HEAD[20:] + b"ab", b"cde"):
        assert len(timers.waiting) == 1
        protocol.data_received(part)
    assert timers.waiting == {}


@pytest.mark.parametrize(
    ("request_sent", "status"),
    [
        (b"get /v1/balance HTTP/1.1\r\n\r\n", b"400 Bad Request"),
        (b"GET /v1/balance HTTP/1.1\r\nauthorization: Bearer \x01\r\n\r\n", b"400 Bad Request"),
        (b"\x16\x03\x01", b"400 Bad Request"),
        (b"GET / HTTP/1.1\r\nx: " + b"a" * HEADER_LIMIT, b"431 Request Header Fields Too Large"),
    ],
)
async def test_what_no_api_is_asked_is_refused_in_json(
    timers: Timers, request_sent: bytes, status: bytes
) -> None:
    protocol = connected(timers)
    for part in (request_sent, b"more"):
        if not protocol.transport.is_closing():
            protocol.data_received(part)
    wire = protocol.transport
    assert isinstance(wire, Wire)
    assert wire.is_closed
    head, _, body = wire.sent.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 " + status)
    assert b"\r\ncontent-type: application/json\r\n" in head
    assert head.endswith(b"\r\ncontent-length: %d" % len(body))
    problem = json.loads(body)
    assert problem["code"] == "BAD_REQUEST"
    assert problem["message"] == problem["error"]

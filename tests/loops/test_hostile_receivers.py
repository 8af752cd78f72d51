"""Receivers that speak raw bytes: whatever they send, one attempt ends in its time, within its memory, and says how."""

import asyncio
import socket
import struct
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import ExitStack, asynccontextmanager, suppress

import pytest

from berth.core.webhooks import Outcome
from berth.loops.deliveries import Limits, Sender
from tests import make
from tests.conftest import FakeClock
from tests.loops.test_receivers import Names, letter

SOON = Limits(connect_s=0.5, total_s=0.5, excerpt_s=0.1)
Script = Callable[[asyncio.StreamWriter], Awaitable[None]]
MEGABYTE = 1024 * 1024


@asynccontextmanager
async def speaking(script: Script, address: str = "127.0.0.1", port: int = 0) -> AsyncIterator[int]:
    """A server that reads a request, does as `script` says and waits until it is left alone; its port."""
    served: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            await reader.readuntil(b'{"a":1}')
            await script(writer)
            await reader.read()
        writer.transport.abort()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        served.add(asyncio.create_task(serve(reader, writer)))

    async with await asyncio.start_server(accept, address, port) as server:
        yield server.sockets[0].getsockname()[1]
        await asyncio.gather(*served)


async def said(clock: FakeClock, script: Script, limits: Limits = SOON) -> Outcome:
    sender = Sender(make.WEBHOOK_RULES, clock, limits=limits)
    async with speaking(script) as port:
        try:
            return await sender.post(letter(f"http://127.0.0.1:{port}/"))
        finally:
            await sender.close()


def always(head: bytes, again: bytes) -> Script:
    """Sends `head`, then `again` for as long as anybody takes it."""

    async def script(writer: asyncio.StreamWriter) -> None:
        writer.write(head)
        while True:
            writer.write(again)
            await writer.drain()

    return script


def once(answer: bytes) -> Script:
    async def script(writer: asyncio.StreamWriter) -> None:
        writer.write(answer)
        await writer.drain()

    return script


@pytest.mark.parametrize(
    ("head", "again"),
    [
        (b"HTTP/1.1 200 OK\r\n", b"".join(b"x-%d: %s\r\n" % (n, b"y" * 4000) for n in range(200))),
        (b"HTTP/1.1 200 OK\r\n", b"x: y\r\n" * 10_000),
        (b"HTTP/1.1 200 OK\r\nx: ", b"y" * 65_536),
        (b"HTTP/1.1 200 ", b"O" * 65_536),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 1000),
        (b"", b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n" * 1000),
        (b"", b"\x00" * 65_536),
        (b"HTTP/1.1 500 No\r\ntransfer-encoding: chunked\r\n\r\n1;x=", b"y" * 65_536),
        (b"HTTP/1.1 500 No\r\ntransfer-encoding: chunked\r\n\r\n0\r\n", b"x: y\r\n" * 10_000),
        (b"HTTP/1.1 500 No\r\n\r\n", b"z" * 65_536),
    ],
    ids=[
        "many-large-headers",
        "many-headers",
        "one-header",
        "reason",
        "continue",
        "hints",
        "zeros",
        "chunk-extension",
        "trailers",
        "body",
    ],
)
async def test_a_flood_is_given_up_and_fills_no_memory(clock: FakeClock, head: bytes, again: bytes) -> None:
    tracemalloc.start()
    try:
        outcome = await said(clock, always(head, again))
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert not outcome.is_success
    assert most < 16 * MEGABYTE


@pytest.mark.parametrize(
    "value",
    [
        "Wed, 21 Oct 99999999999999999999 07:28:00 GMT",
        "Wed, 99999999999999999999 Oct 2026 07:28:00 GMT",
        "Wed, 21 Oct 2026 07:28:00 +99999999",
        "Wed, 21 Oct 9999 07:28:00 -2359",
        "Wed, 21 Oct 0001 07:28:00 +2359",
        "Wed, 21 Oct 2026 99:99:99 GMT",
        "Wed",
        ",",
        "9" * 5000,
        "Fri, 31 Dec 9999 23:59:59 GMT",
        "0x10",
        "\u0663",
    ],
)
async def test_no_pause_that_is_asked_for_is_too_absurd(clock: FakeClock, value: str) -> None:
    answer = f"HTTP/1.1 503 Busy\r\nretry-after: {value}\r\ncontent-length: 0\r\n\r\n".encode()
    outcome = await said(clock, once(answer))
    assert outcome.status_code == 503
    assert outcome.error == "refused: Answered 503."


async def test_a_success_that_comes_at_the_last_moment_counts_whatever_its_body_does(
    clock: FakeClock,
) -> None:
    async def script(writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.3)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n")

    outcome = await said(clock, script, Limits(connect_s=0.5, total_s=0.5, excerpt_s=0.4))
    assert (outcome.status_code, outcome.error) == (200, None)


async def test_a_success_whose_body_is_cut_off_counts(clock: FakeClock) -> None:
    async def script(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc")
        await writer.drain()
        await asyncio.sleep(0.05)
        connection = writer.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    outcome = await said(clock, script)
    assert (outcome.status_code, outcome.error) == (200, None)


@pytest.mark.parametrize(
    "body",
    [
        b"transfer-encoding: chunked\r\n\r\nZZZ\r\n",
        b"transfer-encoding: chunked\r\n\r\n-1\r\n",
        b"transfer-encoding: chunked\r\n\r\n3\r\nabcdef\r\n",
        b"transfer-encoding: chunked\r\n\r\nffffffffffffffff\r\nabc",
        b"content-encoding: br\r\ncontent-length: 3\r\n\r\n\xff\xff\xff",
        b"content-length: 3\r\n\r\nabcHTTP/1.1 500 Again\r\n\r\n",
    ],
)
async def test_a_success_counts_whatever_is_wrong_with_the_body_that_follows(
    clock: FakeClock, body: bytes
) -> None:
    head = body.index(b"\r\n\r\n") + 4

    async def script(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n" + body[:head])
        await writer.drain()
        await asyncio.sleep(0.02)
        writer.write(body[head:])

    outcome = await said(clock, script)
    assert (outcome.status_code, outcome.error) == (200, None)


async def test_one_that_never_shakes_hands_is_given_up(clock: FakeClock) -> None:
    async with speaking(once(b"")) as port:
        sender = Sender(make.WEBHOOK_RULES, clock, limits=SOON)
        outcome = await sender.post(letter(f"https://127.0.0.1:{port}/"))
        await sender.close()
    assert outcome.status_code is None
    assert outcome.error is not None
    assert outcome.error.startswith("timeout: ")


async def test_an_address_that_swallows_everything_does_not_hide_the_next(clock: FakeClock) -> None:
    """As where a name has an IPv6 address and nothing leads there."""
    with ExitStack() as stack:
        full = stack.enter_context(socket.socket())
        full.bind(("127.0.0.2", 0))
        full.listen(0)
        # Whoever comes after these two is not even refused.
        for each in (stack.enter_context(socket.socket()), stack.enter_context(socket.socket())):
            each.setblocking(False)
            each.connect_ex(full.getsockname())
        names = Names(["127.0.0.2", "127.0.0.1"], ["127.0.0.2"])
        limits = Limits(connect_s=0.2, total_s=2, excerpt_s=0.1)
        sender = Sender(make.WEBHOOK_RULES, clock, resolve=names.resolve, limits=limits)
        async with speaking(once(b"HTTP/1.1 204 Fine\r\n\r\n"), port=full.getsockname()[1]) as port:
            outcome = await sender.post(letter(f"http://receiver.example:{port}/"))
            alone = await sender.post(letter(f"http://receiver.example:{port}/"))
            await sender.close()
    assert (outcome.status_code, outcome.error) == (204, None)
    assert alone.error == "timeout: No connection within 0.2 seconds."


async def test_what_is_no_answer_is_a_failure(clock: FakeClock) -> None:
    for answer in (
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"HTTP/1.1 999999 Odd\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n",
        b"HTTP/9.9 200 OK\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00",
    ):
        outcome = await said(clock, once(answer))
        assert not outcome.is_success, answer
        assert outcome.error is not None

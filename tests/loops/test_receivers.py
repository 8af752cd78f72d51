"""Receivers that misbehave, and names that stand for addresses that must not be called. Real sockets throughout."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from email.utils import formatdate
from pathlib import Path

import pytest
from aiohttp import web

from berth.base.clock import SECOND
from berth.core.webhooks import Outcome, Rules
from berth.core.webhooks.rules import networks
from berth.loops.deliveries import EXCERPT_BYTES, Limits, Resolve, Sender
from berth.loops.world import Letter
from tests import make
from tests.conftest import FakeClock
from tests.world.certificates import issue
from tests.world.receiver import Behaviour, Receiver, listening

SOON = Limits(connect_s=0.5, total_s=0.5, excerpt_s=0.1)
LAB = make.WEBHOOK_RULES


def letter(url: str) -> Letter:
    return Letter(url, {"webhook-id": "msg_1", "content-type": "application/json"}, b'{"a":1}')


@asynccontextmanager
async def sending(
    clock: FakeClock,
    *,
    rules: Rules = LAB,
    resolve: Resolve | None = None,
    limits: Limits = SOON,
    tls: ssl.SSLContext | None = None,
) -> AsyncIterator[Sender]:
    sender = Sender(rules, clock, resolve=resolve, limits=limits, tls=tls)
    try:
        yield sender
    finally:
        await sender.close()


async def outcome_of(
    clock: FakeClock, behaves: Behaviour | int, limits: Limits = SOON
) -> tuple[Outcome, Receiver]:
    async with listening(behaves) as receiver, sending(clock, limits=limits) as sender:
        return await sender.post(letter(receiver.url)), receiver


class Names:
    """A name server that answers differently each time; the last answer stays."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []

    async def resolve(self, host: str, _port: int) -> Sequence[str]:
        self.asked.append(host)
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


async def test_a_success_is_any_answer_of_two_hundred(clock: FakeClock) -> None:
    for status in (200, 201, 202, 204, 299):
        outcome, receiver = await outcome_of(clock, status)
        assert (outcome.status_code, outcome.is_success) == (status, True)
        assert receiver.received[0].body == b'{"a":1}'
        assert receiver.received[0].headers["host"] == f"127.0.0.1:{receiver.port}"


@pytest.mark.parametrize("status", [400, 404, 410, 500, 503])
async def test_whatever_else_is_answered_is_a_failure(clock: FakeClock, status: int) -> None:
    outcome, _ = await outcome_of(clock, status)
    assert (outcome.status_code, outcome.error) == (status, f"refused: Answered {status}.")
    assert outcome.response_excerpt == "as told"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_not_followed(clock: FakeClock, status: int) -> None:
    async with listening() as elsewhere:

        async def away(_request: web.Request) -> web.StreamResponse:
            return web.Response(status=status, headers={"location": elsewhere.url})

        outcome, _ = await outcome_of(clock, away)
    assert outcome.error == f"redirect: Answered {status}; redirects are not followed."
    assert elsewhere.received == []


async def test_one_that_never_answers_is_given_up(clock: FakeClock) -> None:
    async def hang(_request: web.Request) -> web.StreamResponse:
        await asyncio.Event().wait()
        raise AssertionError

    outcome, _ = await outcome_of(clock, hang)
    assert (outcome.status_code, outcome.error) == (None, "timeout: No answer within 0.5 seconds.")
    assert 400 < outcome.latency_ms < 2000


async def test_one_that_never_ends_its_headers_is_given_up(clock: FakeClock) -> None:
    hung_up = asyncio.Event()

    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n")
        await reader.readuntil(b"{")
        while not reader.at_eof():
            writer.write(b"x-drip: 1\r\n")
            with suppress(TimeoutError):
                await asyncio.wait_for(reader.read(100), 0.02)
        writer.transport.abort()
        hung_up.set()

    server = await asyncio.start_server(drip, "127.0.0.1", 0)
    async with server, sending(clock) as sender:
        port = server.sockets[0].getsockname()[1]
        outcome = await sender.post(letter(f"http://127.0.0.1:{port}/"))
        await hung_up.wait()
    assert outcome.status_code is None
    assert not outcome.is_success


async def test_of_gigabytes_two_kilobytes_are_read(clock: FakeClock) -> None:
    written = 0

    async def flood(request: web.Request) -> web.StreamResponse:
        nonlocal written
        response = web.StreamResponse(status=500)
        await response.prepare(request)
        for _ in range(16 * 1024):
            await response.write(b"x" * 65536)
            written += 65536
        return response

    outcome, _ = await outcome_of(clock, flood, Limits(2, 2, 0.5))
    assert (outcome.status_code, len(outcome.response_excerpt or "")) == (500, EXCERPT_BYTES)
    assert written < 64 * 1024 * 1024


async def test_a_bomb_is_not_unpacked(clock: FakeClock) -> None:
    async def bomb(_request: web.Request) -> web.StreamResponse:
        return web.Response(body=b"\x1f\x8b\x00\x00", headers={"content-encoding": "gzip"})

    outcome, _ = await outcome_of(clock, bomb)
    assert outcome.is_success
    assert outcome.response_excerpt == "\x1f\ufffd\ufffd\ufffd"


async def test_a_body_that_drips_does_not_hold_up_a_success(clock: FakeClock) -> None:
    async def drip(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b"z")
            await asyncio.sleep(0.02)

    outcome, _ = await outcome_of(clock, drip)
    assert (outcome.status_code, outcome.is_success) == (200, True)
    assert set(outcome.response_excerpt or "") == {"z"}
    assert outcome.latency_ms < 450


async def test_one_that_hangs_up_or_does_not_listen_is_a_failure(clock: FakeClock) -> None:
    async def hang_up(request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        request.transport.close()
        return web.Response()

    outcome, receiver = await outcome_of(clock, hang_up)
    assert outcome.error == "connection_failed: The connection was closed without an answer."
    async with sending(clock) as sender:
        refused = await sender.post(letter(receiver.url))
        assert refused.error is not None
        assert refused.error.startswith("connection_failed: ")


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("120", 120),
        ("0", 0),
        ("99999999999999999999", 999_999_999),
        ("soon", None),
        ("-5", None),
        ("1.5", None),
    ],
)
async def test_the_pause_that_is_asked_for_is_read_in_both_forms(
    clock: FakeClock, value: str, seconds: int | None
) -> None:
    async def busy(request: web.Request) -> web.StreamResponse:
        return web.Response(status=503, headers={"retry-after": value})

    outcome, _ = await outcome_of(clock, busy)
    assert outcome.retry_after_s == seconds


async def test_a_pause_until_a_date_is_counted_from_now(clock: FakeClock) -> None:
    until = formatdate(clock.now() / SECOND + 300, usegmt=True)

    async def busy(_request: web.Request) -> web.StreamResponse:
        return web.Response(status=429, headers={"retry-after": until})

    outcome, _ = await outcome_of(clock, busy)
    assert outcome.retry_after_s == 300


# Where it must not go.


@pytest.mark.parametrize(
    "addresses",
    [
        ["127.0.0.1"],
        ["10.0.0.5"],
        ["169.254.169.254"],
        ["100.64.0.1"],
        ["0.0.0.0"],
        ["::1"],
        ["::ffff:127.0.0.1"],
        ["64:ff9b::7f00:1"],
        ["fe80::1%eth0"],
        ["93.184.216.34", "127.0.0.1"],
        ["2606:2800:220:1::1", "10.0.0.1"],
        ["not an address"],
    ],
)
async def test_a_name_that_stands_for_an_address_that_is_not_public_is_not_called(
    clock: FakeClock, addresses: list[str]
) -> None:
    names = Names(addresses)
    async with listening() as receiver, sending(clock, rules=Rules(), resolve=names.resolve) as sender:
        outcome = await sender.post(letter(f"https://receiver.example:{receiver.port}/"))
    assert outcome.error == ("address_not_allowed: The host's name stands for an address that is not public.")
    assert receiver.received == []


async def test_the_address_that_was_looked_at_is_the_one_that_is_called(clock: FakeClock) -> None:
    """A name that turns to another address right after it was looked at leads nowhere else."""
    names = Names(["127.0.0.2"], ["127.0.0.1"])
    rules = Rules(allow_private=True)
    async with listening() as receiver, sending(clock, rules=rules, resolve=names.resolve) as sender:
        # Only 127.0.0.1 listens: had the name been looked up again to connect, this would have got through.
        first = await sender.post(letter(f"http://receiver.example:{receiver.port}/"))
        assert first.error is not None
        assert first.error.startswith("connection_failed")
        assert names.asked == ["receiver.example"]
        second = await sender.post(letter(f"http://receiver.example:{receiver.port}/"))
        assert second.is_success
    assert receiver.received[0].headers["host"] == f"receiver.example:{receiver.port}"


async def test_a_connection_kept_alive_does_not_outlive_its_address(clock: FakeClock) -> None:
    names = Names(["127.0.0.1"], ["169.254.169.254"])
    async with listening() as receiver, sending(clock, resolve=names.resolve) as sender:
        assert (await sender.post(letter(f"http://receiver.example:{receiver.port}/"))).is_success
        turned = await sender.post(letter(f"http://receiver.example:{receiver.port}/"))
    assert turned.error is not None
    assert turned.error.startswith("address_not_allowed")
    assert len(receiver.received) == 1


async def test_when_one_address_does_not_answer_the_next_is_tried(clock: FakeClock) -> None:
    names = Names(["127.0.0.2", "127.0.0.1"])
    async with listening() as receiver, sending(clock, resolve=names.resolve) as sender:
        assert (await sender.post(letter(f"http://receiver.example:{receiver.port}/"))).is_success


async def test_an_operator_may_open_a_network(clock: FakeClock) -> None:
    rules = Rules(allowed_networks=networks("127.0.0.0/24"))
    async with listening() as receiver:
        for address, is_success in (("127.0.0.1", True), ("127.0.1.1", False)):
            async with sending(clock, rules=rules, resolve=Names([address]).resolve) as sender:
                outcome = await sender.post(letter(f"http://receiver.example:{receiver.port}/"))
            assert outcome.is_success is is_success


async def test_a_name_that_cannot_be_found_is_a_failure(clock: FakeClock) -> None:
    async def unknown(_host: str, _port: int) -> Sequence[str]:
        raise OSError("no such name")

    async def silent(_host: str, _port: int) -> Sequence[str]:
        await asyncio.Event().wait()
        return []

    for resolve, error in (
        (unknown, "name_not_found"),
        (Names([]).resolve, "name_not_found"),
        (silent, "timeout"),
    ):
        async with sending(clock, resolve=resolve) as sender:
            outcome = await sender.post(letter("https://receiver.example/"))
        assert outcome.error is not None
        assert outcome.error.startswith(error)


async def test_a_url_that_was_allowed_once_is_looked_at_again(clock: FakeClock) -> None:
    async with sending(clock, rules=Rules()) as sender:
        for url in ("https://127.0.0.1/", "https://receiver.example:25/", "gopher://receiver.example/"):
            outcome = await sender.post(letter(url))
            assert outcome.error is not None
            assert outcome.error.partition(":")[0] in {"url_not_allowed", "address_not_allowed"}


async def test_the_system_resolver_answers_for_a_name(clock: FakeClock) -> None:
    async with listening() as receiver, sending(clock) as sender:
        url = f"http://localhost:{receiver.port}/"
        outcomes = await asyncio.gather(*(sender.post(letter(url)) for _ in range(3)))
    assert all(outcome.is_success for outcome in outcomes)


async def test_a_certificate_must_be_for_the_name_whatever_the_address(
    clock: FakeClock, tmp_path: Path
) -> None:
    server_tls, client_tls = issue(tmp_path, "receiver.example")
    names = Names(["127.0.0.1"])
    async with (
        listening(tls=server_tls) as receiver,
        sending(clock, resolve=names.resolve, tls=client_tls) as sender,
    ):
        right = await sender.post(letter(f"https://receiver.example:{receiver.port}/"))
        wrong = await sender.post(letter(f"https://another.example:{receiver.port}/"))
    async with sending(clock, resolve=names.resolve) as sender:
        unknown = await sender.post(letter(f"https://receiver.example:{receiver.port}/"))
    assert right.is_success, right
    assert wrong.error is not None
    assert wrong.error.startswith("tls_failed"), wrong
    assert not unknown.is_success
    assert replace(right, latency_ms=0).status_code == 204
    assert len(receiver.received) == 1

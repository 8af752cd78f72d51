"""Logging in to run one command, and asking over HTTP: every outcome, against servers on this host."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import asyncssh
import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from berth.base import health, sshkeys
from berth.base.login import MOST_BYTES, Answer, Outcome, Visitor

HOST = "127.0.0.1"
LIMIT_S = 20.0


def _handle(process: "asyncssh.SSHServerProcess[str]") -> None:
    command = process.command or ""
    if command.startswith("echo "):
        process.stdout.write(command.removeprefix("echo ") + "\n")
        process.exit(0)
    elif command == "flood":
        process.stdout.write("x" * (4 * MOST_BYTES))
        process.exit(0)
    elif command == "fail":
        process.exit(3)


@asynccontextmanager
async def _server(public_line: str) -> AsyncIterator[int]:
    server = await asyncssh.listen(
        HOST,
        0,
        server_host_keys=[asyncssh.generate_private_key("ssh-ed25519")],
        authorized_client_keys=asyncssh.import_authorized_keys(public_line),
        process_factory=_handle,
    )
    try:
        yield server.get_port()
    finally:
        server.close()
        await server.wait_closed()


@pytest.mark.parametrize(
    ("command", "seconds", "answer"),
    [
        ("echo berth", LIMIT_S, Answer(Outcome.DONE, "berth\n")),
        ("fail", LIMIT_S, Answer(Outcome.FAILED, "")),
        ("flood", LIMIT_S, Answer(Outcome.FAILED)),
        ("hang", 1.0, Answer(Outcome.FAILED)),
    ],
)
async def test_what_a_command_comes_to(command: str, seconds: float, answer: Answer) -> None:
    keys = sshkeys.make_ed25519("observer")
    async with _server(keys.public_line) as port:
        assert await Visitor(keys.private_pem).run(HOST, port, "root", command, seconds) == answer


async def test_another_key_is_refused_and_nobody_there_is_unreachable() -> None:
    keys, others = sshkeys.make_ed25519("observer"), sshkeys.make_ed25519("stranger")
    async with _server(keys.public_line) as port:
        refused = await Visitor(others.private_pem).run(HOST, port, "root", "echo x", LIMIT_S)
    assert refused == Answer(Outcome.REFUSED)
    gone = await Visitor(keys.private_pem).run(HOST, port, "root", "echo x", LIMIT_S)
    assert gone == Answer(Outcome.UNREACHABLE)


async def test_a_server_that_greets_and_says_nothing_more_is_not_waited_for() -> None:
    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"SSH-2.0-silent\r\n")
        await hang_up_with(reader, writer)

    async with _listening(greet) as port:
        keys = sshkeys.make_ed25519("observer")
        silent = await Visitor(keys.private_pem).run(HOST, port, "root", "echo x", 0.5)
    assert silent == Answer(Outcome.UNREACHABLE)


def test_a_sessions_key_is_rsa_of_4096_bits_in_pkcs1() -> None:
    keys = sshkeys.make_rsa()
    assert keys.private_pem.startswith("-----BEGIN RSA PRIVATE KEY-----\n")
    assert keys.public_line.startswith("ssh-rsa ")
    private, public = (
        asyncssh.import_private_key(keys.private_pem),
        asyncssh.import_public_key(keys.public_line),
    )
    assert private.convert_to_public().public_data == public.public_data
    assert isinstance(private.pyca_key, RSAPrivateKey)
    assert private.pyca_key.key_size == 4096
    assert keys.private_pem not in repr(keys)


async def hang_up_with(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Waits until the other side has gone."""
    try:
        while await reader.read(1024):
            pass
    except ConnectionError:
        pass
    finally:
        writer.close()


@asynccontextmanager
async def _listening(
    serve: Callable[[asyncio.StreamReader, asyncio.StreamWriter], object],
) -> AsyncIterator[int]:
    server = await asyncio.start_server(serve, HOST, 0)  # type: ignore[arg-type]
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


@pytest.mark.parametrize(
    ("said", "is_alive"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\n", True),
        (b"HTTP/1.0 204 No Content\r\n\r\n", True),
        (b"HTTP/1.1 404 Not Found\r\n\r\n", True),
        (b"HTTP/1.1 503 Loading\r\n\r\n", False),
        (b"HTTP/1.1 302 Found\r\nLocation: http://192.0.2.1/\r\n\r\n", False),
        (b"SSH-2.0-OpenSSH\r\n", False),
        (b"HTTP/1.1 2000\r\n", False),
        (b"x" * 5000, False),
        (b"", False),
    ],
)
async def test_only_an_answer_that_shows_a_server_counts(said: bytes, is_alive: bool) -> None:
    asked = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readline())
        writer.write(said)
        writer.close()

    async with _listening(serve) as port:
        assert await health.is_alive(HOST, port, LIMIT_S) is is_alive
    assert asked == [b"GET /health HTTP/1.1\r\n"]
    assert not await health.is_alive(HOST, port, LIMIT_S)


async def test_a_server_that_never_answers_is_not_waited_for() -> None:
    async with _listening(hang_up_with) as port:
        assert not await health.is_alive(HOST, port, 0.2)

"""Receivers for W6: bare HTTP/1.1 servers in a process of their own, each on an address of its own, that take anything.

They print where they listen and, when their input ends, how much came, how much of it twice, and how much without
a signature.
"""

import asyncio
import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import cast

import uvloop

from bench import machine

ANSWER = b"HTTP/1.1 204 No Content\r\n\r\n"
_HEAD_END = b"\r\n\r\n"
_LENGTH, _ID, _SIGNATURE = b"content-length: ", b"webhook-id: ", b"webhook-signature: v1,"
_STOP_S = 30


@dataclass(slots=True)
class Receivers:
    """Where they listen: (address, port)."""

    hosts: list[tuple[str, int]]
    child: "subprocess.Popen[str]"
    received: dict[str, int] = field(default_factory=dict)

    def url(self, number: int) -> str:
        address, port = self.hosts[number % len(self.hosts)]
        return f"http://{address}:{port}/hook"

    def stop(self) -> dict[str, int]:
        """What came: `requests`, `messages` and `signed`. Once."""
        if not self.received:
            assert self.child.stdin is not None
            assert self.child.stdout is not None
            self.child.stdin.close()
            self.received.update(json.loads(self.child.stdout.read()))
            self.child.wait(_STOP_S)
        return self.received


@contextlib.contextmanager
def listening(count: int, *, pinned: bool) -> Iterator[Receivers]:
    arguments = {"count": count, "core": machine.LOAD_CORE if pinned else None}
    child = subprocess.Popen(
        [sys.executable, "-m", "bench.receivers", json.dumps(arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None
    started = Receivers([tuple(host) for host in json.loads(child.stdout.readline())], child)
    try:
        yield started
    finally:
        started.stop()


@dataclass(slots=True)
class _Count:
    requests: int = 0
    signed: int = 0
    messages: set[bytes] = field(default_factory=set)


class _Connection(asyncio.Protocol):
    def __init__(self, count: _Count) -> None:
        self._count = count
        self._received = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        received = self._received = self._received + data if self._received else data
        end = received.find(_HEAD_END)
        if end < 0:
            return
        head = received[:end].lower()
        if len(received) < end + len(_HEAD_END) + int(_value(head, _LENGTH)):
            return
        self._received = b""
        self._count.requests += 1
        self._count.signed += _SIGNATURE in head
        if _ID in head:
            self._count.messages.add(_value(head, _ID))
        assert self._transport is not None
        self._transport.write(ANSWER)


def _value(head: bytes, name: bytes) -> bytes:
    return head.partition(name)[2].partition(b"\r")[0]


async def _serve(count: int) -> None:
    loop = asyncio.get_running_loop()
    counted = _Count()
    servers = [
        await loop.create_server(lambda: _Connection(counted), f"127.0.0.{number + 1}", 0)
        for number in range(count)
    ]
    sys.stdout.write(json.dumps([server.sockets[0].getsockname() for server in servers]) + "\n")
    sys.stdout.flush()
    await loop.run_in_executor(None, sys.stdin.read)
    answer = {
        "requests": counted.requests,
        "messages": len(counted.messages),
        "signed": counted.signed,
    }
    sys.stdout.write(json.dumps(answer))
    sys.stdout.flush()


def main() -> None:
    arguments = json.loads(sys.argv[1])
    machine.pin(arguments["core"])
    uvloop.run(_serve(arguments["count"]))


if __name__ == "__main__":
    main()

"""The load: a bare HTTP/1.1 keep-alive client in a process of its own, one request in flight on each connection.

`run` starts it for a while against a server on loopback. It counts every answer by status, and reads the CPU
clock of the server at both ends of the measured window, so that neither side's cost is charged to the other.
"""

import asyncio
import json
import subprocess
import sys
import time
from collections import Counter
from itertools import cycle
from typing import Any, cast

import uvloop

from bench import machine
from bench.measure import Sample, percentile

KEY = b"@@@@@@@@@@@@@@@@@@@@"
"""Stands in a request where every request has a key of its own."""
_HEAD_END = b"\r\n\r\n"
_LENGTH = b"content-length: "
_WARM_S = 0.4
_GRACE_S = 30


def request(method: str, path: str, *, api_key: str, body: bytes = b"", key: bool = False) -> bytes:
    """One request as it goes over the wire."""
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost", f"X-API-Key: {api_key}"]
    if body:
        lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    if key:
        lines.append(f"Idempotency-Key: {KEY.decode()}")
    return "\r\n".join([*lines, "", ""]).encode() + body


def run(pid: int, port: int, requests: list[bytes], *, clients: int, seconds: float, pinned: bool) -> Sample:
    """Requests each second, their latencies and the server's CPU for each; whatever is not 200 is an error."""
    arguments = {
        "pid": pid,
        "port": port,
        "clients": clients,
        "seconds": seconds,
        "core": machine.LOAD_CORE if pinned else None,
        "requests": [each.decode("latin-1") for each in requests],
    }
    done = subprocess.run(
        [sys.executable, "-m", "bench.client"],
        input=json.dumps(arguments),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=seconds + _GRACE_S,
    )
    answer: dict[str, Any] = json.loads(done.stdout)
    if answer["errors"]:
        sys.stderr.write(f"{answer['errors']} answers were not 200: {answer['first_error']}\n")
    del answer["first_error"]
    return Sample(**answer)


class Load:
    """What all connections share: what to send next, and what came back within the window."""

    def __init__(self, requests: list[bytes]) -> None:
        self.latencies: list[int] = []
        self.errors: Counter[int] = Counter()
        self.first_error = ""
        self.is_open = True
        self._requests = cycle([each.split(KEY) for each in requests])
        self._count = 0
        self._prefix = b"b%08x" % (time.time_ns() // 1000 & 0xFFFFFFFF)

    def next_request(self) -> bytes:
        parts = next(self._requests)
        if len(parts) == 1:
            return parts[0]
        self._count += 1
        return (b"%s-%010d" % (self._prefix, self._count)).join(parts)

    def note(self, status: int, body: bytes, nanoseconds: int) -> None:
        self.latencies.append(nanoseconds)
        if status != 200:
            self.errors[status] += 1
            self.first_error = self.first_error or body[-500:].decode("utf-8", "replace")


class Connection(asyncio.Protocol):
    def __init__(self, load: Load) -> None:
        self._load = load
        self._transport: asyncio.Transport | None = None
        self._received = b""
        self._sent_at = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._send()

    def data_received(self, data: bytes) -> None:
        received = self._received = self._received + data if self._received else data
        head = received.find(_HEAD_END)
        if head < 0:
            return
        start = received.find(_LENGTH, 0, head) + len(_LENGTH)
        length = int(received[start : received.find(b"\r", start)])
        if len(received) < head + len(_HEAD_END) + length:
            return
        self._received = b""
        self._load.note(int(received[9:12]), received, time.perf_counter_ns() - self._sent_at)
        self._send()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._load.is_open:
            self._load.note(0, repr(exc).encode(), 0)

    def _send(self) -> None:
        if self._transport is not None and self._load.is_open:
            self._sent_at = time.perf_counter_ns()
            self._transport.write(self._load.next_request())


async def _load(arguments: dict[str, Any]) -> dict[str, Any]:
    load = Load([each.encode("latin-1") for each in arguments["requests"]])
    loop = asyncio.get_running_loop()
    for _ in range(arguments["clients"]):
        await loop.create_connection(lambda: Connection(load), "127.0.0.1", arguments["port"])
    await asyncio.sleep(_WARM_S)
    pid = arguments["pid"]
    # Errors while warming up count, their latencies do not.
    load.latencies.clear()
    cpu_before, started_at = machine.cpu_s(pid), time.perf_counter()
    await asyncio.sleep(arguments["seconds"])
    latencies, elapsed_s, cpu_s = (
        load.latencies,
        time.perf_counter() - started_at,
        machine.cpu_s(pid) - cpu_before,
    )
    load.latencies = []
    load.is_open = False
    # What is in flight comes to its end, so that the database holds whole answers only.
    await asyncio.sleep(_WARM_S)
    ordered = sorted(latencies)
    return {
        "value": len(ordered) / elapsed_s,
        "p50_ms": percentile(ordered, 50) / 1e6,
        "p99_ms": percentile(ordered, 99) / 1e6,
        "cpu_us": cpu_s * 1e6 / len(ordered),
        "rss_mb": machine.rss_mb(pid),
        "errors": load.errors.total(),
        "first_error": load.first_error,
    }


def main() -> None:
    arguments = json.load(sys.stdin)
    machine.pin(arguments["core"])
    json.dump(uvloop.run(_load(arguments)), sys.stdout)


if __name__ == "__main__":
    main()

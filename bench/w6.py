"""W6, webhooks: signed deliveries a second with 64 in flight, to one host and to a hundred, on one core.

`deliveries` is all of it: rows of the outbox, the loop, the sender, rows of the log. `sender` is signing and sending
alone. Beside them, with the same body and unsigned: aiohttp with nothing around it, and a bare protocol.
"""

import asyncio
import dataclasses
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from itertools import count
from typing import cast

import aiohttp
import uvloop

from bench import machine, receivers
from bench.databases import Databases, opened
from bench.measure import Result, Sample, Step, interleave, percentile
from bench.options import Options
from bench.receivers import Receivers
from berth.base.clock import SystemClock
from berth.base.db import Database, Tx
from berth.core import events, webhooks
from berth.core.webhooks import Leased
from berth.faces import huddle
from berth.loops import deliveries
from berth.loops.deliveries import Sender
from berth.loops.loop import Loop, Runner
from berth.loops.world import Courier, World
from tests import make

IN_FLIGHT = 64
HOSTS = (1, 100)
_PROJECTS, _WEBHOOKS = 10, 10
"""A hundred webhooks, so that four at once to each are enough."""
_EVENTS_PER_S = 600
"""For which rows are written beforehand, over all projects: more than can be sent."""
_WARM_S = 0.4
_EVENT: Mapping[str, object] = {
    "status": "running",
    "previous_status": "provisioning",
    "provider_id": "sandbox-01hzx",
    "instance_type": "1H100.80S.30V",
    "hostname": "my-training-run",
    "image": "ubuntu-22.04-cuda-12.4-cluster",
    "location": "FIN-01",
    "ip": "127.0.0.1",
    "ssh_user": "root",
}
_TARGETS = {1: "≥ 9000/s, ≥ 17 %", 100: "≥ 7000/s, ≥ 17 %"}


def run(databases: Databases, options: Options) -> list[Result]:
    return [_run(databases, options, engine) for engine in databases.engines]


def _run(databases: Databases, options: Options, engine: str) -> Result:
    pinned = options.pinned and engine == "sqlite"
    machine.pin(machine.SERVER_CORE if pinned else None)
    steps, urls = [], []
    with receivers.listening(1, pinned=pinned) as one, receivers.listening(100, pinned=pinned) as many:
        for hosts, listening in zip(HOSTS, (one, many), strict=True):
            url = _outbox(databases, engine, listening, options.seconds)
            urls.append(url)
            runs = _Runs(databases, url, listening, options.seconds)
            to = "1 host" if hosts == 1 else f"{hosts} hosts"
            raw = f"raw protocol, {to}"
            steps.append(Step(raw, "/s", runs.raw))
            if engine == "sqlite":  # without a database they are the same on every engine
                steps += [
                    Step(f"bare aiohttp, {to}", "/s", runs.bare, raw),
                    Step(f"sender, {to}", "/s", runs.sender, raw, _TARGETS[hosts]),
                ]
            steps.append(Step(f"deliveries, {to}", "/s", runs.deliveries, raw))
        result = interleave(f"W6 webhooks, {IN_FLIGHT} in flight, {engine}", steps, rounds=options.rounds)
        received = {name: one.stop()[name] + many.stop()[name] for name in one.stop()}
    for url in urls:
        databases.drop(url)
    result.notes.append(
        f"{received['requests']:,} requests came, {received['signed']:,} of them signed;"
        f" {'sender on one core, receivers on the other' if pinned else 'not pinned'}."
    )
    return result


@dataclasses.dataclass(frozen=True, slots=True)
class _Runs:
    databases: Databases
    url: str
    """A database whose outbox is full."""
    receivers: Receivers
    seconds: float

    def raw(self) -> Sample:
        return uvloop.run(_raw(self.receivers, self.seconds))

    def bare(self) -> Sample:
        return uvloop.run(_bare(self.receivers, self.seconds))

    def sender(self) -> Sample:
        return uvloop.run(_sender(self.receivers, self.seconds))

    def deliveries(self) -> Sample:
        with self.databases.copied(self.url) as url, opened(url) as db:
            return uvloop.run(_deliveries(db, self.seconds))


# The outbox.


def _outbox(databases: Databases, engine: str, listening: Receivers, seconds: float) -> str:
    """A hundred webhooks, one after the other to each of the hosts, and more events than can be told of."""
    url = databases.migrated(engine)
    with opened(url) as db:
        number = count()
        for _ in range(_PROJECTS):
            by = make.project(db).by
            for _ in range(_WEBHOOKS):
                make.webhook(db, by, url=listening.url(next(number)))
            db.write_now(_happen, by, int(_EVENTS_PER_S * (seconds + 2 * _WARM_S) / _PROJECTS))
    return url


def _happen(tx: Tx, by: events.Actor, times: int) -> None:
    for sequence in range(1, times + 1):
        subject = f"{by.project}-{sequence // 10}"
        events.record(tx, by, "instance.running", subject=subject, sequence=sequence % 10, data=_EVENT)


async def _deliveries(db: Database, seconds: float) -> Sample:
    """The loop as `berth serve` runs it, with 64 workers; what counts is what its log says was answered."""
    clock = SystemClock()
    sender = Sender(make.WEBHOOK_RULES, clock)
    poke: list[Callable[[str], None]] = []
    world = World(
        db=db,
        clock=clock,
        drivers={},
        install_id="bench",
        holder="bench",
        probe=_nothing_answers,
        courier=Courier(sender.post, huddle.render, make.PEPPER, make.WEBHOOK_RULES),
        poke=lambda name: poke[0](name),  # noqa: PLW0108 - there is no runner yet
    )
    runner = Runner(world, [Loop("deliveries", deliveries.tick, deliveries.PERIOD_S, workers=IN_FLIGHT)])
    poke.append(runner.poke)
    runner.start()
    await asyncio.sleep(_WARM_S)
    done, cpu_before, started_at = db.read_now(_done), time.process_time(), time.perf_counter()
    await asyncio.sleep(seconds)
    elapsed_s, cpu_s = time.perf_counter() - started_at, time.process_time() - cpu_before
    sent, latency = db.read_now(_done)[0] - done[0], db.read_now(_latencies)
    await runner.stop(grace_s=1)
    await sender.close()
    problems = db.read_now(_done)
    assert db.read_now(_waiting), "the outbox ran empty: it must be filled with more"
    return Sample(
        sent / elapsed_s,
        p50_ms=percentile(latency, 50),
        p99_ms=percentile(latency, 99),
        cpu_us=cpu_s * 1e6 / max(1, sent),
        errors=problems[1],
    )


async def _nothing_answers(_ip: str, _port: int, _seconds: float) -> bool:
    return False


def _done(tx: Tx) -> tuple[int, int]:
    """Attempts that succeeded, and those that did not; each delivery that was done with has one."""
    row = tx.one(
        "SELECT COUNT(*), COUNT(error), (SELECT COUNT(*) FROM deliveries WHERE stage = 'done')"
        " FROM delivery_attempts"
    )
    assert row is not None
    assert row[0] == row[2] or row[1], f"{row[0]} attempts for {row[2]} deliveries"
    return row[0] - row[1], row[1]


def _latencies(tx: Tx) -> list[float]:
    return [
        row[0] for row in tx.all("SELECT latency_ms FROM delivery_attempts ORDER BY latency_ms LIMIT 1000000")
    ]


def _waiting(tx: Tx) -> bool:
    return tx.one("SELECT 1 FROM deliveries WHERE stage = 'ready' LIMIT 1") is not None


# The sender alone, and what it is compared with.


def _leased(listening: Receivers, number: int) -> Leased:
    return Leased(
        delivery_id=f"{number:026}",
        webhook_id="0" * 26,
        project="0" * 26,
        lease_token=1,
        attempt=1,
        round_attempt=1,
        is_test=False,
        url=listening.url(number),
        payload=_BODY,
        secrets=[b"0" * 32],
    )


def _body() -> str:
    event = events.Event(
        seq=1,
        id="0" * 26,
        project="0" * 26,
        type="instance.running",
        subject="0" * 26,
        sequence=3,
        actor="bench",
        data=_EVENT,
        created_at=SystemClock().now(),
    )
    return huddle.render(webhooks.Told(event, event.type, is_test=False))


_BODY = _body()


async def _sender(listening: Receivers, seconds: float) -> Sample:
    clock = SystemClock()
    sender = Sender(make.WEBHOOK_RULES, clock)

    async def send(number: int) -> bool:
        letter = deliveries.letter(_leased(listening, number), clock.now())
        return (await sender.post(letter)).is_success

    try:
        return await _repeat(send, seconds)
    finally:
        await sender.close()


async def _bare(listening: Receivers, seconds: float) -> Sample:
    letter = deliveries.letter(_leased(listening, 0), SystemClock().now())
    headers = {name: value for name, value in letter.headers.items() if name != "webhook-signature"}
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

        async def send(number: int) -> bool:
            async with session.post(listening.url(number), data=letter.body, headers=headers) as response:
                await response.read()
                return response.status == 204

        return await _repeat(send, seconds)


async def _repeat(send: Callable[[int], Awaitable[bool]], seconds: float) -> Sample:
    """Each of 64 workers sends again as soon as it was answered."""
    numbers = count()
    latencies: list[float] = []
    errors = 0
    starts_at = time.perf_counter() + _WARM_S
    ends_at = starts_at + seconds

    async def work() -> None:
        nonlocal errors
        while (began_at := time.perf_counter()) < ends_at:
            is_success = await send(next(numbers))
            if began_at >= starts_at:
                latencies.append(time.perf_counter() - began_at)
                errors += not is_success

    workers = asyncio.gather(*(work() for _ in range(IN_FLIGHT)))
    await asyncio.sleep(starts_at - time.perf_counter())
    cpu_before = time.process_time()
    await workers
    return _sample(latencies, seconds, time.process_time() - cpu_before, errors)


def _sample(latencies: list[float], seconds: float, cpu_s: float, errors: int) -> Sample:
    ordered = sorted(latencies)
    return Sample(
        len(ordered) / seconds,
        p50_ms=percentile(ordered, 50) * 1e3,
        p99_ms=percentile(ordered, 99) * 1e3,
        cpu_us=cpu_s * 1e6 / len(ordered),
        errors=errors,
    )


class _Lines:
    """Connections of which 64 have a request under way; who is answered goes to the end of the line."""

    def __init__(self) -> None:
        self.idle: deque[_Line] = deque()
        self.latencies: list[float] = []
        self.errors = 0
        self.is_open = True

    def next(self) -> None:
        if self.is_open:
            self.idle.popleft().send()


class _Line(asyncio.Protocol):
    def __init__(self, lines: _Lines, request: bytes) -> None:
        self._lines = lines
        self._request = request
        self._transport: asyncio.Transport | None = None
        self._began_at = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._lines.idle.append(self)

    def send(self) -> None:
        assert self._transport is not None
        self._began_at = time.perf_counter()
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self._lines.latencies.append(time.perf_counter() - self._began_at)
        self._lines.errors += data != receivers.ANSWER
        self._lines.idle.append(self)
        self._lines.next()

    def close(self) -> None:
        assert self._transport is not None
        self._transport.close()


async def _raw(listening: Receivers, seconds: float) -> Sample:
    loop = asyncio.get_running_loop()
    letter = deliveries.letter(_leased(listening, 0), SystemClock().now())
    lines = _Lines()
    made = []
    for number in range(max(IN_FLIGHT, len(listening.hosts))):
        address, port = listening.hosts[number % len(listening.hosts)]
        head = [f"POST /hook HTTP/1.1\r\nhost: {address}:{port}"]
        head += [f"{name}: {value}" for name, value in letter.headers.items() if name != "webhook-signature"]
        head += [f"content-length: {len(letter.body)}", "", ""]
        line = partial(_Line, lines, "\r\n".join(head).encode() + letter.body)
        made.append((await loop.create_connection(line, address, port))[1])
    for _ in range(IN_FLIGHT):
        lines.next()
    await asyncio.sleep(_WARM_S)
    lines.latencies.clear()
    cpu_before, started_at = time.process_time(), time.perf_counter()
    await asyncio.sleep(seconds)
    elapsed_s, cpu_s = time.perf_counter() - started_at, time.process_time() - cpu_before
    lines.is_open = False
    for each in made:
        each.close()
    return _sample(lines.latencies, elapsed_s, cpu_s, lines.errors)

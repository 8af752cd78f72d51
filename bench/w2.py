"""W2, deploy accept: from an order to its durable answer, beside the raw limit of the very same statements.

The statements are those of one order through the retail API, taken down and replayed with fresh ids. Loops are
off, so nothing else writes. After each run the rows, the holds, the units and the ledger must agree.
"""

import asyncio
import hashlib
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import uvloop

from bench import client, machine, raw, server
from bench.databases import Databases, opened
from bench.measure import Result, Sample, Step, interleave, percentile
from bench.options import Options
from bench.recording import RecordingDatabase, Template, template
from berth.base.clock import SystemClock
from berth.base.db import Database, Tx
from berth.core import idempotency, instances, ledger, waitlist
from berth.core.idempotency import Answer
from berth.faces import huddle
from berth.faces.face import Context
from tests import make
from tests.make import Customer

CUSTOMERS = 16
CLIENTS = (1, 8, 32)
_CREDIT = "1000000000"
_UNITS = 10**9
_PATH = "/api/v1/deployments/clusters"
_ANSWER = Answer(200, "x" * 1200)
_WARM_S = 0.3


@dataclass(frozen=True, slots=True)
class Shop:
    """A database with customers who may order without end, each a type of its own."""

    url: str
    customers: list[Customer]
    key_ids: list[str]
    templates: list[Template]

    def body(self, number: int) -> dict[str, Any]:
        return {
            "cluster_type": _type(number),
            "image": "ubuntu-24.04",
            "hostname": "my-training-run",
            "ssh_key_ids": [f"sk_{self.key_ids[number]}"],
            "location": "FIN-01",
        }

    def requests(self) -> list[bytes]:
        """One order of each customer, to be sent again and again."""
        return [
            client.request(
                "POST",
                _PATH,
                api_key=customer.api_key,
                body=json.dumps(self.body(number)).encode(),
                key=True,
            )
            for number, customer in enumerate(self.customers)
        ]


def run(databases: Databases, options: Options) -> list[Result]:
    return [_run(databases, options, engine) for engine in databases.engines]


def _run(databases: Databases, options: Options, engine: str) -> Result:
    shop = open_shop(databases, engine)
    pinned = options.pinned and engine == "sqlite"
    machine.pin(machine.SERVER_CORE if pinned else None)
    run = _Runs(databases, shop, options.seconds, pinned=pinned)
    if engine == "sqlite":
        steps = [
            Step("raw, 1 per commit", "/s", lambda: run.raw_sqlite(1)),
            Step("raw, 32 per commit", "/s", lambda: run.raw_sqlite(32)),
        ]
        limits = dict.fromkeys(CLIENTS, "raw, 32 per commit")
        limits[1] = "raw, 1 per commit"
    else:
        limits = {clients: f"pgbench, {clients} clients" for clients in CLIENTS}
        steps = [
            Step(limits[clients], "/s", lambda clients=clients: run.pgbench(clients))  # type: ignore[misc]
            for clients in CLIENTS
        ]
    targets = _TARGETS[engine]
    for clients in CLIENTS:
        steps += [
            Step(
                f"storage, {clients} clients",
                "/s",
                lambda clients=clients: run.storage(clients),  # type: ignore[misc]
                limits[clients],
                targets.get(("storage", clients), ""),
            ),
            Step(
                f"HTTP, {clients} clients",
                "/s",
                lambda clients=clients: run.http(clients),  # type: ignore[misc]
                limits[clients],
                targets.get(("http", clients), ""),
            ),
        ]
    result = interleave(f"W2 deploy accept, {engine}", steps, rounds=options.rounds)
    databases.drop(shop.url)
    result.notes.append(
        f"{len(shop.templates[0].statements)} statements for one order; {CUSTOMERS} customers;"
        f" {'server on one core, load on the other' if pinned else 'not pinned'}; loops off."
    )
    return result


_TARGETS = {
    "sqlite": {("storage", 32): "≥ 60 %", ("http", 32): "≥ 33 %, p99 ≤ 25 ms"},
    "postgresql": {("storage", 32): "≥ 75 %", ("http", 32): "≥ 25 %"},
}


@dataclass(frozen=True, slots=True)
class _Runs:
    """Each run has a fresh copy of the shop, and is checked when it ends."""

    databases: Databases
    shop: Shop
    seconds: float
    pinned: bool

    def raw_sqlite(self, per_commit: int) -> Sample:
        with self.databases.copied(self.shop.url) as url:
            return raw.sqlite(url, self.shop.templates, per_commit=per_commit, seconds=self.seconds)

    def pgbench(self, clients: int) -> Sample:
        with self.databases.copied(self.shop.url) as url:
            return raw.pgbench(url, self.shop.templates, clients=clients, seconds=self.seconds)

    def storage(self, clients: int) -> Sample:
        return storage(self.databases, self.shop, clients, self.seconds)

    def http(self, clients: int) -> Sample:
        requests = self.shop.requests()
        with self.databases.copied(self.shop.url) as url:
            directory = self.databases.data_directory(url)
            with server.running("berth", url, directory, pinned=self.pinned) as served:
                sample = client.run(
                    served.pid,
                    served.port,
                    requests,
                    clients=clients,
                    seconds=self.seconds,
                    pinned=self.pinned,
                )
            with opened(url) as db:
                check(db, at_least=round(sample.value * self.seconds))
            return sample


def storage(databases: Databases, shop: Shop, clients: int, seconds: float) -> Sample:
    """Orders a second without HTTP, by so many callers, on a fresh copy of the shop."""
    with databases.copied(shop.url) as url, opened(url) as db:
        sample, count = uvloop.run(_order_for(db, shop, clients, seconds))
        check(db, at_least=count)
    return sample


async def _order_for(db: Database, shop: Shop, clients: int, seconds: float) -> tuple[Sample, int]:
    latencies: list[float] = []
    starts_at = time.perf_counter() + _WARM_S
    ends_at = starts_at + seconds
    count = 0

    async def order_again(number: int) -> None:
        nonlocal count
        made = 0
        while (started_at := time.perf_counter()) < ends_at:
            chosen = (number + made) % CUSTOMERS
            await db.write(accept, shop, chosen, f"storage-{number:04}-{made:010}")
            made += 1
            if started_at >= starts_at:
                latencies.append(time.perf_counter() - started_at)
        count += made

    cpu_before = time.process_time()
    await asyncio.gather(*(order_again(number) for number in range(clients)))
    ordered = sorted(latencies)
    sample = Sample(
        len(ordered) / seconds,
        p50_ms=percentile(ordered, 50) * 1e3,
        p99_ms=percentile(ordered, 99) * 1e3,
        cpu_us=(time.process_time() - cpu_before) * 1e6 / count,
    )
    return sample, count


def accept(tx: Tx, shop: Shop, number: int, key: str) -> str:
    """What a request does to the database: the same statements, without HTTP, JSON and validation."""
    by = shop.customers[number].by
    assert idempotency.find(tx, by, key, _FINGERPRINT) is None
    made = waitlist.order(tx, by, _spec(number, shop.key_ids[number]), waitlist.Rules(), make.RULES)
    instances.abilities(tx, made)
    instances.reservation(tx, made.id)
    idempotency.remember(tx, by, key, _FINGERPRINT, _ANSWER)
    return made.id


_FINGERPRINT = hashlib.sha256().hexdigest()


def _spec(number: int, key_id: str) -> Any:
    return make.spec([key_id], instance_type=_type(number))


def _type(number: int) -> str:
    return f"{number + 1}H100.80S.30V"


def open_shop(databases: Databases, engine: str) -> Shop:
    """A database to copy for each run."""
    url = databases.migrated(engine)
    with opened(url) as db:
        make.catalogue(db, *(make.offer(_type(number), free=_UNITS) for number in range(CUSTOMERS)))
        customers = [make.project(db, credit=_CREDIT) for _ in range(CUSTOMERS)]
        key_ids = [make.ssh_key(db, customer.by).id for customer in customers]
        shop = Shop(url, customers, key_ids, [])
        shop.templates.extend(_recorded(db, shop, number) for number in range(CUSTOMERS))
        recorder = RecordingDatabase(db)
        recorder.write_now(accept, shop, 0, "the-same")
        assert [each.text for each in recorder.statements] == [
            each.text for each in shop.templates[0].statements
        ], "the orders without HTTP run other statements"
    return shop


def _recorded(db: Database, shop: Shop, number: int) -> Template:
    """The statements of one order of one customer through the retail API."""
    recorder = RecordingDatabase(db)
    face = huddle.build(_context(recorder))
    body = json.dumps(shop.body(number)).encode()
    runs = []
    keys = {f"{name}-{number:02}-{0:010}" for name in ("recorded", "repeated")}
    for key in sorted(keys):
        recorder.clear()
        status = asyncio.run(_post(face, shop.customers[number].api_key, key, body))
        assert status == 200, f"the order was refused with {status}"
        runs.append(recorder.statements)
    return template(runs[0], runs[1], keys=keys)


def _context(db: Database) -> Context:
    return Context(
        db=db,
        clock=SystemClock(),
        pepper=make.PEPPER,
        rules=make.RULES,
        poke=lambda _loop: None,
        version="bench",
    )


async def _post(face: Callable[..., Any], api_key: str, key: str, body: bytes) -> int:
    statuses: list[int] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body}

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    headers = [(b"x-api-key", api_key.encode()), (b"idempotency-key", key.encode())]
    scope = {
        "type": "http",
        "method": "POST",
        "path": _PATH,
        "root_path": "/api/v1",
        "query_string": b"",
        "headers": [*headers, (b"content-type", b"application/json")],
    }
    await face(scope, receive, send)
    return statuses[0]


def check(db: Database, *, at_least: int) -> None:
    """Nothing acknowledged is missing, nothing sold twice, every cent and every unit accounted for."""
    problems = db.read_now(_problems, at_least)
    assert not problems, "\n".join(problems)


def _problems(tx: Tx, at_least: int) -> Sequence[str]:
    problems = ledger.verify(tx)
    counted = {
        name: _number(tx, statement)
        for name, statement in {
            "instances": "SELECT COUNT(*) FROM instances",
            "claims": "SELECT COUNT(*) FROM claims",
            "holds": "SELECT COUNT(*) FROM holds",
            "records": "SELECT COUNT(*) FROM idempotency_records",
            "ordered events": "SELECT COUNT(*) FROM events WHERE type = 'instance.ordered'",
            "counted": "SELECT CAST(SUM(count) AS BIGINT) FROM instance_counts",
            "units": f"SELECT CAST(SUM({_UNITS} - free_units) AS BIGINT) FROM offers",
        }.items()
    }
    if len(set(counted.values())) != 1:
        problems.append(f"these should be one number: {counted}")
    if counted["instances"] < at_least:
        problems.append(f"{at_least} orders were acknowledged, {counted['instances']} are there")
    return problems


def _number(tx: Tx, statement: str) -> int:
    row = tx.one(statement)
    return 0 if row is None else int(row[0])

"""W8, deploy accept by replicas: orders a second on one PostgreSQL through one server and through two.

Beside them pgbench runs the very same statements, recorded from one order. Loops are off, as in W2, so that nothing
else writes; clients are shared out evenly. After each run the rows, holds, units and the ledger must agree.
"""

import sys
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

from bench import client, machine, raw, server, w2
from bench.databases import Databases, opened, pgbench
from bench.measure import Result, Sample, Step, interleave
from bench.options import Options
from bench.w2 import Shop

CLIENTS = 32
REPLICAS = (1, 2)
_LIMIT = f"pgbench, {CLIENTS} clients"


def run(databases: Databases, options: Options) -> list[Result]:
    if "postgresql" not in databases.engines:
        sys.stderr.write("W8 is left out: replicas need PostgreSQL\n")
        return []
    machine.pin(None)
    shop = w2.open_shop(databases, "postgresql")
    has_pgbench = pgbench() is not None
    if not has_pgbench:
        sys.stderr.write("W8 has nothing beside it: there is no pgbench here\n")
    limits = [Step(_LIMIT, "/s", lambda: _pgbench(databases, shop, options.seconds))] if has_pgbench else []
    steps = [
        Step(
            f"HTTP, {count} replica{'s' if count > 1 else ''}",
            "/s",
            lambda count=count: _http(databases, shop, count, options.seconds),  # type: ignore[misc]
            _LIMIT if has_pgbench else None,
        )
        for count in REPLICAS
    ]
    result = interleave("W8 deploy accept by replicas, postgresql", [*limits, *steps], rounds=options.rounds)
    databases.drop(shop.url)
    result.notes.append(f"{CLIENTS} clients in all; nothing pinned; loops off.")
    return [result]


def _pgbench(databases: Databases, shop: Shop, seconds: float) -> Sample:
    with databases.copied(shop.url) as url:
        return raw.pgbench(url, shop.templates, clients=CLIENTS, seconds=seconds)


def _http(databases: Databases, shop: Shop, count: int, seconds: float) -> Sample:
    with databases.copied(shop.url) as url:
        with ExitStack() as stack:
            served = [
                stack.enter_context(server.running("berth", url, databases.data_directory(url), pinned=False))
                for _ in range(count)
            ]
            with ThreadPoolExecutor(count) as threads:
                samples = list(threads.map(lambda one: _load(one, shop, CLIENTS // count, seconds), served))
        total = sum(sample.value for sample in samples)
        with opened(url) as db:
            w2.check(db, at_least=round(total * seconds))
    return Sample(
        total,
        p50_ms=_mean(sample.p50_ms for sample in samples),
        p99_ms=max(sample.p99_ms or 0.0 for sample in samples),
        cpu_us=_mean(sample.cpu_us for sample in samples),
        errors=sum(sample.errors for sample in samples),
    )


def _load(served: server.Server, shop: Shop, clients: int, seconds: float) -> Sample:
    return client.run(
        served.pid, served.port, shop.requests(), clients=clients, seconds=seconds, pinned=False
    )


def _mean(values: Iterable[float | None]) -> float:
    found = [value for value in values if value is not None]
    return sum(found) / len(found)

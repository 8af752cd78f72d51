"""X1, a contended claim: 64 clients want the 8 units of one type, beside the rate of orders that find enough.

Who gets a unit gives it back at once, so each round is an order and a deletion, and most orders are refused. What was
sold is counted in the database: in the order of the events, never more than there is.
"""

import asyncio
import time

import uvloop

from bench import machine, w2
from bench.databases import Databases, opened
from bench.measure import Result, Sample, Step, interleave, percentile
from bench.options import Options
from berth.base.db import Database, Tx
from berth.core import instances, ledger, waitlist
from berth.core.errors import NoCapacity
from berth.core.instances import OrderSpec
from tests import make
from tests.make import Customer

CLIENTS = 64
UNITS = 8
_CUSTOMERS = 16
_CREDIT = "1000000000"
_WARM_S = 0.3
_LIMIT = "W2 storage, 32 clients"
_TAKEN = "units taken"


def run(databases: Databases, options: Options) -> list[Result]:
    return [_run(databases, options, engine) for engine in databases.engines]


def _run(databases: Databases, options: Options, engine: str) -> Result:
    machine.pin(machine.SERVER_CORE if options.pinned and engine == "sqlite" else None)
    plenty = w2.open_shop(databases, engine)
    refusals: list[int] = []
    steps = [
        Step(_LIMIT, "/s", lambda: w2.storage(databases, plenty, 32, options.seconds)),
        Step(_TAKEN, "/s", lambda: _contend(databases, engine, options.seconds, refusals), _LIMIT, "≥ 50 %"),
    ]
    title = f"X1 {CLIENTS} clients for {UNITS} units, {engine}"
    result = interleave(title, steps, rounds=options.rounds)
    databases.drop(plenty.url)
    taken = result.line(_TAKEN)
    result.notes.append(
        f"Sold beyond the {UNITS} units: {taken.errors}. For each that was taken and given back,"
        f" {sum(refusals) / len(refusals) / (taken.median * options.seconds):.1f} orders were refused."
    )
    return result


def _contend(databases: Databases, engine: str, seconds: float, refusals: list[int]) -> Sample:
    url = databases.migrated(engine)
    try:
        with opened(url) as db:
            make.catalogue(db, make.offer(free=UNITS))
            customers = [make.project(db, credit=_CREDIT) for _ in range(_CUSTOMERS)]
            specs = [make.spec([make.ssh_key(db, customer.by).id]) for customer in customers]
            sample, refused = uvloop.run(_crowd(db, customers, specs, seconds))
            refusals.append(refused)
            problems = db.read_now(_problems)
            assert not problems, "\n".join(problems)
    finally:
        databases.drop(url)
    return sample


async def _crowd(
    db: Database, customers: list[Customer], specs: list[OrderSpec], seconds: float
) -> tuple[Sample, int]:
    latencies: list[float] = []
    refused = 0
    starts_at = time.perf_counter() + _WARM_S
    ends_at = starts_at + seconds

    async def want(number: int) -> None:
        nonlocal refused
        by, spec = customers[number % _CUSTOMERS].by, specs[number % _CUSTOMERS]
        while (began_at := time.perf_counter()) < ends_at:
            try:
                made = await db.write(waitlist.order, by, spec, waitlist.Rules(), make.RULES)
            except NoCapacity:
                refused += began_at >= starts_at
                continue
            if began_at >= starts_at:
                latencies.append(time.perf_counter() - began_at)
            # As it happens: a deletion is accepted, and later confirmed. Nothing was created for this one.
            ending = await db.write(instances.delete, by, made.id, make.RULES)
            await db.write(instances.gone, ending, make.RULES)

    await asyncio.gather(*(want(number) for number in range(CLIENTS)))
    ordered = sorted(latencies)
    sample = Sample(
        len(ordered) / seconds,
        p50_ms=percentile(ordered, 50) * 1e3,
        p99_ms=percentile(ordered, 99) * 1e3,
        errors=db.read_now(_oversold),
    )
    return sample, refused


def _oversold(tx: Tx) -> int:
    """By how many units more was out at once than there are, at most."""
    out = most = 0
    for (happened,) in tx.all(
        "SELECT type FROM events WHERE type IN ('instance.ordered', 'instance.deleted') ORDER BY seq"
    ):
        out += 1 if happened == "instance.ordered" else -1
        most = max(most, out)
    return max(0, most - UNITS)


def _problems(tx: Tx) -> list[str]:
    problems = ledger.verify(tx)
    free = tx.one("SELECT free_units, (SELECT COUNT(*) FROM claims) FROM offers")
    if free != (UNITS, 0):
        problems.append(f"all {UNITS} units were given back, yet free and claimed are {free}")
    return problems

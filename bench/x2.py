"""X2, the hand-off: from a unit that comes free to the deployment of whoever has waited for it longest.

Everybody waits with auto_deploy, each for a project of its own. Instances are deleted one at a time; the loops that do
the rest are the service's own, woken as it wakes them, over a provider in memory that takes no time. Beside them
somebody orders the type directly, again and again, who must get nothing while others wait. The clock runs from the
commit that gives the unit back to the commit that orders with it.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import uvloop

from bench import machine
from bench.databases import Databases, opened
from bench.measure import Result, Sample, Step, interleave, percentile
from bench.options import Options
from berth.app import LOOPS
from berth.base.clock import SystemClock
from berth.base.db import Database, Tx
from berth.core import instances, keys, ledger, projects, waitlist, webhooks
from berth.core.errors import NoCapacity
from berth.core.instances import Instance
from berth.core.waitlist import Rules, Wish
from berth.core.webhooks import Outcome
from berth.faces import huddle
from berth.loops.loop import Runner
from berth.loops.world import Courier, Letter, World
from tests import make
from tests.make import Customer
from tests.world.provider import Provider

CROWDS = (1_000, 10_000)
_HANDOFFS_PER_S = 70
"""Of `--seconds`: what is measured is a number of units, not a time."""
_LOOPS = {"waitlist", "provisioning"}
_CREDIT = 1_000_000_000
_AT_ONCE = 500
_WITHIN_S = 30.0
"""A unit that nobody has by then was not handed on."""
_DIRECT_EVERY_S = 0.02
_RULES = Rules()


@dataclass(frozen=True, slots=True)
class Line:
    """A database in which a crowd waits for units that `holder` has."""

    url: str
    holder: Customer
    direct: Customer
    direct_key: str


@dataclass(slots=True)
class Watch:
    """When the two commits were, as the process that makes them hears of them."""

    wake: Callable[[str], None] = lambda _name: None
    granted: asyncio.Event = field(default_factory=asyncio.Event)
    freed_at: float | None = None
    granted_at: float | None = None

    def signal(self, name: str) -> None:
        if name == "waitlist" and self.freed_at is None:
            self.freed_at = time.perf_counter()
        elif name == "provisioning" and self.freed_at is not None and self.granted_at is None:
            self.granted_at = time.perf_counter()
            self.granted.set()
        self.wake(name)

    def reset(self) -> None:
        self.freed_at = self.granted_at = None
        self.granted.clear()


def run(databases: Databases, options: Options) -> list[Result]:
    return [_run(databases, options, engine) for engine in databases.engines]


def _run(databases: Databases, options: Options, engine: str) -> Result:
    machine.pin(machine.SERVER_CORE if options.pinned and engine == "sqlite" else None)
    count = max(20, round(_HANDOFFS_PER_S * options.seconds))
    lines = {size: _line(databases, engine, size, count) for size in CROWDS}
    steps = [
        Step(
            f"{size:,} waiting",
            "ms",
            lambda size=size: _measure(databases, lines[size], count),  # type: ignore[misc]
            target="p99 ≤ 1000 ms, 0 errors",
        )
        for size in CROWDS
    ]
    result = interleave(f"X2 hand-off of a freed unit, {engine}", steps, rounds=options.rounds)
    for line in lines.values():
        databases.drop(line.url)
    result.notes.append(
        f"{count} units a round, one at a time. Errors are places that were served out of order, and direct orders"
        " that were accepted while somebody waited."
    )
    return result


def _line(databases: Databases, engine: str, size: int, count: int) -> Line:
    """`holder` has all `count` units, `size` projects wait for one each."""
    url = databases.migrated(engine)
    with opened(url) as db:
        make.catalogue(db, make.offer(free=count))
        holder, direct = (make.project(db, credit=str(_CREDIT)) for _ in range(2))
        for _ in range(count):
            make.instance(db, "running", holder.by)
        direct_key = make.ssh_key(db, direct.by).id
        for start in range(0, size, _AT_ONCE):
            db.write_now(_join, start, min(start + _AT_ONCE, size))
    return Line(url, holder, direct, direct_key)


def _join(tx: Tx, start: int, end: int) -> None:
    for number in range(start, end):
        made = projects.create(tx, f"waiting-{number}", pepper=make.PEPPER)
        by = projects.actor_of(projects.authenticate(tx, made.api_key, pepper=make.PEPPER))
        ledger.topup(tx, by, make.micros(str(_CREDIT)), reference=f"waiting-{number}")
        key = keys.add(tx, by, name="laptop", public_key=make.public_key())
        wish = Wish(make.H100, "FIN-01", is_auto=True, config=make.spec([key.id], location=""))
        waitlist.join(tx, by, wish, _RULES, make.RULES)


def _measure(databases: Databases, line: Line, count: int) -> Sample:
    with databases.copied(line.url) as url, opened(url) as db:
        latencies, overtaken = uvloop.run(_hand_on(db, line))
        assert len(latencies) == count
        problems = db.read_now(_problems, count, overtaken)
        assert not problems, "\n".join(problems)
        errors = db.read_now(_out_of_order) + overtaken
    ordered = sorted(latencies)
    p50, p99 = (percentile(ordered, percent) * 1e3 for percent in (50, 99))
    return Sample(p50, p50_ms=p50, p99_ms=p99, errors=errors)


async def _hand_on(db: Database, line: Line) -> tuple[list[float], int]:
    """Seconds from each unit's freedom to its next order, and how many direct orders got one."""
    watch = Watch()
    db.on_signal = watch.signal
    runner = Runner(_world(db), [loop for loop in LOOPS if loop.name in _LOOPS])
    watch.wake = runner.poke
    runner.start()
    direct = asyncio.create_task(_order_directly(db, line))
    latencies = []
    try:
        for held in await db.read(_held, line.holder):
            watch.reset()
            await db.write(instances.delete, line.holder.by, held.id, make.RULES)
            runner.poke("provisioning")  # as the face does that accepts a deletion
            async with asyncio.timeout(_WITHIN_S):
                await watch.granted.wait()
            assert watch.freed_at is not None
            assert watch.granted_at is not None
            latencies.append(watch.granted_at - watch.freed_at)
    finally:
        direct.cancel()
        await runner.stop(grace_s=5.0)
    failures = {name: health.last_failure for name, health in runner.health.items() if health.failures}
    assert not failures, failures
    return latencies, await db.read(_overtaken, line.direct)


async def _order_directly(db: Database, line: Line) -> None:
    while True:
        with contextlib.suppress(NoCapacity):
            spec = make.spec([line.direct_key])
            await db.write(waitlist.order, line.direct.by, spec, _RULES, make.RULES)
        await asyncio.sleep(_DIRECT_EVERY_S)


def _world(db: Database) -> World:
    clock = SystemClock()
    provider = Provider(clock, capacity={make.offer().provider_offer_id: 10**6})

    async def answers(_ip: str, _port: int, _wait_s: float) -> bool:
        return True

    async def post(_letter: Letter) -> Outcome:
        raise AssertionError("nobody has a webhook")

    return World(
        db=db,
        clock=clock,
        drivers={provider.name: provider},
        install_id=db.write_now(projects.installation_id),
        holder="bench",
        probe=answers,
        courier=Courier(post, huddle.render, make.PEPPER, webhooks.Rules()),
        waiting=_RULES,
    )


def _held(tx: Tx, holder: Customer) -> list[Instance]:
    rows = tx.all(
        "SELECT id FROM instances WHERE project_id = :project AND status = 'running' ORDER BY id",
        project=holder.id,
    )
    return [instances.get(tx, holder.by, row[0]) for row in rows]


def _overtaken(tx: Tx, direct: Customer) -> int:
    """Direct orders that were accepted while somebody waited."""
    row = tx.one("SELECT COUNT(*) FROM instances WHERE project_id = :project", project=direct.id)
    return 0 if row is None else int(row[0])


def _out_of_order(tx: Tx) -> int:
    """Grants whose place in line was not the next."""
    served = [
        row[0]
        for row in tx.all(
            "SELECT w.ticket FROM events e JOIN waitlist_entries w ON w.id = e.subject"
            " WHERE e.type = 'waitlist.deploying' ORDER BY e.seq"
        )
    ]
    first = [row[0] for row in tx.all("SELECT ticket FROM waitlist_entries ORDER BY ticket")][: len(served)]
    return sum(ticket != due for ticket, due in zip(served, first, strict=True))


def _problems(tx: Tx, count: int, overtaken: int) -> list[str]:
    """Every unit went to one who waited, each of whom has one; lines and balances agree with their rows."""
    problems = [*ledger.verify(tx), *waitlist.verify(tx)]
    found = tx.one(
        "SELECT (SELECT COUNT(*) FROM waitlist_deployments), (SELECT COUNT(DISTINCT entry_id) FROM"
        " waitlist_deployments), (SELECT COUNT(*) FROM claims)"
    )
    if found != (count, count, count + overtaken):
        problems.append(f"{count} units were handed on; deployments, entries and claims are {found}")
    return problems

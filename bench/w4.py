"""W4, the metering tick: every running instance is charged once, beside the raw `INSERT … SELECT` of the same rows.

The accounts are a tenth of the instances, and each has a volume. In the worst tick all are due at once; a usual one,
ten seconds after the last, has a sixtieth of the instances. With volumes it is the whole tick of the loop, and the
worst comes an hour after the last, when every volume is due too. The raw rows are the finished ones, copied in the
same order by one statement into the same table with the same indexes, or into one that has no indexes.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from bench import generated, machine
from bench.databases import Databases, TurnedClock, opened
from bench.generated import TICK
from bench.measure import Result, Sample, Step, interleave
from bench.options import Options
from berth.base.clock import HOUR, SECOND, Instant
from berth.base.db import Database, Tx
from berth.core import billing, ledger
from berth.core.billing import rates

_USUAL = 10 * SECOND
_LIMIT = "raw, same indexes"
_BARE = "raw, no indexes"
_WORST = "all due at once"
_USUALLY = "usual tick of ten seconds"
_WITH_VOLUMES = ", with volumes"
# Beside the service's schema: the rows of one tick, of instances alone and with volumes, and where to put them
# without indexes.
_SOURCE, _SOURCE_WITH_VOLUMES, _TABLE_BARE = "bench_source", "bench_source_all", "bench_bare"
_EMPTY = "CREATE TABLE {} AS SELECT * FROM entries WHERE seq < 0"
_COPY = "INSERT INTO {} SELECT * FROM {} ORDER BY seq"


@dataclass(frozen=True, slots=True)
class Fleet:
    """A database with running instances and with volumes, and with the rows of its next ticks beside them."""

    url: str
    count: int
    volumes: int
    swept_at: Instant


def run(databases: Databases, options: Options) -> list[Result]:
    return [result for engine in databases.engines for result in _run(databases, options, engine)]


def _run(databases: Databases, options: Options, engine: str) -> list[Result]:
    machine.pin(machine.SERVER_CORE if options.pinned and engine == "sqlite" else None)
    results = []
    for size in options.sizes:
        fleet = _fleet(databases, engine, size)
        raw, tick = partial(_raw, databases, fleet), partial(_tick, databases, fleet)
        whole = partial(tick, with_volumes=True)
        target = "≤ 2.5×, ≤ 1 s at 1M" if engine == "sqlite" else "≤ 2×"
        all_limit = _LIMIT + _WITH_VOLUMES
        steps = [
            Step(_LIMIT, "s", partial(raw, _SOURCE, "entries")),
            Step(_BARE, "s", partial(raw, _SOURCE, _TABLE_BARE)),
            Step(_WORST, "s", partial(tick, TICK), _LIMIT, target),
            Step(_USUALLY, "s", partial(tick, _USUAL)),
            Step(all_limit, "s", partial(raw, _SOURCE_WITH_VOLUMES, "entries")),
            Step(_WORST + _WITH_VOLUMES, "s", partial(whole, HOUR), all_limit, target),
            Step(_USUALLY + _WITH_VOLUMES, "s", partial(whole, _USUAL)),
        ]
        title = f"W4 metering tick at {size:,} running instances, {engine}"
        result = interleave(title, steps, rounds=options.rounds)
        bare = result.line(_WORST).median / result.line(_BARE).median
        result.notes.append(f"All due at once takes {bare:.1f}× the copy into a table without indexes.")
        result.notes.append(f"With {fleet.volumes:,} volumes, all of them due in the worst tick.")
        results.append(result)
        databases.drop(fleet.url)
    if len(results) > 1:
        times = [result.line(_WORST).median for result in results]
        results[-1].notes.append(
            f"{times[-1] / times[0]:.1f}× the time for {options.sizes[0]:,}; target ≤ 12×."
        )
    return results


def _fleet(databases: Databases, engine: str, count: int) -> Fleet:
    url = databases.migrated(engine)
    clock = TurnedClock()
    swept_at = Instant(clock.at - clock.at % TICK)
    clock.at = swept_at
    with opened(url, clock) as db:
        generated.running(db, count, swept_at=swept_at)
        volumes = generated.volumes(db, count, swept_at=swept_at)
        generated.analyze(db, ["accounts", "segments", "storage_segments", "holds"])
        db.write_now(_create, _TABLE_BARE)
    for source, length in ((_SOURCE, TICK), (_SOURCE_WITH_VOLUMES, HOUR)):
        with databases.copied(url) as finished, opened(finished, clock) as db:
            # The rows as they will be, taken from a copy, so that the limit is that of exactly these.
            clock.at = Instant(swept_at + length)
            _sweep(db, with_volumes=source == _SOURCE_WITH_VOLUMES)
            rows = db.read_now(_rows)
        with opened(url, clock) as db:
            db.write_now(_keep, source, rows)
    return Fleet(url, count, volumes, swept_at)


def _sweep(db: Database, *, with_volumes: bool) -> int:
    """As the loop does it."""
    charged = db.write_now(billing.sweep)
    return charged + db.write_now(billing.sweep_storage) if with_volumes else charged


def _rows(tx: Tx) -> list[dict[str, object]]:
    return [
        dict(zip(_COLUMNS, row, strict=True))
        for row in tx.all(f"SELECT {', '.join(_COLUMNS)} FROM entries ORDER BY seq")
    ]


_COLUMNS = (
    "seq",
    "account_id",
    "code",
    "subject",
    "tick",
    "amount_micros",
    "balance_after_micros",
    "period_start_at",
    "period_end_at",
    "seconds",
    "price_micros_per_hour",
    "is_final",
    "note",
    "created_at",
)


def _create(tx: Tx, table: str) -> None:
    tx.run(_EMPTY.format(table))


def _keep(tx: Tx, source: str, rows: list[dict[str, object]]) -> None:
    _create(tx, source)
    values = ", ".join(f":{column}" for column in _COLUMNS)
    tx.run_many(f"INSERT INTO {source} ({', '.join(_COLUMNS)}) VALUES ({values})", rows)


def _raw(databases: Databases, fleet: Fleet, source: str, table: str) -> Sample:
    with databases.copied(fleet.url) as url, opened(url) as db:
        return _timed(lambda: db.write_now(_copy, source, table), fleet)


def _copy(tx: Tx, source: str, table: str) -> int:
    return tx.run(_COPY.format(table, source))


def _tick(databases: Databases, fleet: Fleet, length: int, *, with_volumes: bool = False) -> Sample:
    clock = TurnedClock()
    clock.at = Instant(fleet.swept_at + length)
    with databases.copied(fleet.url) as url, opened(url, clock) as db:
        sample = _timed(lambda: _sweep(db, with_volumes=with_volumes), fleet)
        problems = db.read_now(_problems, fleet, length)
        problems += db.read_now(_storage_problems, fleet, length if with_volumes else 0)
        assert not problems, "\n".join(problems)
        assert _sweep(db, with_volumes=with_volumes) == 0, "a tick was charged twice"
    return sample


def _timed(work: Callable[[], object], fleet: Fleet) -> Sample:
    """Seconds; and where the engine is in this process, its CPU for each instance that is running."""
    cpu_before, started_at = time.process_time(), time.perf_counter()
    work()
    elapsed_s, cpu_s = time.perf_counter() - started_at, time.process_time() - cpu_before
    is_here = fleet.url.startswith("sqlite")
    return Sample(elapsed_s, cpu_us=cpu_s * 1e6 / fleet.count if is_here else None)


def _problems(tx: Tx, fleet: Fleet, length: int) -> list[str]:
    """Every instance that was due is charged once, to the micro-dollar, and every account agrees with its rows."""
    problems = ledger.verify(tx)
    due = tx.all(
        "SELECT price_micros_per_hour, (CAST(:swept_at AS BIGINT) - started_at) / :tick AS paid,"
        " (CAST(:now AS BIGINT) - started_at) / :tick AS ticks, COUNT(*) FROM segments"
        " GROUP BY price_micros_per_hour, paid, ticks",
        swept_at=fleet.swept_at,
        now=fleet.swept_at + length,
        tick=TICK,
    )
    expected = sum(
        count * (rates.total(price, ticks * rates.TICK_S) - rates.total(price, paid * rates.TICK_S))
        for price, paid, ticks, count in due
    )
    count = sum(count for _, paid, ticks, count in due if ticks > paid)
    found = tx.one(
        "SELECT COUNT(*), CAST(SUM(-amount_micros) AS BIGINT), COUNT(DISTINCT subject) FROM entries"
        " WHERE code = 'usage'"
    )
    if found != (count, expected, count):
        problems.append(f"rows, money and instances should be {(count, expected, count)} and are {found}")
    if length == TICK and count != fleet.count:
        problems.append(f"all {fleet.count} should have been due, {count} were")
    return problems


def _storage_problems(tx: Tx, fleet: Fleet, length: int) -> list[str]:
    """Every volume whose hour is full is charged once, to the micro-dollar."""
    swept_to = Instant(fleet.swept_at + length)
    count = expected = 0
    for price, started_at, phase, alike in tx.all(
        "SELECT micros_per_month, started_at, phase, COUNT(*) FROM storage_segments"
        " GROUP BY micros_per_month, started_at, phase"
    ):
        paid, used = (rates.storage_paid_s(started_at, phase, at) for at in (fleet.swept_at, swept_to))
        count += alike if used > paid else 0
        expected += alike * (rates.monthly(price, used) - rates.monthly(price, paid))
    found = tx.one(
        "SELECT COUNT(*), CAST(COALESCE(SUM(-amount_micros), 0) AS BIGINT), COUNT(DISTINCT subject) FROM entries"
        " WHERE code = 'storage'"
    )
    problems = []
    if found != (count, expected, count):
        problems.append(f"rows, money and volumes should be {(count, expected, count)} and are {found}")
    if length == HOUR and count != fleet.volumes:
        problems.append(f"all {fleet.volumes} volumes should have been due, {count} were")
    return problems

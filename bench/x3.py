"""X3, overshoot: how far past zero a balance goes, and for how long, with 1, 1,000 and 10,000 running deployments.

The worst case of the sweep: the last look came a second before the balance was used up, so that a whole period passes
before the next. Grace is 0, so that the figure is that of the machinery alone; whatever grace is configured adds its
seconds. The period is not waited for: the clock is turned over it, then runs as it does, and the loop's own tick
settles, decides and orders every stop. The limit is what the period burns: what nobody who looks once a period can
keep from being spent.
"""

import asyncio
import time
from dataclasses import dataclass, replace

from bench import generated, machine
from bench.databases import Databases, TurnedClock, opened
from bench.measure import Result, Sample, Step, interleave
from bench.options import Options
from berth.base.clock import SECOND, Instant, after
from berth.base.db import Database, Tx
from berth.base.money import USD, Micros
from berth.core import billing, ledger
from berth.core.billing import Rules, State
from berth.core.ledger import Code, Posting
from berth.loops import credit
from tests import make
from tests.world.world import World

SIZES = (1, 1_000, 10_000)
RULES = Rules(grace_s=0)
_LASTS_S = 300
"""From the start of all to the zero of the balance: within the first tick, so that nothing is charged before."""
_LIMIT = "burn of the sweep's period"
_OVERSHOOT = "debt when all is stopped"


class PassingClock(TurnedClock):
    """Goes on from where it was turned to."""

    def __init__(self) -> None:
        super().__init__()
        self.set(self.at)

    def set(self, instant: Instant) -> None:
        self.at, self._since = instant, time.perf_counter()

    def now(self) -> Instant:
        return Instant(self.at + int((time.perf_counter() - self._since) * SECOND))


@dataclass(frozen=True, slots=True)
class Fleet:
    """One customer's running instances, whose balance is used up at `zero_at`."""

    url: str
    count: int
    account: str
    zero_at: Instant
    burn: int
    """Micro-dollars an hour."""


@dataclass(frozen=True, slots=True)
class Outcome:
    stopped_after_s: float
    """From the first second past zero to the last stop ordered."""
    stops_s: float
    """From the look that found it out to the last stop ordered."""
    past_zero: int
    """Micro-dollars of debt."""
    given_away: float
    """Micro-dollars of what still ran while the stops were ordered one after another: nobody is charged for it."""


def run(databases: Databases, options: Options) -> list[Result]:
    sizes = SIZES[:2] if options.is_quick else SIZES
    return [_measure(databases, engine, size, options) for engine in databases.engines for size in sizes]


def _measure(databases: Databases, engine: str, count: int, options: Options) -> Result:
    machine.pin(machine.SERVER_CORE if options.pinned and engine == "sqlite" else None)
    fleet = _fleet(databases, engine, count)
    found: list[Outcome] = []

    def stop_all() -> Sample:
        found.append(_run_out(databases, fleet))
        return Sample(found[-1].stopped_after_s)

    burnt = fleet.burn * credit.PERIOD_S / 3600 / USD
    steps = [
        Step(_LIMIT, "$", lambda: Sample(burnt)),
        Step("from zero to the last stop ordered", "s", stop_all),
        Step("from the look to the last stop ordered", "s", lambda: Sample(found[-1].stops_s)),
        Step(_OVERSHOOT, "$", lambda: Sample(found[-1].past_zero / USD), _LIMIT, "≤ 1×"),
        Step("used after that and not charged", "$", lambda: Sample(found[-1].given_away / USD)),
    ]
    title = f"X3 overshoot with {count:,} running deployments, {engine}"
    result = interleave(title, steps, rounds=options.rounds)
    result.notes.append(
        f"${fleet.burn / USD:,.2f} an hour; a look every {credit.PERIOD_S:.0f} s, grace 0: the configured grace"
        f" ({Rules().grace_s} s by default) adds its own burn, ${fleet.burn * Rules().grace_s / 3600 / USD:,.2f}."
    )
    databases.drop(fleet.url)
    return result


def _fleet(databases: Databases, engine: str, count: int) -> Fleet:
    url = databases.migrated(engine)
    clock = TurnedClock()
    zero_at = after(clock.at, seconds=_LASTS_S)
    with opened(url, clock) as db:
        owner = make.project(db)
        generated.instances(db, owner, count)
        generated.metered(db, owner, started_at=clock.at)
        generated.analyze(db, ["instances", "segments"])
        clock.at = zero_at
        now = db.read_now(billing.balance, owner.id, RULES)
        correction = Posting(Code.ADJUSTMENT, "bench", 0, Micros(-now.effective))
        db.write_now(ledger.post, owner.id, correction)
    return Fleet(url, count, owner.id, zero_at, now.burn_micros_per_hour)


def _run_out(databases: Databases, fleet: Fleet) -> Outcome:
    clock = PassingClock()
    with databases.copied(fleet.url) as url, opened(url, clock) as db:
        world = replace(World(db, clock, rules=RULES).loops, db=db)
        clock.set(after(fleet.zero_at, seconds=-1))
        asyncio.run(credit.tick(world))
        assert db.read_now(billing.balance, fleet.account, RULES).state in {State.ACTIVE, State.LOW}
        looked_at = after(fleet.zero_at, seconds=int(credit.PERIOD_S))
        clock.set(looked_at)
        asyncio.run(credit.tick(world))
        return _outcome(db, fleet, looked_at)


def _outcome(db: Database, fleet: Fleet, looked_at: Instant) -> Outcome:
    """All are stopped, once each, and the books agree."""
    stops, of, last, waited = db.read_now(_stops, looked_at)
    now = db.read_now(billing.balance, fleet.account, RULES)
    assert stops == of == fleet.count, f"{stops} stops of {of} instances, and {fleet.count} ran"
    assert (now.state, now.burn_micros_per_hour, now.accrued) == (State.SUSPENDED, 0, 0), now
    assert db.read_now(ledger.verify) == []
    return Outcome(
        (last - fleet.zero_at) / SECOND,
        (last - looked_at) / SECOND,
        -now.balance,
        fleet.burn / fleet.count * waited / SECOND / 3600,
    )


def _stops(tx: Tx, looked_at: Instant) -> tuple[int, int, Instant, int]:
    """Stops ordered, of how many, the last of them, and the microseconds from the look to each, all together."""
    row = tx.one(
        "SELECT COUNT(*), COUNT(DISTINCT subject), MAX(created_at), CAST(SUM(created_at - :looked_at) AS BIGINT)"
        " FROM events WHERE type = 'instance.stop_wanted'",
        looked_at=looked_at,
    )
    assert row is not None
    return row[0], row[1], Instant(row[2] or 0), row[3] or 0

"""Many rows at once, set by set and straight into the tables, the same on both engines: only for measuring."""

from collections.abc import Sequence

from bench.recording import RecordingDatabase
from berth.base.clock import HOUR, SECOND
from berth.base.db import Database, Tx
from berth.core import instances as core_instances
from berth.core.billing.rates import TICK_S
from tests import make
from tests.make import Customer

_ZEROS = "0" * 26
PRICES = (1_710_000, 2_390_000, 890_000, 13_680_000, 451_337, 3_110_000, 19_990_000)
"""Micro-dollars an hour."""
TICK = TICK_S * SECOND
INSTANCES_PER_ACCOUNT = 10


def _id(number: str) -> str:
    """26 digits, which is an id as good as any."""
    text = f"('{_ZEROS}' || CAST({number} AS TEXT))"
    return f"substr({text}, length({text}) - 25, 26)"


def _numbers(count: int) -> str:
    return f"WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {count})"


def instances(db: Database, owner: Customer, count: int) -> None:
    """`count` instances of one customer, all like one that was really ordered, running and nothing due."""
    recorder = RecordingDatabase(db)
    make.ordered(recorder, owner.by)
    ordered = next(each for each in recorder.statements if each.text.startswith("INSERT INTO instances "))
    members = ordered.text[ordered.text.index("(") + 1 : ordered.text.index(")")].split(", ")
    changed = {
        "id": _id("n"),
        "status": "'running'",
        "hostname": "'train-' || CAST(n AS TEXT)",
        "created_at": f"CAST(:created_at AS BIGINT) - CAST(n AS BIGINT) * {SECOND}",
        "handle": "'at-provider-' || CAST(n AS TEXT)",
        "ip": "'192.0.2.7'",
        "ssh_port": "22",
        "first_running_at": f"CAST(:created_at AS BIGINT) - CAST(n AS BIGINT) * {SECOND}",
        "due_at": "NULL",
    }
    kept = {
        member: value
        for member, value in ordered.values.items()
        if member not in changed or member == "created_at"
    }
    selected = ", ".join(changed.get(member, _typed(member, kept.get(member))) for member in members)

    def fill(tx: Tx) -> None:
        tx.run(
            f"INSERT INTO instances ({', '.join(members)}) {_numbers(count)} SELECT {selected} FROM numbers",
            **{member: value for member, value in kept.items() if f":{member}" in selected},
        )
        tx.run(
            "INSERT INTO instance_counts (project_id, status, count) VALUES (:project, 'running', :count)",
            project=owner.id,
            count=count,
        )

    db.write_now(fill)


def _typed(member: str, value: object) -> str:
    if value is None:
        return "NULL"
    return f"CAST(:{member} AS {'BIGINT' if isinstance(value, int) else 'TEXT'})"


def running(db: Database, count: int, *, swept_at: int) -> None:
    """`count` segments that run since before `swept_at`, ten an account, spread over the ten minutes of a tick.

    One in a hundred has a hold, as an instance has in its first ten minutes.
    """
    accounts = count // INSTANCES_PER_ACCOUNT
    price = "CASE n % 7 " + " ".join(f"WHEN {n} THEN {price}" for n, price in enumerate(PRICES)) + " END"
    started_at = f"CAST(:swept_at AS BIGINT) - ((CAST(n AS BIGINT) * 7919) % {TICK_S}) * {SECOND} - {TICK}"
    steps = (
        (
            "INSERT INTO accounts (id, balance_micros, held_micros, created_at)"
            f" {_numbers(accounts)} SELECT {_id('n')}, 0, 0, 0 FROM numbers"
        ),
        (
            "INSERT INTO segments (subject, number, account_id, price_micros_per_hour, started_at, ended_at, before_s,"
            f" first_tick, phase) {_numbers(count)} SELECT {_id('n')}, 1, {_id(f'(n - 1) % {accounts} + 1')}, {price},"
            f" {started_at}, NULL, 0, 0, ({started_at}) % {TICK} FROM numbers"
        ),
        (
            "INSERT INTO holds (subject, account_id, amount_micros, created_at)"
            " SELECT subject, account_id, 1000, 0 FROM segments WHERE subject LIKE '%00'"
        ),
        (
            "UPDATE accounts SET held_micros = held.amount FROM (SELECT account_id, CAST(SUM(amount_micros) AS BIGINT)"
            " AS amount FROM holds GROUP BY account_id) AS held WHERE held.account_id = accounts.id"
        ),
        "INSERT INTO sweeps (name, swept_at) VALUES ('ticks', :swept_at)",
    )

    def fill(tx: Tx) -> None:
        for step in steps:
            tx.run(step, **({"swept_at": swept_at} if ":swept_at" in step else {}))

    db.write_now(fill)


def metered(db: Database, owner: Customer, *, started_at: int) -> None:
    """A clock for each running instance of `owner`, all since `started_at`; what never ran is deleted."""

    def fill(tx: Tx) -> None:
        for (ordered,) in tx.all("SELECT id FROM instances WHERE status = 'ordered'"):
            core_instances.delete(tx, owner.by, ordered, make.RULES)
        tx.run(
            "INSERT INTO segments (subject, number, account_id, price_micros_per_hour, cost_micros_per_hour, started_at,"
            " ended_at, before_s, first_tick, phase) SELECT id, 1, project_id, price_micros_per_hour,"
            " cost_micros_per_hour, :started_at, NULL, 0, 0, :phase FROM instances WHERE status = 'running'",
            started_at=started_at,
            phase=started_at % TICK,
        )

    db.write_now(fill)


def volumes(db: Database, instances: int, *, swept_at: int) -> int:
    """A volume for each account that `running` made for so many instances, spread over the hour of a tick. Returns how
    many.
    """
    count = instances // INSTANCES_PER_ACCOUNT
    steps = (
        (
            "INSERT INTO storage_segments (subject, number, account_id, micros_per_month, cost_micros_per_month,"
            " started_at, ended_at, before_s, before_micros, first_tick, phase)"
            f" {_numbers(count)} SELECT 'volume-' || CAST(n AS TEXT), 1, {_id('n')}, 20000000 + n % 7 * 1000001, 0,"
            f" CAST(:swept_at AS BIGINT) - {3 * HOUR}, NULL, 0, 0, 0, ((CAST(n AS BIGINT) * 7919) % 3600) * {SECOND}"
            " FROM numbers"
        ),
        "INSERT INTO sweeps (name, swept_at) VALUES ('storage', :swept_at)",
    )

    def fill(tx: Tx) -> None:
        for step in steps:
            tx.run(step, swept_at=swept_at)

    db.write_now(fill)
    return count


def analyze(db: Database, tables: Sequence[str]) -> None:
    """What a database does by itself in time: statistics for its planner."""

    def run(tx: Tx) -> None:
        for table in tables:
            tx.run(f"ANALYZE {table}")

    db.write_now(run)

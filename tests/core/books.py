"""What must hold of the books at every commit, whatever happened before."""

from itertools import groupby, pairwise

from berth.base.db import Database, Row, Tx
from berth.core import billing, ledger
from berth.core.billing import rates

_DEBITS = ("usage", "minimum", "refund")


def rows(db: Database, statement: str) -> list[Row]:
    return db.read_now(lambda tx: tx.all(statement))


def clear(db: Database) -> None:
    """Forgets all money and all that was ordered: checking the next example is not checking those before again."""
    for table in (
        "entries",
        "holds",
        "segments",
        "storage_segments",
        "accounts",
        "instances",
        "instance_counts",
        "claims",
        "offers",
        "waitlist_entries",
        "waitlist_deployments",
        "waiting_lines",
    ):
        db.write_now(_run, f"DELETE FROM {table}")


def amounts(db: Database, account: str, subject: str | None = None) -> list[int]:
    """The rows of an account, or of one subject of it, oldest first; debits are negative."""
    return [row[0] for row in _entries(db, account) if subject is None or row[1] == subject]


def codes(db: Database, account: str, subject: str) -> list[tuple[str, int]]:
    return [(row[2], row[0]) for row in _entries(db, account) if row[1] == subject]


def balances(db: Database, account: str) -> list[int]:
    """The balance after each row, oldest first."""
    return [row[3] for row in _entries(db, account)]


def assert_exact(db: Database) -> None:
    """Balances are sums, chains have no gap, holds add up, stretches do not overlap, and debits are totals."""
    assert db.read_now(ledger.verify) == []
    for (account,) in rows(db, "SELECT id FROM accounts ORDER BY id"):
        _assert_chain(db, account)
    segments = rows(
        db,
        "SELECT subject, number, started_at, ended_at, before_s + earlier_s, price_micros_per_hour, account_id"
        " FROM segments ORDER BY subject, number",
    )
    for subject in sorted({row[0] for row in segments}):
        _assert_subject(db, subject, [row for row in segments if row[0] == subject])
    stretches = rows(
        db,
        "SELECT subject, number, started_at, ended_at, before_s, micros_per_month, account_id, before_micros"
        " FROM storage_segments ORDER BY subject, number",
    )
    for subject in sorted({row[0] for row in stretches}):
        _assert_volume(db, subject, [row for row in stretches if row[0] == subject])


def _run(tx: Tx, statement: str) -> None:
    tx.run(statement)


def _entries(db: Database, account: str) -> list[Row]:
    return db.read_now(
        lambda tx: tx.all(
            "SELECT amount_micros, subject, code, balance_after_micros FROM entries WHERE account_id = :account"
            " ORDER BY seq",
            account=account,
        )
    )


def _assert_chain(db: Database, account: str) -> None:
    written = _entries(db, account)
    chain = [0, *(row[3] for row in written)]
    assert [after - before for before, after in pairwise(chain)] == [row[0] for row in written]


def _assert_in_turn(subject: str, stretches: list[Row]) -> int:
    """Seconds used in the stretches that have ended."""
    used_s = 0
    for _, number, started_at, ended_at, before_s, *_ in stretches:
        assert before_s == used_s, f"{subject}: stretch {number} forgets what came before"
        assert ended_at is None or ended_at >= started_at
        used_s += 0 if ended_at is None else (ended_at - started_at) // 1_000_000
    for earlier, later in pairwise(stretches):
        assert earlier[3] is not None, f"{subject}: an open stretch is followed by another"
        assert earlier[3] <= later[2], f"{subject}: stretches overlap"
    return used_s


def _assert_volume(db: Database, subject: str, stretches: list[Row]) -> None:
    """What was charged is the sum of what each stretch costs, and what is open is owed to the second."""
    _assert_in_turn(subject, stretches)
    cost = 0
    for _, _, started_at, ended_at, _, price, _, before in stretches:
        assert before == cost, f"{subject}: a stretch forgets what came before"
        cost += 0 if ended_at is None else rates.monthly(price, (ended_at - started_at) // 1_000_000)
    paid = -sum(amounts(db, stretches[-1][6], subject))
    bill = db.read_now(billing.bill, subject)
    assert bill.charged == paid
    if stretches[-1][3] is None:
        assert paid + bill.accrued == cost + rates.monthly(stretches[-1][5], bill.billed_s - stretches[-1][4])
    else:
        assert paid == cost
        assert not bill.is_charging


def _cost(segments: list[Row], used_s: int) -> int:
    """What `used_s` seconds cost: the total of each price, rounded once."""
    ends = [row[4] for row in segments[1:]] + [used_s]
    cost = 0
    for price, run in groupby(zip(segments, ends, strict=True), key=lambda pair: pair[0][5]):
        cost += rates.total(price, sum(end - row[4] for row, end in run))
    return cost


def _assert_subject(db: Database, subject: str, segments: list[Row]) -> None:
    used_s = _assert_in_turn(subject, segments)
    price, account = segments[-1][5], segments[-1][6]
    written = [(code, amount) for code, amount in codes(db, account, subject) if code in _DEBITS]
    paid = -sum(amount for _, amount in written)
    if segments[-1][3] is None:
        bill = db.read_now(billing.bill, subject)
        assert paid + bill.accrued == _cost(segments, bill.billed_s)
    elif any(code == "minimum" for code, _ in written):
        assert paid == rates.total(price, rates.MINIMUM_S)
        assert used_s < rates.MINIMUM_S
    else:
        assert paid == _cost(segments, used_s)

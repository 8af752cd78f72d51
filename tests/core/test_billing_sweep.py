"""Sweeps at any time, in any order with starts, stops and ends: the rows always add up to the time used."""

from itertools import count

from hypothesis import given
from hypothesis import strategies as st

from berth.base.clock import SECOND, Instant
from berth.base.db import Database
from berth.core import billing, events
from berth.core.billing import rates
from tests import make
from tests.conftest import FakeClock
from tests.core.books import amounts, assert_exact, clear, rows

TICK = 600
_numbers = count()

# Near the edges of a tick, or anywhere.
waits = st.one_of(
    st.sampled_from([0, 1, 599, 600, 601, 1199, 1200, 1201, 1800, 6000]).map(lambda s: s * SECOND),
    st.sampled_from([1, 599_999_999, 600_000_001]),
    st.integers(0, 4000 * SECOND),
)
steps = st.one_of(
    st.tuples(st.just("wait"), waits),
    st.tuples(st.sampled_from(["start", "pause", "finish"]), st.integers(0, 3)),
    st.tuples(st.sampled_from(["sweep", "topup"]), st.just(0)),
    st.tuples(st.just("lost"), st.integers(0, 3)),
)
prices = st.one_of(st.sampled_from([1_710_000, 32_000_000, 965_000, 1, 0]), st.integers(0, 10**10))


@given(prices=st.lists(prices, min_size=4, max_size=4), sequence=st.lists(steps, max_size=30))
def test_whatever_happens_the_books_are_exact(
    db: Database, clock: FakeClock, prices: list[int], sequence: list[tuple[str, int]]
) -> None:
    clear(db)
    accounts = [make.project(db).id for _ in range(2)]
    subjects = [f"subject-{next(_numbers)}" for _ in prices]
    ended: set[int] = set()
    before: dict[int, tuple[object, ...]] = {}
    for step, value in [*sequence, ("sweep", 0)]:
        number = value if step in {"start", "pause", "finish", "lost"} else 0
        account, subject, price = accounts[number % 2], subjects[number], prices[number]
        if step == "wait":
            clock.advance(micros=value)
        elif step == "sweep":
            db.write_now(billing.sweep)
        elif step == "topup":
            make.topup(db, events.system(accounts[0], "test"), "1")
        elif step == "start" and number not in ended:
            db.write_now(billing.start, account, subject, price)
        elif step == "pause":
            db.write_now(billing.pause, account, subject, clock.now())
        elif step in {"finish", "lost"} and number not in ended:
            at = clock.now() - (450 * SECOND if step == "lost" else 0)
            db.write_now(billing.finish, account, subject, price, Instant(at), with_minimum=step == "finish")
            ended.add(number)
        written = {row[0]: row for row in rows(db, "SELECT * FROM entries ORDER BY seq")}
        assert all(written[seq] == row for seq, row in before.items()), "a row that was written has changed"
        before = written
        assert_exact(db)


@given(
    price=prices,
    started_after=st.integers(0, 700 * SECOND),
    sweeps=st.lists(waits, max_size=12),
)
def test_sweeps_at_any_times_charge_whole_ticks_and_nothing_twice(
    db: Database, clock: FakeClock, price: int, started_after: int, sweeps: list[int]
) -> None:
    account, subject = make.project(db).id, f"subject-{next(_numbers)}"
    db.write_now(billing.sweep)
    clock.advance(micros=started_after)
    started_at = clock.now()
    db.write_now(billing.start, account, subject, price)
    for wait in sweeps:
        clock.advance(micros=wait)
        db.write_now(billing.sweep)
        ticks = (clock.now() - started_at) // (TICK * SECOND)
        assert -sum(amounts(db, account, subject)) == rates.total(price, ticks * TICK)
    db.write_now(billing.pause, account, subject, clock.now())


@given(
    prices=st.lists(prices, min_size=1, max_size=8),
    used=st.lists(st.integers(0, 10**5), min_size=8, max_size=8),
)
def test_the_statement_and_the_function_agree_on_every_price(
    db: Database, clock: FakeClock, prices: list[int], used: list[int]
) -> None:
    clear(db)
    account = make.project(db).id
    subjects = {f"subject-{next(_numbers)}": price for price in prices}
    for subject, price, first_s in zip(subjects, prices, used, strict=False):
        db.write_now(billing.start, account, subject, price)
        clock.advance(seconds=first_s)
        db.write_now(billing.pause, account, subject, clock.now())
        db.write_now(billing.start, account, subject, price)
    clock.advance(seconds=used[0])
    owed = make.balance(db, events.system(account, "test")).accrued
    bills = {subject: db.read_now(billing.bill, subject) for subject in subjects}
    assert owed == sum(bill.accrued for bill in bills.values())
    for subject, price in subjects.items():
        assert bills[subject].total == rates.total(price, bills[subject].billed_s)
    db.write_now(billing.sweep)
    assert_exact(db)
    for subject in subjects:
        db.write_now(billing.pause, account, subject, clock.now())
    assert_exact(db)


def test_hundreds_of_subjects_of_all_phases_are_charged_once_each(db: Database, clock: FakeClock) -> None:
    accounts = [make.project(db).id for _ in range(3)]
    for number in range(300):
        db.write_now(billing.start, accounts[number % 3], f"s{number:04}", 1_710_000)
        clock.advance(seconds=2)
    assert db.write_now(billing.sweep) == 1  # the first is 600 s old
    charged = 1
    for wait in (1, 7, 100, 91, 400):
        clock.advance(seconds=wait)
        charged += db.write_now(billing.sweep)
    assert charged == 300
    assert len(rows(db, "SELECT seq FROM entries WHERE code = 'usage'")) == 300
    assert_exact(db)
    clock.advance(seconds=2400)
    assert db.write_now(billing.sweep) == 300
    assert_exact(db)

"""A price that changes while the clock runs: each price's total is exact, whenever the change is noticed."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from berth.base.clock import SECOND, Instant
from berth.base.db import Database
from berth.base.money import from_usd
from berth.core import billing
from berth.core.billing import Unit, discounted, ends_at, rates
from tests import make
from tests.conftest import FakeClock
from tests.core.books import amounts, assert_exact, clear, codes

LIST, BOUND = from_usd("1.71"), discounted(from_usd("1.71"), 14)


def begin(db: Database, account: str, price: int = BOUND) -> None:
    db.write_now(billing.start, account, "i", price)


def reprice(db: Database, account: str, at: Instant, price: int = LIST) -> None:
    db.write_now(billing.reprice, account, "i", price, at)


def finish(db: Database, account: str, price: int = LIST) -> None:
    db.write_now(lambda tx: billing.finish(tx, account, "i", price, tx.now, with_minimum=True))


@pytest.mark.parametrize(
    ("price", "percentage", "bound"),
    [
        ("1.71", 14, 1_470_600),
        ("0.000001", 50, 1),
        ("0.000001", 51, 0),
        ("0.000003", 50, 2),
        ("0.965", 8, 887_800),
        ("32", 100, 0),
        ("32", 0, 32_000_000),
    ],
)
def test_a_discount_rounds_half_up(price: str, percentage: int, bound: int) -> None:
    assert discounted(from_usd(price), percentage) == bound


@pytest.mark.parametrize("is_swept", [True, False])
def test_each_price_is_paid_for_its_own_seconds(db: Database, clock: FakeClock, is_swept: bool) -> None:
    account = make.project(db).id
    begin(db, account)
    clock.advance(seconds=1000)
    if is_swept:
        db.write_now(billing.sweep)
    reprice(db, account, clock.now())
    assert_exact(db)
    clock.advance(seconds=601)
    if is_swept:
        db.write_now(billing.sweep)
    assert db.read_now(billing.bill, "i").billed_s == 1601
    assert_exact(db)
    finish(db, account)
    assert -sum(amounts(db, account, "i")) == rates.total(BOUND, 1000) + rates.total(LIST, 601)
    assert db.read_now(billing.bill, "i").total == rates.total(BOUND, 1000) + rates.total(LIST, 601)
    assert_exact(db)


@pytest.mark.parametrize("late_s", [1, 15, 599, 600, 1201, 7200])
@pytest.mark.parametrize("is_swept", [True, False])
def test_a_change_that_is_noticed_late_counts_from_when_it_was_due(
    db: Database, clock: FakeClock, late_s: int, is_swept: bool
) -> None:
    account = make.project(db).id
    begin(db, account)
    due_at = clock.advance(seconds=3590)
    clock.advance(seconds=late_s)
    if is_swept:
        db.write_now(billing.sweep)
    reprice(db, account, due_at)
    expected = rates.total(BOUND, 3590) + rates.total(LIST, late_s)
    assert db.read_now(billing.bill, "i").total == expected
    assert_exact(db)
    clock.advance(seconds=1900)
    db.write_now(billing.sweep)
    assert_exact(db)
    finish(db, account)
    assert -sum(amounts(db, account, "i")) == rates.total(BOUND, 3590) + rates.total(LIST, late_s + 1900)
    assert_exact(db)


def test_what_is_off_meanwhile_pays_the_new_price_from_its_next_start(db: Database, clock: FakeClock) -> None:
    account = make.project(db).id
    begin(db, account)
    clock.advance(seconds=700)
    db.write_now(lambda tx: billing.pause(tx, account, "i", tx.now))
    reprice(db, account, clock.now())
    assert [code for code, _ in codes(db, account, "i")] == ["usage"]
    clock.advance(seconds=5000)
    begin(db, account, LIST)
    clock.advance(seconds=900)
    finish(db, account)
    assert -sum(amounts(db, account, "i")) == rates.total(BOUND, 700) + rates.total(LIST, 900)
    assert_exact(db)


def test_seconds_up_to_an_instant_are_counted_over_all_stretches(db: Database, clock: FakeClock) -> None:
    account = make.project(db).id
    begun_at = clock.now()
    begin(db, account)
    clock.advance(seconds=700)
    db.write_now(lambda tx: billing.pause(tx, account, "i", tx.now))
    clock.advance(seconds=100)
    begin(db, account)
    clock.advance(seconds=50)

    def used(seconds: int) -> int:
        return db.read_now(billing.used_s, "i", Instant(begun_at + seconds * SECOND))

    assert [used(at) for at in (-5, 0, 699, 700, 790, 800, 820, 850)] == [0, 0, 699, 700, 700, 700, 720, 750]


STEPS = st.lists(
    st.tuples(st.sampled_from(["sweep", "settle", "pause", "start", "reprice"]), st.integers(0, 4000)),
    max_size=12,
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(steps=STEPS, prices=st.lists(st.integers(0, 10**8), min_size=12, max_size=12))
def test_whatever_happens_between_changes_of_price_the_books_are_exact(
    db: Database, clock: FakeClock, steps: list[tuple[str, int]], prices: list[int]
) -> None:
    clear(db)
    account = make.project(db, credit="1000").id
    price = 1_000_001
    begin(db, account, price)
    for (step, seconds), new in zip(steps, prices, strict=False):
        clock.advance(seconds=seconds)
        if step == "sweep":
            db.write_now(billing.sweep)
        elif step == "settle":
            db.write_now(billing.settle, account)
        elif step == "pause":
            db.write_now(lambda tx: billing.pause(tx, account, "i", tx.now))
        elif step == "start":
            begin(db, account, price)
        else:
            price = new
            reprice(db, account, Instant(clock.now() - seconds * SECOND // 2), price)
        assert_exact(db)
    finish(db, account, price)
    bill = db.read_now(billing.bill, "i")
    if bill.billed_s >= rates.MINIMUM_S:
        assert_exact(db)


@pytest.mark.parametrize(
    ("unit", "value", "terms", "expected"),
    [
        (Unit.HOUR, 1, 1, "1970-01-31T13:00:00Z"),
        (Unit.DAY, 2, 1, "1970-02-02T12:00:00Z"),
        (Unit.WEEK, 1, 2, "1970-02-14T12:00:00Z"),
        (Unit.MONTH, 1, 1, "1970-02-28T12:00:00Z"),
        (Unit.MONTH, 1, 2, "1970-03-31T12:00:00Z"),
        (Unit.MONTH, 3, 1, "1970-04-30T12:00:00Z"),
        (Unit.MONTH, 11, 1, "1970-12-31T12:00:00Z"),
        (Unit.MONTH, 25, 1, "1972-02-29T12:00:00Z"),
        (Unit.YEAR, 2, 1, "1972-01-31T12:00:00Z"),
    ],
)
def test_months_end_on_the_same_day_or_the_last_one(
    unit: Unit, value: int, terms: int, expected: str
) -> None:
    from berth.base.clock import DAY, HOUR, rfc3339

    since = Instant(30 * DAY + 12 * HOUR)
    assert rfc3339(ends_at(since, unit, value, terms=terms)) == expected

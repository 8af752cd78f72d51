"""What a volume costs: by the second, charged by the hour, whatever becomes of its price, the clock or the sweep."""

from decimal import Decimal
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from berth.base.clock import HOUR, SECOND, Instant
from berth.base.db import Database, Tx
from berth.base.money import from_usd
from berth.core import billing
from berth.core.billing import rates, storage
from berth.core.errors import InsufficientCredits
from tests import make
from tests.conftest import FakeClock
from tests.core.books import amounts, assert_exact, clear, codes, rows
from tests.core.together import failed, overlap

MONTHLY = from_usd("20")
"""100 GB at 0.20 USD."""
_numbers = count()


def start(db: Database, account: str, subject: str = "v", price: int = MONTHLY) -> None:
    db.write_now(billing.start_storage, account, subject, price)


def change(db: Database, account: str, price: int, subject: str = "v") -> None:
    db.write_now(billing.change_storage, account, subject, price)


def finish(db: Database, account: str, subject: str = "v", *, at: int | None = None) -> None:
    db.write_now(
        lambda tx: billing.finish_storage(tx, account, subject, tx.now if at is None else Instant(at))
    )


def turn_to_tick(clock: FakeClock, account: str) -> None:
    """To the next instant at which the volumes of `account` are charged."""
    clock.advance(micros=HOUR - (clock.now() - storage.phase_of(account)) % HOUR)


def test_a_gigabyte_second_is_the_published_one() -> None:
    per_second = Decimal("0.2") * 12 / 365 / 24 / 3600
    assert abs(per_second - Decimal("7.6103500761e-8")) < Decimal("1e-18")
    assert rates.monthly(from_usd("0.2"), 10**13 * 2_628_000) == from_usd("0.2") * 10**13
    assert rates.monthly(MONTHLY, 3600) == 27_397  # 0.0273972602739726 USD
    assert rates.monthly(MONTHLY, 3600 * 10**6) == 27_397_260_274
    assert rates.monthly(MONTHLY, 730 * 3600) == MONTHLY


@given(price=st.integers(0, 10**11), seconds=st.integers(0, 10**8))
def test_a_total_is_the_exact_price_rounded_half_up_once(price: int, seconds: int) -> None:
    assert abs(2 * rates.monthly(price, seconds) * rates.MONTH_S - 2 * price * seconds) <= rates.MONTH_S
    assert rates.monthly(price, seconds) <= rates.monthly(price, seconds + 1)


def test_volumes_of_an_account_are_charged_together_once_an_hour(db: Database, clock: FakeClock) -> None:
    customer = make.project(db)
    turn_to_tick(clock, customer.id)
    clock.advance(seconds=1000)
    started_at = clock.now()
    start(db, customer.id, "v")
    start(db, customer.id, "w", 1)
    clock.advance(seconds=2599)
    assert db.write_now(billing.sweep_storage) == 0
    clock.advance(seconds=1)
    assert [db.write_now(billing.sweep_storage) for _ in range(2)] == [2, 0]
    clock.advance(seconds=3600)
    assert db.write_now(billing.sweep_storage) == 2
    first, second = db.read_now(billing.charges, customer.by, "v", limit=10)
    assert (first.seconds, second.seconds, second.price_micros_per_hour) == (2600, 3600, 27_397)
    assert (first.period_start_at, first.period_end_at) == (started_at, started_at + 2600 * SECOND)
    assert (second.period_start_at, second.period_end_at) == (first.period_end_at, clock.now())
    assert -(first.amount + second.amount) == rates.monthly(MONTHLY, 6200)
    assert codes(db, customer.id, "w") == [("storage", 0), ("storage", 0)]
    assert_exact(db)


def test_an_outage_is_caught_up_in_one_row(db: Database, clock: FakeClock) -> None:
    customer = make.project(db)
    start(db, customer.id)
    db.write_now(billing.sweep_storage)
    clock.advance(seconds=50 * 3600 + 17)
    assert db.write_now(billing.sweep_storage) == 1
    (row,) = db.read_now(billing.charges, customer.by, "v", limit=10)
    assert row.amount == -rates.monthly(MONTHLY, row.seconds or 0)
    assert 49 * 3600 < (row.seconds or 0) <= 50 * 3600 + 17
    assert_exact(db)


def test_the_balance_is_live_and_burns_for_storage_too(db: Database, clock: FakeClock) -> None:
    customer = make.project(db, credit="50")
    start(db, customer.id)
    db.write_now(billing.start, customer.id, "i", from_usd("1.71"))
    clock.advance(seconds=100)
    state = make.balance(db, customer.by)
    assert state.accrued == 47_500 + rates.monthly(MONTHLY, 100)
    assert state.burn_micros_per_hour == 1_710_000 + 27_397
    clock.advance(seconds=7100)
    db.write_now(billing.sweep_storage)
    db.write_now(billing.sweep)
    state = make.balance(db, customer.by)
    used = rates.monthly(MONTHLY, 7200) + 2 * 1_710_000
    assert state.effective == 50_000_000 - used
    assert_exact(db)


def test_an_account_with_only_volumes_runs_down_to_a_refusal(db: Database, clock: FakeClock) -> None:
    customer = make.project(db, credit="0.000003")
    start(db, customer.id)
    db.write_now(billing.require_credit, customer.id)
    assert make.balance(db, customer.by).runway_s == 0
    clock.advance(seconds=1)
    with pytest.raises(InsufficientCredits, match="used up"):
        db.write_now(billing.require_credit, customer.id)


def test_the_gate_counts_what_storage_owes(db: Database, clock: FakeClock) -> None:
    customer = make.project(db, credit="20")
    start(db, customer.id)
    clock.advance(seconds=1)
    with pytest.raises(InsufficientCredits):
        db.write_now(billing.gate, customer.id, "i", 1, make.RULES)


def test_a_new_size_charges_the_old_one_to_the_second(db: Database, clock: FakeClock) -> None:
    customer = make.project(db)
    start(db, customer.id)
    clock.advance(seconds=100, micros=900_000)
    change(db, customer.id, 2 * MONTHLY)
    clock.advance(seconds=50, micros=200_000)
    finish(db, customer.id)
    paid = -sum(amounts(db, customer.id, "v"))
    assert paid == rates.monthly(MONTHLY, 100) + rates.monthly(2 * MONTHLY, 51)
    assert db.read_now(billing.bill, "v").billed_s == 151
    assert_exact(db)


def test_many_resizes_within_seconds_lose_no_time(db: Database, clock: FakeClock) -> None:
    customer = make.project(db)
    start(db, customer.id)
    for number in range(40):
        clock.advance(micros=300_000)
        change(db, customer.id, MONTHLY + number)
    finish(db, customer.id)
    assert db.read_now(billing.bill, "v").billed_s == 12
    assert_exact(db)


def test_an_end_is_final_and_charged_once(db: Database, clock: FakeClock) -> None:
    customer = make.project(db)
    start(db, customer.id)
    clock.advance(seconds=10)
    finish(db, customer.id)
    clock.advance(seconds=5000)
    finish(db, customer.id)
    change(db, customer.id, 7)
    assert db.write_now(billing.sweep_storage) == 0
    (row,) = db.read_now(billing.charges, customer.by, "v", limit=10)
    assert (row.is_final, row.amount, row.seconds) == (True, -rates.monthly(MONTHLY, 10), 10)
    assert make.balance(db, customer.by).burn_micros_per_hour == 0
    assert_exact(db)


def test_what_comes_back_from_the_trash_starts_anew(db: Database, clock: FakeClock) -> None:
    customer = make.project(db)
    start(db, customer.id)
    clock.advance(seconds=4000)
    finish(db, customer.id)
    clock.advance(seconds=90_000)
    db.write_now(billing.sweep_storage)
    start(db, customer.id)
    clock.advance(seconds=4000)
    db.write_now(billing.sweep_storage)
    finish(db, customer.id)
    assert -sum(amounts(db, customer.id, "v")) == 2 * rates.monthly(MONTHLY, 4000)
    assert_exact(db)


def test_starting_twice_is_one_start(db: Database, clock: FakeClock) -> None:
    customer = make.project(db)
    start(db, customer.id)
    clock.advance(seconds=30)
    start(db, customer.id, price=1)
    clock.advance(seconds=30)
    finish(db, customer.id)
    assert -sum(amounts(db, customer.id, "v")) == rates.monthly(MONTHLY, 60)


def test_an_end_dated_before_a_sweep_gives_back(db: Database, clock: FakeClock) -> None:
    customer = make.project(db)
    start(db, customer.id)
    gone_at = clock.now() + 60 * SECOND
    clock.advance(seconds=3 * 3600)
    db.write_now(billing.sweep_storage)
    finish(db, customer.id, at=gone_at)
    assert -sum(amounts(db, customer.id, "v")) == rates.monthly(MONTHLY, 60)
    assert [code for code, _ in codes(db, customer.id, "v")] == ["storage", "refund"]
    assert_exact(db)


def test_a_start_by_a_clock_behind_the_sweep_is_charged_from_its_start(
    db: Database, clock: FakeClock
) -> None:
    customer = make.project(db)
    turn_to_tick(clock, customer.id)
    db.write_now(billing.sweep_storage)
    clock.advance(seconds=-5)
    start(db, customer.id)
    assert make.balance(db, customer.by).accrued == 0
    clock.advance(seconds=3605)
    db.write_now(billing.sweep_storage)
    assert -sum(amounts(db, customer.id, "v")) == rates.monthly(MONTHLY, 3605)
    assert_exact(db)


def test_a_sweep_and_a_resize_at_once_miss_nothing(db: Database, clock: FakeClock) -> None:
    customer = make.project(db)
    start(db, customer.id)
    start(db, customer.id, "w")
    clock.advance(seconds=5000)
    failed(
        overlap(
            db,
            lambda tx: billing.change_storage(tx, customer.id, "v", 3 * MONTHLY),
            billing.sweep_storage,
        )
    )
    clock.advance(seconds=5000)
    failed(
        overlap(db, billing.sweep_storage, lambda tx: billing.finish_storage(tx, customer.id, "v", tx.now))
    )
    paid = -sum(amounts(db, customer.id, "v"))
    assert paid == rates.monthly(MONTHLY, 5000) + rates.monthly(3 * MONTHLY, 5000)
    assert_exact(db)


waits = st.one_of(
    st.sampled_from([0, 1, 599, 600, 3599, 3600, 3601, 7200, 90_000]).map(lambda s: s * SECOND),
    st.integers(0, 8000 * SECOND),
)
steps = st.one_of(
    st.tuples(st.just("wait"), waits),
    st.tuples(st.sampled_from(["start", "finish", "change", "lost", "crash"]), st.integers(0, 2)),
    st.tuples(st.just("sweep"), st.just(0)),
    st.tuples(st.just("back"), st.integers(0, 500 * SECOND)),
)
prices = st.one_of(st.sampled_from([MONTHLY, 1, 0, 2_628_000]), st.integers(0, 10**11))


class Crash(Exception):
    """The process dies before the commit."""


@given(prices=st.lists(prices, min_size=3, max_size=3), sequence=st.lists(steps, max_size=25))
def test_whatever_happens_the_books_are_exact(
    db: Database, clock: FakeClock, prices: list[int], sequence: list[tuple[str, int]]
) -> None:
    clear(db)
    account = make.project(db).id
    subjects = [f"volume-{next(_numbers)}" for _ in prices]
    for step, value in [*sequence, ("sweep", 0)]:
        number = value if step in {"start", "finish", "change", "lost", "crash"} else 0
        subject, price = subjects[number], prices[number]
        if step in {"wait", "back"}:
            clock.advance(micros=value if step == "wait" else -value)
        elif step == "sweep":
            db.write_now(billing.sweep_storage)
        elif step == "start":
            start(db, account, subject, price)
        elif step == "change":
            prices[number] = (price * 3 + 1) % 10**11
            change(db, account, prices[number], subject)
        elif step == "crash":
            with pytest.raises(Crash):
                db.write_now(crash, account, subject)
        else:
            finish(db, account, subject, at=clock.now() - (2000 * SECOND if step == "lost" else 0))
        assert_exact(db)


def crash(tx: Tx, account: str, subject: str) -> None:
    billing.change_storage(tx, account, subject, 5)
    billing.sweep_storage(tx)
    raise Crash


@given(wait=st.lists(waits, min_size=1, max_size=8), price=prices, offset=st.integers(0, HOUR))
def test_sweeps_at_any_times_charge_full_hours_and_nothing_twice(
    db: Database, clock: FakeClock, wait: list[int], price: int, offset: int
) -> None:
    clear(db)
    account = make.project(db).id
    clock.advance(micros=offset)
    started_at = clock.now()
    start(db, account, "v", price)
    for each in wait:
        clock.advance(micros=each)
        db.write_now(billing.sweep_storage)
        phase = storage.phase_of(account)
        paid_s = rates.storage_paid_s(started_at, phase, clock.now())
        assert -sum(amounts(db, account, "v")) == rates.monthly(price, paid_s)
        assert clock.now() - started_at - paid_s * SECOND < HOUR + rates.STORAGE_GRACE
    assert_exact(db)


@given(prices=st.lists(prices, min_size=1, max_size=6), seconds=st.integers(0, 10**6))
def test_the_statement_and_the_function_agree(
    db: Database, clock: FakeClock, prices: list[int], seconds: int
) -> None:
    clear(db)
    customer = make.project(db)
    subjects = [f"volume-{next(_numbers)}" for _ in prices]
    for subject, price in zip(subjects, prices, strict=True):
        start(db, customer.id, subject, price)
    clock.advance(seconds=seconds)
    state = make.balance(db, customer.by)
    assert state.accrued == sum(rates.monthly(price, seconds) for price in prices)
    assert state.burn_micros_per_hour == rates.hourly(sum(prices))
    db.write_now(billing.sweep_storage)
    assert sum(bill.accrued for bill in (db.read_now(billing.bill, each) for each in subjects)) == (
        make.balance(db, customer.by).accrued
    )
    assert_exact(db)


def test_volumes_of_many_accounts_are_charged_once_each(db: Database, clock: FakeClock) -> None:
    accounts = [make.project(db).id for _ in range(5)]
    for number in range(50):
        start(db, accounts[number % 5], f"v{number:03}")
        clock.advance(seconds=3)
    db.write_now(billing.sweep_storage)
    clock.advance(seconds=600)
    db.write_now(billing.sweep_storage)
    before = len(rows(db, "SELECT seq FROM entries WHERE code = 'storage'"))
    for wait in (1, 7, 100, 91, 1401, 2000):
        clock.advance(seconds=wait)
        db.write_now(billing.sweep_storage)
    assert len(rows(db, "SELECT seq FROM entries WHERE code = 'storage'")) == before + 50
    assert_exact(db)

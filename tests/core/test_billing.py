"""What time costs: the published vectors to the micro-dollar, one subject at a time."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from berth.base.clock import SECOND, Instant
from berth.base.db import Database
from berth.base.money import from_usd
from berth.core import billing, ledger
from berth.core.billing import rates
from tests import make
from tests.conftest import FakeClock
from tests.core.books import amounts, assert_exact, balances, codes, rows

VECTORS = {
    "1.71": [285000, 285475, 570000, 726750, 855000, 1710000],
    "0.965": [160833, 161101, 321667, 410125, 482500, 965000],
    "2.29": [381667, 382303, 763333, 973250, 1145000, 2290000],
    "32": [5333333, 5342222, 10666667, 13600000, 16000000, 32000000],
}
SECONDS = [600, 601, 1200, 1530, 1800, 3600]
PRICE = from_usd("1.71")


def start(db: Database, account: str, subject: str = "i", price: int = PRICE) -> None:
    db.write_now(billing.start, account, subject, price)


def finish(
    db: Database, account: str, subject: str = "i", price: int = PRICE, *, at: int | None = None
) -> None:
    db.write_now(
        lambda tx: billing.finish(
            tx, account, subject, price, tx.now if at is None else Instant(at), with_minimum=True
        )
    )


def pause(db: Database, account: str, subject: str = "i", *, at: int | None = None) -> None:
    db.write_now(lambda tx: billing.pause(tx, account, subject, tx.now if at is None else Instant(at)))


@pytest.mark.parametrize("price", VECTORS)
def test_a_total_is_the_published_one(price: str) -> None:
    assert [rates.total(from_usd(price), seconds) for seconds in SECONDS] == VECTORS[price]


@given(price=st.integers(0, 10**10), seconds=st.integers(0, 10**9))
def test_a_total_is_the_exact_price_rounded_half_up_once(price: int, seconds: int) -> None:
    exact_times_7200 = 2 * price * seconds
    assert abs(rates.total(price, seconds) * 7200 - exact_times_7200) <= 3600
    assert rates.total(price, seconds) <= rates.total(price, seconds + 1)


@given(price=st.integers(0, 10**10), seconds=st.integers(0, 2000))
def test_usage_and_minimum_together_are_the_price_of_ten_minutes_at_least(price: int, seconds: int) -> None:
    paid = rates.total(price, seconds) + rates.minimum(price, seconds)
    assert paid == rates.total(price, max(seconds, 600))
    assert rates.minimum(price, seconds) >= 0


def test_the_worked_example_charges_two_ticks_and_the_rest(db: Database, clock: FakeClock) -> None:
    customer = make.project(db, credit="50")
    start(db, customer.id)
    for _ in range(2):
        clock.advance(seconds=600)
        assert db.write_now(billing.sweep) == 1
    clock.advance(seconds=330)
    finish(db, customer.id)
    assert amounts(db, customer.id)[1:] == [-285000, -285000, -156750]
    assert balances(db, customer.id)[1:] == [49_715_000, 49_430_000, 49_273_250]
    assert_exact(db)


def test_a_tick_says_what_it_charged(db: Database, clock: FakeClock) -> None:
    customer = make.project(db)
    started_at = clock.now()
    start(db, customer.id)
    clock.advance(seconds=607)
    db.write_now(billing.sweep)
    clock.advance(seconds=3)
    finish(db, customer.id)
    tick, last = db.read_now(billing.charges, customer.by, "i", limit=1000)
    assert (tick.tick, tick.seconds, tick.price_micros_per_hour, tick.is_final) == (1, 600, PRICE, False)
    assert (tick.period_start_at, tick.period_end_at) == (started_at, started_at + 600 * SECOND)
    assert (last.tick, last.seconds, last.is_final, last.amount) == (2, 10, True, -4750)
    assert (last.period_start_at, last.period_end_at) == (started_at + 600 * SECOND, clock.now())


def test_two_minutes_cost_ten(db: Database, clock: FakeClock) -> None:
    customer = make.project(db)
    start(db, customer.id)
    clock.advance(seconds=120)
    finish(db, customer.id)
    assert codes(db, customer.id, "i") == [("usage", -57000), ("minimum", -228000)]
    assert_exact(db)


def test_ticks_of_an_odd_price_round_once_in_all(db: Database, clock: FakeClock) -> None:
    customer = make.project(db)
    start(db, customer.id, price=from_usd("32"))
    for _ in range(3):
        clock.advance(seconds=600)
        db.write_now(billing.sweep)
    assert amounts(db, customer.id, "i") == [-5333333, -5333334, -5333333]


@pytest.mark.parametrize("is_swept", [True, False])
@pytest.mark.parametrize(("seconds", "paid"), [(0, 285000), (599, 285000), (600, 285000), (601, 285475)])
def test_a_delete_around_ten_minutes_is_exact(
    db: Database, clock: FakeClock, seconds: int, paid: int, is_swept: bool
) -> None:
    customer = make.project(db)
    start(db, customer.id)
    clock.advance(seconds=seconds)
    if is_swept:
        db.write_now(billing.sweep)
    finish(db, customer.id)
    assert -sum(amounts(db, customer.id, "i")) == paid
    assert_exact(db)


def test_a_fraction_of_a_second_is_not_charged(db: Database, clock: FakeClock) -> None:
    customer = make.project(db)
    start(db, customer.id)
    clock.advance(seconds=600, micros=999_999)
    finish(db, customer.id)
    assert amounts(db, customer.id, "i") == [-285000]


def test_the_minimum_is_paid_once_over_several_stops(db: Database, clock: FakeClock) -> None:
    customer = make.project(db)
    for seconds in (100, 200, 50):
        start(db, customer.id)
        clock.advance(seconds=seconds)
        pause(db, customer.id)
        clock.advance(seconds=1000)
        db.write_now(billing.sweep)
    finish(db, customer.id)
    finish(db, customer.id)
    assert codes(db, customer.id, "i") == [
        ("usage", -47500),
        ("usage", -95000),
        ("usage", -23750),
        ("minimum", -118750),
    ]
    assert_exact(db)


def test_what_was_off_when_it_ended_has_a_last_row_too(db: Database, clock: FakeClock) -> None:
    customer = make.project(db)
    start(db, customer.id)
    clock.advance(seconds=700)
    pause(db, customer.id)
    clock.advance(seconds=3600)
    for _ in range(2):
        finish(db, customer.id)
    last = rows(db, "SELECT tick, is_final, amount_micros, seconds FROM entries WHERE tick > 0 ORDER BY seq")
    assert last == [(1, 0, -332_500, 700), (2, 1, 0, 0)]
    assert_exact(db)


def test_stopped_time_is_free_and_ticks_count_from_the_new_start(db: Database, clock: FakeClock) -> None:
    customer = make.project(db)
    start(db, customer.id)
    clock.advance(seconds=300)
    pause(db, customer.id)
    clock.advance(seconds=86_400)
    assert db.write_now(billing.sweep) == 0
    start(db, customer.id)
    clock.advance(seconds=599)
    assert db.write_now(billing.sweep) == 0
    clock.advance(seconds=1)
    assert db.write_now(billing.sweep) == 1
    clock.advance(seconds=100)
    finish(db, customer.id)
    assert -sum(amounts(db, customer.id, "i")) == rates.total(PRICE, 1000)
    assert_exact(db)


def test_starting_twice_is_one_start(db: Database, clock: FakeClock) -> None:
    customer = make.project(db)
    start(db, customer.id)
    clock.advance(seconds=30)
    start(db, customer.id)
    clock.advance(seconds=570)
    pause(db, customer.id)
    pause(db, customer.id)
    assert amounts(db, customer.id, "i") == [-285000]


def test_missed_ticks_are_caught_up_in_one_row(db: Database, clock: FakeClock) -> None:
    customer = make.project(db)
    start(db, customer.id)
    db.write_now(billing.sweep)
    clock.advance(seconds=3 * 600 + 11)
    assert db.write_now(billing.sweep) == 1
    (row,) = db.read_now(billing.charges, customer.by, "i", limit=1000)
    assert (row.tick, row.seconds, row.amount) == (3, 1800, -855000)


def test_sweeping_twice_charges_once(db: Database, clock: FakeClock) -> None:
    customer = make.project(db)
    start(db, customer.id)
    clock.advance(seconds=600)
    assert [db.write_now(billing.sweep) for _ in range(3)] == [1, 0, 0]
    clock.advance(micros=1)
    assert db.write_now(billing.sweep) == 0


def test_a_clock_that_steps_back_charges_nothing(db: Database, clock: FakeClock) -> None:
    customer = make.project(db)
    start(db, customer.id)
    clock.advance(seconds=600)
    db.write_now(billing.sweep)
    clock.advance(seconds=-300)
    assert db.write_now(billing.sweep) == 0
    assert make.balance(db, customer.by).accrued >= 0
    clock.advance(seconds=300)
    assert db.write_now(billing.sweep) == 0
    assert_exact(db)


def test_what_was_charged_past_the_end_is_given_back(db: Database, clock: FakeClock) -> None:
    customer = make.project(db)
    start(db, customer.id)
    last_seen_at = clock.now() + 900 * SECOND
    clock.advance(seconds=1300)
    db.write_now(billing.sweep)
    finish(db, customer.id, at=last_seen_at)
    assert codes(db, customer.id, "i") == [("usage", -570000), ("refund", 142500)]
    assert_exact(db)


def test_a_refund_and_the_minimum_meet_at_ten_minutes(db: Database, clock: FakeClock) -> None:
    customer = make.project(db)
    start(db, customer.id)
    last_seen_at = clock.now() + 60 * SECOND
    clock.advance(seconds=1200)
    db.write_now(billing.sweep)
    finish(db, customer.id, at=last_seen_at)
    assert -sum(amounts(db, customer.id, "i")) == 285000
    assert_exact(db)


def test_a_start_after_a_refund_goes_on_from_what_was_used(db: Database, clock: FakeClock) -> None:
    customer = make.project(db)
    start(db, customer.id)
    last_seen_at = clock.now() + 900 * SECOND
    clock.advance(seconds=1300)
    db.write_now(billing.sweep)
    pause(db, customer.id, at=last_seen_at)
    start(db, customer.id)
    clock.advance(seconds=700)
    db.write_now(billing.sweep)
    finish(db, customer.id)
    assert -sum(amounts(db, customer.id, "i")) == rates.total(PRICE, 1600)
    assert_exact(db)


def test_an_end_before_the_start_costs_no_time(db: Database, clock: FakeClock) -> None:
    customer = make.project(db)
    start(db, customer.id)
    pause(db, customer.id, at=clock.now() - 60 * SECOND)
    assert sum(amounts(db, customer.id, "i")) == 0
    assert_exact(db)


def test_what_is_free_makes_no_debt(db: Database, clock: FakeClock) -> None:
    customer = make.project(db)
    start(db, customer.id, price=0)
    clock.advance(seconds=5000)
    db.write_now(billing.sweep)
    state = make.balance(db, customer.by)
    assert (state.burn_micros_per_hour, state.runway_s, state.accrued) == (0, None, 0)
    finish(db, customer.id, price=0)
    assert sum(amounts(db, customer.id, "i")) == 0


def test_the_balance_is_live_to_the_second(db: Database, clock: FakeClock) -> None:
    customer = make.project(db, credit="50")
    start(db, customer.id)
    clock.advance(seconds=1)
    state = make.balance(db, customer.by)
    assert (state.balance, state.accrued, state.effective) == (50_000_000, 475, 49_999_525)
    assert (state.burn_micros_per_hour, state.runway_s) == (1_710_000, 49_999_525 * 3600 // 1_710_000)
    clock.advance(seconds=609)
    db.write_now(billing.sweep)
    state = make.balance(db, customer.by)
    assert (state.balance, state.accrued) == (49_715_000, 4750)


def test_a_bill_is_live_and_ends_with_its_subject(db: Database, clock: FakeClock) -> None:
    customer = make.project(db)
    assert db.read_now(billing.bill, "i").total == 0
    started_at = clock.now()
    start(db, customer.id)
    clock.advance(seconds=61)
    bill = db.read_now(billing.bill, "i")
    assert (bill.started_at, bill.billed_s, bill.charged, bill.accrued) == (started_at, 61, 0, 28975)
    assert bill.is_charging
    finish(db, customer.id)
    bill = db.read_now(billing.bill, "i")
    assert (bill.billed_s, bill.charged, bill.accrued, bill.ended_at) == (61, 285000, 0, clock.now())
    assert not bill.is_charging


def test_credit_under_the_name_of_a_subject_is_no_payment_of_it(db: Database, clock: FakeClock) -> None:
    customer = make.project(db)
    start(db, customer.id)
    clock.advance(seconds=600)
    db.write_now(billing.sweep)
    make.topup(db, customer.by, "5", reference="i")
    clock.advance(seconds=600)
    finish(db, customer.id)
    assert make.balance(db, customer.by).balance == from_usd("50") + from_usd("5") - 570000


def test_no_hold_outlives_the_end(db: Database, clock: FakeClock) -> None:
    customer = make.project(db)
    db.write_now(billing.gate, customer.id, "i", PRICE, make.RULES)
    assert make.balance(db, customer.by).held == 285000
    finish(db, customer.id)
    assert make.balance(db, customer.by).held == 0
    assert rows(db, "SELECT 1 FROM holds") == []


def test_the_hold_ends_with_the_first_tick(db: Database, clock: FakeClock) -> None:
    customer = make.project(db)
    db.write_now(billing.gate, customer.id, "i", PRICE, make.RULES)
    start(db, customer.id)
    clock.advance(seconds=599)
    db.write_now(billing.sweep)
    assert make.balance(db, customer.by).held == 285000
    clock.advance(seconds=1)
    db.write_now(billing.sweep)
    assert make.balance(db, customer.by).held == 0
    assert_exact(db)


def test_a_stop_within_the_minimum_keeps_on_hold_what_is_still_owed(db: Database, clock: FakeClock) -> None:
    customer = make.project(db)
    db.write_now(billing.gate, customer.id, "i", PRICE, make.RULES)
    start(db, customer.id)
    clock.advance(seconds=120)
    pause(db, customer.id)
    assert make.balance(db, customer.by).held == 228000
    start(db, customer.id, "other")
    clock.advance(seconds=600)
    db.write_now(billing.sweep)
    assert make.balance(db, customer.by).held == 228000
    start(db, customer.id)
    clock.advance(seconds=480)
    pause(db, customer.id)
    assert make.balance(db, customer.by).held == 0
    assert_exact(db)


def test_nothing_can_be_started_without_an_account(db: Database) -> None:
    with pytest.raises(ledger_refusal()):
        start(db, "nobody")


def ledger_refusal() -> type[Exception]:
    from berth.core.errors import NotFound

    return NotFound


def test_no_credit_left_refuses_a_start(db: Database) -> None:
    customer = make.project(db, credit="0")
    with pytest.raises(Exception, match="used up"):
        db.write_now(billing.require_credit, customer.id)
    make.topup(db, customer.by, "0.000001")
    db.write_now(billing.require_credit, customer.id)
    assert db.read_now(ledger.account, customer.id).balance == 1

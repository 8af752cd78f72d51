"""Charging what was used up to now in the middle of a tick: exact, once, and without stopping a clock."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from berth.base.clock import SECOND
from berth.base.db import Database, Tx
from berth.core import billing, instances
from tests import make
from tests.conftest import FakeClock
from tests.core.books import amounts, assert_exact, clear, codes, rows
from tests.core.together import failed, overlap

PRICE = make.micros("1.71")


def paid(db: Database, made: instances.Instance) -> int:
    return -sum(amounts(db, made.project, made.id))


@pytest.mark.parametrize("seconds", [1, 599.5, 600, 601, 1234.999999, 5000])
def test_everything_used_is_charged_and_nothing_stops(db: Database, clock: FakeClock, seconds: float) -> None:
    made = make.instance(db)
    clock.advance(seconds=seconds)
    assert db.write_now(billing.settle, made.project) == 1
    assert paid(db, made) == billing.total(PRICE, int(seconds))
    bill = db.read_now(billing.bill, made.id)
    assert (bill.billed_s, bill.accrued, bill.is_charging) == (int(seconds), 0, True)
    clock.advance(seconds=700)
    db.write_now(billing.sweep)
    clock.advance(seconds=33)
    db.write_now(instances.delete, make.owner(made), made.id, make.RULES)
    assert paid(db, made) == billing.total(PRICE, max(600, int(seconds + 733)))
    assert_exact(db)


def test_settling_twice_at_once_charges_once(db: Database, clock: FakeClock) -> None:
    made = make.instance(db)
    clock.advance(seconds=100)
    assert [db.write_now(billing.settle, made.project) for _ in range(3)] == [1, 0, 0]
    assert codes(db, made.project, made.id) == [("usage", -int(billing.total(PRICE, 100)))]


def test_what_costs_nothing_is_left_alone(db: Database, clock: FakeClock) -> None:
    account = make.project(db).id
    db.write_now(billing.start, account, "free", 0)
    clock.advance(seconds=100)
    assert db.write_now(billing.settle, account) == 0
    assert rows(db, "SELECT number FROM segments") == [(1,)]


def test_it_is_about_one_account(db: Database, clock: FakeClock) -> None:
    made, other = make.instance(db), make.instance(db)
    clock.advance(seconds=100)
    db.write_now(billing.settle, made.project)
    assert amounts(db, other.project, other.id) == []


def test_storage_is_settled_too(db: Database, clock: FakeClock) -> None:
    account = make.project(db).id
    db.write_now(billing.start_storage, account, "volume", make.micros("73"))
    clock.advance(seconds=100)
    assert db.write_now(billing.settle, account) == 1
    assert -sum(amounts(db, account, "volume")) == billing.monthly(make.micros("73"), 100)
    clock.advance(seconds=7100)
    db.write_now(billing.sweep_storage)
    db.write_now(billing.finish_storage, account, "volume", clock.now())
    assert -sum(amounts(db, account, "volume")) == sum(
        billing.monthly(make.micros("73"), seconds) for seconds in (100, 7100)
    )
    assert_exact(db)


def _settle_first(db: Database, one: Callable[[Tx], object], other: Callable[[Tx], object]) -> list[object]:
    return overlap(db, other, one)


@pytest.mark.parametrize("run", [overlap, _settle_first])
def test_a_sweep_under_way_and_a_settlement_charge_each_second_once(
    db: Database, clock: FakeClock, run: Callable[..., list[object]]
) -> None:
    made = make.instance(db)
    clock.advance(seconds=1234)

    def settle(tx: Tx) -> object:
        return billing.settle(tx, made.project)

    failed(run(db, billing.sweep, settle))
    assert paid(db, made) == billing.total(PRICE, 1234)
    assert_exact(db)


waits = st.one_of(
    st.sampled_from([0, 1, 599, 600, 601]).map(lambda s: s * SECOND), st.integers(0, 4000 * SECOND)
)
steps = st.lists(
    st.tuples(st.sampled_from(["settle", "sweep", "pause", "start"]), waits), min_size=1, max_size=20
)


@given(price=st.sampled_from([1_710_000, 32_000_000, 965_000, 1, 0]), sequence=steps)
def test_settled_at_any_times_the_books_are_exact(
    db: Database, clock: FakeClock, price: int, sequence: list[tuple[str, int]]
) -> None:
    clear(db)
    account = make.project(db).id
    db.write_now(billing.start, account, "subject", price)
    for step, wait in sequence:
        clock.advance(micros=wait)
        if step == "settle":
            db.write_now(billing.settle, account)
            assert db.read_now(billing.balance, account, make.RULES).accrued == 0
        elif step == "sweep":
            db.write_now(billing.sweep)
        elif step == "pause":
            db.write_now(billing.pause, account, "subject", clock.now())
        else:
            db.write_now(billing.start, account, "subject", price)
        assert_exact(db)

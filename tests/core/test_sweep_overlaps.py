"""A sweep that is under way, and whoever comes to its accounts meanwhile: neither misses what the other wrote."""

from collections.abc import Callable
from decimal import Decimal

import pytest

from berth.base.clock import SECOND, Instant
from berth.base.db import Database, Tx
from berth.base.money import from_usd
from berth.core import billing, instances, ledger
from berth.core.errors import InsufficientCredits
from tests import make
from tests.conftest import FakeClock
from tests.core.books import amounts, assert_exact, codes
from tests.core.together import failed, overlap

PRICE = from_usd("1.71")
Pair = Callable[[Database, Callable[[Tx], object], Callable[[Tx], object]], list[object]]


def in_order(db: Database, one: Callable[[Tx], object], other: Callable[[Tx], object]) -> list[object]:
    return overlap(db, one, other)


def in_reverse(db: Database, one: Callable[[Tx], object], other: Callable[[Tx], object]) -> list[object]:
    return overlap(db, other, one)


both_ways = pytest.mark.parametrize("run", [in_order, in_reverse])


@both_ways
def test_an_end_is_charged_once_and_in_full(db: Database, clock: FakeClock, run: Pair) -> None:
    made, other = make.instance(db), make.instance(db)
    clock.advance(seconds=1234)

    def delete(tx: Tx) -> object:
        return instances.delete(tx, make.owner(made), made.id, make.RULES)

    failed(run(db, billing.sweep, delete))
    assert -sum(amounts(db, made.project, made.id)) == billing.total(PRICE, 1234)
    assert -sum(amounts(db, other.project, other.id)) == billing.total(PRICE, 1200)
    assert_exact(db)


@both_ways
def test_a_stop_dated_before_the_sweep_gives_back_what_it_charged(
    db: Database, clock: FakeClock, run: Pair
) -> None:
    made = make.instance(db)
    ended_at = Instant(clock.now() + 590 * SECOND)
    clock.advance(seconds=605)

    def pause(tx: Tx) -> object:
        billing.pause(tx, made.project, made.id, ended_at)
        return None

    failed(run(db, billing.sweep, pause))
    assert -sum(amounts(db, made.project, made.id)) == billing.total(PRICE, 590)
    assert_exact(db)


@both_ways
def test_a_start_is_not_charged_by_a_sweep_it_met(db: Database, clock: FakeClock, run: Pair) -> None:
    running, starting = make.instance(db), make.instance(db, "provisioning")
    clock.advance(seconds=600)

    def reach(tx: Tx) -> object:
        leased = instances.get(tx, make.owner(starting), starting.id)
        return instances.reachable(tx, leased, make.sighting(leased))

    failed(run(db, billing.sweep, reach))
    assert amounts(db, starting.project, starting.id) == []
    clock.advance(seconds=599)
    assert db.write_now(billing.sweep) == 0
    clock.advance(seconds=1)
    assert db.write_now(billing.sweep) == 2
    assert amounts(db, running.project, running.id) == [-285000, -285000]
    assert amounts(db, starting.project, starting.id) == [-285000]
    assert_exact(db)


@both_ways
def test_credit_that_arrives_meanwhile_is_kept(db: Database, clock: FakeClock, run: Pair) -> None:
    customer = make.project(db, credit="50")
    make.instance(db, by=customer.by)
    clock.advance(seconds=600)

    def credit(tx: Tx) -> object:
        return ledger.topup(tx, customer.by, from_usd("5"), reference="x")

    failed(run(db, billing.sweep, credit))
    assert make.balance(db, customer.by).balance == from_usd("55") - 285000
    assert_exact(db)


@both_ways
def test_an_order_counts_used_time_once_whether_charged_or_not(
    db: Database, clock: FakeClock, run: Pair
) -> None:
    """20.285 less a tick is exactly enough; a micro-dollar less is not, and counting the tick twice is not either."""
    for credit, is_enough in (("20.285", True), ("20.284999", False)):
        customer = make.project(db, credit="100")
        make.instance(db, by=customer.by)
        make.topup(db, customer.by, str(Decimal(credit) - 100))
        key = make.ssh_key(db, customer.by)
        clock.advance(seconds=600)

        def order(tx: Tx, spec: object = make.spec([key.id]), by: object = customer.by) -> object:
            return instances.order(tx, by, spec, make.RULES)  # type: ignore[arg-type]

        # The first tick frees the first hold: an order that comes before it still sees 0.285 set aside.
        db.write_now(billing.sweep)
        clock.advance(seconds=1)
        make.topup(db, customer.by, "0.000475")
        refusals = failed(run(db, billing.sweep, order), InsufficientCredits)
        assert (refusals == []) == is_enough
        assert_exact(db)


def test_two_sweeps_charge_once(db: Database, clock: FakeClock) -> None:
    made = make.instance(db)
    clock.advance(seconds=1300)
    failed(overlap(db, billing.sweep, billing.sweep))
    assert codes(db, made.project, made.id) == [("usage", -570000)]
    assert_exact(db)

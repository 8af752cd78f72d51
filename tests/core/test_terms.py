"""Long terms: what they cost, what follows them, and what leaving early costs."""

from dataclasses import replace
from typing import Any

import pytest

from berth.base.clock import DAY, Instant
from berth.base.db import Database
from berth.core import billing, instances
from berth.core.billing import Period, Rules, Unit, rates
from berth.core.errors import Invalid
from berth.core.instances import AutoDelete, Contract, Extension, Instance, Term
from tests import make
from tests.conftest import FakeClock
from tests.core.books import assert_exact, codes

LIST = make.micros("1.71")
BOUND = 1_470_600
PERIODS = (
    Period("3_DAYS", "3 days", Unit.DAY, 3, 20),
    Period("1_DAY", "1 day", Unit.DAY, 1, 14),
    Period("1_HOUR", "1 hour", Unit.HOUR, 1, 1, is_enabled=False),
)
RULES = Rules(periods=PERIODS)
DAY_S = 86_400


def bound(
    db: Database, status: str = "running", *, extension: Extension = Extension.AUTO_RENEW, credit: str = "500"
) -> Instance:
    by = make.project(db, credit=credit).by
    return make.instance(
        db,
        status,
        by,
        rules=RULES,
        contract=Contract.LONG_TERM,
        long_term_period="1_DAY",
        extension=extension,
    )


def term(db: Database, made: Instance) -> Term | None:
    return db.read_now(instances.term, make.now(db, made))


def attend(db: Database) -> list[str]:
    due = list(db.read_now(instances.due_outside, limit=100))
    for instance_id in due:
        db.write_now(instances.attend_outside, instance_id, RULES)
    return due


def delete(db: Database, made: Instance) -> Instance:
    return db.write_now(instances.delete, make.owner(made), made.id, RULES)


def test_a_long_term_pays_the_discounted_price_until_its_end(db: Database, clock: FakeClock) -> None:
    began_at = clock.now()
    made = bound(db)
    assert (made.price, made.contract, made.is_spot) == (BOUND, Contract.LONG_TERM, False)
    kept = term(db, made)
    assert kept is not None
    assert (kept.period, kept.discount_percentage, kept.list_price, kept.number) == ("1_DAY", 14, LIST, 1)
    assert (kept.started_at, kept.ends_at) == (began_at, began_at + DAY)
    assert db.read_now(instances.next_outside) == began_at + DAY
    clock.advance(seconds=3600)
    assert db.read_now(billing.bill, made.id).total == BOUND
    assert attend(db) == []


def test_without_a_code_the_shortest_that_can_be_ordered_is_meant(db: Database) -> None:
    made = make.instance(db, "ordered", rules=RULES, contract=Contract.LONG_TERM)
    kept = term(db, made)
    assert kept is not None
    assert (kept.period, made.price) == ("1_DAY", BOUND)


@pytest.mark.parametrize(
    ("members", "field"),
    [
        ({"contract": Contract.LONG_TERM, "long_term_period": "1_HOUR"}, "long_term_period"),
        ({"contract": Contract.LONG_TERM, "long_term_period": "nonsense"}, "long_term_period"),
        ({"long_term_period": "1_DAY"}, "long_term_period"),
        ({"contract": Contract.LONG_TERM, "is_spot": True}, "contract"),
    ],
)
def test_what_is_no_long_term_is_refused(db: Database, members: dict[str, Any], field: str) -> None:
    with pytest.raises(Invalid) as refused:
        make.instance(db, "ordered", rules=RULES, **members)
    assert refused.value.details["field"] == field


def test_nobody_can_be_bound_where_no_terms_are_sold(db: Database) -> None:
    with pytest.raises(Invalid):
        make.instance(db, "ordered", rules=replace(RULES, periods=()), contract=Contract.LONG_TERM)


@pytest.mark.parametrize("late_s", [0, 12, 700])
def test_a_term_that_is_not_renewed_goes_on_at_the_list_price_to_the_second(
    db: Database, clock: FakeClock, late_s: int
) -> None:
    made = bound(db, extension=Extension.PAY_AS_YOU_GO)
    clock.advance(seconds=DAY_S + late_s)
    db.write_now(billing.sweep)
    assert attend(db) == [made.id]
    now = make.now(db, made)
    assert (now.price, now.contract, now.sequence) == (LIST, Contract.PAY_AS_YOU_GO, made.sequence + 1)
    assert term(db, made) is None
    assert (attend(db), db.read_now(instances.next_outside)) == ([], None)
    clock.advance(seconds=3600)
    delete(db, made)
    bill = db.read_now(billing.bill, made.id)
    assert bill.total == rates.total(BOUND, DAY_S) + rates.total(LIST, 3600 + late_s)
    assert "early_termination" not in dict(codes(db, made.project, made.id))
    assert_exact(db)


def test_a_term_is_renewed_at_the_same_price(db: Database, clock: FakeClock) -> None:
    made = bound(db)
    clock.advance(seconds=DAY_S)
    assert attend(db) == [made.id]
    kept = term(db, made)
    assert kept is not None
    assert (kept.number, kept.started_at, kept.ends_at) == (2, clock.now(), clock.now() + DAY)
    assert make.now(db, made).price == BOUND
    clock.advance(seconds=10 * DAY_S + 5)
    while attend(db):
        pass
    kept = term(db, made)
    assert kept is not None
    assert (kept.number, kept.ends_at) == (12, kept.ordered_at + 12 * DAY)


def test_a_term_that_ends_its_instance_deletes_it(db: Database, clock: FakeClock) -> None:
    made = bound(db, extension=Extension.END_CONTRACT)
    clock.advance(seconds=DAY_S)
    attend(db)
    now = make.now(db, made)
    assert now.status == "deleting"
    assert (now.status_reason or "").startswith("term_ended: ")
    assert db.read_now(billing.bill, made.id).total == rates.total(BOUND, DAY_S)
    assert attend(db) == []
    assert_exact(db)


@pytest.mark.parametrize("seconds", [601, 3600, DAY_S - 1])
def test_leaving_early_costs_what_was_taken_off_since_the_term_began(
    db: Database, clock: FakeClock, seconds: int
) -> None:
    made = bound(db)
    clock.advance(seconds=seconds)
    delete(db, made)
    owed = rates.total(LIST, seconds) - rates.total(BOUND, seconds)
    assert dict(codes(db, made.project, made.id))["early_termination"] == -owed
    assert db.read_now(billing.bill, made.id).total == rates.total(LIST, seconds)
    delete(db, made)
    assert [code for code, _ in codes(db, made.project, made.id)].count("early_termination") == 1
    assert_exact(db)


def test_leaving_early_costs_nothing_of_the_terms_that_were_kept(db: Database, clock: FakeClock) -> None:
    """Also when no loop has noticed yet that a new term began."""
    made = bound(db)
    clock.advance(seconds=2 * DAY_S + 1000)
    delete(db, made)
    owed = rates.total(LIST, 1000) - rates.total(BOUND, 1000)
    assert dict(codes(db, made.project, made.id))["early_termination"] == -owed


def test_hours_that_it_was_off_are_not_owed_for(db: Database, clock: FakeClock) -> None:
    made = bound(db)
    clock.advance(seconds=1000)
    db.write_now(instances.stop, make.owner(made), made.id)
    make.seen(db, made, instances.stopped, releases_hardware=True)
    clock.advance(seconds=5000)
    delete(db, made)
    assert db.read_now(billing.bill, made.id).total == rates.total(LIST, 1000)


def test_ordering_its_own_end_is_leaving_early_too(db: Database, clock: FakeClock) -> None:
    by = make.project(db).by
    made = make.instance(
        db,
        "running",
        by,
        rules=RULES,
        contract=Contract.LONG_TERM,
        auto_delete=AutoDelete(at=Instant(clock.now() + 3_600_000_000)),
    )
    clock.advance(seconds=3600)
    db.write_now(instances.attend, made.id, RULES)
    assert db.read_now(billing.bill, made.id).total == LIST


@pytest.mark.parametrize("status", ["ordered", "provisioning", "error", "failed_no_capacity"])
def test_what_never_ran_owes_nothing_for_its_term(db: Database, clock: FakeClock, status: str) -> None:
    made = bound(db, status)
    clock.advance(seconds=700)
    delete(db, made)
    assert "early_termination" not in dict(codes(db, made.project, made.id))


def test_what_its_provider_lost_owes_nothing_for_its_term(db: Database, clock: FakeClock) -> None:
    made = bound(db)
    clock.advance(seconds=700)
    db.write_now(instances.vanished, made, seen_at=clock.now(), reason="instance_lost: gone")
    delete(db, made)
    assert db.read_now(billing.bill, made.id).total == rates.total(BOUND, 700)


def test_a_term_that_ends_while_it_is_off_brings_the_list_price_at_the_next_start(
    db: Database, clock: FakeClock
) -> None:
    made = bound(db, "offline", extension=Extension.PAY_AS_YOU_GO)
    clock.advance(seconds=DAY_S)
    attend(db)
    db.write_now(instances.start, make.owner(made), made.id)
    make.seen(db, made, instances.reachable, make.sighting(made))
    clock.advance(seconds=3600)
    delete(db, made)
    assert db.read_now(billing.bill, made.id).total == LIST

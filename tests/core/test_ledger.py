"""The ledger: rows are added and never changed, each reason once, and the sums always agree."""

import inspect
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from berth.base.db import Database, Tx
from berth.base.money import MAX_MICROS, Micros, from_usd
from berth.core import events, ledger
from berth.core.errors import Conflict, Invalid, NotFound
from berth.core.ledger import Code, Posting, store
from tests import make
from tests.conftest import FakeClock
from tests.core.books import amounts, assert_exact, balances, rows


def usage(subject: str, tick: int, amount: int) -> Posting:
    return Posting(Code.USAGE, subject, tick, Micros(amount))


def test_one_reason_is_one_row(db: Database, clock: FakeClock) -> None:
    customer = make.project(db, credit="10")
    first = db.write_now(ledger.post, customer.id, usage("i", 1, -5))
    clock.advance(seconds=1)
    assert db.write_now(ledger.post, customer.id, usage("i", 1, -500)) == first
    assert db.write_now(ledger.post, customer.id, usage("i", 2, -5)) != first
    db.write_now(ledger.post, customer.id, Posting(Code.MINIMUM, "i", 1, Micros(-7)))
    assert amounts(db, customer.id, "i") == [-5, -5, -7]
    assert db.read_now(ledger.debited, "i") == (17, 2)
    assert_exact(db)


def test_a_credit_is_added_once_for_each_reference_and_project(db: Database) -> None:
    ours, theirs = make.project(db, credit="0"), make.project(db, credit="0")
    first = make.topup(db, ours.by, "5", reference="invoice-7")
    assert make.topup(db, ours.by, "5", reference="invoice-7") == first
    with pytest.raises(Conflict):
        make.topup(db, ours.by, "9", reference="invoice-7")
    make.topup(db, theirs.by, "3", reference="invoice-7")
    make.topup(db, ours.by, "1", reference="invoice-8")
    assert make.balance(db, ours.by).balance == from_usd("6")
    assert make.balance(db, theirs.by).balance == from_usd("3")
    credited = [e for e in db.read_now(events.list_for, ours.by, ours.id) if e.type == "billing.credited"]
    assert [event.data["reference"] for event in credited] == ["invoice-7", "invoice-8"]


@pytest.mark.parametrize("amount", [0, -1, MAX_MICROS + 1, 2**63])
def test_an_impossible_credit_is_refused(db: Database, amount: int) -> None:
    by = make.project(db, credit="0").by
    with pytest.raises(Invalid):
        db.write_now(ledger.topup, by, Micros(amount), reference="x")
    assert make.balance(db, by).balance == 0


def test_no_statement_changes_or_removes_a_row() -> None:
    source = inspect.getsource(store)
    assert re.search(r"INSERT INTO entries", source)
    assert not re.search(r"(UPDATE|DELETE FROM|REPLACE INTO)\s+entries", source)


def test_each_row_carries_the_balance_after_it(db: Database) -> None:
    customer = make.project(db, credit="1")
    for tick, amount in enumerate([-300_000, -800_000, 50_000], 1):
        db.write_now(ledger.post, customer.id, usage("i", tick, amount))
    assert balances(db, customer.id) == [1_000_000, 700_000, -100_000, -50_000]
    assert make.balance(db, customer.by).balance == -50_000


def test_without_an_account_nothing_is_posted(db: Database) -> None:
    for call in (
        lambda: db.write_now(ledger.post, "nobody", usage("i", 1, -5)),
        lambda: db.read_now(ledger.account, "nobody"),
        lambda: db.write_now(ledger.lock, "nobody"),
    ):
        with pytest.raises(NotFound):
            call()
    assert rows(db, "SELECT 1 FROM entries") == []


@pytest.mark.parametrize(
    "tampering",
    [
        "UPDATE accounts SET balance_micros = balance_micros + 1",
        "UPDATE accounts SET held_micros = held_micros - 1",
        "UPDATE entries SET amount_micros = amount_micros - 1",
        "DELETE FROM entries",
        "DELETE FROM holds",
    ],
)
def test_a_tampered_ledger_is_found_out(db: Database, tampering: str) -> None:
    customer, other = make.project(db, credit="50"), make.project(db, credit="0")
    assert db.write_now(ledger.hold, customer.id, "i", Micros(10), owed=Micros(0), floor=Micros(0))
    assert db.read_now(ledger.verify) == []

    def tamper(tx: Tx) -> None:
        tx.run(f"{tampering} WHERE {'id' if 'accounts' in tampering else 'account_id'} = :id", id=customer.id)

    db.write_now(tamper)
    (sentence,) = db.read_now(ledger.verify)
    assert customer.id in sentence
    assert other.id not in sentence


def hold(db: Database, account: str, subject: str, amount: int, *, owed: int = 0, floor: int = 0) -> bool:
    return db.write_now(ledger.hold, account, subject, Micros(amount), owed=Micros(owed), floor=Micros(floor))


def test_a_hold_needs_what_is_neither_owed_nor_held(db: Database) -> None:
    customer = make.project(db, credit="0.000100")
    assert not hold(db, customer.id, "a", 5, floor=101)
    assert not hold(db, customer.id, "a", 5, floor=100, owed=1)
    assert hold(db, customer.id, "a", 5, floor=100)
    assert not hold(db, customer.id, "b", 5, floor=100)
    assert hold(db, customer.id, "b", 5, floor=95)
    assert db.read_now(ledger.account, customer.id).held == 10
    db.write_now(ledger.release, "a")
    db.write_now(ledger.release, "a")
    db.write_now(ledger.release, "nobody")
    assert db.read_now(ledger.account, customer.id).held == 5
    assert_exact(db)


def test_a_hold_shrinks_and_never_grows(db: Database) -> None:
    customer = make.project(db, credit="1")
    hold(db, customer.id, "a", 100)
    for amount, left in ((150, 100), (40, 40), (40, 40), (60, 40), (0, 0), (10, 0)):
        db.write_now(ledger.shrink, "a", Micros(amount))
        assert db.read_now(ledger.account, customer.id).held == left
    assert_exact(db)


def test_anothers_rows_are_not_shown(db: Database) -> None:
    ours, theirs = make.project(db), make.project(db)
    db.write_now(ledger.post, ours.id, usage("i", 1, -5))
    assert len(db.read_now(ledger.entries_of, ours.by, "i", limit=10)) == 1
    assert db.read_now(ledger.entries_of, theirs.by, "i", limit=10) == []


movements = st.lists(
    st.tuples(
        st.sampled_from(["post", "hold", "release", "shrink"]),
        st.integers(0, 4),
        st.integers(-(10**12), 10**12),
    ),
    max_size=30,
)


@given(movements)
def test_sums_agree_after_any_movements(db: Database, sequence: list[tuple[str, int, int]]) -> None:
    customer = make.project(db, credit="1")
    total = from_usd("1")
    held: dict[str, int] = {}
    for number, (movement, which, amount) in enumerate(sequence):
        subject = f"{customer.id}-{which}"
        if movement == "post":
            db.write_now(ledger.post, customer.id, usage(subject, number + 1, amount))
            total = Micros(total + amount)
        elif movement == "hold" and subject not in held:
            if hold(db, customer.id, subject, abs(amount), floor=-(10**14)):
                held[subject] = abs(amount)
        elif movement == "shrink":
            db.write_now(ledger.shrink, subject, Micros(abs(amount)))
            if subject in held:
                held[subject] = min(held[subject], abs(amount))
        else:
            db.write_now(ledger.release, subject)
            held.pop(subject, None)
        account = db.read_now(ledger.account, customer.id)
        assert (account.balance, account.held) == (total, sum(held.values()))
    assert db.read_now(ledger.verify) == []

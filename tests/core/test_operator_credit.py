"""Credit that an operator adds, and corrections: once for each reference, never more back than was taken."""

import pytest

from berth.base.db import Database
from berth.base.money import Micros, from_usd
from berth.core import billing, events, ledger
from berth.core.errors import Conflict, Forbidden, Invalid, NotFound, Refusal
from berth.core.ledger import Code
from tests import make
from tests.conftest import FakeClock
from tests.core.books import amounts, assert_exact, rows

OPERATOR = events.operator("whoever")
PRICE = from_usd("1.71")


def credit(
    db: Database,
    account: str,
    amount: str = "5",
    *,
    code: Code = Code.PROMO,
    reference: str = "r",
    by: events.Actor = OPERATOR,
) -> ledger.Entry:
    return db.write_now(ledger.credit, by, account, code, from_usd(amount), reference=reference)


def refused(db: Database, kind: type[Refusal], reason: str, account: str, **members: object) -> None:
    before = rows(db, "SELECT COUNT(*) FROM entries")
    with pytest.raises(kind) as caught:
        credit(db, account, **members)  # type: ignore[arg-type]
    assert caught.value.code == reason
    assert rows(db, "SELECT COUNT(*) FROM entries") == before


def used(db: Database, clock: FakeClock, account: str, *, seconds: int = 1200) -> None:
    db.write_now(billing.start, account, "i", PRICE)
    clock.advance(seconds=seconds)
    db.write_now(billing.sweep)


@pytest.mark.parametrize("code", [Code.TOPUP, Code.PROMO, Code.ADJUSTMENT])
def test_credit_is_added_to_any_account_and_told_to_its_owner(db: Database, code: Code) -> None:
    customer = make.project(db, credit="1")
    entry = credit(db, customer.id, "5.01", code=code)
    assert (entry.code, entry.amount, entry.balance_after) == (code, 5_010_000, 6_010_000)
    told = db.read_now(events.list_for, customer.by, customer.id)[-1]
    assert (told.type, told.actor) == ("billing.credited", "operator")
    assert told.data == {
        "amount_micros": 5_010_000,
        "balance_micros": 6_010_000,
        "type": code.value,
        "reference": "r",
    }
    assert_exact(db)


def test_one_reference_adds_once(db: Database) -> None:
    customer, other = make.project(db, credit="0"), make.project(db, credit="0")
    first = credit(db, customer.id)
    assert credit(db, customer.id) == first
    assert credit(db, customer.id, amount="6") == first
    assert credit(db, customer.id, code=Code.TOPUP) == first
    assert credit(db, other.id).account == other.id
    assert amounts(db, customer.id) == [5_000_000]
    told = db.read_now(events.list_for, customer.by, customer.id)
    assert [each.type for each in told].count("billing.credited") == 1


def test_a_full_key_cannot_add_credit_to_itself(db: Database) -> None:
    customer = make.project(db)
    assert "*" in customer.by.scopes
    refused(db, Forbidden, "missing_scope", customer.id, by=customer.by)
    refused(db, Forbidden, "missing_scope", customer.id, by=events.system(customer.id, "loop"))
    with pytest.raises(Forbidden):
        db.write_now(ledger.reverse, customer.by, customer.id, 1)


def test_a_full_key_cannot_pass_on_what_it_is_not(db: Database) -> None:
    customer = make.project(db)
    with pytest.raises(Forbidden) as caught:
        make.key(db, customer.by, scopes=["*", "admin"])
    assert caught.value.details["required"] == ["admin"]
    assert "admin" not in make.key(db, customer.by, scopes=["full"])[0].scopes


def test_no_more_is_refunded_than_was_charged(db: Database, clock: FakeClock) -> None:
    customer = make.project(db, credit="50")
    refused(db, Conflict, "refund_too_large", customer.id, code=Code.REFUND, amount="0.01")
    used(db, clock, customer.id)
    refused(db, Conflict, "refund_too_large", customer.id, code=Code.REFUND, amount="0.58")
    credit(db, customer.id, "0.30", code=Code.REFUND)
    refused(db, Conflict, "refund_too_large", customer.id, code=Code.REFUND, amount="0.28", reference="s")
    credit(db, customer.id, "0.27", code=Code.REFUND, reference="s")
    assert make.balance(db, customer.by).balance == from_usd("50")
    assert_exact(db)


def test_what_is_no_credit_is_refused(db: Database) -> None:
    customer = make.project(db)
    for code in (Code.USAGE, Code.STORAGE, Code.MINIMUM, Code.REVERSAL):
        refused(db, Invalid, "invalid_field", customer.id, code=code)
    for amount in ("0", "-1"):
        refused(db, Invalid, "invalid_field", customer.id, amount=amount)
    for reference in ("", "x" * 256, "a\nb"):
        refused(db, Invalid, "invalid_field", customer.id, reference=reference)
    refused(db, NotFound, "account_not_found", "nobody")


def test_a_charge_is_reversed_once_and_not_made_again(db: Database, clock: FakeClock) -> None:
    customer = make.project(db, credit="50")
    used(db, clock, customer.id)
    (charge,) = db.read_now(ledger.entries_of, customer.by, "i", limit=10)
    taken_back = db.write_now(ledger.reverse, OPERATOR, customer.id, charge.seq, note="host was slow")
    assert (taken_back.code, taken_back.amount, taken_back.reverses) == (Code.REVERSAL, 570_000, charge.seq)
    assert db.write_now(ledger.reverse, OPERATOR, customer.id, charge.seq) == taken_back
    clock.advance(seconds=600)
    db.write_now(billing.sweep)
    db.write_now(billing.finish, customer.id, "i", PRICE, clock.now(), with_minimum=True)
    assert amounts(db, customer.id, "i")[:3] == [-570_000, 570_000, -285_000]
    assert make.balance(db, customer.by).balance == from_usd("50") - 285_000
    assert db.read_now(ledger.verify) == []


def test_credit_is_reversed_too_and_is_no_use(db: Database) -> None:
    customer = make.project(db, credit="0")
    entry = credit(db, customer.id)
    taken_back = db.write_now(ledger.reverse, OPERATOR, customer.id, entry.seq)
    assert (taken_back.amount, taken_back.tick, taken_back.balance_after) == (-5_000_000, 0, 0)
    with pytest.raises(Conflict):
        db.write_now(ledger.reverse, OPERATOR, customer.id, taken_back.seq)
    refused(db, Conflict, "refund_too_large", customer.id, code=Code.REFUND, amount="0.01", reference="x")
    assert_exact(db)


def test_a_row_of_another_account_is_not_found(db: Database) -> None:
    customer, other = make.project(db), make.project(db)
    entry = credit(db, other.id)
    with pytest.raises(NotFound):
        db.write_now(ledger.reverse, OPERATOR, customer.id, entry.seq)
    assert Micros(0) == make.balance(db, other.by).held

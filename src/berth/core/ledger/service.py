"""The verbs of the ledger. Rows are only ever added; a correction is a new row.

At every commit an account's balance is the sum of its rows and `held` the sum of its holds.
"""

from dataclasses import replace

from berth.base.clock import Instant
from berth.base.db import Tx
from berth.base.money import MAX_MICROS, Micros
from berth.core.errors import Conflict, Invalid, NotFound
from berth.core.events import ADMIN, Actor, record
from berth.core.ledger import store
from berth.core.ledger.model import CREDITS, Account, Code, Entry, Posting, Spending

REFERENCE_LIMIT = 255
_ROWS_AT_ONCE = 50_000


def open_account(tx: Tx, account_id: str) -> None:
    """An account with nothing in it. Its id is the project's."""
    store.insert_account(tx, account_id)


def account(tx: Tx, account_id: str) -> Account:
    """Raises NotFound."""
    return _existing(store.find_account(tx, account_id, lock=False))


def lock(tx: Tx, account_id: str) -> Account:
    """The account, unchanged by anybody else until the commit: take it before working out a charge."""
    return _existing(store.find_account(tx, account_id, lock=True))


def post(tx: Tx, account_id: str, posting: Posting) -> Entry:
    """Writes one row and moves the balance. Posting the same reason again returns the first row."""
    store.find_account(tx, account_id, lock=True)
    existing = store.find_entry(tx, account_id, code=posting.code, subject=posting.subject, tick=posting.tick)
    if existing is not None:
        return existing
    balance = store.move(tx, account_id, posting.amount)
    if balance is None:
        raise NotFound("account_not_found", "No such account.")
    seq = store.insert_entry(tx, account_id, posting, balance)
    if seq is None:
        raise AssertionError("the account was locked, yet the reason was posted by somebody else")
    return Entry(
        seq,
        account_id,
        posting.code,
        posting.subject,
        posting.tick,
        posting.amount,
        Micros(balance),
        posting.period_start_at,
        posting.period_end_at,
        posting.seconds,
        posting.price_micros_per_hour,
        is_final=posting.is_final,
        note=posting.note,
        created_at=tx.now,
        reverses=posting.reverses,
    )


def post_sweep(tx: Tx, code: Code, charges: str, **values: object) -> int:
    """Posts a row of `code` for each row of the SELECT `charges`.

    The SELECT yields account_id, subject, tick, amount (positive micros), period_start_at, period_end_at,
    seconds, price_micros_per_hour. Returns how many rows were posted. A reason posted before raises: nothing is kept.
    """
    return store.post_sweep(tx, code, charges, values)


def release_charged(tx: Tx, *, tick_s: int) -> None:
    """Ends the hold of every subject that has paid `tick_s` at once; a stop before that pays less and keeps it."""
    store.release_charged(tx, tick_s=tick_s)


def topup(tx: Tx, by: Actor, amount: Micros, *, reference: str, note: str | None = None) -> Entry:
    """Adds paid credit to the actor's own project, once for each `reference`. Raises as `credit` does."""
    return _credit(tx, by, by.project, Code.TOPUP, amount, reference=reference, note=note)


def credit(
    tx: Tx, by: Actor, account_id: str, code: Code, amount: Micros, *, reference: str, note: str | None = None
) -> Entry:
    """Adds credit of one of `CREDITS` to any account, once for each `reference` of it; only an operator may.

    A reference that was used before answers what it came to then. A refund gives back what was charged, and no
    more than that: Conflict. Raises NotFound, Invalid, Forbidden.
    """
    by.may(ADMIN)
    return _credit(tx, by, account_id, code, amount, reference=reference, note=note)


def reverse(tx: Tx, by: Actor, account_id: str, seq: int, *, note: str | None = None) -> Entry:
    """Takes one row back by another of the opposite amount, once; only an operator may.

    The row itself stays. What is billed afterwards does not change: a charge that was reversed is not made again.
    Raises NotFound, and Conflict for a reversal.
    """
    by.may(ADMIN)
    lock(tx, account_id)
    row = entry(tx, account_id, seq)
    if row.code is Code.REVERSAL:
        raise Conflict("invalid_state", "A reversal cannot be reversed; post an adjustment instead.")
    is_credit = row.tick == 0
    posting = Posting(
        Code.REVERSAL,
        f"reversal-of-{seq}" if is_credit else row.subject,
        0 if is_credit else -seq,
        Micros(-row.amount),
        note=note,
        reverses=seq,
    )
    return post(tx, account_id, posting)


def entry(tx: Tx, account_id: str, seq: int) -> Entry:
    """Raises NotFound, also for a row of another account."""
    found = store.find_by_seq(tx, account_id, seq)
    if found is None:
        raise NotFound("transaction_not_found", "Transaction not found.")
    return found


def _credit(
    tx: Tx, by: Actor, account_id: str, code: Code, amount: Micros, *, reference: str, note: str | None
) -> Entry:
    if code not in CREDITS:
        raise Invalid("invalid_field", "This is no type of credit.", field="type")
    if not 0 < amount <= MAX_MICROS:
        raise Invalid("invalid_field", "The amount must be more than zero.", field="amount")
    if not 1 <= len(reference) <= REFERENCE_LIMIT or not reference.isprintable():
        raise Invalid(
            "invalid_field",
            f"reference must be 1 to {REFERENCE_LIMIT} printable characters.",
            field="reference",
        )
    # First, so that of two that bring one reference the second sees what the first wrote.
    lock(tx, account_id)
    known = store.find_credit(tx, account_id, reference)
    if known is not None:
        # A reference stands for one payment: whoever tells of it again gets what it came to, never an error to retry.
        return known
    if code is Code.REFUND and amount > store.spent(tx, account_id):
        raise Conflict("refund_too_large", "A refund cannot be more than what was charged.")
    written = post(tx, account_id, Posting(code, reference, 0, amount, note=note))
    tx.signal("credit")
    record(
        tx,
        replace(by, project=account_id),
        "billing.credited",
        subject=account_id,
        data={
            "amount_micros": amount,
            "balance_micros": written.balance_after,
            "type": code.value,
            "reference": reference,
        },
    )
    return written


def hold(tx: Tx, account_id: str, subject: str, amount: Micros, *, owed: Micros, floor: Micros) -> bool:
    """Sets `amount` aside for `subject` if balance − owed − held ≥ `floor`; says whether it did."""
    if not store.hold(tx, account_id, amount, owed=owed, floor=floor):
        return False
    store.insert_hold(tx, account_id, subject, amount)
    return True


def shrink(tx: Tx, subject: str, amount: Micros) -> None:
    """Leaves no more than `amount` on hold for `subject`."""
    if amount > 0:
        store.shrink_hold(tx, subject, amount)
    else:
        store.delete_hold(tx, subject)


def release(tx: Tx, subject: str) -> None:
    """Ends the hold of `subject`, if it has one."""
    store.delete_hold(tx, subject)


def has_hold(tx: Tx, subject: str) -> bool:
    return store.has_hold(tx, subject)


def debited(tx: Tx, subject: str) -> tuple[Micros, int]:
    """What `subject` was charged so far, and its highest tick. What was reversed of it stays charged here."""
    amount, tick = store.debited(tx, subject)
    return Micros(amount), tick


def is_closed(tx: Tx, subject: str) -> bool:
    """Whether the last row of `subject` was written: nothing is charged after it."""
    return store.is_closed(tx, subject)


def reversed_of(tx: Tx, subject: str) -> Micros:
    """What was taken back of the charges of `subject`."""
    return Micros(store.reversed_of(tx, subject))


def entries_of(tx: Tx, by: Actor, subject: str, *, limit: int) -> list[Entry]:
    """The newest `limit` rows of what one subject was charged, oldest of them first."""
    return store.entries_of(tx, by.project, subject, limit=limit)


def spending(tx: Tx, account_id: str, *, after_seq: int, since: Instant) -> Spending:
    """What the account's next rows after `after_seq` charged, of those written since `since`; refunds are taken off."""
    return store.spending(tx, account_id, after_seq=after_seq, since=since, limit=_ROWS_AT_ONCE)


def verify(tx: Tx) -> list[str]:
    """A sentence for each account whose balance or held sum disagrees with its rows; empty is right."""
    return [
        f"account {account_id}: balance {balance}, rows {total}; held {held}, holds {holds}"
        for account_id, balance, total, held, holds in store.sums(tx)
    ]


def _existing(found: Account | None) -> Account:
    if found is None:
        raise NotFound("account_not_found", "No such account.")
    return found

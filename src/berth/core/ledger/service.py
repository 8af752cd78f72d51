"""The verbs of the ledger. Rows are only ever added; a correction is a new row.

At every commit an account's balance is the sum of its rows and `held` the sum of its holds.
"""

from berth.base.db import Tx
from berth.base.money import MAX_MICROS, Micros
from berth.core.errors import Invalid, NotFound
from berth.core.events import Actor, record
from berth.core.ledger import store
from berth.core.ledger.model import Account, Code, Entry, Posting


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
    """Adds credit to the actor's project, once for each `reference`."""
    if not 0 < amount <= MAX_MICROS:
        raise Invalid("invalid_field", "The amount must be more than zero.", field="amount")
    lock(
        tx, by.project
    )  # first, so that of two that bring one reference the second sees what the first wrote
    known = store.find_entry(tx, by.project, code=Code.TOPUP, subject=reference, tick=0)
    if known is not None:
        return known
    entry = post(tx, by.project, Posting(Code.TOPUP, reference, 0, amount, note=note))
    record(
        tx, by, "billing.credited", subject=by.project, data={"amount_micros": amount, "reference": reference}
    )
    return entry


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
    """What `subject` has paid so far, and its highest tick."""
    amount, tick = store.debited(tx, subject)
    return Micros(amount), tick


def entries_of(tx: Tx, by: Actor, subject: str, *, limit: int) -> list[Entry]:
    """The newest `limit` rows of what one subject was charged, oldest of them first."""
    return store.entries_of(tx, by.project, subject, limit=limit)


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

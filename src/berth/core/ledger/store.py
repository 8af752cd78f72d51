"""Statements of the ledger."""

from berth.base.clock import Instant
from berth.base.db import Row, Tx
from berth.base.money import Micros
from berth.core.ledger.model import Account, Code, Entry, Posting, Spending

_ENTRY = (
    "seq, account_id, code, subject, tick, amount_micros, balance_after_micros, period_start_at,"
    " period_end_at, seconds, price_micros_per_hour, is_final, note, created_at, reverses"
)


def _account(row: Row) -> Account:
    return Account(row[0], Micros(row[1]), Micros(row[2]))


def _entry(row: Row) -> Entry:
    return Entry(*(*row[:2], Code(row[2]), *row[3:11], bool(row[11]), *row[12:]))


def insert_account(tx: Tx, account_id: str) -> None:
    tx.run(
        "INSERT INTO accounts (id, balance_micros, held_micros, created_at) VALUES (:id, 0, 0, :now)",
        id=account_id,
        now=tx.now,
    )


def find_account(tx: Tx, account_id: str, *, lock: bool) -> Account | None:
    suffix = tx.for_update if lock else ""
    row = tx.one(
        "SELECT id, balance_micros, held_micros FROM accounts WHERE id = :id" + suffix, id=account_id
    )
    return None if row is None else _account(row)


def move(tx: Tx, account_id: str, amount: int) -> int | None:
    """The balance after adding `amount`; None without such an account."""
    row = tx.one(
        "UPDATE accounts SET balance_micros = balance_micros + :amount WHERE id = :id RETURNING balance_micros",
        id=account_id,
        amount=amount,
    )
    return None if row is None else row[0]


def insert_entry(tx: Tx, account_id: str, posting: Posting, balance_after: int) -> int | None:
    """The row's number; None when its reason was posted before."""
    row = tx.one(
        "INSERT INTO entries (account_id, code, subject, tick, amount_micros, balance_after_micros,"
        " period_start_at, period_end_at, seconds, price_micros_per_hour, is_final, note, reverses, created_at)"
        " VALUES (:account, :code, :subject, :tick, :amount, :balance_after, :period_start, :period_end,"
        " :seconds, :price, :is_final, :note, :reverses, :now)"
        " ON CONFLICT (subject, tick, code, account_id) DO NOTHING RETURNING seq",
        account=account_id,
        code=posting.code.value,
        subject=posting.subject,
        tick=posting.tick,
        amount=posting.amount,
        balance_after=balance_after,
        period_start=posting.period_start_at,
        period_end=posting.period_end_at,
        seconds=posting.seconds,
        price=posting.price_micros_per_hour,
        is_final=int(posting.is_final),
        note=posting.note,
        reverses=posting.reverses,
        now=tx.now,
    )
    return None if row is None else row[0]


def find_entry(tx: Tx, account_id: str, *, code: Code, subject: str, tick: int) -> Entry | None:
    row = tx.one(
        f"SELECT {_ENTRY} FROM entries WHERE subject = :subject AND tick = :tick AND code = :code"
        " AND account_id = :account",
        subject=subject,
        tick=tick,
        code=code.value,
        account=account_id,
    )
    return None if row is None else _entry(row)


def find_by_seq(tx: Tx, account_id: str, seq: int) -> Entry | None:
    row = tx.one(
        f"SELECT {_ENTRY} FROM entries WHERE seq = :seq AND account_id = :account",
        seq=seq,
        account=account_id,
    )
    return None if row is None else _entry(row)


def find_credit(tx: Tx, account_id: str, reference: str) -> Entry | None:
    """Whatever credit came under this reference."""
    row = tx.one(
        f"SELECT {_ENTRY} FROM entries WHERE subject = :subject AND tick = 0 AND account_id = :account"
        " AND code <> 'reversal' LIMIT 1",
        subject=reference,
        account=account_id,
    )
    return None if row is None else _entry(row)


def reversed_of(tx: Tx, subject: str) -> int:
    row = tx.one(
        "SELECT CAST(COALESCE(SUM(amount_micros), 0) AS BIGINT) FROM entries WHERE subject = :subject AND tick < 0",
        subject=subject,
    )
    return 0 if row is None else row[0]


def spent(tx: Tx, account_id: str) -> int:
    """What the account was charged for use, less what was given back of it."""
    row = tx.one(
        "SELECT CAST(COALESCE(SUM(amount_micros), 0) AS BIGINT) FROM entries WHERE account_id = :account"
        " AND (tick <> 0 OR code = 'refund')",
        account=account_id,
    )
    return 0 if row is None else -row[0]


def entries_of(tx: Tx, account_id: str, subject: str, *, limit: int) -> list[Entry]:
    """The newest `limit`, oldest of them first. Credit has tick 0: a reference may be anybody's name."""
    rows = tx.all(
        f"SELECT {_ENTRY} FROM entries WHERE subject = :subject AND account_id = :account AND tick <> 0"
        " ORDER BY seq DESC LIMIT :limit",
        subject=subject,
        account=account_id,
        limit=limit,
    )
    return [_entry(row) for row in reversed(rows)]


def debited(tx: Tx, subject: str) -> tuple[int, int]:
    """What `subject` was charged so far, and its highest tick (0 when never)."""
    row = tx.one(
        # Credit has tick 0: one that is referenced by the name of a subject is no payment of it.
        "SELECT CAST(COALESCE(SUM(amount_micros), 0) AS BIGINT), COALESCE(MAX(tick), 0) FROM entries"
        " WHERE subject = :subject AND tick > 0",
        subject=subject,
    )
    return (0, 0) if row is None else (-row[0], row[1])


def is_closed(tx: Tx, subject: str) -> bool:
    row = tx.one(
        "SELECT 1 FROM entries WHERE subject = :subject AND tick > 0 AND is_final = 1 LIMIT 1",
        subject=subject,
    )
    return row is not None


def hold(tx: Tx, account_id: str, amount: int, *, owed: int, floor: int) -> bool:
    """Sets `amount` aside if the balance less `owed` less what is held already is at least `floor`."""
    return (
        tx.run(
            "UPDATE accounts SET held_micros = held_micros + :amount"
            " WHERE id = :id AND balance_micros - held_micros - :owed >= :floor",
            id=account_id,
            amount=amount,
            owed=owed,
            floor=floor,
        )
        == 1
    )


def insert_hold(tx: Tx, account_id: str, subject: str, amount: int) -> None:
    tx.run(
        "INSERT INTO holds (subject, account_id, amount_micros, created_at)"
        " VALUES (:subject, :account, :amount, :now)",
        subject=subject,
        account=account_id,
        amount=amount,
        now=tx.now,
    )


def shrink_hold(tx: Tx, subject: str, amount: int) -> None:
    row = tx.one(
        "SELECT account_id, amount_micros FROM holds WHERE subject = :subject AND amount_micros > :amount",
        subject=subject,
        amount=amount,
    )
    if row is not None:
        tx.run(
            "UPDATE holds SET amount_micros = :amount WHERE subject = :subject",
            subject=subject,
            amount=amount,
        )
        tx.run(
            "UPDATE accounts SET held_micros = held_micros - :freed WHERE id = :id",
            id=row[0],
            freed=row[1] - amount,
        )


def delete_hold(tx: Tx, subject: str) -> None:
    row = tx.one(
        "DELETE FROM holds WHERE subject = :subject RETURNING account_id, amount_micros", subject=subject
    )
    if row is not None:
        tx.run(
            "UPDATE accounts SET held_micros = held_micros - :amount WHERE id = :id", id=row[0], amount=row[1]
        )


def has_hold(tx: Tx, subject: str) -> bool:
    return tx.one("SELECT 1 FROM holds WHERE subject = :subject", subject=subject) is not None


def post_sweep(tx: Tx, code: Code, charges: str, values: dict[str, object]) -> int:
    """Posts every row that the SELECT `charges` yields: set by set, so that a million rows are one pass.

    The accounts are locked first: whoever settles one of these subjects waits, then sees these rows.
    """
    if tx.for_update:
        tx.all(
            f"SELECT 1 FROM accounts WHERE id IN (SELECT account_id FROM ({charges}) AS c)"
            f" ORDER BY id{tx.for_update}",
            **values,
        )
    count = tx.run(
        "INSERT INTO entries (account_id, code, subject, tick, amount_micros, balance_after_micros,"
        " period_start_at, period_end_at, seconds, price_micros_per_hour, created_at)"
        " SELECT c.account_id, CAST(:code AS TEXT), c.subject, c.tick, -c.amount, a.balance_micros - CAST(SUM(c.amount) OVER"
        " (PARTITION BY c.account_id ORDER BY c.subject ROWS UNBOUNDED PRECEDING) AS BIGINT), c.period_start_at,"
        f" c.period_end_at, c.seconds, c.price_micros_per_hour, :now FROM ({charges}) AS c"
        " JOIN accounts a ON a.id = c.account_id",
        code=code.value,
        now=tx.now,
        **values,
    )
    tx.run(
        "UPDATE accounts SET balance_micros = balance_micros - t.amount FROM (SELECT account_id,"
        f" CAST(SUM(amount) AS BIGINT) AS amount FROM ({charges}) AS c GROUP BY account_id) AS t"
        " WHERE accounts.id = t.account_id",
        **values,
    )
    return count


def release_charged(tx: Tx, *, tick_s: int) -> None:
    """Ends the hold of every subject that has paid a whole tick; a stop before that pays less and keeps it."""
    charged = (
        "EXISTS (SELECT 1 FROM entries e WHERE e.subject = holds.subject AND e.tick > 0 AND e.code = 'usage'"
        " AND e.seconds >= :tick_s)"
    )
    tx.run(
        "UPDATE accounts SET held_micros = held_micros - freed.amount FROM ("
        "SELECT account_id, CAST(SUM(amount_micros) AS BIGINT) AS amount FROM holds"
        f" WHERE {charged} GROUP BY account_id) AS freed WHERE accounts.id = freed.account_id",
        tick_s=tick_s,
    )
    tx.run(f"DELETE FROM holds WHERE {charged}", tick_s=tick_s)


def spending(tx: Tx, account_id: str, *, after_seq: int, since: Instant, limit: int) -> Spending:
    """Rows of usage, and what takes them back, have a tick; credit has none."""
    row = tx.one(
        "SELECT CAST(COALESCE(SUM(CASE WHEN tick <> 0 AND created_at >= :since THEN -amount_micros ELSE 0 END), 0)"
        " AS BIGINT), COALESCE(MAX(seq), :after) FROM (SELECT seq, tick, amount_micros, created_at FROM entries"
        " WHERE account_id = :account AND seq > :after ORDER BY seq LIMIT :limit) AS read",
        account=account_id,
        after=after_seq,
        since=since,
        limit=limit,
    )
    return Spending(Micros(0), after_seq) if row is None else Spending(Micros(row[0]), row[1])


def sums(tx: Tx) -> list[Row]:
    """(account, balance, sum of rows, held, sum of holds) of every account where a pair disagrees."""
    return tx.all(
        "SELECT id, balance_micros, total, held_micros, holds FROM (SELECT a.id, a.balance_micros, a.held_micros,"
        " CAST(COALESCE((SELECT SUM(amount_micros) FROM entries e WHERE e.account_id = a.id), 0) AS BIGINT) AS total,"
        " CAST(COALESCE((SELECT SUM(amount_micros) FROM holds h WHERE h.account_id = a.id), 0) AS BIGINT) AS holds"
        " FROM accounts a) AS s WHERE balance_micros <> total OR held_micros <> holds LIMIT 100"
    )

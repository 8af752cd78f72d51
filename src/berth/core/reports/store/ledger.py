"""Statements over rows of the ledger and the names of what they were for."""

from berth.base.db import Row, Tx
from berth.base.paging import After
from berth.core.ledger import Code, Entry
from berth.core.reports.model import EntryFilter, Kind, Transaction

_TRANSACTION = (
    "SELECT e.seq, e.account_id, e.code, e.subject, e.tick, e.amount_micros, e.balance_after_micros,"
    " e.period_start_at, e.period_end_at, e.seconds, e.price_micros_per_hour, e.is_final, e.note, e.created_at,"
    " e.reverses, i.hostname, v.name FROM entries e"
    " LEFT JOIN instances i ON i.id = e.subject AND e.tick <> 0"
    " LEFT JOIN volumes v ON v.id = e.subject AND e.tick <> 0"
)


def _transaction(row: Row) -> Transaction:
    entry = Entry(*(*row[:2], Code(row[2]), *row[3:11], bool(row[11]), *row[12:15]))
    hostname, volume = row[15:]
    kind = Kind.CREDIT if entry.tick == 0 else Kind.VOLUME if hostname is None else Kind.INSTANCE
    return Transaction(entry, kind, hostname or volume)


def find(tx: Tx, account: str, seq: int) -> Transaction | None:
    row = tx.one(f"{_TRANSACTION} WHERE e.seq = :seq AND e.account_id = :account", seq=seq, account=account)
    return None if row is None else _transaction(row)


def list_rows(
    tx: Tx, account: str, wanted: EntryFilter, *, after: After | None, limit: int
) -> list[Transaction]:
    """Newest first."""
    where, values = _where(account, wanted)
    if after is not None:
        where += " AND (e.created_at, e.seq) < (:after_at, :after_seq)"
        values |= {"after_at": after.time, "after_seq": int(after.id)}
    rows = tx.all(
        f"{_TRANSACTION} {where} ORDER BY e.created_at DESC, e.seq DESC LIMIT :limit", **values, limit=limit
    )
    return [_transaction(row) for row in rows]


def count(tx: Tx, account: str, wanted: EntryFilter) -> int:
    where, values = _where(account, wanted)
    row = tx.one(f"SELECT COUNT(*) FROM entries e {where}", **values)
    return 0 if row is None else row[0]


# Put together from these constants: each mix of filters is one statement, and finds its index.
_CLAUSES = {
    # Whoever asks for adjustments is shown these too.
    "code": "(e.code = :code OR e.code = 'early_termination' AND :code = 'adjustment')",
    "instance_id": "e.subject = :instance_id AND e.tick <> 0 AND e.code <> 'storage'",
    "volume_id": "e.subject = :volume_id AND e.tick <> 0 AND e.code NOT IN ('usage', 'minimum')",
    "from_at": "e.created_at >= :from_at",
    "to_at": "e.created_at < :to_at",
}


def _where(account: str, wanted: EntryFilter) -> tuple[str, dict[str, object]]:
    given: dict[str, object] = {
        name: value for name in _CLAUSES if (value := getattr(wanted, name)) is not None
    }
    clauses = ["WHERE e.account_id = :account", *(_CLAUSES[name] for name in given)]
    return " AND ".join(clauses), {"account": account, **given}

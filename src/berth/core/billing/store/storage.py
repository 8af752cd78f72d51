"""Statements over stretches of storage. Every expression here agrees with `rates.monthly` to the micro-dollar."""

from berth.base.clock import HOUR, SECOND, Instant
from berth.base.db import Row, Tx
from berth.core.billing.model import Stretch
from berth.core.billing.rates import MONTH_S, STORAGE_GRACE

_STRETCH = (
    "subject, number, account_id, micros_per_month, cost_micros_per_month, started_at, ended_at, before_s,"
    " before_micros, first_tick, phase"
)


def _total(seconds: str) -> str:
    return f"((micros_per_month * ({seconds}) + {MONTH_S // 2}) / {MONTH_S})"


def _ticked(at: str) -> str:
    """The account's last tick at `at`."""
    return f"({at} - ({at} - phase) % {HOUR})"


def _paid_s(at: str) -> str:
    """As `rates.storage_paid_s`."""
    since = f"({_ticked(at)} - started_at)"
    return f"(CASE WHEN {since} >= {STORAGE_GRACE} THEN {since} / {SECOND} ELSE 0 END)"


_TO, _FROM = "CAST(:swept_to AS BIGINT)", "CAST(:swept_from AS BIGINT)"
CHARGES_DUE = (
    "SELECT account_id, subject, first_tick + hours AS tick,"
    f" {_total('used')} - {_total('paid')} AS amount,"
    f" started_at + paid * {SECOND} AS period_start_at, started_at + used * {SECOND} AS period_end_at,"
    " used - paid AS seconds, (micros_per_month + 365) / 730 AS price_micros_per_hour FROM ("
    "SELECT account_id, subject, first_tick, micros_per_month, started_at,"
    f" {_paid_s(_TO)} AS used, {_paid_s(_FROM)} AS paid,"
    f" ({_ticked(_TO)} - started_at + {HOUR - 1}) / {HOUR} AS hours"
    " FROM storage_segments WHERE ended_at IS NULL AND phase > :above AND phase <= :up_to) AS due WHERE used > paid"
)


def _stretch(row: Row) -> Stretch:
    return Stretch(*row)


def insert(tx: Tx, stretch: Stretch) -> None:
    tx.run(
        "INSERT INTO storage_segments (subject, number, account_id, micros_per_month, cost_micros_per_month,"
        " started_at, ended_at, before_s, before_micros, first_tick, phase) VALUES (:subject, :number, :account,"
        " :price, :cost, :started_at, NULL, :before_s, :before, :first_tick, :phase)",
        subject=stretch.subject,
        number=stretch.number,
        account=stretch.account,
        price=stretch.micros_per_month,
        cost=stretch.cost_micros_per_month,
        started_at=stretch.started_at,
        before_s=stretch.before_s,
        before=stretch.before,
        first_tick=stretch.first_tick,
        phase=stretch.phase,
    )


def last(tx: Tx, subject: str) -> Stretch | None:
    row = tx.one(
        f"SELECT {_STRETCH} FROM storage_segments WHERE subject = :subject ORDER BY number DESC LIMIT 1",
        subject=subject,
    )
    return None if row is None else _stretch(row)


def first_start(tx: Tx, subject: str) -> Instant | None:
    row = tx.one(
        "SELECT started_at FROM storage_segments WHERE subject = :subject AND number = 1", subject=subject
    )
    return None if row is None else Instant(row[0])


def end(tx: Tx, stretch: Stretch, at: Instant) -> None:
    tx.run(
        "UPDATE storage_segments SET ended_at = :at WHERE subject = :subject AND number = :number",
        at=at,
        subject=stretch.subject,
        number=stretch.number,
    )


_SWEPT_S = _paid_s("swept_at")
# What was paid is the least that was used, also for a replica whose clock is behind the last sweep.
_USED_S = (
    f"CASE WHEN :now > started_at AND (:now - started_at) / {SECOND} > {_SWEPT_S}"
    f" THEN (:now - started_at) / {SECOND} ELSE {_SWEPT_S} END"
)
OPEN = (
    f"CAST(COALESCE(SUM({_total(_USED_S)} - {_total(_SWEPT_S)}), 0) AS BIGINT) AS accrued,"
    " (CAST(COALESCE(SUM(micros_per_month), 0) AS BIGINT) + 365) / 730 AS burn"
    " FROM (SELECT COALESCE(MAX(swept_at), 0) AS swept_at FROM sweeps WHERE name = 'storage') AS last,"
    " storage_segments WHERE ended_at IS NULL"
)
"""Micros used by open stretches since their last tick, and their price for an hour, rounded half up."""


def open_of(tx: Tx, account: str, *, limit: int) -> list[Stretch]:
    rows = tx.all(
        f"SELECT {_STRETCH} FROM storage_segments WHERE account_id = :account AND ended_at IS NULL"
        " ORDER BY subject LIMIT :limit",
        account=account,
        limit=limit,
    )
    return [_stretch(row) for row in rows]

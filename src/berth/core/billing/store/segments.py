"""Statements over segments. Every expression here agrees with `rates.total` to the micro-dollar."""

from berth.base.clock import SECOND, Instant
from berth.base.db import Row, Tx
from berth.core.billing.model import Segment
from berth.core.billing.rates import TICK_S
from berth.core.billing.store import storage

TICK = TICK_S * SECOND
_SEGMENT = (
    "subject, number, account_id, price_micros_per_hour, cost_micros_per_hour, started_at, ended_at, before_s,"
    " first_tick, earlier_s, earlier_micros"
)


def _total(seconds: str) -> str:
    return f"((price_micros_per_hour * ({seconds}) + 1800) / 3600)"


def _ticks(at: str) -> str:
    """Whole ticks of an open segment at `at`; 0 when it began later."""
    return f"(CASE WHEN {at} > started_at THEN ({at} - started_at) / {TICK} ELSE 0 END)"


# A tick is due when a multiple of 600 s since the segment's start lies in (swept_from, swept_to]. `phase` is
# the start within its 600 s, so the due ones are a range of the index and the others are never looked at.
CHARGES_DUE = (
    "SELECT account_id, subject, first_tick + ticks AS tick,"
    f" {_total(f'before_s + ticks * {TICK_S}')} - {_total(f'before_s + paid * {TICK_S}')} AS amount,"
    f" started_at + paid * {TICK} AS period_start_at, started_at + ticks * {TICK} AS period_end_at,"
    f" (ticks - paid) * {TICK_S} AS seconds, price_micros_per_hour FROM ("
    "SELECT account_id, subject, first_tick, before_s, price_micros_per_hour, started_at,"
    f" {_ticks('CAST(:swept_to AS BIGINT)')} AS ticks, {_ticks('CAST(:swept_from AS BIGINT)')} AS paid"
    " FROM segments WHERE ended_at IS NULL AND phase > :above AND phase <= :up_to) AS due WHERE ticks > paid"
)


def _segment(row: Row) -> Segment:
    return Segment(*row)


def lock_swept_at(tx: Tx, name: str) -> Instant:
    """When the last sweep was; no other sweep runs until the commit."""
    tx.run("INSERT INTO sweeps (name, swept_at) VALUES (:name, 0) ON CONFLICT (name) DO NOTHING", name=name)
    row = tx.one("SELECT swept_at FROM sweeps WHERE name = :name" + tx.for_update, name=name)
    return Instant(0 if row is None else row[0])


def read_swept_at(tx: Tx, name: str) -> Instant:
    row = tx.one("SELECT swept_at FROM sweeps WHERE name = :name", name=name)
    return Instant(0 if row is None else row[0])


def set_swept_at(tx: Tx, name: str, at: Instant) -> None:
    tx.run(
        "INSERT INTO sweeps (name, swept_at) VALUES (:name, :at)"
        " ON CONFLICT (name) DO UPDATE SET swept_at = excluded.swept_at",
        name=name,
        at=at,
    )


def insert_segment(tx: Tx, segment: Segment) -> None:
    tx.run(
        "INSERT INTO segments (subject, number, account_id, price_micros_per_hour, cost_micros_per_hour,"
        " started_at, ended_at, before_s, first_tick, phase, earlier_s, earlier_micros) VALUES (:subject, :number,"
        " :account, :price, :cost, :started_at, NULL, :before_s, :first_tick, :phase, :earlier_s, :earlier)",
        subject=segment.subject,
        number=segment.number,
        account=segment.account,
        price=segment.price_micros_per_hour,
        cost=segment.cost_micros_per_hour,
        started_at=segment.started_at,
        before_s=segment.before_s,
        first_tick=segment.first_tick,
        phase=segment.started_at % TICK,
        earlier_s=segment.earlier_s,
        earlier=segment.earlier,
    )


def last_segment(tx: Tx, subject: str) -> Segment | None:
    row = tx.one(
        f"SELECT {_SEGMENT} FROM segments WHERE subject = :subject ORDER BY number DESC LIMIT 1",
        subject=subject,
    )
    return None if row is None else _segment(row)


def segments_of(tx: Tx, subject: str, *, limit: int) -> list[Segment]:
    """The newest `limit`, oldest of them first."""
    rows = tx.all(
        f"SELECT {_SEGMENT} FROM segments WHERE subject = :subject ORDER BY number DESC LIMIT :limit",
        subject=subject,
        limit=limit,
    )
    return [_segment(row) for row in reversed(rows)]


def used_s(tx: Tx, subject: str, until: Instant) -> int:
    """Seconds billed up to then."""
    row = tx.one(
        "SELECT CAST(COALESCE(SUM((CASE WHEN ended_at IS NULL OR ended_at > :until THEN :until ELSE ended_at END"
        f" - started_at) / {SECOND}), 0) AS BIGINT) FROM segments WHERE subject = :subject AND started_at < :until",
        subject=subject,
        until=until,
    )
    return 0 if row is None else row[0]


def first_start(tx: Tx, subject: str) -> Instant | None:
    row = tx.one("SELECT started_at FROM segments WHERE subject = :subject AND number = 1", subject=subject)
    return None if row is None else Instant(row[0])


def end_segment(tx: Tx, segment: Segment, at: Instant) -> None:
    tx.run(
        "UPDATE segments SET ended_at = :at WHERE subject = :subject AND number = :number",
        at=at,
        subject=segment.subject,
        number=segment.number,
    )


def accrued(tx: Tx, account: str) -> tuple[int, int]:
    """(micros used by open segments and stretches since their last swept tick, what an hour of them costs)."""
    row = tx.one(_ACCRUED, account=account, now=tx.now)
    return (0, 0) if row is None else (row[0], row[1])


_PAID_S = f"{_ticks('swept_at')} * {TICK_S}"


def _used_s(now: str) -> str:
    """What was paid is the least that was used, also for a replica whose clock is behind the last sweep."""
    return (
        f"CASE WHEN {now} > started_at AND ({now} - started_at) / {SECOND} > {_PAID_S}"
        f" THEN ({now} - started_at) / {SECOND} ELSE {_PAID_S} END"
    )


_SWEPT = "(SELECT COALESCE(MAX(swept_at), 0) AS swept_at FROM sweeps WHERE name = 'ticks') AS last"
_USED_NOW_S = _used_s(":now")
OPEN = (
    f"CAST(COALESCE(SUM({_total(f'before_s + {_USED_NOW_S}')} - {_total(f'before_s + {_PAID_S}')}), 0) AS BIGINT)"
    f" AS accrued, CAST(COALESCE(SUM(price_micros_per_hour), 0) AS BIGINT) AS burn FROM {_SWEPT}, segments"
    " WHERE ended_at IS NULL"
)
"""Micros used by open segments since their last tick, and what an hour of them costs."""
_ACCRUED = (
    "SELECT instances.accrued + storage.accrued, instances.burn + storage.burn FROM ("
    f"SELECT {OPEN} AND account_id = :account) AS instances,"
    f" (SELECT {storage.OPEN} AND account_id = :account) AS storage"
)
# What each open segment of one account has used since it was charged last, with the numbers of its next row.
UNCHARGED = (
    "SELECT * FROM (SELECT account_id, subject, number, first_tick + paid_s / 600 + 1 AS tick,"
    f" {_total('before_s + used_s')} - {_total('before_s + paid_s')} AS amount,"
    f" started_at + paid_s * {SECOND} AS period_start_at, started_at + used_s * {SECOND} AS period_end_at,"
    " used_s - paid_s AS seconds, price_micros_per_hour, cost_micros_per_hour, before_s + used_s AS billed_s,"
    " earlier_s, earlier_micros FROM (SELECT account_id, subject, number, first_tick, before_s,"
    " price_micros_per_hour, cost_micros_per_hour, earlier_s, earlier_micros,"
    f" started_at, {_used_s('CAST(:used_to AS BIGINT)')} AS used_s, {_PAID_S} AS paid_s FROM {_SWEPT}, segments"
    " WHERE account_id = :account AND ended_at IS NULL) AS open) AS uncharged WHERE amount > 0"
)


def split_charged(tx: Tx, account: str, *, used_to: Instant) -> None:
    """Goes on with every segment that `UNCHARGED` names as a new one that begins where that row ends.

    The clock does not stop in between: what runs on is counted from a whole second, so none is lost.
    """
    tx.run(
        "INSERT INTO segments (subject, number, account_id, price_micros_per_hour, cost_micros_per_hour,"
        " started_at, ended_at, before_s, first_tick, phase, earlier_s, earlier_micros) SELECT subject, number + 1, account_id,"
        " price_micros_per_hour, cost_micros_per_hour, period_end_at, CAST(NULL AS BIGINT), billed_s, tick,"
        f" period_end_at % {TICK}, earlier_s, earlier_micros FROM ({UNCHARGED}) AS charged",
        account=account,
        used_to=used_to,
    )
    tx.run(
        "UPDATE segments SET ended_at = next.started_at FROM segments AS next WHERE segments.account_id = :account"
        " AND segments.ended_at IS NULL AND next.subject = segments.subject AND next.number = segments.number + 1",
        account=account,
    )

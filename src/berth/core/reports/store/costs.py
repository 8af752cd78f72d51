"""The statement of what sessions cost in a window, to the second.

Seconds and money are differences of cumulative totals, as charges are: windows that adjoin add up to the window
around them, and the window around everything to what the ledger charged and what is used since.
"""

import json

from berth.base.clock import SECOND, Instant
from berth.base.db import Tx
from berth.base.money import Micros
from berth.core.reports.model import Cost

_START, _END = "CAST(:start AS BIGINT)", "CAST(:end AS BIGINT)"


def _seconds(at: str) -> str:
    """Whole seconds of a segment that had passed at `at`."""
    ended = f"CASE WHEN ended_at IS NULL OR ended_at > {at} THEN {at} ELSE ended_at END"
    return f"(CASE WHEN {at} > started_at THEN ({ended} - started_at) / {SECOND} ELSE 0 END)"


def _total(at: str) -> str:
    """What the seconds at its price had cost at `at`, rounded once: as `rates.total` does."""
    return f"((price_micros_per_hour * (before_s + {_seconds(at)}) + 1800) / 3600)"


# Usage and what was given back of it is what the segments say; the other rows count where they were written.
_SUBJECTS = (
    "SELECT subject, SUM(seconds) AS seconds, SUM(micros) AS micros FROM ("
    f"SELECT subject, {_seconds(_END)} - {_seconds(_START)} AS seconds, {_total(_END)} - {_total(_START)} AS micros"
    f" FROM segments WHERE account_id = :account AND started_at < {_END} AND (ended_at IS NULL OR ended_at > {_START})"
    " UNION ALL SELECT subject, 0 AS seconds, -amount_micros AS micros FROM entries WHERE account_id = :account"
    " AND tick <> 0 AND code NOT IN ('usage', 'refund') AND created_at >= :start AND created_at < :written_before"
    ") AS parts GROUP BY subject"
)
_CONSUMER = " AND s.consumer_id = :consumer"


def costs(
    tx: Tx, account: str, *, consumer: str | None, start: Instant, end: Instant, now: Instant
) -> list[Cost]:
    """By provider and GPU type, of what was used or charged in [`start`, `end`) and before `now`."""
    until = min(end, now)
    given = {} if consumer is None else {"consumer": consumer}
    rows = tx.all(
        "SELECT i.provider, i.specs, CAST(COUNT(*) AS BIGINT), CAST(SUM(c.seconds) AS BIGINT),"
        f" CAST(SUM(c.micros) AS BIGINT) FROM ({_SUBJECTS}) AS c JOIN sessions s ON s.instance_id = c.subject"
        " JOIN instances i ON i.id = c.subject WHERE (c.seconds <> 0 OR c.micros <> 0)"
        f"{'' if consumer is None else _CONSUMER} GROUP BY i.provider, i.specs ORDER BY i.provider, i.specs",
        account=account,
        start=min(start, until),
        end=until,
        written_before=end,
        **given,
    )
    return [
        Cost(provider, json.loads(specs)["gpu_model"] or "", count, seconds, Micros(total))
        for provider, specs, count, seconds, total in rows
    ]


def accrued(tx: Tx, now: Instant) -> list[tuple[str, Micros]]:
    """By provider, what the sessions whose instances are still there have used until `now`, at the price of each second."""
    # Said twice that it is not deleted: an index has those alone, and segments of all that ever was are many.
    rows = tx.all(
        f"SELECT provider, CAST(SUM({_total(_END)} - {_total(_START)}) AS BIGINT) FROM (SELECT i.provider,"
        " g.price_micros_per_hour, g.before_s, g.started_at, g.ended_at FROM sessions s"
        " JOIN instances i ON i.id = s.instance_id JOIN segments g ON g.subject = s.instance_id"
        " WHERE i.status <> 'deleted' AND i.status IN ('provisioning', 'running', 'offline', 'deleting')) AS used"
        " GROUP BY provider ORDER BY provider",
        start=0,
        end=now,
    )
    return [(provider, Micros(total)) for provider, total in rows]

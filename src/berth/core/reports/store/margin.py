"""The statement of the margin report: what every subject brought in and cost, summed as asked for.

Cost is a difference of cumulative totals, as charges are: windows that adjoin add up to the window around them.
"""

from berth.base.clock import SECOND, Instant
from berth.base.db import Tx
from berth.base.money import Micros
from berth.core.billing import MONTH_S
from berth.core.reports.model import Margin, MarginBy

_START, _END = "CAST(:start AS BIGINT)", "CAST(:end AS BIGINT)"


def _seconds(at: str) -> str:
    """Whole seconds of a stretch that had passed at `at`."""
    ended = f"CASE WHEN ended_at IS NULL OR ended_at > {at} THEN {at} ELSE ended_at END"
    return f"(CASE WHEN {at} > started_at THEN ({ended} - started_at) / {SECOND} ELSE 0 END)"


def _cost(price: str, unit_s: int, at: str) -> str:
    return f"(({price} * {_seconds(at)} + {unit_s // 2}) / {unit_s})"


def _stretches(table: str, price: str, unit_s: int) -> str:
    return (
        f"SELECT subject, {_seconds(_END)} - {_seconds(_START)} AS seconds, 0 AS revenue,"
        f" {_cost(price, unit_s, _END)} - {_cost(price, unit_s, _START)} AS cost FROM {table}"
        f" WHERE started_at < {_END} AND (ended_at IS NULL OR ended_at > {_START})"
    )


_SUBJECTS = (
    "SELECT subject, SUM(seconds) AS seconds, SUM(revenue) AS revenue, SUM(cost) AS cost FROM ("
    "SELECT subject, 0 AS seconds, -amount_micros AS revenue, 0 AS cost FROM entries"
    f" WHERE tick <> 0 AND created_at >= {_START} AND created_at < {_END}"
    f" UNION ALL {_stretches('segments', 'cost_micros_per_hour', 3600)}"
    f" UNION ALL {_stretches('storage_segments', 'cost_micros_per_month', MONTH_S)}) AS parts GROUP BY subject"
)
_GROUPS = {
    MarginBy.PROVIDER: ("COALESCE(i.provider, v.provider, '')", "COALESCE(i.provider, v.provider, '')"),
    MarginBy.TYPE: ("COALESCE(i.instance_type, v.type, '')", "COALESCE(i.instance_type, v.type, '')"),
    MarginBy.PROJECT: ("COALESCE(p.id, '')", "COALESCE(p.name, '')"),
    MarginBy.INSTANCE: ("s.subject", "COALESCE(i.hostname, v.name, '')"),
}


def margins(tx: Tx, group_by: MarginBy, *, start: Instant, end: Instant, limit: int) -> list[Margin]:
    key, name = _GROUPS[group_by]
    rows = tx.all(
        f"SELECT {key}, {name}, CAST(SUM(s.seconds) AS BIGINT), CAST(SUM(s.revenue) AS BIGINT),"
        f" CAST(SUM(s.cost) AS BIGINT) FROM ({_SUBJECTS}) AS s LEFT JOIN instances i ON i.id = s.subject"
        " LEFT JOIN volumes v ON v.id = s.subject"
        f" LEFT JOIN projects p ON p.id = COALESCE(i.project_id, v.project_id) GROUP BY {key}, {name}"
        f" ORDER BY 4 DESC, 1 LIMIT :limit",
        start=start,
        end=end,
        limit=limit,
    )
    return [
        Margin(key, name, seconds, Micros(revenue), Micros(cost))
        for key, name, seconds, revenue, cost in rows
    ]

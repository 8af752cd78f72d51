"""The statements of usage reports: one pass over an account's rows in the window, then over few sums of them."""

from berth.base.clock import DAY, HOUR
from berth.base.db import Row, Tx
from berth.base.money import Micros
from berth.core.reports.model import GroupBy, Usage, UsageFilter, UsageTotals

_BUCKETS = {GroupBy.DAY: f"created_at / {DAY} * {DAY}", GroupBy.HOUR: f"created_at / {HOUR} * {HOUR}"}
# `tick` 0 is credit. A refund with a tick gives back time as well as money.
_SUMS = (
    "SELECT subject, {bucket} AS bucket, -SUM(amount_micros) AS amount,"
    " SUM(CASE code WHEN 'usage' THEN seconds WHEN 'refund' THEN -seconds ELSE 0 END) AS used_s,"
    " SUM(CASE code WHEN 'minimum' THEN seconds ELSE 0 END) AS minimum_s FROM entries"
    " WHERE account_id = :account AND created_at >= :start AND created_at < :end AND tick <> 0{only}"
    " GROUP BY subject, {bucket}"
)
_JOINS = (
    " AS s LEFT JOIN instances i ON i.id = s.subject LEFT JOIN volumes v ON v.id = s.subject"
    " LEFT JOIN instance_types t ON t.name = i.instance_type"
)
_KEYS = {
    GroupBy.INSTANCE: "s.subject",
    GroupBy.VOLUME: "s.subject",
    GroupBy.DAY: "CAST(s.bucket AS TEXT)",
    GroupBy.HOUR: "CAST(s.bucket AS TEXT)",
    GroupBy.GPU_MODEL: "COALESCE(t.gpu_model, '')",
    GroupBy.API_KEY: "COALESCE(i.created_by, v.created_by, '')",
}
_ONLY = {GroupBy.INSTANCE: " WHERE i.id IS NOT NULL", GroupBy.VOLUME: " WHERE i.id IS NULL"}
_FIGURES = (
    "CAST(SUM(CASE WHEN i.id IS NULL THEN 0 ELSE s.used_s END) AS BIGINT) AS used_s,"
    " CAST(SUM(s.minimum_s) AS BIGINT) AS minimum_s,"
    " CAST(SUM(CASE WHEN i.id IS NULL THEN 0 ELSE s.amount END) AS BIGINT) AS compute,"
    " CAST(SUM(CASE WHEN i.id IS NULL THEN s.amount ELSE 0 END) AS BIGINT) AS storage"
)
_TOTALS = (
    "COUNT(*) OVER () AS groups, CAST(SUM(used_s) OVER () AS BIGINT) AS all_used_s,"
    " CAST(SUM(compute) OVER () AS BIGINT) AS all_compute, CAST(SUM(storage) OVER () AS BIGINT) AS all_storage"
)
_STARTED = "(SELECT started_at FROM {table} WHERE subject = page.id AND number = 1)"
_ENDED = "(SELECT ended_at FROM {table} WHERE subject = page.id ORDER BY number DESC LIMIT 1)"
_DETAILS = {
    GroupBy.INSTANCE: (
        (
            ", i.hostname, i.instance_type, i.location, i.status, i.price_micros_per_hour,"
            f" {_STARTED.format(table='segments')}, {_ENDED.format(table='segments')}"
        ),
        " LEFT JOIN instances i ON i.id = page.id",
    ),
    GroupBy.VOLUME: (
        (
            ", v.name, v.type, v.location, v.status, (v.price_micros_per_gb_month * v.size_gb + 365) / 730,"
            f" {_STARTED.format(table='storage_segments')}, {_ENDED.format(table='storage_segments')}"
        ),
        " LEFT JOIN volumes v ON v.id = page.id",
    ),
}


def groups(
    tx: Tx, account: str, wanted: UsageFilter, *, after: str | None, limit: int
) -> tuple[list[Usage], UsageTotals]:
    """The groups below `after`, highest key first, and the totals of all groups."""
    values: dict[str, object] = {
        "account": account,
        "start": wanted.window.start,
        "end": wanted.window.end,
        "limit": limit,
    }
    given = {"only": wanted.instance_id, "status": wanted.status, "after": after}
    values |= {name: value for name, value in given.items() if value is not None}
    rows = tx.all(_statement(wanted, is_first=after is None), **values)
    return [_usage(row) for row in rows], _totals(rows)


def _statement(wanted: UsageFilter, *, is_first: bool) -> str:
    group = wanted.group_by
    only = "" if wanted.instance_id is None else " AND subject = :only"
    sums = _SUMS.format(bucket=_BUCKETS.get(group, "CAST(0 AS BIGINT)"), only=only)
    where = _ONLY.get(group, "")
    if wanted.status is not None:
        where += (" AND " if where else " WHERE ") + "COALESCE(i.status, v.status) = :status"
    grouped = f"SELECT {_KEYS[group]} AS id, {_FIGURES} FROM ({sums}){_JOINS}{where} GROUP BY {_KEYS[group]}"
    below = "" if is_first else " WHERE id < :after"
    details, joins = _DETAILS.get(group, ("", ""))
    return (
        f"SELECT page.*{details} FROM (SELECT * FROM (SELECT g.*, {_TOTALS} FROM ({grouped}) AS g) AS summed{below}"
        f" ORDER BY id DESC LIMIT :limit) AS page{joins} ORDER BY page.id DESC"
    )


def _usage(row: Row) -> Usage:
    key, used_s, minimum_s, compute, storage, _, _, _, _, *details = row
    return Usage(key or None, used_s or 0, minimum_s or 0, Micros(compute), Micros(storage), *details)


def _totals(rows: list[Row]) -> UsageTotals:
    if not rows:
        return UsageTotals(0, 0, Micros(0), Micros(0))
    groups, used_s, compute, storage = rows[0][5:9]
    return UsageTotals(groups, used_s or 0, Micros(compute), Micros(storage))

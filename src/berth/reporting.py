"""The operator's reports, as the command line shows them."""

from collections.abc import Mapping, Sequence
from typing import Literal

from rich.table import Table

from berth.base import money
from berth.base.clock import Instant, parse_rfc3339
from berth.base.db import Database
from berth.core import events, reports
from berth.core.reports import Margin, MarginBy

By = Literal["provider", "type", "project", "instance"]
_LIMIT = 1000


def margins(database: Database, by: By, from_: str | None, to: str | None) -> Sequence[Margin]:
    """The thousand groups with most revenue. Raises ValueError for what is no timestamp."""
    return database.read_now(
        reports.margin,
        events.operator(""),
        group_by=MarginBy(by),
        from_at=_instant(from_),
        to_at=_instant(to),
        limit=_LIMIT,
    )


def as_json(rows: Sequence[Margin]) -> Mapping[str, object]:
    """Amounts are whole micro-dollars."""
    return {"rows": [_row(row) for row in rows], "total": _row(total(rows))}


def as_table(rows: Sequence[Margin], by: By) -> Table:
    table = Table(
        by, "hours", "revenue", "cost", "margin", "%", title="Charged, and what providers charge us"
    )
    for column in table.columns[1:]:
        column.justify = "right"
    for row in rows:
        table.add_row(row.name or row.key or "(gone)", *_figures(row))
    table.add_section()
    table.add_row("total", *_figures(total(rows)))
    return table


def total(rows: Sequence[Margin]) -> Margin:
    return Margin(
        "",
        "total",
        sum(row.seconds for row in rows),
        money.Micros(sum(row.revenue for row in rows)),
        money.Micros(sum(row.cost for row in rows)),
    )


def _row(row: Margin) -> Mapping[str, object]:
    return {
        "key": row.key,
        "name": row.name,
        "seconds": row.seconds,
        "revenue_micros": row.revenue,
        "cost_micros": row.cost,
        "margin_micros": row.margin,
    }


def _figures(row: Margin) -> tuple[str, ...]:
    percent = "" if row.revenue == 0 else f"{(row.margin * 100 + row.revenue // 2) // row.revenue}"
    return (
        f"{(row.seconds + 1800) // 3600}",
        *(money.show(amount) for amount in (row.revenue, row.cost, row.margin)),
        percent,
    )


def _instant(text: str | None) -> Instant | None:
    return None if text is None else parse_rfc3339(text)

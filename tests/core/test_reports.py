"""Margins: what was charged beside what providers charge, to the micro-dollar, in any window."""

import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from berth import reporting
from berth.base.clock import SECOND, Instant
from berth.base.db import Database
from berth.base.money import from_usd
from berth.core import billing, events, instances, reports
from berth.core.billing import rates
from berth.core.errors import Forbidden, Invalid
from berth.core.reports import Margin, MarginBy
from tests import make
from tests.conftest import FakeClock
from tests.core.books import clear

OPERATOR = events.operator("")


def margins(
    db: Database, by: MarginBy = MarginBy.PROVIDER, *, start: int | None = None, end: int | None = None
) -> list[Margin]:
    return list(
        db.read_now(
            reports.margin,
            OPERATOR,
            group_by=by,
            from_at=None if start is None else Instant(start),
            to_at=None if end is None else Instant(end),
        )
    )


def test_a_margin_is_what_was_charged_less_what_it_cost(db: Database, clock: FakeClock) -> None:
    make.catalogue(db, make.offer(price="1.71", cost="1.003"))
    made = make.instance(db)
    clock.advance(seconds=1530)
    db.write_now(instances.delete, make.owner(made), made.id, make.RULES)
    (row,) = margins(db)
    assert (row.key, row.seconds, row.revenue) == ("sandbox", 1530, 726_750)
    assert row.cost == rates.total(from_usd("1.003"), 1530)
    assert row.margin == 726_750 - 426_275
    assert [each.key for each in margins(db, MarginBy.TYPE)] == [make.H100]
    assert [each.key for each in margins(db, MarginBy.PROJECT)] == [made.project]
    (by_instance,) = margins(db, MarginBy.INSTANCE)
    assert (by_instance.key, by_instance.name) == (made.id, "my-training-run")


def test_time_that_was_not_charged_yet_costs_already(db: Database, clock: FakeClock) -> None:
    make.instance(db)
    clock.advance(seconds=360)
    (row,) = margins(db)
    assert (row.revenue, row.cost) == (0, 100_000)


def test_storage_has_its_cost_too(db: Database, clock: FakeClock) -> None:
    customer = make.project(db)
    db.write_now(billing.start_storage, customer.id, "v", 20_000_000, cost_micros_per_month=9_999_999)
    clock.advance(seconds=1000)
    db.write_now(billing.change_storage, customer.id, "v", 40_000_000, cost_micros_per_month=20_000_001)
    clock.advance(seconds=1000)
    db.write_now(billing.finish_storage, customer.id, "v", clock.now())
    (row,) = margins(db)
    assert row.seconds == 2000
    assert row.revenue == rates.monthly(20_000_000, 1000) + rates.monthly(40_000_000, 1000)
    assert row.cost == rates.monthly(9_999_999, 1000) + rates.monthly(20_000_001, 1000)


@given(
    lengths=st.lists(st.integers(1, 5000), min_size=1, max_size=4),
    cuts=st.lists(st.integers(0, 25_000), min_size=1, max_size=5),
    cost=st.integers(0, 10**8),
)
def test_windows_that_adjoin_add_up(
    db: Database, clock: FakeClock, lengths: list[int], cuts: list[int], cost: int
) -> None:
    clear(db)
    account = make.project(db).id
    began = clock.now()
    for length in lengths:
        db.write_now(billing.start, account, "i", 1_710_000, cost_micros_per_hour=cost)
        clock.advance(seconds=length)
        db.write_now(billing.pause, account, "i", clock.now())
        clock.advance(seconds=77)
    whole = margins(db)[0]
    assert whole.seconds == sum(lengths)
    assert whole.cost == sum(rates.total(cost, length) for length in lengths)
    clock.advance(seconds=30_000)
    edges = sorted({began, *(began + cut * SECOND for cut in cuts), began + 30_000 * SECOND})
    parts = [row for start, end in pairwise(edges) for row in margins(db, start=start, end=end)]
    assert sum(row.seconds for row in parts) == whole.seconds
    assert sum(row.cost for row in parts) == whole.cost
    assert sum(row.revenue for row in parts) == whole.revenue


def test_only_an_operator_may_ask(db: Database) -> None:
    customer = make.project(db)
    with pytest.raises(Forbidden):
        db.read_now(reports.margin, customer.by, group_by=MarginBy.TYPE, from_at=None, to_at=None)
    with pytest.raises(Invalid):
        margins(db, start=5, end=5)


def test_the_command_shows_the_figures_and_their_sum(db: Database, clock: FakeClock) -> None:
    make.instance(db)
    clock.advance(seconds=3600)
    db.write_now(billing.sweep)
    rows = reporting.margins(db, "provider", None, None)
    shown = json.loads(json.dumps(reporting.as_json(rows)))
    figures = {
        "seconds": 3600,
        "revenue_micros": 1_710_000,
        "cost_micros": 1_000_000,
        "margin_micros": 710_000,
    }
    assert shown == {
        "rows": [{"key": "sandbox", "name": "sandbox", **figures}],
        "total": {"key": "", "name": "total", **figures},
    }
    assert reporting.as_table(rows, "provider").row_count == 2
    with pytest.raises(ValueError, match="timestamp"):
        reporting.margins(db, "provider", "yesterday", None)

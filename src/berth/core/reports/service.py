"""The verbs of reports. Every figure is a sum of rows of the ledger, so reports and balances agree exactly."""

from collections.abc import Sequence

from berth.base.clock import DAY, Instant
from berth.base.db import Tx
from berth.base.money import Micros
from berth.base.paging import After, Page
from berth.core import billing, events, instances, ledger
from berth.core.errors import Invalid, NotFound
from berth.core.events import ADMIN, Actor
from berth.core.reports.model import (
    Buckets,
    Costs,
    EntryFilter,
    GroupBy,
    Margin,
    MarginBy,
    Transaction,
    UsageFilter,
    UsagePage,
)
from berth.core.reports.store import costs as costs_store
from berth.core.reports.store import ledger as ledger_store
from berth.core.reports.store import margin as margin_store
from berth.core.reports.store import usage as usage_store

LONGEST = 366 * DAY
USUAL = 30 * DAY


def transactions(
    tx: Tx, by: Actor, wanted: EntryFilter, *, after: After | None, limit: int
) -> Page[Transaction]:
    """Rows of the ledger, newest first. Raises Invalid for a range that ends before it begins."""
    by.may("billing:read")
    _check_range(wanted.from_at, wanted.to_at)
    rows = ledger_store.list_rows(tx, by.project, wanted, after=after, limit=limit + 1)
    total = ledger_store.count(tx, by.project, wanted)
    return Page(rows[:limit], len(rows) > limit, total)


def transaction(tx: Tx, by: Actor, seq: int) -> Transaction:
    """Raises NotFound."""
    by.may("billing:read")
    found = ledger_store.find(tx, by.project, seq)
    if found is None:
        raise NotFound("transaction_not_found", "Transaction not found.")
    return found


def window(tx: Tx, start: Instant | None, end: Instant | None, group_by: GroupBy) -> Buckets:
    """The window of whole buckets that a usage report covers; the last thirty days unless told otherwise.

    Raises Invalid for one that ends before it begins, or is longer than 366 days.
    """
    end = tx.now if end is None else end
    start = Instant(end - USUAL) if start is None else start
    _check_range(start, end)
    if end - start > LONGEST:
        raise Invalid("invalid_field", "from and to are more than 366 days apart.", field="from")
    return Buckets.around(start, end, group_by)


def usage(tx: Tx, by: Actor, wanted: UsageFilter, *, after: str | None, limit: int) -> UsagePage:
    """What was charged in a window, by group; `after` is the key of the last row seen, "" for None.

    A row counts where it was written: charges and credits of adjoining windows add up, and to the balance.
    """
    by.may("billing:read")
    rows, totals = usage_store.groups(tx, by.project, wanted, after=after, limit=limit + 1)
    return UsagePage(rows[:limit], len(rows) > limit, totals)


def cost_of(tx: Tx, by: Actor, instance_id: str) -> Micros:
    """What one instance has cost so far, live to the second; storage is not in it. Raises NotFound."""
    by.may("billing:read")
    # Who may ask what something cost need not be allowed to see it.
    made = instances.get(tx, events.system(by.project, by.key_id), instance_id)
    return Micros(billing.bill(tx, made.id).total - ledger.reversed_of(tx, made.id))


def costs(tx: Tx, by: Actor, *, consumer: str | None, start: Instant, end: Instant) -> Costs:
    """What sessions used in [`start`, `end`), live to the second, of all consumers or one.

    A session that runs across a boundary is split there, to the second. Raises Invalid for a window that ends before
    it begins.
    """
    by.may("billing:read")
    _check_range(start, end)
    return Costs(costs_store.costs(tx, by.project, consumer=consumer, start=start, end=end, now=tx.now))


def margin(
    tx: Tx,
    by: Actor,
    *,
    group_by: MarginBy,
    from_at: Instant | None,
    to_at: Instant | None,
    limit: int = 1000,
) -> Sequence[Margin]:
    """What all projects brought in and what it cost us, most revenue first; only an operator may ask."""
    by.may(ADMIN)
    _check_range(from_at, to_at)
    # What was written at this very instant counts; what lies ahead has cost nothing yet.
    so_far = Instant(tx.now + 1)
    end = so_far if to_at is None else min(to_at, so_far)
    return margin_store.margins(tx, group_by, start=from_at or Instant(0), end=end, limit=limit)


def _check_range(start: Instant | None, end: Instant | None) -> None:
    if start is not None and end is not None and start >= end:
        raise Invalid("invalid_field", "from must lie before to.", field="from")

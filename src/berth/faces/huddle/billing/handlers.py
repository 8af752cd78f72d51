"""Money: translate, one verb, translate."""

from berth.base import paging
from berth.base.db import Tx
from berth.base.paging import After
from berth.core import billing, events, instances, ledger, reports
from berth.core.ledger import Code
from berth.core.reports import Kind, Transaction, UsageFilter
from berth.faces.face import Call, Text
from berth.faces.huddle import words
from berth.faces.huddle.billing import csv, quotes, translate, wire
from berth.faces.huddle.envelope import Paged


def get_balance(tx: Tx, call: Call) -> wire.Balance:
    return translate.balance(billing.balance(tx, call.by.project, call.context.rules))


def get_deployment_bill(tx: Tx, call: Call) -> wire.DeploymentBill:
    # The scope of this route is about money: who may see bills need not be allowed to see deployments.
    reader = events.system(call.by.project, call.by.key_id)
    made = instances.get(tx, reader, words.deployment_id(call.parameters["id"]))
    rows = billing.charges(tx, call.by, made.id, limit=translate.CHARGES_SHOWN + 1)
    bill = billing.bill(tx, made.id)
    return translate.deployment_bill(
        made,
        bill,
        rows=rows,
        segments=billing.segments(tx, made.id, limit=translate.SEGMENTS_SHOWN + 1),
        reversed_micros=ledger.reversed_of(tx, made.id),
        is_final=instances.is_paid(tx, made),
        now=tx.now,
    )


def list_transactions(tx: Tx, call: Call) -> Paged | Text:
    query: wire.TransactionsQuery = call.query
    wanted = translate.entry_filter(query)
    listing = f"transactions {wanted}"
    page = reports.transactions(
        tx, call.by, wanted, after=words.after_number(query.cursor, listing), limit=query.limit
    )
    rows = [translate.transaction(row) for row in page.rows]
    cursor = None
    if page.has_more:
        last = page.rows[-1].entry
        cursor = paging.encode(After(last.created_at, str(last.seq)), listing)
    if csv.is_wanted(call.headers):
        return csv.page(rows, wire.Transaction, cursor=cursor)
    return Paged(rows, page.total, cursor, page.has_more, query.limit)


def get_transaction(tx: Tx, call: Call) -> wire.Transaction:
    seq = words.transaction_seq(call.parameters["id"])
    return translate.transaction(reports.transaction(tx, call.by, seq))


def get_usage(tx: Tx, call: Call) -> Paged:
    query: wire.UsageQuery = call.query
    by = translate.group_by(query.group_by)
    window = reports.window(tx, words.instant(query.from_, "from"), words.instant(query.to, "to"), by)
    only = None if query.deployment_id is None else query.deployment_id.removeprefix(words.DEPLOYMENT)
    wanted = UsageFilter(by, window, only, query.status)
    listing = f"usage {wanted}"
    last = words.after(query.cursor, listing)
    page = reports.usage(tx, call.by, wanted, after=None if last is None else last.id, limit=query.limit)
    return Paged(
        [translate.usage(row, by) for row in page.rows],
        page.totals.groups,
        paging.encode(After(0, page.rows[-1].key or ""), listing) if page.has_more else None,
        page.has_more,
        query.limit,
        more=translate.usage_meta(wanted, query, page.totals),
    )


def add_credit(tx: Tx, call: Call) -> wire.Transaction:
    request: wire.CreditRequest = call.body
    entry = ledger.credit(
        tx,
        call.by,
        request.account_id,
        Code(request.type),
        translate.credit_amount(request.amount_usd),
        reference=request.reference,
        note=request.note,
    )
    return translate.transaction(Transaction(entry, Kind.CREDIT, None))


def estimate(tx: Tx, call: Call) -> wire.Estimate:
    request: wire.EstimateRequest = call.body
    made = reports.estimate(tx, call.by, quotes.wanted(request), call.context.rules)
    return quotes.shown(request, made)

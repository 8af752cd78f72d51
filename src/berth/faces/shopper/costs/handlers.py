"""Costs: translate, one verb, translate."""

from berth.base.db import Tx
from berth.core import events, reports, sessions
from berth.faces.face import Call
from berth.faces.shopper import words
from berth.faces.shopper.costs import translate, wire
from berth.faces.shopper.costs.translate import Window


def get_costs(tx: Tx, call: Call) -> wire.SessionCost | wire.CostSummary:
    query: wire.CostsQuery = call.query
    if query.session_id:
        return _session_cost(tx, call, query.session_id)
    return _summary(tx, call, query.consumer_id, translate.window(query, tx.now))


def get_costs_summary(tx: Tx, call: Call) -> wire.CostSummary:
    query: wire.SummaryQuery = call.query
    return _summary(tx, call, query.consumer_id, translate.month(tx.now))


def _session_cost(tx: Tx, call: Call, shown_id: str) -> wire.SessionCost:
    # Who may ask what something cost need not be allowed to see it.
    reader = events.system(call.by.project, call.by.key_id)
    found = sessions.get(tx, reader, words.instance_id(shown_id))
    total = reports.cost_of(tx, call.by, found.id)
    return wire.SessionCost(session_id=words.session_id(found.id), total_cost=words.price(total))


def _summary(tx: Tx, call: Call, consumer: str, shown: Window) -> wire.CostSummary:
    start, end = shown
    costs = reports.costs(tx, call.by, consumer=consumer or None, start=start, end=end)
    return translate.summary(consumer, costs, shown)

"""Costs: the routes."""

from berth.faces.face import Rate, Route
from berth.faces.shopper.costs import handlers, wire

ROUTES = (
    Route(
        method="GET",
        path="/api/v1/costs",
        handler=handlers.get_costs,
        summary="What a session cost, or what sessions cost in a day, a month or between two dates",
        scope="billing:read",
        query=wire.CostsQuery,
        answer=(wire.SessionCost, wire.CostSummary),
        rate=Rate.LIST,
        is_long=True,
    ),
    Route(
        method="GET",
        path="/api/v1/costs/summary",
        handler=handlers.get_costs_summary,
        summary="What sessions cost in the month that it is",
        scope="billing:read",
        query=wire.SummaryQuery,
        answer=wire.CostSummary,
        rate=Rate.LIST,
        is_long=True,
    ),
)

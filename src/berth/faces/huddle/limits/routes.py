"""Alerts and limits: the routes."""

from berth.faces.face import Rate, Route
from berth.faces.huddle.limits import handlers, wire

ROUTES = (
    Route(
        method="GET",
        path="/billing/alerts",
        handler=handlers.get_alerts,
        summary="Below what you are told that your balance runs low, and who is told",
        scope="billing:read",
        answer=wire.Alerts,
    ),
    Route(
        method="PUT",
        path="/billing/alerts",
        handler=handlers.put_alerts,
        summary="Change some of it; members that are left out stay as they are",
        scope="billing:write",
        body=wire.AlertsRequest,
        answer=wire.Alerts,
        rate=Rate.WRITE,
        pokes="credit",
    ),
    Route(
        method="GET",
        path="/billing/limits",
        handler=handlers.get_limits,
        summary="What may be spent, what was spent this month, and how long is waited when nothing is left",
        scope="billing:read",
        answer=wire.Limits,
    ),
    Route(
        method="PUT",
        path="/billing/limits",
        handler=handlers.put_limits,
        summary="Change some of it; null takes a limit away",
        scope="billing:write",
        body=wire.LimitsRequest,
        answer=wire.Limits,
        rate=Rate.WRITE,
        pokes="credit",
    ),
)

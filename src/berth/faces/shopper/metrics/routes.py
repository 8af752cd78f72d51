"""Metrics: the route."""

from berth.core.events import ADMIN
from berth.faces.face import Route
from berth.faces.shopper.metrics import handlers

ROUTES = (
    Route(
        method="GET",
        path="/metrics",
        handler=handlers.get_metrics,
        summary="What is counted and what stands now, in Prometheus' text format",
        scope=ADMIN,  # it is about all projects
        answer=str,
        media_type=b"text/plain; version=1.0.0; charset=utf-8",
    ),
)

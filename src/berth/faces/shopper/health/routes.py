"""Health: the routes."""

from berth.faces.face import Route
from berth.faces.shopper.health import handlers, wire

_NOT_READY = ((503, "Not yet: not every provider was looked at since the start; or no longer: it drains"),)

ROUTES = (
    Route(
        method="GET",
        path="/health",
        handler=handlers.get_health,
        summary="How this process is doing",
        scope="catalog:read",
        answer=wire.Health,
        other_statuses=_NOT_READY,
        is_public=True,
    ),
    Route(
        method="GET",
        path="/ready",
        handler=handlers.get_ready,
        summary="Whether this process should be sent requests",
        scope="catalog:read",
        answer=wire.Ready,
        other_statuses=_NOT_READY,
        is_public=True,
    ),
)

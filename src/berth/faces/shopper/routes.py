"""The session broker's API as one table, section by section. Its paths lie beside each other, not below one prefix."""

from berth.faces.face import Context, Edge, Face, Limits, Page
from berth.faces.shopper import (
    access,
    costs,
    envelope,
    errors,
    health,
    inventory,
    metrics,
    offer_health,
    openapi,
    sessions,
    templates,
    words,
)

PREFIX = ""
PATHS = (
    "/health",
    "/ready",
    "/metrics",
    "/api/v1/inventory",
    "/api/v1/templates",
    "/api/v1/sessions",
    "/api/v1/costs",
    "/api/v1/offer-health",
)
"""Everything at and below these is this face's, also where another has what lies around."""

ROUTES = (
    *health.ROUTES,
    *metrics.ROUTES,
    *inventory.ROUTES,
    *templates.ROUTES,
    *sessions.ROUTES,
    *costs.ROUTES,
    *offer_health.ROUTES,
)


def build(context: Context) -> Edge:
    """The face as an ASGI application; its routes say their whole paths."""
    face = Face(
        name="shopper",
        routes=ROUTES,
        authenticate=access.authenticate,
        render=envelope.render,
        refuse=errors.refuse,
        request_id=words.request_id,
        tells_values=True,
        takes_any_type=True,
        limits=Limits(exempts=access.LOOPBACK),
        pages=(
            Page(
                openapi.DOCUMENT,
                "application/json",
                lambda: openapi.documents(ROUTES, context.version)[0],
                reason="what the API is like is no secret",
            ),
            Page(
                openapi.PAGE,
                "text/html; charset=utf-8",
                lambda: openapi.documents(ROUTES, context.version)[1],
                reason="what the API is like is no secret",
            ),
        ),
    )
    return Edge(context, face)

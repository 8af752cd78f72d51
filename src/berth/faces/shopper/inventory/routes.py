"""The inventory: the routes."""

from berth.faces.face import Rate, Route
from berth.faces.shopper.inventory import handlers, wire

ROUTES = (
    Route(
        method="GET",
        path="/api/v1/inventory",
        handler=handlers.list_offers,
        summary="What can be had now, the most likely first and of those the cheapest",
        scope="catalog:read",
        query=wire.OffersQuery,
        answer=wire.Offers,
        rate=Rate.LIST,
    ),
    Route(
        method="GET",
        path="/api/v1/inventory/{id}",
        handler=handlers.get_offer,
        summary="One offer",
        scope="catalog:read",
        answer=wire.Offer,
    ),
    Route(
        method="GET",
        path="/api/v1/inventory/{id}/compatible-templates",
        handler=handlers.list_compatible_templates,
        summary="Templates that run on the host of an offer",
        scope="catalog:read",
        answer=wire.CompatibleTemplates,
    ),
)

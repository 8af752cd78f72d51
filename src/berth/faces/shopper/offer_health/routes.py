"""The health of offers: the route."""

from berth.faces.face import Rate, Route
from berth.faces.shopper.offer_health import handlers, wire

ROUTES = (
    Route(
        method="GET",
        path="/api/v1/offer-health",
        handler=handlers.get_offer_health,
        summary="Offers that failed lately, and GPU types of which several did",
        scope="catalog:read",
        query=wire.OfferHealthQuery,
        answer=wire.OffersHealth,
        rate=Rate.LIST,
    ),
)

"""Money in the retail API: routes, wire types, translation."""

from berth.faces.huddle.billing.routes import ROUTES

__all__ = ["ROUTES"]

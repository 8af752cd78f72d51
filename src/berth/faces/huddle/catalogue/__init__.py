"""The catalogue in the retail API: routes, wire types, translation."""

from berth.faces.huddle.catalogue.routes import ROUTES

__all__ = ["ROUTES"]

"""Webhooks in the retail API: routes, wire types, translation."""

from berth.faces.huddle.webhooks.routes import ROUTES

__all__ = ["ROUTES"]

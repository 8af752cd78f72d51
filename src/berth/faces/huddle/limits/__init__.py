"""Alerts and limits of an account in the retail API: routes, wire types, translation."""

from berth.faces.huddle.limits.routes import ROUTES

__all__ = ["ROUTES"]

"""SSH keys and API keys in the retail API: routes, wire types, translation."""

from berth.faces.huddle.keys.routes import ROUTES

__all__ = ["ROUTES"]

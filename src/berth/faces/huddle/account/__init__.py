"""What an account decided about itself, in the retail API: routes, wire types."""

from berth.faces.huddle.account.routes import ROUTES

__all__ = ["ROUTES"]

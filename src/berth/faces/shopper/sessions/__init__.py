"""Sessions: taken as one offer, for some hours, with a key that is told once."""

from berth.faces.shopper.sessions.routes import ROUTES

__all__ = ["ROUTES"]

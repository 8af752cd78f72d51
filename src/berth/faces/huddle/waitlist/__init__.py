"""The waitlist of the retail API."""

from berth.faces.huddle.waitlist.routes import ROUTES

__all__ = ["ROUTES"]

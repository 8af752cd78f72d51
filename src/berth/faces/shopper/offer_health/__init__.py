"""Offers that failed lately, and what that does to the trust in them and in their kind."""

from berth.faces.shopper.offer_health.routes import ROUTES

__all__ = ["ROUTES"]

"""What many providers offer, side by side."""

from berth.faces.shopper.inventory.routes import ROUTES

__all__ = ["ROUTES"]

"""What sessions cost."""

from berth.faces.shopper.costs.routes import ROUTES

__all__ = ["ROUTES"]

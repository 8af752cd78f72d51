"""Whether this process should be sent requests, and how it is doing."""

from berth.faces.shopper.health.routes import ROUTES

__all__ = ["ROUTES"]

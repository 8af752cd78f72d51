"""What this process counts and what stands in the database, for Prometheus."""

from berth.faces.shopper.metrics.routes import ROUTES

__all__ = ["ROUTES"]

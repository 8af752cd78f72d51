"""Instances: ordered, shown, acted on one by one or several at once."""

from berth.faces.verda.instances.routes import ROUTES

__all__ = ["ROUTES"]

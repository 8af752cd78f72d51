"""Images with settings that providers keep, ready to be started."""

from berth.faces.shopper.templates.routes import ROUTES

__all__ = ["ROUTES"]

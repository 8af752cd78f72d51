"""Tags on instances, volumes and clusters."""

from berth.faces.verda.tags.routes import ROUTES

__all__ = ["ROUTES"]

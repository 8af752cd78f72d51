"""Volumes: made, shown, acted on, and what is in the trash."""

from berth.faces.verda.volumes.routes import ROUTES

__all__ = ["ROUTES"]

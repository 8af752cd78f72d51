"""Volumes and volume types."""

from berth.faces.huddle.volumes.routes import ROUTES

__all__ = ["ROUTES"]

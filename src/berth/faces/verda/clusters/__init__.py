"""Clusters: their types, what is left of them, and clusters ordered, shown and ended."""

from berth.faces.verda.clusters.routes import ROUTES

__all__ = ["ROUTES"]

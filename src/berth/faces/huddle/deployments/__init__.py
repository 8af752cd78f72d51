"""Deployments in the retail API: routes, wire types, translation."""

from berth.faces.huddle.deployments.routes import ROUTES

__all__ = ["ROUTES"]

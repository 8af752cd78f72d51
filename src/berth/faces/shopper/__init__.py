"""The session broker's API: what many providers offer side by side, and sessions that end and cost what they say."""

from berth.faces.shopper.access import is_loopback
from berth.faces.shopper.routes import PATHS, PREFIX, ROUTES, build

__all__ = ["PATHS", "PREFIX", "ROUTES", "build", "is_loopback"]

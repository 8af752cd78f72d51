"""The retail API: flat envelopes, `mk_` keys, deployments."""

from berth.faces.huddle.routes import PREFIX, ROUTES, build

__all__ = ["PREFIX", "ROUTES", "build"]

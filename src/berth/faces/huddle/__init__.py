"""The retail API: flat envelopes, `mk_` keys, deployments."""

from berth.faces.huddle.payloads import render
from berth.faces.huddle.routes import NESTED_PREFIX, PREFIX, ROUTES, build

__all__ = ["NESTED_PREFIX", "PREFIX", "ROUTES", "build", "render"]

"""The IaaS API as Verda Cloud speaks it: OAuth tokens, UUIDs, bare ids, instances."""

from berth.faces.verda.routes import PREFIX, ROUTES, build

__all__ = ["PREFIX", "ROUTES", "build"]

"""SSH keys and startup scripts: what an instance is made with."""

from berth.faces.verda.keys.routes import ROUTES

__all__ = ["ROUTES"]

"""Access tokens: issued for a client's credentials, and what every other route is asked with."""

from berth.faces.verda.oauth.authentication import authenticate_by_token
from berth.faces.verda.oauth.routes import ROUTES

__all__ = ["ROUTES", "authenticate_by_token"]

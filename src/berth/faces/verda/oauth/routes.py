"""Tokens: the route."""

from berth.faces.face import Rate, Route
from berth.faces.verda.oauth import handlers, wire

ROUTES = (
    Route(
        method="POST",
        path="/oauth2/token",
        handler=handlers.issue_token,
        summary="An access token, and a refresh token for the next one",
        scope="catalog:read",
        body=wire.TokenRequest,
        answer=wire.Token,
        rate=Rate.READ,
        asks=True,
        is_public=True,
        takes_form=True,
    ),
)

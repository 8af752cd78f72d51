"""Who is asking, by access token."""

from berth.core import projects
from berth.core.errors import Forbidden, Unauthenticated
from berth.core.events import Actor
from berth.faces.face import Context, Headers
from berth.faces.verda.oauth import tokens

_BEARER = b"bearer "
_API_KEY = "mk_"


async def authenticate_by_token(context: Context, headers: Headers, _address: str | None) -> Actor:
    """Who sent `Authorization: Bearer …`. Raises Unauthenticated, and Forbidden for what opens another API.

    The client is looked up each time, by its id: one that was revoked is out with the next request.
    """
    authorization = headers.get(b"authorization", b"")
    token = authorization[len(_BEARER) :].strip().decode("latin-1")
    if authorization[: len(_BEARER)].lower() != _BEARER or not token:
        raise Unauthenticated("missing_token", "Access token is missing or invalid")
    if token.startswith(_API_KEY):
        raise Forbidden("insufficient_scope", "Insufficient scope")
    claims = tokens.read(context.pepper, token, now=context.clock.now())
    if claims is None or claims.use != "access":
        raise Unauthenticated("invalid_token", "Access token is missing or invalid")
    client = await context.db.read(projects.find_client, claims.sub)
    if client is None or not client.is_active:
        raise Unauthenticated("invalid_token", "Access token is missing or invalid")
    if tokens.SCOPE not in claims.scope.split(" "):
        raise Forbidden("insufficient_scope", "Insufficient scope")
    return projects.actor_of_client(client)

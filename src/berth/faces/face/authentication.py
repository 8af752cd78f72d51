"""Who is asking, by API key, in either of the two headers that carry one."""

import hashlib
import re

from berth.core import projects
from berth.core.errors import Unauthenticated
from berth.core.events import Actor
from berth.faces.face.context import Context
from berth.faces.face.table import Headers

_SECRET = re.compile(rb"[\x21-\x7e]{1,256}")
_BEARER = b"bearer "


async def authenticate_by_key(context: Context, headers: Headers, address: str | None) -> Actor:
    """Who sent `X-API-Key: mk_…` or `Authorization: Bearer mk_…`.

    Raises Unauthenticated, and Forbidden for a key that does not work from `address`.
    """
    secret = _secret(headers)
    digest = hashlib.sha256(secret).digest()
    keys = context.known_keys
    now = context.clock.now()
    known = None if context.db.is_shared else keys.find(digest, now)
    if known is not None:
        key, actor = known.key, known.actor
    else:
        generation = keys.generation
        key = await context.db.read(projects.authenticate, secret.decode("ascii"), pepper=context.pepper)
        actor = projects.actor_of(key)
        if not context.db.is_shared:
            keys.remember(digest, key, actor, now, generation=generation)
    if key.allowed_cidrs:
        projects.check_address(key, address)
    keys.touch(context.db, key.id, now, address)
    return actor


def _secret(headers: Headers) -> bytes:
    key = headers.get(b"x-api-key")
    authorization = headers.get(b"authorization")
    bearer = None
    if authorization is not None and authorization[: len(_BEARER)].lower() == _BEARER:
        bearer = authorization[len(_BEARER) :].strip()
    if key is None and bearer is None:
        raise Unauthenticated(
            "missing_key", "An API key is required: X-API-Key: mk_… or Authorization: Bearer mk_…"
        )
    if key is not None and bearer is not None and key.strip() != bearer:
        raise Unauthenticated(
            "conflicting_credentials", "X-API-Key and Authorization hold different keys; send one."
        )
    secret = bearer if key is None else key.strip()
    if secret is None or not _SECRET.fullmatch(secret):
        raise Unauthenticated("invalid_key", "The API key is not valid.")
    return secret

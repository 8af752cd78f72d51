"""The verbs of OAuth clients: asked who holds one."""

import hmac

from berth.base import secrets
from berth.base.db import Tx
from berth.core.errors import Unauthenticated
from berth.core.events import Actor
from berth.core.projects import store
from berth.core.projects.model import OAuthClient
from berth.core.projects.scopes import PRESETS

_ID_LIMIT = 64
_NOBODYS_HASH = "0" * 64


def authenticate_client(tx: Tx, client_id: str, secret: str, *, pepper: bytes) -> Actor:
    """Who acts with the pair. Raises Unauthenticated, in the same time whatever of it is wrong."""
    found = store.find_client(tx, client_id) if len(client_id) <= _ID_LIMIT else None
    client, known = (None, _NOBODYS_HASH) if found is None else found
    is_right = hmac.compare_digest(known, secrets.fingerprint(pepper, secret))
    if client is None or not is_right or not client.is_active:
        raise Unauthenticated("invalid_client", "The client credentials are not valid.")
    return actor_of_client(client)


def find_client(tx: Tx, client_id: str) -> OAuthClient | None:
    """The client that a token was issued to, also once it was revoked: see `is_active`."""
    found = store.find_client(tx, client_id)
    return None if found is None else found[0]


def actor_of_client(client: OAuthClient) -> Actor:
    """Who acts when a token of `client` is used."""
    return Actor(client.project, client.id, client.id, PRESETS["full"])

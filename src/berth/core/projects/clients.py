"""The verbs of OAuth clients: made, revoked, and asked who holds one.

A client acts for its project with everything that project may do itself; an operator's rights are not among it.
"""

import hmac
from collections.abc import Sequence

from berth.base import ids, secrets
from berth.base.db import Tx
from berth.core.errors import Conflict, NotFound, Unauthenticated
from berth.core.events import Actor, record
from berth.core.projects import store
from berth.core.projects.model import OAuthClient
from berth.core.projects.scopes import PRESETS

CLIENTS_PER_PROJECT = 20
_LISTED = 1000
_NOBODYS_HASH = "0" * 64


def authenticate_client(tx: Tx, client_id: str, secret: str, *, pepper: bytes) -> Actor:
    """Who acts with the pair. Raises Unauthenticated, in the same time whatever of it is wrong."""
    found = store.find_client(tx, client_id) if ids.is_id(client_id) else None
    client, known = (None, _NOBODYS_HASH) if found is None else found
    # Compared whether or not there is such a client: how long an answer takes must not tell.
    is_right = hmac.compare_digest(known, secrets.fingerprint(pepper, _text(secret)))
    if client is None or not is_right or not client.is_active:
        raise Unauthenticated("invalid_client", "The client credentials are not valid.")
    return actor_of_client(client)


def find_client(tx: Tx, client_id: str) -> OAuthClient | None:
    """The client that a token was issued to, also once it was revoked: see `is_active`."""
    found = store.find_client(tx, client_id) if ids.is_id(client_id) else None
    return None if found is None else found[0]


def actor_of_client(client: OAuthClient) -> Actor:
    """Who acts when a token of `client` is used."""
    return Actor(client.project, client.id, client.id, PRESETS["full"])


def new_client(tx: Tx, project: str, *, pepper: bytes) -> tuple[OAuthClient, str]:
    client, secret = OAuthClient(ids.new(tx.now), project, tx.now, None), secrets.new_token("")
    store.insert_client(tx, client, secrets.fingerprint(pepper, secret))
    return client, secret


def create_client(tx: Tx, by: Actor, *, pepper: bytes) -> tuple[OAuthClient, str]:
    """A new client and its secret, which is never shown again. Raises Forbidden, and Conflict over the quota."""
    by.may("api_keys:write")
    for scope in sorted(PRESETS["full"]):
        by.may(scope)
    store.lock_project(tx, by.project)
    if store.count_clients(tx, by.project) >= CLIENTS_PER_PROJECT:
        raise Conflict("quota", f"At most {CLIENTS_PER_PROJECT} clients can be active; revoke one first.")
    client, secret = new_client(tx, by.project, pepper=pepper)
    record(tx, by, "oauth_client.created", subject=client.id)
    return client, secret


def list_clients(tx: Tx, by: Actor) -> Sequence[OAuthClient]:
    """Newest first, those that were revoked included."""
    by.may("api_keys:read")
    return store.list_clients(tx, by.project, limit=_LISTED)


def revoke_client(tx: Tx, by: Actor, client_id: str) -> OAuthClient:
    """From now on neither the pair nor a token that it got works. Raises NotFound. Revoking twice is one revocation."""
    by.may("api_keys:write")
    store.lock_project(tx, by.project)
    client = find_client(tx, client_id)
    if client is None or client.project != by.project:
        raise NotFound("client_not_found", "OAuth client not found.")
    if client.is_active:
        store.revoke_client(tx, client.id)
        record(tx, by, "oauth_client.revoked", subject=client.id)
    return find_client(tx, client_id) or client


def _text(secret: str) -> str:
    """Halves of characters, which JSON can hold, are no part of any secret."""
    return secret.encode(errors="replace").decode()

"""Tokens: who asks with a pair or a refresh token gets both kinds afresh."""

import re

from berth.base.db import Tx
from berth.core import projects
from berth.core.errors import Invalid, Unauthenticated
from berth.faces.face import Call
from berth.faces.verda.oauth import tokens, wire

_SCOPE = re.compile(r"[\x21-\x7e]+( [\x21-\x7e]+)*")


def issue_token(tx: Tx, call: Call) -> wire.Token:
    request: wire.TokenRequest = call.body
    match request.grant_type:
        case "client_credentials":
            return _by_credentials(tx, call, request)
        case "refresh_token":
            return _by_refresh_token(tx, call, request)
        case None | "":
            raise Invalid("missing_field", "grant_type not specified", field="grant_type")
        case _:
            raise Invalid("invalid_field", "unsupported grant type", field="grant_type")


def _by_credentials(tx: Tx, call: Call, request: wire.TokenRequest) -> wire.Token:
    client_id = _required("client_id", request.client_id)
    secret = _required("client_secret", request.client_secret)
    scope = request.scope or tokens.SCOPE
    if not _SCOPE.fullmatch(scope):
        raise Invalid("invalid_field", "scope holds characters that are not allowed.", field="scope")
    by = projects.authenticate_client(tx, client_id, secret, pepper=call.context.pepper)
    return _issued(tx, call, by.key_id, scope)


def _by_refresh_token(tx: Tx, call: Call, request: wire.TokenRequest) -> wire.Token:
    given = _required("refresh_token", request.refresh_token)
    claims = tokens.read(call.context.pepper, given, now=tx.now)
    client = None if claims is None or claims.use != "refresh" else projects.find_client(tx, claims.sub)
    if claims is None or client is None or not client.is_active:
        raise Unauthenticated("invalid_token", "Refresh token is invalid or expired")
    return _issued(tx, call, client.id, claims.scope)


def _required(field: str, value: str | None) -> str:
    if not value:
        raise Invalid("missing_field", f"{field} is required", field=field)
    if "\0" in value:  # in a form it needs no escape
        raise Unauthenticated("invalid_client", "The client credentials are not valid.")
    return value


def _issued(tx: Tx, call: Call, client_id: str, scope: str) -> wire.Token:
    pepper = call.context.pepper
    return wire.Token(
        access_token=tokens.issue(pepper, client_id, "access", scope=scope, now=tx.now),
        expires_in=tokens.ACCESS_S,
        refresh_token=tokens.issue(pepper, client_id, "refresh", scope=scope, now=tx.now),
        scope=scope,
    )

"""Tokens that need no table: signed with a key that every replica derives from the pepper, they outlive restarts.

A JSON Web Token with one fixed header, so that no token says how it is to be checked.
"""

import base64
import binascii
import hashlib
import hmac
from typing import Literal

import msgspec

from berth.base import secrets
from berth.base.clock import SECOND, Instant

SCOPE = "cloud-api-v1"
ACCESS_S = 3600
REFRESH_S = 30 * 24 * 3600
_PURPOSE = "berth: tokens of OAuth clients"
_LONGEST = 2048
_PARTS = 3


class Claims(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """What a token says."""

    sub: str
    """The client that it was issued to."""
    use: Literal["access", "refresh"]
    scope: str
    exp: int
    """Seconds since the epoch."""
    iat: int


_decoder = msgspec.json.Decoder(Claims)


def issue(
    pepper: bytes, client_id: str, use: Literal["access", "refresh"], *, scope: str, now: Instant
) -> str:
    seconds = now // SECOND
    lifetime_s = ACCESS_S if use == "access" else REFRESH_S
    claims = Claims(sub=client_id, use=use, scope=scope, exp=seconds + lifetime_s, iat=seconds)
    signed = b"%b.%b" % (_HEADER, _encoded(msgspec.json.encode(claims)))
    return (signed + b"." + _signature(pepper, signed)).decode()


def read(pepper: bytes, token: str, *, now: Instant) -> Claims | None:
    """What a token of ours says; None for anything else, and once it has expired."""
    parts = token.encode("ascii", "replace").split(b".")
    if len(token) > _LONGEST or len(parts) != _PARTS or parts[0] != _HEADER:
        return None
    if not hmac.compare_digest(_signature(pepper, b"%b.%b" % (parts[0], parts[1])), parts[2]):
        return None
    try:
        claims = _decoder.decode(_decoded(parts[1]))
    except (binascii.Error, msgspec.DecodeError):
        return None
    return claims if claims.exp > now // SECOND else None


def _signature(pepper: bytes, signed: bytes) -> bytes:
    key = secrets.derived(pepper, _PURPOSE)
    return _encoded(hmac.digest(key, signed, hashlib.sha256))


def _encoded(raw: bytes) -> bytes:
    return base64.urlsafe_b64encode(raw).rstrip(b"=")


def _decoded(text: bytes) -> bytes:
    return base64.urlsafe_b64decode(text + b"=" * (-len(text) % 4))


_HEADER = _encoded(b'{"alg":"HS256","typ":"JWT"}')

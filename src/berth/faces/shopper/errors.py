"""Refusals on the wire: `{error, request_id}`, and beside an `error_type` whatever else core said of it."""

from collections.abc import Mapping

import msgspec

from berth.core.errors import (
    Conflict,
    Forbidden,
    InsufficientCredits,
    Invalid,
    NoCapacity,
    NotFound,
    RateLimited,
    Refusal,
    Unauthenticated,
    Unavailable,
    UpstreamUnavailable,
)
from berth.faces.face import (
    BodyTooLarge,
    Crashed,
    MethodNotAllowed,
    Reply,
    RouteNotFound,
    UnsupportedMediaType,
)
from berth.faces.shopper import words

KINDS: Mapping[type[Refusal], int] = {
    Invalid: 400,
    UnsupportedMediaType: 400,
    Unauthenticated: 401,
    InsufficientCredits: 402,
    Forbidden: 403,
    NotFound: 404,
    RouteNotFound: 404,
    MethodNotAllowed: 405,
    Conflict: 409,
    BodyTooLarge: 413,
    RateLimited: 429,
    Crashed: 500,
    UpstreamUnavailable: 500,
    NoCapacity: 503,
    Unavailable: 503,
}
SENTENCES: Mapping[str, str] = {"internal": "internal server error"}
"""What core's own words would not fit, by its code."""
_SENT = "sent"
_MEMBERS = {"explanation": "message"}
"""Details that this API knows by another name; `message` is what a refusal calls its own sentence."""
_RETRY_SOON_S = 1
_encoder = msgspec.json.Encoder(decimal_format="number")


def refuse(refusal: Refusal, request_id: str) -> Reply:
    body: dict[str, object] = {"error": _sentence(refusal)}
    if "error_type" in refusal.details:
        body |= {
            _MEMBERS.get(member, member): _shown(value)
            for member, value in refusal.details.items()
            if member != _SENT
        }
    body["request_id"] = request_id
    return Reply(KINDS[type(refusal)], _encoder.encode(body), _headers(refusal))


def _sentence(refusal: Refusal) -> str:
    told = SENTENCES.get(refusal.code) or words.sentence(refusal.message)
    if _SENT in refusal.details:
        return f'{told.rstrip(".")}, got "{words.reflected(refusal.details[_SENT])}"'
    return told


def _shown(value: object) -> object:
    return words.plain(value) if isinstance(value, str) else value


def _headers(refusal: Refusal) -> list[tuple[bytes, bytes]]:
    match refusal:
        case Unauthenticated():
            return [(b"www-authenticate", b"Bearer")]
        case MethodNotAllowed(details={"allow": list(allow)}):
            return [(b"allow", ", ".join(allow).encode())]
        case Refusal(details={"retry_after_s": int(seconds)}):
            return [(b"retry-after", str(seconds).encode())]
        case Unavailable():
            return [(b"retry-after", str(_RETRY_SOON_S).encode())]
        case _:
            return []

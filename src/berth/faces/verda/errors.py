"""Refusals on the wire: one table from kind to status and code, and the sentences that clients compare."""

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
from berth.faces.verda import wire, words

KINDS: Mapping[type[Refusal], tuple[int, wire.Code]] = {
    Invalid: (400, "invalid_request"),
    UnsupportedMediaType: (400, "invalid_request"),
    Unauthenticated: (401, "unauthorized_request"),
    InsufficientCredits: (402, "insufficient_funds"),
    Forbidden: (403, "forbidden_action"),
    Conflict: (403, "forbidden_action"),
    NotFound: (404, "not_found"),
    RouteNotFound: (404, "not_found"),
    MethodNotAllowed: (405, "invalid_request"),
    BodyTooLarge: (413, "invalid_request"),
    RateLimited: (429, "rate_limit_exceeded"),
    Crashed: (500, "server_error"),
    NoCapacity: (503, "service_unavailable"),
    UpstreamUnavailable: (503, "service_unavailable"),
    Unavailable: (503, "service_unavailable"),
}
NO_INSTANCE = "Invalid instance id"
NO_IMAGE = "Operating system or volume not found"
SENTENCES: Mapping[str, str] = {
    "instance_not_found": NO_INSTANCE,
    "image_incompatible": "Operating system is not valid for this instance type",
    "image_not_found": NO_IMAGE,
    "no_capacity": "Not enough resources at the moment...",
    "internal": "Internal server error",
}
"""What clients compare, letter by letter, and what our own words would not fit; by core's code."""
_RETRY_SOON_S = 1
_encoder = msgspec.json.Encoder()


def refuse(refusal: Refusal, _request_id: str = "") -> Reply:
    status, problem = told(refusal)
    return Reply(status, _encoder.encode(problem), _headers(refusal))


def told(refusal: Refusal) -> tuple[int, wire.Problem]:
    """Its status and its body."""
    status, code = KINDS[type(refusal)]
    if isinstance(refusal, Conflict) and refusal.code == "duplicate":
        return 409, wire.Problem(code="conflict", message=words.sentence(refusal.message))
    message = SENTENCES.get(refusal.code) or words.sentence(refusal.message)
    return status, wire.Problem(code=code, message=message)


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

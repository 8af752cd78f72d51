"""Refusals on the wire: one table from kind to status and code, and the envelope of a failure."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import msgspec

from berth.base import money
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
from berth.faces.huddle import wire, words

KINDS: Mapping[type[Refusal], tuple[int, str]] = {
    Invalid: (400, "BAD_REQUEST"),
    Unauthenticated: (401, "UNAUTHORIZED"),
    InsufficientCredits: (402, "INSUFFICIENT_CREDITS"),
    Forbidden: (403, "FORBIDDEN"),
    NotFound: (404, "NOT_FOUND"),
    RouteNotFound: (404, "NOT_FOUND"),
    MethodNotAllowed: (405, "METHOD_NOT_ALLOWED"),
    Conflict: (409, "CONFLICT"),
    NoCapacity: (409, "CONFLICT"),
    BodyTooLarge: (413, "BAD_REQUEST"),
    UnsupportedMediaType: (415, "BAD_REQUEST"),
    RateLimited: (429, "RATE_LIMITED"),
    Crashed: (500, "INTERNAL"),
    UpstreamUnavailable: (502, "BAD_GATEWAY"),
    Unavailable: (503, "UNAVAILABLE"),
}
_RETRY_SOON_S = 1
_encoder = msgspec.json.Encoder(decimal_format="number")


_WORDS = {"instance_type": "cluster_type", "config.instance_type": "config.cluster_type"}
"""Members of a request that core knows by another name."""
_EXISTING = {
    "existing_ssh_key_id": words.SSH_KEY,
    "existing_instance_id": words.DEPLOYMENT,
    "existing_waitlist_id": words.WAITLIST,
}
"""What a duplicate is one of: told as `existing_id`."""
_REASONS = {"instance_not_found": "deployment_not_found"}


def refuse(refusal: Refusal, request_id: str) -> Reply:
    status, code = KINDS[type(refusal)]
    details = {
        name: value for member, given in refusal.details.items() for name, value in _detail(member, given)
    }
    problem = wire.Problem(
        code=code,
        error=_sentence(refusal),
        reason=_REASONS.get(refusal.code, refusal.code),
        details=details or msgspec.UNSET,
        request_id=request_id,
    )
    return Reply(status, _encoder.encode(problem), _headers(refusal))


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


def _detail(member: str, value: Any) -> list[tuple[str, Any]]:
    """A detail in the words of this API."""
    match member, value:
        case str(), int() if member.endswith("_micros"):
            return [(member.removesuffix("_micros") + "_usd", money.usd(value))]
        case str(), str() if member in _EXISTING:
            return [("existing_id", _EXISTING[member] + value)]
        case "instance_id", str():
            return [("deployment_id", words.DEPLOYMENT + value)]
        case "attached_to", list():
            return [(member, [f"dep_{each}" for each in value])]
        case "retry_after_s", _:
            return []
        case "valid_events" | "unknown_events", list():
            return [(member, [words.event_word(name) for name in value])]
        case "field", str():
            return [(member, _WORDS.get(value, value))]
        case _, Decimal() | str() | int() | bool() | None | list() | tuple() | dict():
            return [(member, value)]
        case _:
            return [(member, str(value))]


def _sentence(refusal: Refusal) -> str:
    match refusal:
        case InsufficientCredits(details={"balance_micros": int(balance), "required_micros": int(required)}):
            return f"{refusal.message} Available: {money.show(balance)}, required: {money.show(required)}."
        case Refusal(details={"valid_events": list(valid), "unknown_events": list(unknown)}):
            names = [", ".join(words.event_word(name) for name in each) for each in (unknown, valid)]
            return f"There is no event {names[0]}. There are: {names[1]}."
        case Refusal(code="instance_not_found"):
            return "Deployment not found."
        case Conflict(code="invalid_state" | "not_supported" | "cluster_member"):
            return refusal.message.replace("an instance", "a deployment").replace(
                "This instance", "This deployment"
            )
        case Refusal(details={"field": str(field)}) if field in _WORDS:
            return _WORDS[field] + refusal.message.removeprefix(field)
        case _:
            return refusal.message

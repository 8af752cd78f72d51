"""What the retail API's OpenAPI document says beside its routes: envelope, authentication, refusals."""

from functools import cache
from typing import Any

import msgspec

from berth.faces.face import About, Listing, Route, docs_page, document
from berth.faces.huddle import wire

_PROBLEMS = {
    400: "The request is wrong; `details.field` names the member",
    401: "No API key, or one that does not work",
    402: "The balance does not allow it",
    403: "The key lacks the scope, or does not work from this address",
    404: "No such thing, or not yours",
    409: "No capacity, a state that does not allow it, or an idempotency conflict",
    413: "The body is too large",
    415: "The body is not JSON",
    429: "Too many requests; `Retry-After` says for how many seconds to wait",
    500: "A bug of ours; safe to retry with an Idempotency-Key",
    503: "Briefly unavailable; try again",
}
_META: dict[str, Any] = {
    "type": "object",
    "required": ["total", "cursor", "has_more"],
    "properties": {
        "total": {"type": "integer"},
        "cursor": {"anyOf": [{"type": "string"}, {"type": "null"}]},
        "has_more": {"type": "boolean"},
    },
}


_NESTED_META = {
    "type": "object",
    "required": [*_META["required"], "next_cursor", "page", "limit"],
    "properties": _META["properties"]
    | {
        "next_cursor": {"anyOf": [{"type": "string"}, {"type": "null"}]},
        "page": {"type": "integer"},
        "limit": {"type": "integer"},
    },
}
NESTED_PATHS = ("/gpus/available", "/images", "/deployments", "/volumes")
"""The lists that the nested mount nests."""


@cache
def documents(
    routes: tuple[Route, ...], prefix: str, version: str, *, is_nested: bool = False
) -> tuple[bytes, bytes]:
    """The OpenAPI document, and the page for people."""
    about = About(
        title="Berth retail API",
        version=version,
        prefix=prefix,
        security={
            "apiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
            "bearer": {"type": "http", "scheme": "bearer"},
        },
        envelope=_envelope,
        problem=wire.Problem,
        problems=_PROBLEMS,
    )
    made = document(about, routes)
    if is_nested:
        for path in NESTED_PATHS:
            shown = made["paths"][path]["get"]["responses"]["200"]["content"]["application/json"]
            shown["schema"] = _nested(shown["schema"])
    return msgspec.json.encode(made), docs_page(made, routes).encode()


def _envelope(answer: dict[str, object], listing: Listing) -> dict[str, object]:
    data = answer if listing is Listing.ONE else {"type": "array", "items": answer}
    members: dict[str, object] = {"code": {"const": "OK"}, "data": data}
    if listing is Listing.PAGED:
        members["meta"] = _META
    return {"type": "object", "required": list(members), "properties": members}


def _nested(paged: dict[str, Any]) -> dict[str, Any]:
    """The schema of a page, as the nested mount has it."""
    members = paged["properties"]
    inner = {"data": members["data"], "meta": _NESTED_META}
    data = {"type": "object", "required": list(inner), "properties": inner}
    return {
        "type": "object",
        "required": ["code", "data"],
        "properties": {"code": members["code"], "data": data},
    }

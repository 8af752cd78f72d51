"""What this API's OpenAPI document says beside its routes: shapes of answers, authentication, refusals."""

from functools import cache

import msgspec

from berth.faces.face import About, Listing, Route, docs_page, document
from berth.faces.shopper import wire

DOCUMENT = "/api/v1/inventory/openapi.json"
"""No offer goes by such an id: each has a dash between provider and offer, and no provider is called so."""
PAGE = "/api/v1/inventory/docs"
_PROBLEMS = {
    400: "The request is wrong; the message names the parameter, what it must be and what it was",
    401: "No API key where one is needed, or one that does not work",
    403: "The key lacks the scope, or a page of another origin asked without one",
    404: "No such thing, or not yours",
    405: "Another method; `Allow` says which there are",
    409: "A state that does not allow it",
    413: "The body is too large",
    429: "Too many requests; `Retry-After` says for how many seconds to wait",
    500: "A bug of ours, or a provider that did not do what it was asked",
    503: "An offer that is gone, or briefly unavailable; try again",
}
_HOW = (
    "<p>On the host itself, unless the operator asked for keys, no credentials are needed:</p>"
    "<pre>curl http://localhost:8080/api/v1/inventory</pre>"
    "<p>From elsewhere every request carries an API key:</p>"
    '<pre>curl -H "X-API-Key: mk_your_key" http://localhost:8080/api/v1/inventory</pre>'
)


@cache
def documents(routes: tuple[Route, ...], version: str) -> tuple[bytes, bytes]:
    """The OpenAPI document, and the page for people."""
    about = About(
        title="Berth shopper API",
        version=version,
        prefix="",
        security={
            "apiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
            "bearer": {"type": "http", "scheme": "bearer"},
        },
        envelope=_envelope,
        problem=wire.Problem,
        problems=_PROBLEMS,
    )
    made = document(about, routes)
    return msgspec.json.encode(made), docs_page(made, routes, _HOW, DOCUMENT).encode()


def _envelope(answer: dict[str, object], _listing: Listing) -> dict[str, object]:
    return answer

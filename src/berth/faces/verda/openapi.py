"""What this API's OpenAPI document says beside its routes: shapes of answers, authentication, refusals, limits."""

from functools import cache
from html import escape

import msgspec

from berth.faces.face import About, Listing, Route, docs_page, document
from berth.faces.verda import wire

_PROBLEMS = {
    400: "The request is wrong; the message names the member",
    401: "No access token, or one that does not work",
    402: "The balance does not allow it",
    403: "A state that does not allow it, or a token of another scope",
    404: "No such thing, or not yours",
    405: "Another method; `Allow` says which there are",
    409: "It exists already",
    413: "The body is too large",
    429: "Too many requests; `Retry-After` says for how many seconds to wait",
    500: "A bug of ours",
    503: "Not enough resources at the moment, or briefly unavailable; try again",
}
_HEADERS = (
    ("RateLimit-Policy", "How many requests of a project, and of each endpoint, are let through in a minute"),
    ("RateLimit", "What is left of that, and for how many seconds"),
)


@cache
def documents(routes: tuple[Route, ...], prefix: str, version: str) -> tuple[bytes, bytes]:
    """The OpenAPI document, and the page for people."""
    about = About(
        title="Berth IaaS API",
        version=version,
        prefix=prefix,
        security={"accessToken": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}},
        envelope=_envelope,
        problem=wire.Problem,
        problems=_PROBLEMS,
        takes_keys=False,
        answer_headers=_HEADERS,
    )
    made = document(about, routes)
    return msgspec.json.encode(made), docs_page(made, routes, _how(prefix)).encode()


def _envelope(answer: dict[str, object], listing: Listing) -> dict[str, object]:
    return answer if listing is Listing.ONE else {"type": "array", "items": answer}


def _how(prefix: str) -> str:
    url = f"http://localhost:8080{escape(prefix)}"
    body = escape('{"grant_type": "client_credentials", "client_id": "…", "client_secret": "…"}')
    return (
        "<p>Get an access token for the credentials of a client, and send it with every request:</p>"
        f"<pre>curl -H \"Content-Type: application/json\" -d '{body}' {url}/oauth2/token\n"
        f'curl -H "Authorization: Bearer $ACCESS_TOKEN" {url}/balance</pre>'
    )

"""One server's shopper API over HTTP: an address, perhaps a key, and answers in JSON of a bounded size.

Whatever goes wrong is one sentence for people. A change whose answer did not come is `Unanswered`: it may have happened.
"""

import http.client
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

CALL_S = 30.0
CONNECT_S = 10.0
ANSWER_LIMIT_BYTES = 32 * 1024 * 1024
_SHOWN = 500
_UNAUTHORIZED, _TOO_MANY, _BROKEN = 401, 429, 500
_REFUSED = 300
"""A redirection too: nobody is followed to another address with a key."""
_UNSAFE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
"""What a terminal would obey."""

Json = Mapping[str, Any]


class Failed(Exception):
    """It was not done. `str(error)` is the sentence to show, `exit_status` what the command ends with."""

    exit_status = 1

    def __init__(self, message: str, body: Json | None = None, *, status: int | None = None) -> None:
        super().__init__(plain(message))
        self.body: Json = body or {}
        self.status = status
        """What the server answered; None where it did not."""

    @property
    def may_pass(self) -> bool:
        """Whether asking again may do: the server is away, busy, or not ready yet."""
        return self.status is None or self.status == _TOO_MANY or self.status >= _BROKEN

    @property
    def is_sold_out(self) -> bool:
        """Whether the offer is there no more, and another one may do."""
        return self.body.get("error_type") == "stale_inventory"


class Unanswered(Failed):
    """The request went out and no answer came: it may have been done all the same."""


class Interrupted(Failed):
    """Somebody pressed Ctrl-C."""

    exit_status = 130


@dataclass(frozen=True, slots=True)
class Api:
    """Where the API is, and who is asking."""

    server: str
    """For example `http://127.0.0.1:8080`."""
    api_key: str | None = field(default=None, repr=False)

    def get(self, *path: str, **query: object) -> Json:
        """`path` segment by segment; members of `query` that are None are left out."""
        asked = {name: str(value) for name, value in query.items() if value is not None}
        return self._call("GET", path, asked, None, {}, CALL_S)

    def post(
        self, *path: str, body: Json | None = None, once: str | None = None, timeout_s: float = CALL_S
    ) -> Json:
        """With `once`, a key, the same request is done once however often it is sent."""
        headers = {} if once is None else {"Idempotency-Key": once}
        return self._call("POST", path, {}, body, headers, timeout_s)

    def delete(self, *path: str) -> Json:
        return self._call("DELETE", path, {}, None, {}, CALL_S)

    def _call(
        self,
        method: str,
        path: tuple[str, ...],
        query: Mapping[str, str],
        body: Json | None,
        headers: Mapping[str, str],
        timeout_s: float,
    ) -> Json:
        target = "/api/v1/" + "/".join(quote(segment, safe="") for segment in path)
        sent = {"Accept": "application/json", "User-Agent": "berth", **headers}
        if self.api_key:
            sent["X-API-Key"] = self.api_key
        content = None
        if body is not None:
            content, sent["Content-Type"] = json.dumps(body).encode(), "application/json"
        connection = self._connect(timeout_s)
        try:
            status, text = self._exchange(
                connection, method, f"{target}?{urlencode(query)}" if query else target, content, sent
            )
        finally:
            connection.close()
        answer = _object(text)
        if status >= _REFUSED:
            raise Failed(_sentence(status, answer), answer, status=status)
        if answer is None:
            raise Failed(
                f"{self.server} answered {status} and no JSON: is that the address of a Berth?", status=status
            )
        return answer

    def _connect(self, timeout_s: float) -> http.client.HTTPConnection:
        """Connected. Nothing was asked yet, so a failure here changed nothing."""
        try:
            address = urlsplit(self.server)
            host, port = address.hostname, address.port
        except ValueError as error:
            raise Failed(f"{self.server!r} is no address of a server: {error}") from error
        if address.scheme not in {"http", "https"} or not host or address.path not in {"", "/"}:
            raise Failed(f"{self.server!r} is no address of a server: say for example http://127.0.0.1:8080")
        kind = http.client.HTTPSConnection if address.scheme == "https" else http.client.HTTPConnection
        connection = kind(host, port, timeout=min(timeout_s, CONNECT_S))
        try:
            connection.connect()
            connection.sock.settimeout(timeout_s)
        except OSError as error:
            connection.close()
            raise Failed(
                f"{self.server} does not answer ({_reason(error)}): is `berth serve` running?"
            ) from error
        return connection

    def _exchange(
        self,
        connection: http.client.HTTPConnection,
        method: str,
        target: str,
        content: bytes | None,
        headers: Mapping[str, str],
    ) -> tuple[int, bytes]:
        try:
            connection.request(method, target, body=content, headers=dict(headers))
            response = connection.getresponse()
            text = response.read(ANSWER_LIMIT_BYTES + 1)
        except (OSError, http.client.HTTPException) as error:
            raise Unanswered(f"{self.server} broke off ({_reason(error)})") from error
        except ValueError as error:
            raise Failed("the API key has characters that no key has", status=_UNAUTHORIZED) from error
        if len(text) > ANSWER_LIMIT_BYTES:
            raise Unanswered(f"{self.server} answered more than {ANSWER_LIMIT_BYTES} bytes")
        return response.status, text


def plain(text: object) -> str:
    """Something that was sent, without anything that a terminal would obey."""
    return _UNSAFE.sub("", str(text))


def _object(text: bytes) -> Json | None:
    try:
        found = json.loads(text, parse_float=Decimal)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _sentence(status: int, answer: Json | None) -> str:
    said = "" if answer is None else str(answer.get("error") or "")
    more = "" if answer is None else str(answer.get("message") or "")
    told = said or f"the server answered {status}"
    if more and more != said:
        told = f"{told.rstrip('.')}: {more}"
    if status == _UNAUTHORIZED:
        told = f"{told.rstrip('.')} (--api-key, or BERTH_API_KEY)"
    return told[:_SHOWN]


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__

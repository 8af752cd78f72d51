"""The request edge: authenticate → scope → idempotency → validate → one verb in one transaction → render.

One ASGI callable for a whole face. It decides nothing about what is asked: the routes table says what a route
takes and needs, its handler does the work, the face renders the answer and words the refusals.
"""

import os
import re
import traceback
from collections.abc import Mapping, Sequence
from itertools import count
from typing import Any

import structlog

from berth.base.asgi import Receive, Scope, Send
from berth.base.db import DatabaseUnavailable, Tx
from berth.core import idempotency
from berth.core.errors import Conflict, Invalid, Refusal, Unavailable
from berth.core.idempotency import Answer
from berth.faces.face import bodies, replays
from berth.faces.face.context import Context
from berth.faces.face.refusals import Crashed
from berth.faces.face.routing import Router
from berth.faces.face.table import Call, Face, Headers, Page, Reply, Route, Text

OK = 200
_REQUEST_ID = re.compile(rb"[\w.:+/=@-]{1,128}", re.ASCII)
_REPLAYED = ((b"idempotent-replayed", b"true"),)
_PAGE_HEADERS = (
    (b"content-security-policy", b"default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"),
    (b"x-content-type-options", b"nosniff"),
)
_log = structlog.get_logger()
_numbers = count(1)
_PROCESS = os.urandom(6).hex()


class Edge:
    """Serves one face below whatever prefix it is mounted at."""

    def __init__(self, context: Context, face: Face) -> None:
        self._context = context
        self._face = face
        self._router = Router(face.routes)
        self._pages: Mapping[str, Page] = {page.path: page for page in face.pages}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        headers = _headers(scope["headers"])
        request_id = _request_id(headers)
        try:
            reply = await self._answer(scope, headers, receive)
        except Refusal as refusal:
            reply = self._face.refuse(refusal, request_id)
        except DatabaseUnavailable as error:
            _log.warning("database unavailable", request_id=request_id, error=str(error))
            closed = Unavailable("unavailable", "The service is briefly unavailable; try again.")
            reply = self._face.refuse(closed, request_id)
        except Exception:  # noqa: BLE001 - the customer gets an answer, the log gets the bug
            _log.error(
                "request failed",
                request_id=request_id,
                method=scope["method"],
                path=scope["path"],
                traceback=traceback.format_exc(),
            )
            reply = self._face.refuse(Crashed(), request_id)
        await send(
            {
                "type": "http.response.start",
                "status": reply.status,
                "headers": [
                    (b"content-type", reply.media_type),
                    (b"content-length", str(len(reply.body)).encode()),
                    (b"cache-control", b"no-store"),
                    (b"x-request-id", request_id.encode()),
                    *reply.headers,
                ],
            }
        )
        body = b"" if scope["method"] == "HEAD" else reply.body
        await send({"type": "http.response.body", "body": body})

    async def _answer(self, scope: Scope, headers: Headers, receive: Receive) -> Reply:
        path = _path_below(scope)
        method = scope["method"]
        page = self._pages.get(path)
        if page is not None and method in {"GET", "HEAD"}:
            return Reply(OK, page.body(), _PAGE_HEADERS, page.media_type.encode())
        route, parameters = self._router.find(method, path)
        by = await self._face.authenticate(self._context, headers)
        by.may(route.scope)
        pairs = bodies.pairs_of(scope["query_string"])
        call = Call(self._context, by, parameters, None, None, headers)
        if route.is_read:
            return await self._read(route, call, receive, pairs)
        return await self._write(route, call, headers, receive, path, pairs)

    async def _read(
        self, route: Route, call: Call, receive: Receive, pairs: Sequence[tuple[str, str]]
    ) -> Reply:
        document = None
        if route.body is not None:
            body = await bodies.read(receive, call.headers, self._context.body_limit)
            document = bodies.parse(body, call.headers)
        refusal = _translate(route, call, document, pairs)
        if refusal is not None:
            raise refusal
        result = await self._context.db.read(route.handler, call)
        if isinstance(result, Text):
            return Reply(OK, result.body, media_type=result.media_type)
        return Reply(OK, self._face.render(result))

    async def _write(
        self,
        route: Route,
        call: Call,
        headers: Headers,
        receive: Receive,
        path: str,
        pairs: Sequence[tuple[str, str]],
    ) -> Reply:
        key = replays.key_of(headers)
        body = await bodies.read(receive, headers, self._context.body_limit)
        document = None if route.body is None else bodies.parse(body, headers)
        # What is wrong with the members is said only when there is nothing to replay.
        refusal = _translate(route, call, document, pairs)
        if key is None:
            if refusal is not None:
                raise refusal
            reply, result = await self._context.db.write(self._execute, route, call)
            if route.follow is not None:
                reply = Reply(OK, self._face.render(await route.follow(call, result)))
        else:
            fingerprint = replays.fingerprint(route.method, path, document, pairs)
            reply = await self._once(route, call, key, fingerprint, refusal)
        if route.pokes is not None and reply.headers is not _REPLAYED:
            self._context.poke(route.pokes)
        return reply

    async def _once(
        self, route: Route, call: Call, key: str, fingerprint: str, refusal: Refusal | None
    ) -> Reply:
        """Does the work, or gives the answer that it got the first time."""
        running = (call.by.project, call.by.lineage, key)
        in_flight = self._context.in_flight
        if running in in_flight:
            raise Conflict(
                "idempotency_in_flight",
                "A request with this Idempotency-Key is being processed.",
                retry_after_s=1,
            )
        in_flight.add(running)
        try:
            reply, result = await self._context.db.write(
                self._execute_once, route, call, key, fingerprint, refusal
            )
            if route.follow is not None and reply.headers is not _REPLAYED:
                reply = Reply(OK, self._face.render(await route.follow(call, result)))
                whole = Answer(OK, reply.body.decode())
                await self._context.db.write(idempotency.amend, call.by, key, fingerprint, whole)
            return reply
        except Refusal:
            # Another replica may have done this very request meanwhile, and taken what we were refused for.
            known = await self._context.db.read(idempotency.find, call.by, key, fingerprint)
            if known is None:
                raise
            return Reply(known.status, known.body.encode(), _REPLAYED)
        finally:
            in_flight.discard(running)

    def _execute(self, tx: Tx, route: Route, call: Call) -> tuple[Reply, object]:
        result = route.handler(tx, call)
        return Reply(OK, self._face.render(result)), result

    def _execute_once(
        self, tx: Tx, route: Route, call: Call, key: str, fingerprint: str, refusal: Refusal | None
    ) -> tuple[Reply, object]:
        known = idempotency.find(tx, call.by, key, fingerprint)
        if known is not None:
            return Reply(known.status, known.body.encode(), _REPLAYED), None
        if refusal is not None:
            raise refusal
        result = route.handler(tx, call)
        body = self._face.render(result)
        kept = body if route.redact is None else self._face.render(route.redact(result))
        idempotency.remember(tx, call.by, key, fingerprint, Answer(OK, kept.decode()))
        return Reply(OK, body), result


def _translate(
    route: Route, call: Call, document: dict[str, Any] | None, pairs: Sequence[tuple[str, str]]
) -> Refusal | None:
    """Fills in the call's query and body, or says what is wrong with them."""
    try:
        if route.query is not None:
            call.query = bodies.query_of(pairs, route.query)
        if route.body is not None and document is not None:
            call.body = bodies.body_of(document, route.body)
    except Invalid as refusal:
        return refusal
    return None


def _headers(raw: Sequence[tuple[bytes, bytes]]) -> Headers:
    headers: dict[bytes, bytes] = {}
    for name, value in raw:
        if name in headers:
            headers[name] += b", " + value
        else:
            headers[name] = value
    return headers


def _request_id(headers: Headers) -> str:
    """The caller's own id for the request where it is a sane one, else a fresh one."""
    given = headers.get(b"x-request-id")
    if given is not None and _REQUEST_ID.fullmatch(given):
        return given.decode("ascii")
    return f"req_{_PROCESS}{next(_numbers):08x}"


def _path_below(scope: Scope) -> str:
    """The path without the mount's prefix and without a slash at its end."""
    path: str = scope["path"]
    prefix: str = scope.get("root_path", "")
    if prefix and path.startswith(prefix):
        path = path[len(prefix) :]
    return path.rstrip("/") if path.endswith("/") else path

"""The request edge: authenticate → scope → rate → idempotency → validate → one verb in one transaction → render.

One ASGI callable for a whole face. It decides nothing about what is asked: the routes table says what a route
takes and needs, its handler does the work, the face renders the answer and words the refusals.
"""

import asyncio
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import structlog

from berth.base.asgi import Receive, Scope, Send
from berth.base.db import DatabaseUnavailable, Tx
from berth.core import idempotency
from berth.core.errors import Conflict, Invalid, Refusal, Unavailable
from berth.core.events import Actor
from berth.core.idempotency import Answer
from berth.faces.face import bodies, origins, replays
from berth.faces.face.context import Context
from berth.faces.face.rates import Counted, Limited
from berth.faces.face.refusals import Crashed
from berth.faces.face.routing import Router
from berth.faces.face.table import Call, Face, Follow, Headers, Page, Reply, Route, Sent, Text

OK = 200
NO_CONTENT = 204
UNMATCHED = "unmatched"
"""In place of a pattern, for paths that are none of ours."""
_REPLAYED = ((b"idempotent-replayed", b"true"),)
_PAGE_HEADERS = (
    (b"content-security-policy", b"default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"),
    (b"x-content-type-options", b"nosniff"),
)
_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class _Done:
    """What a handler did, and how its face says it."""

    result: object
    status: int
    body: bytes
    headers: Sequence[tuple[bytes, bytes]] = ()


@dataclass(slots=True)
class _Visit:
    """What is known of a request so far."""

    request_id: str
    by: Actor | None = None
    counted: Limited | None = None
    """What a request of this kind counts as."""
    pattern: str = UNMATCHED
    """What the path is an instance of, below the mount."""


class Edge:
    """Serves one face below whatever prefix it is mounted at."""

    def __init__(self, context: Context, face: Face) -> None:
        self._context = context
        self._face = face
        self._router = Router(face.routes, hides=face.hides_templates)
        self._pages: Mapping[str, Page] = {page.path: page for page in face.pages}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        began = perf_counter()
        headers = _headers(scope["headers"])
        request_id = self._face.request_id(headers.get(b"x-request-id"))
        visit = _Visit(request_id)
        try:
            reply = await self._answer(scope, headers, receive, visit)
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
        pattern = visit.pattern if visit.pattern is UNMATCHED else scope.get("root_path", "") + visit.pattern
        self._context.meters.requests.note(scope["method"], pattern, reply.status, perf_counter() - began)
        await send(
            {
                "type": "http.response.start",
                "status": reply.status,
                "headers": [
                    *_about_body(reply),
                    (b"cache-control", b"no-store"),
                    (b"x-request-id", request_id.encode()),
                    *reply.headers,
                    *self._standing(visit),
                ],
            }
        )
        body = b"" if scope["method"] == "HEAD" else reply.body
        await send({"type": "http.response.body", "body": body})

    def _standing(self, visit: _Visit) -> Sequence[tuple[bytes, bytes]]:
        """How often whoever was let in may still ask."""
        rates = self._context.rates
        if rates is None or visit.by is None or visit.counted is None:
            return ()
        return rates.headers(visit.by.project, visit.counted, self._face.limits)

    async def _answer(self, scope: Scope, headers: Headers, receive: Receive, visit: _Visit) -> Reply:
        path = _path_below(scope)
        method = scope["method"]
        page = self._pages.get(path)
        if page is not None and method in {"GET", "HEAD"}:
            visit.pattern = path
            return Reply(OK, page.body(), _PAGE_HEADERS, page.media_type.encode())
        route, parameters = self._router.find(method, path)
        visit.pattern = route.path
        context = self._context
        address = origins.address_of(scope, headers, context.policy.trusted_proxies)
        if route.is_public:
            by = Actor("", "anybody", "anybody", frozenset({route.scope}))
        else:
            by = await self._face.authenticate(context, headers, address)
            counted: Limited = route
            if self._face.limits.counts_paths:
                counted = Counted(route.method, scope.get("root_path", "") + path, route.rate)
            is_counted = by.key_id != self._face.limits.exempts
            visit.by, visit.counted = by, counted if is_counted else None
            by.may(route.scope)
            if context.rates is not None and is_counted:
                await context.rates.admit(by.project, counted)
        pairs = bodies.pairs_of(scope["query_string"])
        call = Call(context, by, parameters, None, None, headers)
        if route.is_read:
            return await self._read(route, call, receive, pairs)
        call.by = Actor(by.project, by.key_id, by.lineage, by.scopes, address, visit.request_id)
        return await self._write(route, call, receive, path, pairs)

    async def _read(
        self, route: Route, call: Call, receive: Receive, pairs: Sequence[tuple[str, str]]
    ) -> Reply:
        document = None
        if route.body is not None:
            body = await bodies.read(receive, call.headers, self._context.body_limit)
            document = self._parse(route, body, call.headers)
        refusal = self._translate(route, call, document, pairs)
        if refusal is not None:
            raise refusal
        try:
            result = await self._looked_up(route, call)
        except Invalid as invalid:
            if "sent" not in invalid.details:
                raise
            # As it was written: a number has many ways to be.
            raise bodies.with_value(invalid, document, pairs) from None
        if isinstance(result, Text):
            return Reply(OK, result.body, result.headers, result.media_type)
        if isinstance(result, Sent):
            return self._reply(route, self._done(route, result))
        return Reply(route.status, self._face.render(result), (), route.media_type)

    async def _looked_up(self, route: Route, call: Call) -> object:
        database = self._context.db
        if route.is_long and not database.is_shared:  # one that is shared reads in threads of its own anyway
            return await asyncio.to_thread(database.read_now, route.handler, call)
        return await database.read(route.handler, call)

    async def _write(
        self,
        route: Route,
        call: Call,
        receive: Receive,
        path: str,
        pairs: Sequence[tuple[str, str]],
    ) -> Reply:
        key = replays.key_of(call.headers) if self._face.takes_keys else None
        body = await bodies.read(receive, call.headers, self._context.body_limit)
        document = None if route.body is None else self._parse(route, body, call.headers)
        # What is wrong with the members is said only when there is nothing to replay.
        refusal = self._translate(route, call, document, pairs)
        if key is None:
            if refusal is not None:
                raise refusal
            if route.prepare is not None:
                call.prepared = await route.prepare(call)
            done = await self._run(route, call)
        else:
            call.key = key
            call.fingerprint = replays.fingerprint(route.method, path, document if body else None, pairs)
            done = await self._once(route, call, key, refusal)
        if isinstance(done, Answer):
            return Reply(done.status, done.body.encode(), _REPLAYED)
        if route.pokes is not None:
            self._context.poke(route.pokes)
        return self._reply(route, done)

    async def _run(self, route: Route, call: Call) -> _Done | Answer:
        done = await self._context.db.write(self._execute, route, call)
        return done if route.follow is None else await self._follow(route, route.follow, call, done.result)

    async def _once(self, route: Route, call: Call, key: str, refusal: Refusal | None) -> _Done | Answer:
        """Does the work, or gives the Answer that it got the first time."""
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
            if route.prepare is not None and refusal is None:
                known = await self._context.db.read(idempotency.find, call.by, key, call.fingerprint)
                if known is not None:
                    return known
                call.prepared = await route.prepare(call)
            done: _Done | Answer = await self._context.db.write(self._execute_once, route, call, key, refusal)
            if route.follow is not None and isinstance(done, _Done):
                done = await self._follow_once(route, route.follow, call, key, done.result)
            return done
        except Refusal:
            # Another replica may have done this very request meanwhile, and taken what we were refused for.
            known = await self._context.db.read(idempotency.find, call.by, key, call.fingerprint)
            if known is None:
                raise
            return known
        finally:
            in_flight.discard(running)

    async def _follow_once(self, route: Route, follow: Follow, call: Call, key: str, result: object) -> _Done:
        """Keeps what followed in the place of what the handler answered."""
        try:
            done = await self._follow(route, follow, call, result)
        except Refusal:
            await self._context.db.write(idempotency.forget, call.by, key, call.fingerprint)
            raise
        whole = Answer(done.status, self._kept(route, done).decode())
        try:
            await self._context.db.write(idempotency.amend, call.by, key, call.fingerprint, whole)
        except DatabaseUnavailable as error:
            # What was kept first stands. This answer may hold a secret that nobody could get again.
            _log.warning("answer not amended", request_id=call.by.request_id, error=str(error))
        return done

    async def _follow(self, route: Route, follow: Follow, call: Call, result: object) -> _Done:
        return self._done(route, await follow(call, result))

    def _execute(self, tx: Tx, route: Route, call: Call) -> _Done:
        return self._done(route, route.handler(tx, call))

    def _done(self, route: Route, answered: object) -> _Done:
        if isinstance(answered, Sent):
            body = self._face.render(answered.result)
            return _Done(answered, answered.status or route.status, body, answered.headers)
        return _Done(answered, route.status, self._face.render(answered))

    def _parse(self, route: Route, body: bytes, headers: Headers) -> dict[str, Any]:
        return bodies.parse(
            body, headers, takes_form=route.takes_form, takes_any_type=self._face.takes_any_type
        )

    def _translate(
        self, route: Route, call: Call, document: dict[str, Any] | None, pairs: Sequence[tuple[str, str]]
    ) -> Invalid | None:
        refusal = _translate(route, call, document, pairs)
        if refusal is None or not self._face.tells_values:
            return refusal
        return bodies.with_value(refusal, document, pairs)

    def _reply(self, route: Route, done: _Done) -> Reply:
        return Reply(done.status, done.body, done.headers, route.media_type)

    def _execute_once(
        self, tx: Tx, route: Route, call: Call, key: str, refusal: Refusal | None
    ) -> _Done | Answer:
        known = idempotency.find(tx, call.by, key, call.fingerprint)
        if known is not None:
            return known
        if refusal is not None:
            raise refusal
        done = self._execute(tx, route, call)
        idempotency.remember(
            tx,
            call.by,
            key,
            call.fingerprint,
            Answer(done.status, self._kept(route, done).decode()),
            retention_s=self._context.policy.idempotency_retention_s,
            lives=None if route.lives is None else route.lives(done.result),
            is_minted=key.startswith(self._face.minted_prefix),
        )
        return done

    def _kept(self, route: Route, done: _Done) -> bytes:
        return done.body if route.redact is None else self._face.render(route.redact(done.result))


def _translate(
    route: Route, call: Call, document: dict[str, Any] | None, pairs: Sequence[tuple[str, str]]
) -> Invalid | None:
    """Fills in the call's query and body, or says what is wrong with them."""
    try:
        if route.query is not None:
            call.query = bodies.query_of(pairs, route.query)
        if route.body is not None and document is not None:
            call.body = bodies.body_of(document, route.body)
    except Invalid as refusal:
        return refusal
    return None


def _about_body(reply: Reply) -> Sequence[tuple[bytes, bytes]]:
    if reply.status == NO_CONTENT:
        return ()
    length = (b"content-length", str(len(reply.body)).encode())
    return ((b"content-type", reply.media_type), length) if reply.body else (length,)


def _headers(raw: Sequence[tuple[bytes, bytes]]) -> Headers:
    headers: dict[bytes, bytes] = {}
    for name, value in raw:
        if name in headers:
            headers[name] += b", " + value
        else:
            headers[name] = value
    return headers


def _path_below(scope: Scope) -> str:
    """The path without the mount's prefix and without a slash at its end."""
    path: str = scope["path"]
    prefix: str = scope.get("root_path", "")
    if prefix and path.startswith(prefix):
        path = path[len(prefix) :]
    return path.rstrip("/") if path.endswith("/") else path

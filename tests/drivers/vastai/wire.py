"""How the stand-in speaks: bodies, errors, cursors, and which calls are counted together."""

import base64
import json
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from tests.drivers.vastai.offers import Row

_SECRET = 0x5A


class Problem(Exception):
    def __init__(self, status: int, error: str, msg: str, **more: Any) -> None:
        super().__init__(msg)
        self.status, self.body = status, {"success": False, "error": error, "msg": msg, **more}


def no_such_ask(ask: int, form: str) -> Problem:
    said = f"error {form}/3603: no_such_ask Instance type by id {ask} is not available."
    if form == "410":
        return Problem(410, "no_such_ask", f"error 410/3907: no_such_ask {ask}", ask_id=ask)
    return Problem(int(form), "invalid_args", said, ask_id=ask)


def kind_of(call: str) -> str | None:
    method, _, path = call.partition(" ")
    if "/bundles/" in path or "/search/" in path:
        return "search"
    if path.startswith("/api/v0/asks/"):
        return "create"
    if path.startswith("/api/v1/instances/"):
        return "list"
    if path.startswith("/api/v0/template"):
        return "templates"
    if not path.startswith("/api/v0/instances/"):
        return None
    if path.endswith("/ssh/"):
        return "attach"
    return {"GET": "show", "DELETE": "destroy"}.get(method, "manage")


def token_of(handle: int) -> str:
    return base64.urlsafe_b64encode(bytes(byte ^ _SECRET for byte in str(handle).encode())).decode()


def read_token(token: str) -> int:
    try:
        return int(bytes(byte ^ _SECRET for byte in base64.urlsafe_b64decode(token))) if token else 0
    except ValueError as error:
        raise Problem(400, "invalid_token", "Invalid cursor") from error


async def body_of(request: web.Request) -> Row:
    try:
        found = json.loads(await request.text() or "{}")
    except ValueError as error:
        raise Problem(400, "invalid_request", "Invalid JSON") from error
    if not isinstance(found, dict):
        raise Problem(400, "invalid_request", "Invalid JSON")
    return found


def answer(body: object, *, status: int = 200) -> web.Response:
    """The type of content says no character set: an official client wants it exactly so."""
    return web.Response(
        body=json.dumps(body).encode(), status=status, headers={"Content-Type": "application/json"}
    )


def raw(said: tuple[int, str, Mapping[str, str], str]) -> web.Response:
    status, body, headers, kind = said
    return web.Response(body=body.encode(), status=status, headers={**headers, "Content-Type": kind})


def cut(request: web.Request) -> web.Response:
    assert request.transport is not None
    request.transport.abort()
    return web.Response()

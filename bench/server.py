"""The server under test, as `berth serve` runs it but with its loops off, and the bare one it is compared with.

Started as a child with its arguments on standard input; it prints its port when it listens and ends with its input.
"""

import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvicorn

from bench import machine
from berth import settings
from berth.base import log
from berth.faces.face import Edge, Face, Route, authenticate_by_key
from tests import make

_NOTHING = b'{"data":{"ok":true}}'
_STOP_S = 30


@dataclass(frozen=True, slots=True)
class Server:
    pid: int
    port: int


@contextlib.contextmanager
def running(kind: str, url: str, directory: Path, *, pinned: bool) -> Iterator[Server]:
    """`kind` is berth, noop (the edge alone, with one route that does nothing) or raw (bare ASGI)."""
    arguments = {
        "kind": kind,
        "url": url,
        "directory": str(directory),
        "core": machine.SERVER_CORE if pinned else None,
    }
    child = subprocess.Popen(
        [sys.executable, "-m", "bench.server", json.dumps(arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdin is not None
    assert child.stdout is not None
    try:
        line = child.stdout.readline()
        assert line.strip().isdigit(), "the server did not start"
        yield Server(child.pid, int(line))
    finally:
        child.stdin.close()
        child.wait(_STOP_S)


async def raw(_scope: Any, receive: Any, send: Any) -> None:
    """The least that answers as much: the same head and body."""
    await receive()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(_NOTHING)).encode()),
        (b"cache-control", b"no-store"),
        (b"x-request-id", b"req_0"),
    ]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": _NOTHING})


def _application(kind: str, url: str, directory: Path) -> Any:
    if kind == "raw":
        return raw
    from berth import app  # noqa: PLC0415 - the bare server has none of it

    environ = {
        "BERTH_DATA_DIR": str(directory),
        "BERTH_PEPPER_FILE": str(pepper(directory)),
        "BERTH_RATE_LIMITS": "off",
        "BERTH_SANDBOX_IS_ENABLED": "false",
    }
    if url.startswith("postgresql"):
        environ["BERTH_DATABASE_URL"] = url
    process = app.build(settings.read({}, environ))
    return Edge(process.context, _noop()) if kind == "noop" else app.application(process)


def _noop() -> Face:
    route = Route(
        method="GET",
        path="/noop",
        handler=lambda _tx, _call: None,
        summary="Nothing",
        scope="catalog:read",
        answer=None,
    )
    return Face(
        name="bench",
        routes=[route],
        authenticate=authenticate_by_key,
        render=lambda _result: _NOTHING,
        refuse=_refuse,
    )


def _refuse(refusal: Any, request_id: str) -> Any:
    raise AssertionError(f"{request_id}: {refusal}")


def pepper(directory: Path) -> Path:
    """The pepper with which the builders of the tests make keys."""
    path = directory / "pepper"
    path.write_bytes(make.PEPPER)
    return path


def main() -> None:
    arguments = json.loads(sys.argv[1])
    machine.pin(arguments["core"])
    log.configure(is_json=True)
    application = _application(arguments["kind"], arguments["url"], Path(arguments["directory"]))
    config = uvicorn.Config(
        application,
        loop="uvloop",
        http="httptools",
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        date_header=False,
        h11_max_incomplete_event_size=64 * 1024,
    )
    server = uvicorn.Server(config)
    listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
    sys.stdout.write(f"{listener.getsockname()[1]}\n")
    sys.stdout.flush()

    def wait_for_the_end() -> None:
        sys.stdin.read()
        server.should_exit = True

    threading.Thread(target=wait_for_the_end, daemon=True).start()
    server.run(sockets=[listener])
    os._exit(0)


if __name__ == "__main__":
    main()

"""The HTTP server as Berth runs it: bound before anything else starts, with a limit on what a stranger may send."""

import asyncio
import contextlib
import signal
import socket
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from berth.base.asgi import Asgi
from berth.settings import Server, SettingsError

HEADER_LIMIT = 64 * 1024
"""Bytes of a request before its body."""
HEADER_DEADLINE_S = 30.0
"""How long a request may take to get as far as its body."""
BODY_DEADLINE_S = 60.0
"""How long its body may take from there, however it drips in."""
CONNECTIONS = 4096
KEEP_ALIVE_S = 5
"""How long a connection may be idle between two requests; a proxy gives them up before that."""
_BACKLOG = 2048
_NOTICE_STEP_S = 0.1


def _refusal(status: bytes, sentence: bytes) -> bytes:
    """What is answered before any API is known: as JSON, with the sentence under the name that each gives it."""
    body = b'{"code":"BAD_REQUEST","error":"%b","message":"%b"}' % (sentence, sentence)
    return (
        b"HTTP/1.1 %b\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: %d\r\n\r\n%b"
        % (status, len(body), body)
    )


_TOO_LARGE = _refusal(b"431 Request Header Fields Too Large", b"The headers are too large.")
_NOT_HTTP = _refusal(b"400 Bad Request", b"This is no HTTP request.")


class BoundedProtocol(HttpToolsProtocol):
    """Refuses headers that are too long, and hangs up on what takes too long: the parser itself would wait for ever."""

    _is_in_headers = True
    _header_bytes = 0
    _deadline: asyncio.TimerHandle | asyncio.Handle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._deadline = self.loop.call_later(HEADER_DEADLINE_S, transport.close)

    def connection_lost(self, exc: Exception | None) -> None:
        self._disarm()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._is_in_headers:
            if self._header_bytes > HEADER_LIMIT:
                self.transport.write(_TOO_LARGE)
                self.transport.close()
                return
            self._header_bytes += len(data)
            if self._deadline is None:
                self._deadline = self.loop.call_later(HEADER_DEADLINE_S, self.transport.close)
        super().data_received(data)

    def on_headers_complete(self) -> None:
        self._is_in_headers = False
        self._disarm()
        self._deadline = self.loop.call_later(BODY_DEADLINE_S, self.transport.close)
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._disarm()
        self._is_in_headers = True
        self._header_bytes = 0
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - as it is called
        """In place of plain text, which clients that decode every refusal stumble over."""
        self.transport.write(_NOT_HTTP)
        self.transport.close()

    def _disarm(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


class _Server(uvicorn.Server):
    """Says when it is ready, and ends with status 0 when it was asked to end: the usual one raises the signal again."""

    def __init__(
        self,
        config: uvicorn.Config,
        when_ready: Callable[[], None],
        when_ending: Callable[[], None],
        notice_s: float,
    ) -> None:
        super().__init__(config)
        self._when_ready = when_ready
        self._when_ending = when_ending
        self._notice_s = notice_s

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._when_ready()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self._when_ending()
        super().handle_exit(sig, frame)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        # Whoever sends requests here must have a chance to see that no more should come before they are refused.
        for _ in range(round(self._notice_s / _NOTICE_STEP_S)):
            if self.force_exit:
                break
            await asyncio.sleep(_NOTICE_STEP_S)
        await super().shutdown(sockets)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        before = {
            number: signal.signal(number, self.handle_exit) for number in (signal.SIGINT, signal.SIGTERM)
        }
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def bind(settings: Server) -> socket.socket:
    """Takes the address, before anything runs that a second start would do twice. Raises SettingsError.

    It does not listen yet: until everything is ready, clients are refused instead of kept waiting.
    """
    listener = socket.socket(socket.AF_INET6 if ":" in settings.host else socket.AF_INET)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((settings.host, settings.port))
    except OSError as error:
        listener.close()
        raise SettingsError(
            f"cannot listen on {settings.host} port {settings.port}: {error.strerror}"
        ) from error
    return listener


def serve(
    application: Asgi,
    listener: socket.socket,
    settings: Server,
    *,
    when_ready: Callable[[], None],
    when_ending: Callable[[], None],
) -> bool:
    """Serves until SIGTERM or SIGINT, then drains. Returns whether it ever started.

    `when_ending` is called with the signal, a moment before new connections are refused.
    """
    options: dict[str, Any] = {
        "loop": "uvloop",
        "http": BoundedProtocol,
        "ws": "none",
        "lifespan": "on",
        "log_config": None,
        "access_log": False,
        "proxy_headers": False,  # whose word counts is a setting of ours
        "server_header": False,
        "date_header": False,
        "limit_concurrency": CONNECTIONS,
        "backlog": _BACKLOG,
        "timeout_keep_alive": KEEP_ALIVE_S,
        "timeout_graceful_shutdown": settings.drain_s,
    }
    config = uvicorn.Config(application, **options)
    server = _Server(config, when_ready, when_ending, settings.notice_s)
    server.run(sockets=[listener])
    return server.started

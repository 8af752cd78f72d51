"""Whether what is about to be sent may still be sent.

Work that was allowed when it began may be many calls long, and its process may be stopped between any two of them. So
whoever sends something that changes anything looks once more, as late as it can.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from types import SimpleNamespace

import aiohttp


def _nothing_forbids() -> None:
    """Where nobody has set a condition."""


_current: ContextVar[Callable[[], None]] = ContextVar("permit", default=_nothing_forbids)


@contextmanager
def under(check: Callable[[], None]) -> Iterator[None]:
    """What is sent in this block, by this task and those that it starts, is sent only while `check` does not raise."""
    before = _current.set(check)
    try:
        yield
    finally:
        _current.reset(before)


def check() -> None:
    """Raises what the block's own check raises."""
    _current.get()()


def tracing() -> aiohttp.TraceConfig:
    """Has a session look once more when it has the connection and sends next: requests whose `trace_request_ctx` is true.

    One that is stopped at its body, which is sent in a task of its own, fails as if the connection were lost.
    """
    trace = aiohttp.TraceConfig()
    trace.on_request_headers_sent.append(_look)
    trace.on_request_chunk_sent.append(_look)
    return trace


async def _look(
    _session: aiohttp.ClientSession,
    context: SimpleNamespace,
    _sent: aiohttp.TraceRequestHeadersSentParams | aiohttp.TraceRequestChunkSentParams,
) -> None:
    if context.trace_request_ctx:
        check()

"""A last look before a request to a provider goes out: whoever asked for it may have lost the right to it meanwhile."""

from types import SimpleNamespace

import aiohttp

from berth.base import permits


def looking() -> aiohttp.TraceConfig:
    """Has a session look once it has the connection and sends next, for requests whose `trace_request_ctx` is true.

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
        permits.check()

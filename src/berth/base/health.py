"""Whether a server answers over HTTP: `GET /health`, of whose answer the first line is read and nothing more."""

import asyncio
import contextlib
import re

PATH = "/health"
_NOT_FOUND = 404
_LINE = re.compile(rb"HTTP/1\.[01] (\d{3})(?: |\r?\n)")
_MOST_BYTES = 1024


async def is_alive(ip: str, port: int, seconds: float) -> bool:
    """Any 2xx, and a 404 of a server that knows no such path, shows that somebody is there."""
    writer: asyncio.StreamWriter | None = None
    try:
        async with asyncio.timeout(seconds):
            reader, writer = await asyncio.open_connection(ip, port, limit=_MOST_BYTES)
            host = f"[{ip}]" if ":" in ip else ip
            writer.write(f"GET {PATH} HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\n\r\n".encode())
            await writer.drain()
            said = _LINE.match(await reader.readline())
    except (OSError, TimeoutError, ValueError):
        return False
    finally:
        if writer is not None:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
    if said is None:
        return False
    status = int(said[1])
    return 200 <= status < 300 or status == _NOT_FOUND  # noqa: PLR2004 - as HTTP numbers them

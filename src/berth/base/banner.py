"""Whether an SSH server answers: connects and reads its greeting, nothing more."""

import asyncio
import contextlib

_GREETING = b"SSH-"
_POLL_S = 0.02
_ONE_TRY_S = 2.0


async def answers(ip: str, port: int, wait_s: float) -> bool:
    """Tries for `wait_s` seconds. A port that accepts and says nothing does not count."""
    running = asyncio.get_running_loop()
    ends_at = running.time() + wait_s
    while True:
        if await _greets(ip, port, min(_ONE_TRY_S, max(_POLL_S, ends_at - running.time()))):
            return True
        if running.time() + _POLL_S >= ends_at:
            return False
        await asyncio.sleep(_POLL_S)


async def _greets(ip: str, port: int, timeout_s: float) -> bool:
    writer: asyncio.StreamWriter | None = None
    try:
        async with asyncio.timeout(timeout_s):
            reader, writer = await asyncio.open_connection(ip, port)
            return await reader.readexactly(len(_GREETING)) == _GREETING
    except (OSError, TimeoutError, asyncio.IncompleteReadError):
        return False
    finally:
        if writer is not None:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

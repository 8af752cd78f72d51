"""One organisation's calls over HTTP: pace, sizes, and what an answer that is no success means.

Whatever the other side sends, callers get JSON or a `DriverError`. A call that may have changed something and whose
answer was lost is `OutcomeUnknown`.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import quote

import aiohttp
from yarl import URL

from berth.core.driver import DriverError, OutcomeUnknown, RateLimited, Unreachable
from berth.drivers import sending
from berth.drivers.tensordock.config import TensorDockConfig
from berth.drivers.tensordock.errors import error_of, loads, refusal
from berth.drivers.tensordock.pace import Pace

ANSWER_LIMIT_BYTES = 16 * 1024 * 1024
_CONNECTIONS = 8


class Client:
    """`clock` counts seconds and only goes forward."""

    def __init__(
        self,
        config: TensorDockConfig,
        clock: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._config = config
        self._pace = Pace(clock, sleep)
        self._session: aiohttp.ClientSession | None = None

    async def get(self, path: str) -> Any:
        """The JSON of a success. Raises Unreachable for what is none: a proxy's page says nothing."""
        return await self._call("GET", path, None)

    async def change(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """POST, PUT or DELETE; None for a success that says nothing."""
        return await self._call(method, path, body)

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def _call(self, method: str, path: str, body: Mapping[str, Any] | None) -> Any:
        changes, what = method != "GET", f"{method} {path}"
        await self._pace.turn(what)
        status, headers, text = await self._exchange(method, path, body, what, changes=changes)
        try:
            answer = loads(text) if text.strip() else None
        except (ValueError, RecursionError) as error:
            if status < 300:  # noqa: PLR2004
                raise _lost(f"{what}: no JSON in the answer", changes=changes) from error
            answer = None
        refused = refusal(status, answer)
        if refused is None:
            return answer
        said_status, words = refused
        failure = error_of(
            said_status, words or text.strip()[:200], headers=headers, changes=changes, what=what
        )
        if isinstance(failure, RateLimited):
            self._pace.closed(failure.retry_after_s)
        raise failure

    async def _exchange(
        self, method: str, path: str, body: Mapping[str, Any] | None, what: str, *, changes: bool
    ) -> tuple[int, Mapping[str, str], str]:
        url = URL(self._config.base_url + path, encoded=True)
        headers = {"Authorization": f"Bearer {self._config.api_token}"}
        try:
            async with self._open().request(
                method,
                url,
                json=body,
                headers=headers,
                allow_redirects=False,
                trace_request_ctx=changes,
            ) as response:
                read = await response.content.read(ANSWER_LIMIT_BYTES + 1)
                while len(read) <= ANSWER_LIMIT_BYTES and (more := await response.content.read(65536)):
                    read += more
        except (aiohttp.ClientConnectorError, aiohttp.InvalidURL) as error:
            raise Unreachable(f"{what}: {error!r}") from error
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise _lost(f"{what}: {error!r}", changes=changes) from error
        if len(read) > ANSWER_LIMIT_BYTES:
            raise _lost(f"{what}: an answer of more than {ANSWER_LIMIT_BYTES} bytes", changes=changes)
        return response.status, response.headers, read.decode("utf-8", "replace")

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=_CONNECTIONS),
                timeout=aiohttp.ClientTimeout(total=self._config.timeout_s),
                headers={"Accept": "application/json"},
                trust_env=False,
                trace_configs=[sending.looking()],
            )
        return self._session


def segment(text: str) -> str:
    """Something of theirs as one segment of a path."""
    return quote(text, safe="")


def _lost(said: str, *, changes: bool) -> DriverError:
    return OutcomeUnknown(said) if changes else Unreachable(said)

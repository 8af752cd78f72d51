"""One account's calls over HTTP: the key, pauses, sizes, and what an answer that is no success means.

Whatever the other side sends, callers get JSON or a `DriverError`. A call that may have changed something and whose
answer was lost is `OutcomeUnknown` and never sent again from here; reads are, a few times. Numbers with a point are
read as decimals: money never becomes a float.
"""

import json
from collections.abc import Awaitable, Callable, Mapping
from decimal import Decimal
from typing import Any
from urllib.parse import quote

import aiohttp
from yarl import URL

from berth.base.clock import SECOND, Clock
from berth.core.driver import DriverError, OutcomeUnknown, RateLimited, Unreachable
from berth.drivers import sending
from berth.drivers.vastai.config import VastaiConfig
from berth.drivers.vastai.errors import Problem, QuotaUsedUp, create_error_of, error_of, problem_of
from berth.drivers.vastai.limits import Kind, Limits

Json = Mapping[str, Any]

ANSWER_LIMIT_BYTES = 16 * 1024 * 1024
LOG_LIMIT_BYTES = 64 * 1024
_CONNECTIONS = 8
_READ_TRIES = 3
_FIRST_PAUSE_S = 0.5
_LOG_TIMEOUT_S = 3.0


class Client:
    """`timer` counts seconds and only goes forward; `clock` tells the time."""

    def __init__(
        self,
        config: VastaiConfig,
        *,
        clock: Clock,
        timer: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]],
    ) -> None:
        self._config = config
        self._clock = clock
        self._sleep = sleep
        self._session: aiohttp.ClientSession | None = None
        self.limits = Limits(
            timer, sleep, pace_permille=config.pace_permille, longest_wait_s=config.longest_wait_s
        )

    async def get(self, kind: Kind, path: str, **query: object) -> Json:
        """The object of a 200. Members of `query` that are no text are sent as JSON."""
        text = {name: value if isinstance(value, str) else _written(value) for name, value in query.items()}
        return await self._read(kind, "GET", path, None, text)

    async def search(self, path: str, body: Json) -> Json:
        """A POST that changes nothing."""
        return await self._read(Kind.SEARCH, "POST", path, body, {})

    async def change(self, kind: Kind, method: str, path: str, body: Json | None = None) -> Json:
        """POST, PUT or DELETE, sent once. An answer that says `success: false` is an error as well."""
        status, headers, text = await self._exchange(kind, method, path, body or {}, {}, changes=True)
        return self._outcome(kind, f"{method} {path}", status, headers, text)

    async def create(self, path: str, body: Json) -> Json:
        """The answer to a create as it is, also one that says both `success: false` and what it made all the same."""
        status, headers, text = await self._exchange(Kind.CREATE, "PUT", path, body, {}, changes=True)
        what = f"PUT {path}"
        if _is_success(status) and (answer := _object(text)) is not None:
            if answer.get("success") is not False or isinstance(answer.get("new_contract"), int):
                return answer
            raise create_error_of(
                Problem(400, _code(answer), text), headers=headers, now_s=self._now_s(), what=what
            )
        if _is_success(status):
            raise OutcomeUnknown(f"{what}: accepted, and no object in the answer")
        error = create_error_of(problem_of(status, text), headers=headers, now_s=self._now_s(), what=what)
        raise self._noted(Kind.CREATE, error)

    async def fetch_text(self, url: str) -> str | None:
        """What is at `url`, asked without the key: somebody else keeps it. None while it is not there."""
        try:
            target = URL(url)
        except ValueError:
            return None
        is_plain = target.scheme == "http" and self._config.base_url.startswith("http:")
        if not is_plain and target.scheme != "https":
            return None
        limit = aiohttp.ClientTimeout(total=_LOG_TIMEOUT_S)
        try:
            async with self._open().get(target, allow_redirects=False, timeout=limit) as response:
                if response.status != 200:  # noqa: PLR2004
                    return None
                read = b""
                while len(read) < LOG_LIMIT_BYTES and (more := await response.content.read(LOG_LIMIT_BYTES)):
                    read += more
                return read.decode("utf-8", "replace")
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError):
            return None

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def _read(
        self, kind: Kind, method: str, path: str, body: Json | None, query: Mapping[str, str]
    ) -> Json:
        pause_s = _FIRST_PAUSE_S
        for tries_left in reversed(range(_READ_TRIES)):
            try:
                status, headers, text = await self._exchange(kind, method, path, body, query, changes=False)
                return self._outcome(kind, f"{method} {path}", status, headers, text, changes=False)
            except QuotaUsedUp:
                raise
            except RateLimited:
                # The next try waits as long as was asked for, or gives up where that is long.
                if not tries_left:
                    raise
            except Unreachable:
                if not tries_left:
                    raise
                await self._sleep(pause_s)
                pause_s *= 2
        raise AssertionError("the last try returns or raises")

    def _outcome(
        self,
        kind: Kind,
        what: str,
        status: int,
        headers: Mapping[str, str],
        text: str,
        *,
        changes: bool = True,
    ) -> Json:
        if not _is_success(status):
            problem = problem_of(status, text)
            error = error_of(problem, headers=headers, now_s=self._now_s(), changes=changes, what=what)
            raise self._noted(kind, error)
        answer = _object(text)
        if answer is None:
            raise _lost(f"{what}: no object in the answer", changes=changes)
        if answer.get("success") is False:
            problem = Problem(400, _code(answer), text)
            raise error_of(problem, headers=headers, now_s=self._now_s(), changes=changes, what=what)
        return answer

    def _noted(self, kind: Kind, error: DriverError) -> DriverError:
        if isinstance(error, RateLimited):
            self.limits.close(kind, error.retry_after_s)
        return error

    async def _exchange(
        self,
        kind: Kind,
        method: str,
        path: str,
        body: Json | None,
        query: Mapping[str, str],
        *,
        changes: bool,
    ) -> tuple[int, Mapping[str, str], str]:
        await self.limits.wait(kind)
        what = f"{method} {path}"
        headers = {"Authorization": f"Bearer {self._config.api_key}", "Accept": "application/json"}
        try:
            url = URL(self._config.base_url + path, encoded=True).with_query(query)
            async with self._open().request(
                method,
                url,
                json=body,
                headers=headers,
                allow_redirects=False,
                middlewares=(_once,) if changes else (),
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

    def _now_s(self) -> int:
        return self._clock.now() // SECOND

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=_CONNECTIONS),
                timeout=aiohttp.ClientTimeout(total=self._config.timeout_s),
                json_serialize=_written,
                trust_env=False,
                trace_configs=[sending.looking()],
            )
        return self._session


async def _once(request: aiohttp.ClientRequest, send: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    """The library sends a PUT or DELETE again whose connection broke: a create would be made twice, or found taken."""
    try:
        return await send(request)
    except aiohttp.ClientConnectorError:
        raise
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        raise aiohttp.ClientConnectionError(repr(error)) from error


def segment(text: str) -> str:
    """Something of theirs as one segment of a path."""
    return quote(text, safe="")


def _is_success(status: int) -> bool:
    return 200 <= status < 300  # noqa: PLR2004


def _written(value: object) -> str:
    return json.dumps(value, default=_plain)


def _plain(value: object) -> object:
    if isinstance(value, Decimal):
        return float(value)
    raise TypeError(f"{value!r} is nothing for JSON")


def _object(text: str) -> Json | None:
    try:
        found = json.loads(text, parse_float=Decimal)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _code(answer: Json) -> str:
    error = answer.get("error")
    return error if isinstance(error, str) else ""


def _lost(said: str, *, changes: bool) -> DriverError:
    return OutcomeUnknown(said) if changes else Unreachable(said)

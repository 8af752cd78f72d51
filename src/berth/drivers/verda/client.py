"""One account's calls over HTTP: tokens, limits, sizes, and what an answer that is no success means.

Whatever the other side sends, callers get JSON, text or a `DriverError`. A call that may have changed something and
whose answer was lost is `OutcomeUnknown`.
"""

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import aiohttp
from yarl import URL

from berth.core.driver import BadCredentials, DriverError, OutcomeUnknown, Unreachable
from berth.drivers import sending
from berth.drivers.verda.config import VerdaConfig
from berth.drivers.verda.errors import TokenRefused, error_of
from berth.drivers.verda.limits import Limits

ANSWER_LIMIT_BYTES = 32 * 1024 * 1024
_REFRESH_BEFORE_S = 30.0
_CONNECTIONS = 8
_UNAUTHORIZED = 401
_BAD_REQUEST = 400


@dataclass(frozen=True, slots=True)
class Answer:
    """A success. `body` is empty, JSON or a bare id."""

    status: int
    body: str

    def json(self, what: str) -> Any:
        """Raises Unreachable for what is no JSON: a proxy's page says nothing."""
        try:
            return json.loads(self.body)
        except ValueError as error:
            raise Unreachable(f"{what}: no JSON in the answer") from error

    def new_id(self, what: str) -> str:
        """The id of what was made: bare text, quoted, in an object or in an array. Raises OutcomeUnknown without one."""
        text = self.body.strip()
        try:
            found = json.loads(text)
        except ValueError:
            found = text
        if isinstance(found, list) and found:
            found = found[0]
        if isinstance(found, dict):
            found = found.get("id")
        if not isinstance(found, str) or not found.strip():
            raise OutcomeUnknown(f"{what}: accepted, and no id in the answer")
        return found.strip()


@dataclass(slots=True)
class _Tokens:
    access: str = ""
    refresh: str = ""
    ends_at: float = 0.0


class Client:
    """`clock` counts seconds and only goes forward."""

    def __init__(self, config: VerdaConfig, clock: Callable[[], float]) -> None:
        self._config = config
        self._clock = clock
        self._tokens = _Tokens()
        self._authenticating = asyncio.Lock()
        self._limits = Limits(clock)
        self._session: aiohttp.ClientSession | None = None

    async def get(self, path: str, **query: str) -> Any:
        """The JSON of a 200."""
        answer = await self._call("GET", path, None, query)
        return answer.json(f"GET {path}")

    async def change(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Answer:
        """POST, PUT or DELETE."""
        return await self._call(method, path, body, {})

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def _call(
        self, method: str, path: str, body: Mapping[str, Any] | None, query: Mapping[str, str]
    ) -> Answer:
        used = await self._token()
        try:
            return await self._send(method, path, body, query, used)
        except TokenRefused:
            # It was ended before its time, and nothing happened; a second refusal is about the account.
            if used == self._tokens.access:
                self._tokens = _Tokens()
        return await self._send(method, path, body, query, await self._token())

    async def _send(
        self, method: str, path: str, body: Mapping[str, Any] | None, query: Mapping[str, str], token: str
    ) -> Answer:
        changes, endpoint = method != "GET", f"{method} {path}"
        self._limits.check(endpoint)
        status, headers, text = await self._exchange(method, path, body, query, token, changes=changes)
        self._limits.heard(endpoint, headers.get("RateLimit"))
        if status < 300:  # noqa: PLR2004
            return Answer(status, text)
        code, message = _problem(text)
        raise error_of(status, code, message, headers=headers, changes=changes, what=endpoint)

    async def _exchange(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None,
        query: Mapping[str, str],
        token: str | None,
        *,
        changes: bool,
    ) -> tuple[int, Mapping[str, str], str]:
        what = f"{method} {path}"
        url = URL(self._config.base_url + path, encoded=True).with_query(query)
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        try:
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

    async def _token(self) -> str:
        """One that lasts a while yet. Raises BadCredentials for an account that is not accepted."""
        async with self._authenticating:
            if self._clock() >= self._tokens.ends_at - _REFRESH_BEFORE_S:
                self._tokens = await self._renewed()
            return self._tokens.access

    async def _renewed(self) -> _Tokens:
        if self._tokens.refresh:
            try:
                return await self._grant(
                    {"grant_type": "refresh_token", "refresh_token": self._tokens.refresh}
                )
            except BadCredentials:
                pass  # ended, or the other side forgot it: the account itself may be as good as ever
        return await self._grant(
            {
                "grant_type": "client_credentials",
                "client_id": self._config.client_id,
                "client_secret": self._config.client_secret,
            }
        )

    async def _grant(self, body: Mapping[str, str]) -> _Tokens:
        what = "POST /oauth2/token"
        self._limits.check(what)
        status, headers, text = await self._exchange("POST", "/oauth2/token", body, {}, None, changes=False)
        if status in {_BAD_REQUEST, _UNAUTHORIZED}:
            raise BadCredentials(f"{what}: {status}")
        if status >= 300:  # noqa: PLR2004
            code, message = _problem(text)
            raise error_of(status, code, message, headers=headers, changes=False, what=what)
        granted = Answer(status, text).json(what)
        access = granted.get("access_token") if isinstance(granted, dict) else None
        if not isinstance(access, str) or not access:
            raise Unreachable(f"{what}: no token in the answer")
        lasts_s, refresh = granted.get("expires_in"), granted.get("refresh_token")
        return _Tokens(
            access,
            refresh if isinstance(refresh, str) else "",
            self._clock() + (float(lasts_s) if isinstance(lasts_s, int | float) else 0.0),
        )

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


async def _once(request: aiohttp.ClientRequest, send: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    """The library sends a PUT or DELETE again whose connection broke: a copy of a volume would be made twice."""
    try:
        return await send(request)
    except aiohttp.ClientConnectorError:
        raise
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        raise aiohttp.ClientConnectionError(repr(error)) from error


def segment(text: str) -> str:
    """Something of theirs as one segment of a path."""
    return quote(text, safe="")


def _lost(said: str, *, changes: bool) -> DriverError:
    return OutcomeUnknown(said) if changes else Unreachable(said)


def _problem(text: str) -> tuple[str, str]:
    """Code and message of an error's body, whatever that is."""
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        return "", text.strip()[:200]
    message = found.get("message")
    if isinstance(message, list):
        message = "; ".join(str(each) for each in message)
    return str(found.get("code") or ""), str(message or "")

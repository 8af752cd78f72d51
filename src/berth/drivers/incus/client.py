"""Incus over its socket or over HTTPS: several members, one pinned certificate, and operations awaited.

Whatever the other side sends, callers get JSON or a `DriverError`. What may have changed something and whose answer was
lost is `OutcomeUnknown`.
"""

import asyncio
import io
import json
import re
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import aiohttp
from yarl import URL

from berth.core.driver import BadCredentials, DriverError, OutcomeUnknown, Refused, Unreachable
from berth.drivers import sending
from berth.drivers.incus import trust
from berth.drivers.incus.config import IncusConfig
from berth.drivers.incus.errors import Colliding, Missing, error_of, failure_of

ANSWER_LIMIT_BYTES = 64 * 1024 * 1024
_CONNECTIONS = 128
"""More than are waited on at once: what gets none in time would count as sent."""
_WAIT_S = 10
_UPLOAD_S = 3600.0
COLLISIONS = 5
"""How often is asked again what failed because somebody else's request mounted the same disk."""
PAUSE_S = 0.1
"""Between two such."""
_UNDER_WAY = frozenset({"Running", "Pending"})
_NOT_CONNECTED = (
    aiohttp.ClientConnectorError,
    aiohttp.ConnectionTimeoutError,
    ConnectionRefusedError,
    FileNotFoundError,
)
"""Nothing was sent."""
_WAIT_ENDED = re.compile(r"context (deadline exceeded|canceled)")
"""A wait that ended before its operation, in the words in which one that failed for lack of time may say so too."""

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Answer:
    """A success. `etag` is what a later write may insist on."""

    metadata: Any
    etag: str
    operation: str = ""


@dataclass(frozen=True, slots=True)
class _Raw:
    status: int
    content: bytes
    etag: str

    def json(self) -> Mapping[str, Any] | None:
        """None for what is no JSON object."""
        if len(self.content) > ANSWER_LIMIT_BYTES:
            return None
        try:
            found = json.loads(self.content)
        except ValueError:
            return None
        return found if isinstance(found, dict) else None


class Client:
    """One connection pool over the members; `close` it."""

    def __init__(self, config: IncusConfig) -> None:
        self._config = config
        self._bases = tuple(URL(address.rstrip("/")) for address in config.addresses) or (
            URL("http://incus"),
        )
        self._first = 0
        """Which address answered last."""
        self._opening = asyncio.Lock()
        self._session: aiohttp.ClientSession | None = None
        self._pinned = b""
        """The cluster's certificate, once it was seen."""
        self._shown: trust.Files = ()
        """What the session shows, as its files were."""
        self._retired: aiohttp.ClientSession | None = None
        """That of the certificate before: what was asked on it is still answered, until the next renewal."""

    async def get(self, path: str, **query: str) -> Any:
        return (await self.read(path, **query)).metadata

    async def read(self, path: str, **query: str) -> Answer:
        return await self._ask("GET", path, query, None, {})

    async def find(self, path: str, **query: str) -> Any | None:
        """What is there, or None where the answer says that it is not. Whether the project is there is not looked at."""
        try:
            return await self.get(path, **query)
        except Missing:
            return None

    async def change(self, method: str, path: str, body: Json, *, etag: str = "", **query: str) -> Any:
        """POST, PUT, PATCH or DELETE, and what that set going brought to its end. Its metadata."""
        headers = {"If-Match": etag} if etag else {}
        answer = await self._ask(method, path, query, json.dumps(body).encode(), headers)
        if not answer.operation:
            return answer.metadata
        return await self._await(answer.operation, f"{method} {path}", self._config.operation_s)

    async def make_within(self, seconds: float, path: str, body: Json, **query: str) -> Any:
        """A POST of what may take longer than other changes are given."""
        answer = await self._ask("POST", path, query, json.dumps(body).encode(), {})
        return await self._await(answer.operation, f"POST {path}", seconds) if answer.operation else None

    async def begin(self, path: str, body: Json, **query: str) -> tuple[str, Json]:
        """A POST that sets something going and does not wait for it: the path of its operation, and what that says."""
        answer = await self._ask("POST", path, query, json.dumps(body).encode(), {})
        state = answer.metadata if isinstance(answer.metadata, dict) else {}
        found = state.get("metadata")
        return URL(answer.operation).path, found if isinstance(found, dict) else {}

    async def under_way(self) -> Mapping[str, str]:
        """The names of what operations are at work on, each with the path of one of them."""
        found = await self.get("/1.0/operations", recursion="1")
        running = found.get("running") or () if isinstance(found, dict) else ()
        return {
            str(path).rpartition("/")[2].partition("?")[0]: f"/1.0/operations/{operation.get('id')}"
            for operation in running
            if isinstance(operation, dict)
            for paths in (operation.get("resources") or {}).values()
            for path in paths or ()
        }

    async def ended(self, name: str) -> None:
        """Waits until nothing is at work on it any more, whatever became of that. Raises Unreachable when it goes on and on."""
        for _ in range(COLLISIONS):
            operation = (await self.under_way()).get(name)
            if operation is None:
                return
            with suppress(DriverError):
                await self._await(operation, f"GET {operation}", self._config.operation_s)
        raise Unreachable(f"{name}: somebody is at work on it all the time")

    async def put_file(self, instance: str, path: str, content: bytes | None, *, mode: str) -> None:
        """Writes a file of root's, or makes a directory where there is no `content`; what is there is written over."""
        headers = {
            "X-Incus-type": "directory" if content is None else "file",
            "X-Incus-mode": mode,
            "X-Incus-uid": "0",
            "X-Incus-gid": "0",
            "Content-Type": "application/octet-stream",
        }
        where = f"/1.0/instances/{segment(instance)}/files"
        for turn in range(1, COLLISIONS + 1):
            try:
                await self._ask("POST", where, {"path": path}, content, headers)
            except Colliding:
                if turn == COLLISIONS:
                    raise
                await asyncio.sleep(PAUSE_S)
            else:
                return

    async def upload(self, path: str, body: aiohttp.FormData, headers: Mapping[str, str]) -> Any:
        """What is too large for an ordinary request, such as an image."""
        session = await self._open()
        url = self._url(self._bases[self._first], path, {})
        try:
            async with session.post(
                url, data=body, headers=dict(headers), timeout=aiohttp.ClientTimeout(total=_UPLOAD_S)
            ) as response:
                raw = _Raw(response.status, await _content(response), "")
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise OutcomeUnknown(f"POST {path}: {error!r}") from error
        answer = _read(raw, what=f"POST {path}", changes=True)
        if not answer.operation:
            return answer.metadata
        return await self._await(answer.operation, f"POST {path}", self._config.operation_s)

    async def check_project(self) -> None:
        """Raises BadCredentials where the project is not there: full rights find nothing in it, and no error."""
        try:
            await self.get(f"/1.0/projects/{segment(self._config.project)}")
        except (Missing, Refused) as error:
            raise BadCredentials(f"incus.project {self._config.project!r}: {error}") from error

    async def events(self) -> AsyncIterator[None]:
        """One of nothing for each change at the cluster, until the connection ends. Raises DriverError."""
        session = await self._open()
        url = self._url(self._bases[self._first], "/1.0/events", {"type": "lifecycle"})
        try:
            async with session.ws_connect(url, heartbeat=30, max_msg_size=1024 * 1024) as socket:
                async for message in socket:
                    if message.type is aiohttp.WSMsgType.TEXT:
                        yield None
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            self._turn_from(self._first)
            raise Unreachable(f"events: {error!r}") from error

    async def close(self) -> None:
        for session in (self._retired, self._session):
            if session is not None:
                await session.close()

    async def _ask(
        self,
        method: str,
        path: str,
        query: Mapping[str, str],
        body: bytes | None,
        headers: Mapping[str, str],
    ) -> Answer:
        what, changes = f"{method} {path}", method != "GET"
        return _read(await self._exchange(method, path, query, body, headers), what=what, changes=changes)

    async def _exchange(
        self,
        method: str,
        path: str,
        query: Mapping[str, str],
        body: bytes | None,
        headers: Mapping[str, str],
    ) -> _Raw:
        """Asks the members in turn, until one can be reached."""
        session, what, changes = await self._open(), f"{method} {path}", method != "GET"
        said: DriverError = Unreachable(f"{what}: no address")
        for _ in self._bases:
            number = self._first
            try:
                async with session.request(
                    method,
                    self._url(self._bases[number], path, query),
                    data=None if body is None else io.BytesIO(body),
                    headers={"Content-Type": "application/json", **headers},
                    allow_redirects=False,
                    trace_request_ctx=changes,
                ) as response:
                    return _Raw(response.status, await _content(response), response.headers.get("ETag", ""))
            except aiohttp.ClientConnectorCertificateError as error:
                raise BadCredentials(
                    f"{what}: its certificate is not the one that is pinned: {error!r}"
                ) from error
            except _NOT_CONNECTED as error:
                said = Unreachable(f"{what}: {error!r}")
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                if trust.is_about_our_certificate(error):
                    raise BadCredentials(f"{what}: our certificate is not accepted: {error!r}") from error
                if changes:
                    self._turn_from(number)
                    raise OutcomeUnknown(f"{what}: {error!r}") from error
                said = Unreachable(f"{what}: {error!r}")
            self._turn_from(number)
        raise said

    async def _await(self, operation: str, what: str, within_s: float) -> Any:
        """The metadata of what was set going. Raises what its failure means, OutcomeUnknown where its end is not seen."""
        path = URL(operation).path
        ends_at = time.monotonic() + within_s
        while time.monotonic() < ends_at:
            state = await self._state_of(path, what)
            if state.get("status") == "Success":
                return state.get("metadata")
            if state.get("status") not in _UNDER_WAY:
                raise failure_of(str(state.get("err") or state.get("status")), what)
        raise OutcomeUnknown(f"{what}: still under way")

    async def _state_of(self, operation: str, what: str) -> Json:
        """An operation, once it has ended or a while has passed. Raises what its failure means, and OutcomeUnknown."""
        said = ""
        for path, query in ((f"{operation}/wait", {"timeout": str(_WAIT_S)}), (operation, {})):
            try:
                raw = await self._exchange("GET", path, query, None, {})
            except (Unreachable, BadCredentials) as error:
                raise OutcomeUnknown(f"{what}: {error}") from error
            done = raw.json()
            if done is None or "Operation not found" in str(done.get("error")):
                raise OutcomeUnknown(f"{what}: its operation is not known any more")
            if done.get("type") != "error":
                return done.get("metadata") or {}
            said = str(done.get("error") or "")
            # What an operation ended with comes with success as the status: it was sent before the wait began.
            if raw.status >= 300:  # noqa: PLR2004
                raise OutcomeUnknown(f"{what}: its operation cannot be asked for: {raw.status} {said}")
            if not _WAIT_ENDED.fullmatch(said):
                raise failure_of(said, what)
        raise OutcomeUnknown(f"{what}: {said}")

    def _turn_from(self, number: int) -> None:
        if self._first == number:
            self._first = (number + 1) % len(self._bases)

    def _url(self, base: URL, path: str, query: Mapping[str, str]) -> URL:
        # What is in no project ignores it; who asks for all of them must name none.
        scope = {} if "all-projects" in query else {"project": self._config.project}
        return base.with_path(path, encoded=True).with_query({**scope, **query})

    async def _open(self) -> aiohttp.ClientSession:
        async with self._opening:
            shown = trust.files(self._config)
            if self._session is None:
                self._session, self._shown = await self._made(), shown
            elif shown != self._shown:
                # A renewal writes two files: until they belong together, what was shown before is good enough.
                with suppress(DriverError):
                    renewed = await self._made()
                    if self._retired is not None:
                        await self._retired.close()
                    self._retired, self._session, self._shown = self._session, renewed, shown
            return self._session

    async def _made(self) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            connector=await self._connector(),
            timeout=aiohttp.ClientTimeout(
                total=self._config.timeout_s, sock_connect=self._config.timeout_s / 4
            ),
            trust_env=False,
            trace_configs=[sending.looking()],
        )

    async def _connector(self) -> aiohttp.BaseConnector:
        if not self._config.addresses:
            return aiohttp.UnixConnector(str(self._config.socket), limit=_CONNECTIONS)
        context = trust.context(self._config)
        if not self._pinned:
            self._pinned = await trust.pinned(self._config)
        context.load_verify_locations(cadata=self._pinned)
        return aiohttp.TCPConnector(limit=_CONNECTIONS, ssl=context)


def segment(text: str) -> str:
    """Something of theirs, or of ours, as one segment of a path."""
    return quote(text, safe="")


def _read(raw: _Raw, *, what: str, changes: bool) -> Answer:
    answer = raw.json()
    if answer is None:
        said = f"{what}: {raw.status}, and no JSON object that can be read"
        raise OutcomeUnknown(said) if changes else Unreachable(said)
    if raw.status >= 300 or answer.get("type") == "error":  # noqa: PLR2004
        code = answer.get("error_code")
        raise error_of(
            code if isinstance(code, int) and code else raw.status,
            str(answer.get("error") or "").strip(),
            changes=changes,
            what=what,
        )
    operation = answer.get("operation") if answer.get("type") == "async" else ""
    return Answer(answer.get("metadata"), raw.etag, str(operation or ""))


async def _content(response: aiohttp.ClientResponse) -> bytes:
    read = await response.content.read(ANSWER_LIMIT_BYTES + 1)
    while len(read) <= ANSWER_LIMIT_BYTES and (more := await response.content.read(65536)):
        read += more
    return read

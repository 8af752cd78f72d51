"""Keeps true: whoever subscribed to an event is told of it, at least once.

A delivery is leased, sent with no transaction open, and what came of it is written only if the lease is still ours.
"""

import asyncio
import base64
import hashlib
import socket
import ssl
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from functools import partial
from ipaddress import ip_address

import aiohttp
import structlog
from yarl import URL

from berth.base.clock import SECOND, Clock, Instant, after
from berth.base.db import Tx
from berth.core import webhooks
from berth.core.errors import Invalid
from berth.core.webhooks import Leased, Outcome, Rules, Target
from berth.loops.world import Letter, Report, World

PERIOD_S = 5.0
WORKERS = 256
"""How many deliveries this process has under way at once: sixty receivers may hang in the same moment with four each."""
LEASE_S = 30
"""Longer than an attempt can take."""
BATCH = 100
"""Deliveries that one tick makes, one after the other."""
EXCERPT_BYTES = 2048
USER_AGENT = "Berth/1 webhooks"
_KEEP_ALIVE_S = 3.0
"""Less than servers usually wait before they hang up on a connection that is not used."""
_ADDRESSES_TRIED = 4
_SUCCESS, _REDIRECT, _CLIENT_ERROR = 200, 300, 400
_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Limits:
    """How long an attempt may take, in seconds."""

    connect_s: float = 5.0
    """To find the name, and again to connect to each address."""
    total_s: float = 15.0
    excerpt_s: float = 1.0
    """For the beginning of the body, after the rest: once the status is known the body changes nothing."""


_LIMITS = Limits()

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""(host, port) → every address that the name stands for. Raises OSError."""


async def tick(world: World) -> Report:
    """Makes deliveries one after the other for as long as there are any; other workers make others."""
    due_at = await world.db.read(webhooks.next_due)
    if due_at is None or due_at > world.clock.now():
        return Report(wake_at=due_at)
    since = world.clock.now()
    leased = await world.db.write(_take, world)
    done = 0
    while leased is not None:
        world.poke("deliveries")  # there may be more, and a worker to spare
        if world.clock.now() >= after(since, seconds=LEASE_S):
            _log.warning("delivery_lease_lost", delivery=leased.delivery_id)
            break  # we were frozen, and others may be sending it
        outcome = await _post(world, leased)
        done += 1
        since = world.clock.now()
        leased = await world.db.write(_finish, world, leased, outcome, goes_on=done < BATCH)
    return Report(done=done, has_more=done == BATCH, wake_at=await world.db.read(webhooks.next_due))


async def _post(world: World, leased: Leased) -> Outcome:
    try:
        return await world.courier.post(letter(leased, world.clock.now()))
    except asyncio.CancelledError:
        world.unfinished.append(lambda: world.db.write(webhooks.give_back, leased))
        raise


def letter(leased: Leased, now: Instant) -> Letter:
    """The attempt as it goes out: the same body every time, signed anew."""
    message_id, timestamp = webhooks.message_id(leased.delivery_id), now // SECOND
    body = leased.payload.encode()
    return Letter(
        leased.url,
        {
            "content-type": "application/json",
            "user-agent": USER_AGENT,
            "webhook-id": message_id,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": webhooks.signature(leased.secrets, message_id, timestamp, body),
            "webhook-attempt": str(leased.attempt),
        },
        body,
    )


def _take(tx: Tx, world: World) -> Leased | None:
    courier = world.courier
    # Somewhere else each time, so that no webhook's queue is served before all others for good.
    start = base64.b32encode(hashlib.sha256(str(tx.now).encode()).digest()[:5]).decode()
    return webhooks.take(tx, start=start, seconds=LEASE_S, render=courier.render, pepper=courier.pepper)


def _finish(tx: Tx, world: World, leased: Leased, outcome: Outcome, *, goes_on: bool) -> Leased | None:
    """Writes what came of one, and takes the next in the same transaction."""
    if not webhooks.finish(tx, leased, outcome, world.courier.rules):
        _log.warning("delivery_lease_lost", delivery=leased.delivery_id)
    return _take(tx, world) if goes_on else None


class Sender:
    """Calls receivers. It trusts nothing that they say, and no name for longer than one delivery."""

    def __init__(
        self,
        rules: Rules,
        clock: Clock,
        *,
        resolve: Resolve | None = None,
        tls: ssl.SSLContext | None = None,
        limits: Limits = _LIMITS,
    ) -> None:
        self._rules = rules
        self._clock = clock
        self._limits = limits
        self._names = _Names()
        self._resolve = resolve or self._names.resolve
        self._tls = tls
        self._session: aiohttp.ClientSession | None = None

    async def post(self, letter: Letter) -> Outcome:
        """One attempt, which ends within its time whatever the receiver does."""
        loop = asyncio.get_running_loop()
        started_at = loop.time()
        try:
            async with asyncio.timeout(self._limits.total_s):
                response = await self._call(letter)
        except _NotAllowed as refusal:
            error = str(refusal)
        except aiohttp.ConnectionTimeoutError:
            error = f"timeout: No connection within {self._limits.connect_s:g} seconds."
        except TimeoutError:
            error = f"timeout: No answer within {self._limits.total_s:g} seconds."
        except (aiohttp.ClientError, OSError, ValueError) as failure:
            error = _sentence(failure)
        else:
            latency_ms = round((loop.time() - started_at) * 1000)
            return await self._read(response, latency_ms)
        return Outcome(None, round((loop.time() - started_at) * 1000), error)

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
        self._names.close()

    async def _read(self, response: aiohttp.ClientResponse, latency_ms: int) -> Outcome:
        """What an answer says, its body as far as it matters."""
        async with response:
            excerpt = await _excerpt(response, self._limits.excerpt_s)
        pause_s = _retry_after_s(response.headers.get("retry-after"), self._clock)
        return Outcome(response.status, latency_ms, _judged(response.status), excerpt, pause_s)

    async def _call(self, letter: Letter) -> aiohttp.ClientResponse:
        try:
            target = webhooks.target_of(letter.url)
        except Invalid as refusal:
            raise _NotAllowed(f"url_not_allowed: {refusal.message}") from None
        failure: Exception | None = None
        for address in (await self._addresses(target))[:_ADDRESSES_TRIED]:
            try:
                return await self._call_at(address, target, letter)
            except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
                failure = error
        assert failure is not None
        raise failure

    async def _addresses(self, target: Target) -> Sequence[str]:
        """What the host stands for now. Raises _NotAllowed unless every one of the addresses may be called."""
        found = [target.host] if target.is_address else await self._looked_up(target)
        for address in found:
            if not _may_be_called(address, self._rules):
                raise _NotAllowed(
                    "address_not_allowed: The host's name stands for an address that is not public."
                )
        return found

    async def _looked_up(self, target: Target) -> Sequence[str]:
        """At least one address. Raises _NotAllowed."""
        try:
            async with asyncio.timeout(self._limits.connect_s):
                found = await self._resolve(target.host, target.port)
        except (OSError, UnicodeError) as error:
            if isinstance(error, TimeoutError):
                seconds = f"{self._limits.connect_s:g}"
                raise _NotAllowed(
                    f"timeout: The host's name was not found within {seconds} seconds."
                ) from None
            raise _NotAllowed("name_not_found: The host's name stands for no address.") from None
        if not found:
            raise _NotAllowed("name_not_found: The host's name stands for no address.")
        return found

    async def _call_at(self, address: str, target: Target, letter: Letter) -> aiohttp.ClientResponse:
        """Speaks to this very address, under the name that the URL has."""
        if self._session is None:
            self._session = _session(self._tls, self._limits)
        host = f"[{address}]" if ":" in address else address
        scheme = "https" if target.is_secure else "http"
        return await self._session.post(
            URL(f"{scheme}://{host}:{target.port}{target.resource}", encoded=True),
            data=letter.body,
            headers={**letter.headers, "host": target.authority},
            allow_redirects=False,
            server_hostname=target.host if target.is_secure else None,
        )


class _NotAllowed(Exception):
    """It must not, or cannot, be called at all."""


class _Names:
    """The system's resolver, in threads of its own: a name server that hangs holds up nothing else."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(WORKERS, thread_name_prefix="names")
        self._asked: dict[tuple[str, int], asyncio.Future[list[str]]] = {}

    async def resolve(self, host: str, port: int) -> Sequence[str]:
        """Deliveries that ask for one name at the same time share one question."""
        key = (host, port)
        question = self._asked.get(key)
        if question is None:
            loop = asyncio.get_running_loop()
            question = loop.run_in_executor(self._threads, _lookup, host, port)
            self._asked[key] = question
            question.add_done_callback(partial(self._answered, key))
        return await asyncio.shield(question)

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _answered(self, key: tuple[str, int], question: "asyncio.Future[list[str]]") -> None:
        del self._asked[key]
        if not question.cancelled():
            question.exception()  # whoever asked may have stopped waiting


def _lookup(host: str, port: int) -> list[str]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def _may_be_called(address: str, rules: Rules) -> bool:
    try:
        return webhooks.is_allowed(ip_address(address), rules)
    except ValueError:
        return False


def _session(tls: ssl.SSLContext | None, limits: Limits) -> aiohttp.ClientSession:
    """No redirects, no cookies, no proxy from the environment, no decompression, no name lookups of its own."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(
            ssl=tls or True, limit=0, use_dns_cache=False, keepalive_timeout=_KEEP_ALIVE_S
        ),
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=limits.connect_s),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        trust_env=False,
        headers={"accept": "*/*", "accept-encoding": "identity"},
        read_bufsize=EXCERPT_BYTES,
    )


async def _excerpt(response: aiohttp.ClientResponse, seconds: float) -> str:
    """The beginning of the body, as far as it comes soon. A connection with more on it is not used again."""
    content, parts, left = response.content, [], EXCERPT_BYTES
    try:
        if content.is_eof():  # it came with the head, or there is none: the usual case
            return _text(content.read_nowait(left))
        async with asyncio.timeout(seconds):
            while left and (part := await content.read(left)):
                parts.append(part)
                left -= len(part)
    except (TimeoutError, aiohttp.ClientError, OSError):
        pass
    if not content.at_eof():
        response.close()
    return _text(b"".join(parts))


def _text(excerpt: bytes) -> str:
    return excerpt.decode("utf-8", "replace").replace("\0", "\ufffd")


def _judged(status_code: int) -> str | None:
    """What was wrong with an answer; None for a success."""
    if _SUCCESS <= status_code < _REDIRECT:
        return None
    if _REDIRECT <= status_code < _CLIENT_ERROR:
        return f"redirect: Answered {status_code}; redirects are not followed."
    return f"refused: Answered {status_code}."


def _retry_after_s(value: str | None, clock: Clock) -> int | None:
    """Seconds, however they were written; None for what is neither a number nor a date."""
    if value is None:
        return None
    if value.isascii() and value.isdigit():
        return int(value[:9])
    try:
        at = parsedate_to_datetime(value)
    except (ValueError, OverflowError):  # a year of twenty digits is no ValueError
        return None
    at = at.replace(tzinfo=UTC) if at.tzinfo is None else at
    return max(0, int(at.timestamp()) - clock.now() // SECOND)


def _sentence(error: Exception) -> str:
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return "tls_failed: The certificate is not valid for this name."
    if isinstance(error, aiohttp.ClientConnectorError):
        return f"connection_failed: {error.os_error.strerror or 'no connection'}."
    if isinstance(error, aiohttp.ServerDisconnectedError):
        return "connection_failed: The connection was closed without an answer."
    return f"connection_failed: {type(error).__name__}."

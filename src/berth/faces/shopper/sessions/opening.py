"""A session's beginning: its key is made first, the order is one transaction, and then the provider is waited for.

Nothing is open while that lasts. Whoever goes away meanwhile, or is too impatient, finds the session in the list.
"""

import asyncio
import contextlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import chain, repeat

from berth.base.db import DatabaseUnavailable, Tx
from berth.base.sshkeys import KeyPair
from berth.core import catalog, events, sessions
from berth.core.driver import ProviderTemplate
from berth.core.errors import NotFound, Refusal, Unavailable
from berth.core.sessions import Session, SessionSpec, Status
from berth.faces.face import Call
from berth.faces.shopper import words
from berth.faces.shopper.sessions import refusals, translate, wire

_KEYS_AT_ONCE = 2
"""Making one is a good part of a second, or several, of one processor."""
_WAITING_MOST = 32
_PAUSES_S = (0.05, 0.1, 0.2, 0.4)
_LONGEST_PAUSE_S = 0.8


class KeyMakers:
    """A few threads, and a limit on those who wait for one."""

    def __init__(self, *, threads: int = _KEYS_AT_ONCE, waiting: int = _WAITING_MOST) -> None:
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="session-keys")
        self._most = threads + waiting
        self._wanted = 0

    async def make(self, make: Callable[[], KeyPair]) -> KeyPair:
        """Raises Unavailable where too many wait."""
        if self._wanted >= self._most:
            raise Unavailable("busy", "Too many sessions are being created at once; try again.")
        self._wanted += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, make)
        finally:
            self._wanted -= 1


_key_makers = KeyMakers()


async def prepare(call: Call) -> KeyPair:
    """What opens the session, for a request that seems to come to something."""
    await call.context.db.read(_check, call)
    return await _key_makers.make(call.context.session_keys)


def open_session(tx: Tx, call: Call) -> wire.Created:
    keys: KeyPair = call.prepared
    spec = translate.spec(call.body)
    try:
        opened = sessions.open_session(
            tx,
            call.by,
            spec,
            call.context.session_rules,
            call.context.rules,
            public_key=keys.public_line,
            pepper=call.context.pepper,
            template=_template(tx, call, spec),
        )
    except Refusal as refusal:
        raise refusals.told(refusal) from None
    return translate.created(opened.session, private_key=keys.private_pem, agent_token=opened.agent_token)


async def await_outcome(call: Call, answered: object) -> wire.Created:
    """The session once its provider made it. Raises what came of it instead; as it is then when nothing did in time."""
    assert isinstance(answered, wire.Created)
    call.context.poke("provisioning")
    made = await _placed(call, words.instance_id(answered.session.id))
    if made is None:
        return answered
    if made.status is Status.FAILED:
        raise refusals.failed(made, call.body.offer_id)
    return translate.as_it_is(answered, made)


def _check(tx: Tx, call: Call) -> None:
    """What would be refused is refused before its key is made, and again in the transaction of the order."""
    spec = translate.spec(call.body)
    template = _template(tx, call, spec)
    try:
        sessions.check(tx, call.by, spec, call.context.session_rules, template=template)
    except Refusal as refusal:
        raise refusals.told(refusal) from None


def _template(tx: Tx, call: Call, spec: SessionSpec) -> ProviderTemplate | None:
    """The one that the hash names at the provider of the offer; None where it names none there."""
    if spec.template_hash_id is None:
        return None
    reader = events.system(call.by.project, call.by.key_id)
    try:
        found = catalog.get_template(tx, reader, spec.template_hash_id)
    except NotFound:
        return None
    return found.made if spec.offer_id.startswith(f"{found.provider}-") else None


async def _placed(call: Call, instance_id: str) -> Session | None:
    """The row is asked at growing intervals: whoever works on it may be another process. None: it cannot be asked.

    Whatever happens, an answer goes out: it holds the key of something that is paid for.
    """
    loop = asyncio.get_running_loop()
    until = loop.time() + call.context.session_wait_s
    made = None
    for pause_s in chain(_PAUSES_S, repeat(_LONGEST_PAUSE_S)):
        with contextlib.suppress(DatabaseUnavailable):
            made = await call.context.db.read(sessions.get, call.by, instance_id)
        left_s = until - loop.time()
        is_over = left_s <= 0 or call.context.readiness.is_draining
        if is_over or (made is not None and made.is_placed):
            return made
        await asyncio.sleep(min(pause_s, left_s))
    raise AssertionError("the pauses never end")

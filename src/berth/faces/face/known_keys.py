"""API keys that were used a moment ago, so that most requests need not ask the database who sends them.

Only a process that has the database to itself keeps keys, for seconds, and drops one at the commit that revokes
it: the next request with it is refused. What is kept is found by a digest of the secret, never by the secret.
"""

import asyncio
from dataclasses import dataclass

import structlog

from berth.base.clock import MINUTE, SECOND, Instant
from berth.base.db import Database, DatabaseUnavailable
from berth.core import projects
from berth.core.events import Actor
from berth.core.projects import ApiKey

KEPT_FOR = 5 * SECOND
"""An operator's command in another process may revoke a key too."""
_LIMIT = 10_000

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Known:
    key: ApiKey
    actor: Actor
    until: Instant


class KnownKeys:
    """Keys that were used lately. Lives in the event loop's thread."""

    def __init__(self) -> None:
        self.generation = 0
        """Grows with each key forgotten, so that a read from before cannot bring one back."""
        self._known: dict[bytes, Known] = {}
        self._touched_at: dict[str, Instant] = {}
        self._touching: set[asyncio.Task[None]] = set()

    def find(self, digest: bytes, now: Instant) -> Known | None:
        known = self._known.get(digest)
        return None if known is None or known.until <= now else known

    def remember(self, digest: bytes, key: ApiKey, actor: Actor, now: Instant, *, generation: int) -> None:
        if generation != self.generation:
            return
        if len(self._known) >= _LIMIT:
            self._known.clear()
        until = Instant(now + KEPT_FOR)
        if key.expires_at is not None:
            until = min(until, key.expires_at)
        self._known[digest] = Known(key, actor, until)

    def forget(self, key_id: str) -> None:
        self.generation += 1
        self._known = {digest: known for digest, known in self._known.items() if known.key.id != key_id}

    def touch(self, db: Database, key_id: str, now: Instant, address: str | None) -> None:
        """Notes the use of the key, at most once a minute, without the request waiting for it."""
        touched_at = self._touched_at.get(key_id)
        if touched_at is not None and now - touched_at < MINUTE:
            return
        if len(self._touched_at) >= _LIMIT:
            self._touched_at.clear()
        self._touched_at[key_id] = now
        task = asyncio.get_running_loop().create_task(_touch(db, key_id, address))
        self._touching.add(task)
        task.add_done_callback(self._touching.discard)

    async def settle(self) -> None:
        """Waits for what `touch` began."""
        await asyncio.gather(*self._touching, return_exceptions=True)


async def _touch(db: Database, key_id: str, address: str | None) -> None:
    try:
        await db.write(projects.touch_key, key_id, address)
    except DatabaseUnavailable as error:
        _log.warning("key use not noted", key_id=key_id, error=str(error))

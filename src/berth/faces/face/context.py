"""What a face is given: the parts of the process that serving a request needs, and no more."""

from collections.abc import Callable
from dataclasses import dataclass, field

from berth.base.clock import Clock
from berth.base.db import Database
from berth.core.billing import Rules
from berth.faces.face.known_keys import KnownKeys

BODY_LIMIT = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Context:
    """Made once and shared by all faces of a process, so that a key revoked through one is gone for all."""

    db: Database
    clock: Clock
    pepper: bytes
    rules: Rules
    poke: Callable[[str], None]
    """Wakes the named loop; called after the commit."""
    version: str
    body_limit: int = BODY_LIMIT
    """Bytes of a request's body that are read."""
    known_keys: KnownKeys = field(default_factory=KnownKeys)
    in_flight: set[tuple[str, str, str]] = field(default_factory=set)
    """(project, lineage, Idempotency-Key) of requests being processed here."""

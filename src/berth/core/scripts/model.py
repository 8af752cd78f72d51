"""A startup script as kept."""

from dataclasses import dataclass

from berth.base.clock import Instant


@dataclass(frozen=True, slots=True)
class Script:
    id: str
    project: str
    name: str
    """Several may have the same."""
    text: str
    """As it was sent, to the last line break: customers' tools compare it."""
    created_at: Instant

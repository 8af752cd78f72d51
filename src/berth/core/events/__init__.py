"""Events: every change, by whom, written in the transaction that made it (an outbox)."""

from berth.core.events.model import SYSTEM_SCOPES, Actor, Event, system
from berth.core.events.service import list_for, record

__all__ = ["SYSTEM_SCOPES", "Actor", "Event", "list_for", "record", "system"]

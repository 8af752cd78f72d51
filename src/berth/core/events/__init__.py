"""Events: every change, by whom, written in the transaction that made it (an outbox)."""

from berth.core.events.model import ADMIN, SYSTEM_SCOPES, Actor, Event, operator, system
from berth.core.events.service import list_for, record

__all__ = ["ADMIN", "SYSTEM_SCOPES", "Actor", "Event", "list_for", "operator", "record", "system"]

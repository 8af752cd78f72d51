"""Events: every change, by whom, written in the transaction that made it, and with it who is to be told (an outbox)."""

from berth.core.events.auditing import Look, latest_seq, look, newer
from berth.core.events.catalogue import CATALOGUE, DISABLED, EVERY_EVENT, PATTERNS, TEST
from berth.core.events.model import ADMIN, SYSTEM_SCOPES, Actor, Event, Search, Subscription, operator, system
from berth.core.events.service import (
    DELIVERIES,
    find,
    find_latest,
    list_for,
    record,
    record_test,
    subscribe,
    unsubscribe,
)

__all__ = [
    "ADMIN",
    "CATALOGUE",
    "DELIVERIES",
    "DISABLED",
    "EVERY_EVENT",
    "PATTERNS",
    "SYSTEM_SCOPES",
    "TEST",
    "Actor",
    "Event",
    "Look",
    "Search",
    "Subscription",
    "find",
    "find_latest",
    "latest_seq",
    "list_for",
    "look",
    "newer",
    "operator",
    "record",
    "record_test",
    "subscribe",
    "system",
    "unsubscribe",
]

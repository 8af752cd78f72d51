"""Events: every change, by whom, written in the transaction that made it, and with it who is to be told (an outbox)."""

from berth.core.events.catalogue import CATALOGUE, DISABLED, EVERY_EVENT, PATTERNS, TEST
from berth.core.events.model import ADMIN, SYSTEM_SCOPES, Actor, Event, Subscription, operator, system
from berth.core.events.service import (
    DELIVERIES,
    find,
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
    "Subscription",
    "find",
    "list_for",
    "operator",
    "record",
    "record_test",
    "subscribe",
    "system",
    "unsubscribe",
]

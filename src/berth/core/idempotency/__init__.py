"""Idempotency: one answer for one key, kept in the transaction that did the work."""

from berth.core.idempotency.service import (
    RETENTION_S,
    TWINS_WITHIN_S,
    Answer,
    amend,
    find,
    forget,
    forget_expired,
    remember,
    twin,
    unpin,
)

__all__ = [
    "RETENTION_S",
    "TWINS_WITHIN_S",
    "Answer",
    "amend",
    "find",
    "forget",
    "forget_expired",
    "remember",
    "twin",
    "unpin",
]

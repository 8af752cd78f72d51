"""Idempotency: one answer for one key, kept in the transaction that did the work."""

from berth.core.idempotency.service import Answer, amend, find, forget_expired, remember

__all__ = ["Answer", "amend", "find", "forget_expired", "remember"]

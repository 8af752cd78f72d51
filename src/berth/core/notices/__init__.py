"""Notices: e-mail to the people of a project, written in the transaction that gave cause for it (an outbox)."""

from berth.core.notices.addresses import is_address
from berth.core.notices.model import MAX_ATTEMPTS, Notice, Status
from berth.core.notices.outbox import (
    delivered,
    failed,
    forget_old,
    give_back,
    lease_due,
    next_due,
    put_back,
    release_leases,
    renew_leases,
    skip_due,
)
from berth.core.notices.service import contacts, list_for, send, set_contacts

__all__ = [
    "MAX_ATTEMPTS",
    "Notice",
    "Status",
    "contacts",
    "delivered",
    "failed",
    "forget_old",
    "give_back",
    "is_address",
    "lease_due",
    "list_for",
    "next_due",
    "put_back",
    "release_leases",
    "renew_leases",
    "send",
    "set_contacts",
    "skip_due",
]

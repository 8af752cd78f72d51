"""The ledger: append-only rows of money, and holds on what is not spent yet."""

from berth.core.ledger.model import Account, Code, Entry, Posting
from berth.core.ledger.service import (
    account,
    debited,
    entries_of,
    has_hold,
    hold,
    lock,
    open_account,
    post,
    post_sweep,
    release,
    release_charged,
    shrink,
    topup,
    verify,
)

__all__ = [
    "Account",
    "Code",
    "Entry",
    "Posting",
    "account",
    "debited",
    "entries_of",
    "has_hold",
    "hold",
    "lock",
    "open_account",
    "post",
    "post_sweep",
    "release",
    "release_charged",
    "shrink",
    "topup",
    "verify",
]

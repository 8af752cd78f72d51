"""The waitlist: a place in line for what is sold out, so that nobody has to ask again and again."""

from berth.core.waitlist.attending import attend, due, has_credited, next_due, wake_credited
from berth.core.waitlist.matching import Granted, NotDeployed, block, grant_next, open_pairs
from berth.core.waitlist.model import ACTIVE, Entry, Obstacle, Place, Rules, Status, Wish
from berth.core.waitlist.service import cancel, change, get, join, list_entries, order, verify
from berth.core.waitlist.states import Step

__all__ = [
    "ACTIVE",
    "Entry",
    "Granted",
    "NotDeployed",
    "Obstacle",
    "Place",
    "Rules",
    "Status",
    "Step",
    "Wish",
    "attend",
    "block",
    "cancel",
    "change",
    "due",
    "get",
    "grant_next",
    "has_credited",
    "join",
    "list_entries",
    "next_due",
    "open_pairs",
    "order",
    "verify",
    "wake_credited",
]

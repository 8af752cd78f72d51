"""What is in the way of deploying for an entry, capacity aside. Changes nothing."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from berth.base.db import Tx
from berth.core import catalog, instances, ledger
from berth.core.billing import Rules as MoneyRules
from berth.core.errors import InsufficientCredits, Invalid, NoCapacity, Refusal
from berth.core.instances import OrderSpec
from berth.core.waitlist import states
from berth.core.waitlist.model import Entry, Obstacle

_CREDIT = frozenset({Obstacle.INSUFFICIENT_CREDITS, Obstacle.ACCOUNT_SUSPENDED})
_OF_MEMBERS: Mapping[str, Obstacle] = {
    "ssh_key_ids": Obstacle.SSH_KEY_MISSING,
    "max_price": Obstacle.PRICE_ABOVE_MAX,
}
"""Whatever else of an order no longer fits counts as its image."""


@dataclass(frozen=True, slots=True)
class Block:
    reason: Obstacle
    sentence: str


def spec_at(entry: Entry, location: str) -> OrderSpec:
    """What is ordered for an automatic entry there."""
    assert entry.config is not None
    return replace(entry.config, instance_type=entry.instance_type, location=location)


def in_the_way(tx: Tx, entry: Entry, location: str, money: MoneyRules) -> Block | None:
    """Why the entry could not be deployed at `location` if there were a unit, and even if there is one."""
    if not entry.is_auto:
        return None
    spec = spec_at(entry, location)
    try:
        instances.rehearse(tx, entry.actor, spec, money, max_price=entry.max_price)
    except Refusal as refusal:
        return block_of(refusal)
    return None


def of_all_places(tx: Tx, entry: Entry, money: MoneyRules) -> Block | None:
    """Why the entry can be deployed nowhere: of the places that it would take, those with units, or else any."""
    if not entry.is_auto:
        return None
    kind = entry.instance_type
    places = [entry.location] if entry.location is not None else catalog.places_of(tx, kind)
    with_units = [place for place in places if catalog.units_to_grant(tx, kind, place) > 0]
    blocks = [in_the_way(tx, entry, place, money) for place in with_units or places]
    return None if None in blocks else next(iter(blocks), None)


def block_of(refusal: Refusal) -> Block | None:
    """What a refused order says about its entry; None when it says nothing: there was no unit after all."""
    match refusal:
        case NoCapacity():
            return None
        case InsufficientCredits(code="account_suspended"):
            return Block(Obstacle.ACCOUNT_SUSPENDED, refusal.message)
        case InsufficientCredits():
            return Block(Obstacle.INSUFFICIENT_CREDITS, refusal.message)
        case Invalid(details={"field": str(field)}):
            return Block(_OF_MEMBERS.get(field, Obstacle.IMAGE_UNAVAILABLE), refusal.message)
        case _:
            return Block(Obstacle.QUOTA, refusal.message)


def blocked(tx: Tx, entry: Entry, block: Block | None) -> Entry:
    """The entry as that leaves it: passed over until it is looked at again, or free to be served."""
    if block is None:
        return replace(
            entry, blocked_reason=None, blocked_at=None, blocked_balance=None, look_at=None, last_error=None
        )
    since = entry.blocked_at or tx.now
    balance = ledger.account(tx, entry.project).balance if block.reason in _CREDIT else None
    return replace(
        entry,
        blocked_reason=block.reason,
        blocked_at=since,
        blocked_balance=balance,
        look_at=states.look_at(since, tx.now),
        last_error=block.sentence,
    )

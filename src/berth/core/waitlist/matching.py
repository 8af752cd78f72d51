"""Whose turn it is: free units to those who wait, the lowest ticket first, under the lock of the type.

One call grants one unit to one entry at most, and so touches one account: what is granted commits whole, the
order together with the entry's change.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from enum import StrEnum

from berth.base.clock import Instant, after
from berth.base.db import Tx
from berth.core import catalog, instances
from berth.core.billing import Rules as MoneyRules
from berth.core.errors import Refusal
from berth.core.waitlist import letters, obstacles, states, store
from berth.core.waitlist.model import Entry, Rules, Status
from berth.core.waitlist.obstacles import Block
from berth.core.waitlist.places import put, tell

_PAGES = (5, *[50] * 10)
"""How many of a line are read at a time: nearly always the first few will do."""
_BLOCKS = 20
"""Entries found to be blocked in one call."""
_TOLD_AT_LEAST = 3


class Granted(StrEnum):
    """What one call came to."""

    NOTHING = "nothing"
    """There is nothing to grant, or nobody to grant it to."""
    PASSED_OVER = "passed_over"
    """Only obstacles were found, and kept: come again."""
    TOLD = "told"
    DEPLOYED = "deployed"


class NotDeployed(Exception):
    """The order of the entry whose turn it was is refused: nothing was changed, and `block` says why, if it knows."""

    def __init__(self, entry_id: str, block: Block | None) -> None:
        super().__init__(entry_id)
        self.entry_id = entry_id
        self.block = block


def open_pairs(tx: Tx, rules: Rules) -> Sequence[tuple[str, str]]:
    """(type, location) where a unit is free and somebody's turn has come."""
    return [
        (kind, place) for kind, place in catalog.pairs_with_units(tx) if _has_turn(tx, kind, place, rules)
    ]


def grant_next(tx: Tx, instance_type: str, location: str, rules: Rules, money: MoneyRules) -> Granted:
    """Grants one unit to the first in line who can take it. Raises NotDeployed."""
    catalog.lock_line(tx, instance_type)
    units = catalog.units_to_grant(tx, instance_type, location)
    shares = _shares(tx, instance_type, location, units, rules)
    too_greedy, blocked = None, 0
    for entry in _servable(tx, instance_type, location, units, shares):
        if obstacles.in_the_way(tx, entry, location, money) is not None:
            blocked += _passed_over(tx, entry, rules, money)
            if blocked == _BLOCKS:
                return Granted.PASSED_OVER
        elif shares.is_over(entry.project) and not shares.is_told_freely(entry):
            too_greedy = too_greedy or entry
        else:
            return _grant(tx, entry, location, units, rules, money)
    if too_greedy is not None:
        return _grant(tx, too_greedy, location, units, rules, money)
    return Granted.PASSED_OVER if blocked else Granted.NOTHING


def block(tx: Tx, entry_id: str, found: Block, rules: Rules) -> None:
    """Passes over, from now on, an entry whose order was refused."""
    entry = store.find(tx, entry_id)
    if entry is None:
        return
    catalog.lock_line(tx, entry.instance_type)
    entry = store.find(tx, entry_id, lock=True)
    if entry is not None and entry.status is Status.WAITING:
        put_block(tx, entry, found, rules)


def put_block(tx: Tx, entry: Entry, found: Block | None, rules: Rules) -> Entry:
    """Writes what is in an entry's way now; told once for each change of the reason."""
    changed = obstacles.blocked(tx, entry, found)
    if changed.blocked_reason is not entry.blocked_reason:
        if changed.blocked_reason is None:
            changed = tell(tx, entry.actor, "waitlist.unblocked", changed)
        else:
            reason = changed.blocked_reason.value
            changed = tell(tx, entry.actor, "waitlist.blocked", changed, reason=reason)
    return put(tx, entry, changed, rules)


class _Shares:
    """Who is being given how many of the units that are given out at once."""

    def __init__(self, granted: dict[str, int], units: int, told: int, rules: Rules) -> None:
        self._granted = granted
        self._most = max(1, (sum(granted.values()) + max(units, 0)) * rules.share_percent // 100)
        self._window_s = rules.claim_window_s
        self.told = told
        """Who know of a unit that is kept for nobody."""

    def is_over(self, project: str) -> bool:
        return self._granted.get(project, 0) >= self._most

    def is_told_freely(self, entry: Entry) -> bool:
        """Whether being told keeps nothing from others."""
        return not entry.is_auto and self._window_s == 0


def _shares(tx: Tx, instance_type: str, location: str, units: int, rules: Rules) -> _Shares:
    granted = store.granted(tx, instance_type, location)
    told = 0 if rules.claim_window_s else store.count_told(tx, instance_type, location)
    return _Shares(granted, units, told, rules)


def _has_turn(tx: Tx, instance_type: str, location: str, rules: Rules) -> bool:
    """A look without a lock, so that lines in which nobody can be served cost no more than it."""
    units = catalog.units_to_grant(tx, instance_type, location)
    shares = _shares(tx, instance_type, location, units, rules)
    return next(_servable(tx, instance_type, location, units, shares), None) is not None


def _servable(tx: Tx, instance_type: str, location: str, units: int, shares: _Shares) -> Iterator[Entry]:
    """Who could be served there if nothing is in their way, by ticket, of the first few hundred in line."""
    is_proven = catalog.is_proven(tx, instance_type, location)
    last_ticket = 0
    for size in _PAGES:
        page = store.in_turn(tx, instance_type, location, after_ticket=last_ticket, limit=size)
        for entry in page:
            last_ticket = entry.ticket
            if _may_be_served(entry, tx.now, units=units, is_proven=is_proven, shares=shares):
                yield entry
        if len(page) < size:
            return


def _may_be_served(entry: Entry, now: Instant, *, units: int, is_proven: bool, shares: _Shares) -> bool:
    if entry.rest_until is not None and entry.rest_until > now:
        return False
    if entry.is_auto:
        return units > 0
    if shares.is_told_freely(entry):
        return is_proven and shares.told < max(2 * units, _TOLD_AT_LEAST)
    return is_proven and units > 0


def _passed_over(tx: Tx, entry: Entry, rules: Rules, money: MoneyRules) -> bool:
    """Blocks an entry that cannot be deployed here, unless it can be elsewhere. Whether it did."""
    found = obstacles.of_all_places(tx, entry, money)
    if found is not None:
        put_block(tx, entry, found, rules)
    return found is not None


def _grant(tx: Tx, entry: Entry, location: str, units: int, rules: Rules, money: MoneyRules) -> Granted:
    if entry.is_auto:
        _deploy(tx, entry, location, rules, money)
        return Granted.DEPLOYED
    _tell_of_unit(tx, entry, location, units, rules)
    return Granted.TOLD


def _deploy(tx: Tx, entry: Entry, location: str, rules: Rules, money: MoneyRules) -> None:
    spec = obstacles.spec_at(entry, location)
    deploying = replace(
        entry,
        status=Status.DEPLOYING,
        granted_location=location,
        rest_until=None,
        look_at=states.follow_at(tx.now),
    )
    try:
        made = instances.order(tx, entry.actor, spec, money, in_turn=True, max_price=entry.max_price)
    except Refusal as refusal:
        raise NotDeployed(entry.id, obstacles.block_of(refusal)) from refusal
    key = f"waitlist:{entry.id}" + (f":{entry.attempts}" if entry.attempts else "")
    store.note_deployment(tx, key, entry.id, made.id)
    deploying = replace(deploying, instance_id=made.id, last_error=None)
    put(tx, entry, tell(tx, entry.actor, "waitlist.deploying", deploying), rules)
    tx.signal("provisioning")


def _tell_of_unit(tx: Tx, entry: Entry, location: str, units: int, rules: Rules) -> None:
    window_s = rules.claim_window_s
    told = replace(
        entry,
        status=Status.NOTIFIED,
        granted_location=location,
        notified_count=entry.notified_count + 1,
        notified_at=tx.now,
        claim_expires_at=after(tx.now, seconds=window_s) if window_s else None,
        rest_until=None if window_s else Instant(tx.now + states.BROADCAST_REST),
    )
    price = catalog.price_at(tx, entry.instance_type, location)
    told = tell(
        tx,
        entry.actor,
        "gpu.available",
        told,
        is_available=True,
        free_units=max(units, 1),
        price_micros_per_hour=price,
        claim_expires_at=told.claim_expires_at,
    )
    letters.available(tx, told, price)
    put(tx, entry, told, rules)

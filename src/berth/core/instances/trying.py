"""What is tried in vain: logins that are refused while something boots, and destroys that come to nothing."""

from collections.abc import Mapping
from dataclasses import replace

from berth.base.clock import after
from berth.base.db import Tx
from berth.core import events
from berth.core.driver import Sighting
from berth.core.instances import lifecycle, store
from berth.core.instances.announcing import announce
from berth.core.instances.model import Instance, Status, Wanted
from berth.core.instances.reasons import because
from berth.core.instances.writing import by_loop, current_of, keep, with_address

LOGINS_REFUSED = 3
"""In a row: a key may take a moment to be installed, and then it either is or never will be."""
LOGIN_PAUSE_S = 15
DESTROYS_FAILED = 20
"""After so many steps something is wrong that an operator should look at; it is tried on all the same."""
_FAILING = "instance.destroy_failing"
_UNSTARTED = frozenset({Status.ORDERED, Status.PROVISIONING})


def login_refused(tx: Tx, leased: Instance, sighting: Sighting) -> Instance | None:
    """Its SSH server answered and let nobody in. The third time in a row its boot is over."""
    current = current_of(tx, leased)
    if current is None:
        return None
    if current.wanted is not Wanted.RUNNING:
        return keep(tx, replace(with_address(current, sighting), due_at=tx.now))
    refused = current.logins_refused + 1
    seen = replace(with_address(current, sighting), logins_refused=refused)
    if refused >= LOGINS_REFUSED and current.status in _UNSTARTED:
        return lifecycle.give_up_boot(tx, seen, reason=because("login_refused"))
    return keep(tx, replace(seen, due_at=after(tx.now, seconds=LOGIN_PAUSE_S)))


def destroy_failed(tx: Tx, leased: Instance) -> None:
    """Its provider did not destroy it when it was asked: counted, and told once when that has happened often."""
    store.count_destroy_failure(tx, leased.provider)
    current = current_of(tx, leased)
    if current is None or leased.attempt < DESTROYS_FAILED:
        return
    told = events.find_latest(tx, current.id, _FAILING)
    if told is not None and told.created_at >= current.status_changed_at:
        return
    changed = replace(current, sequence=current.sequence + 1)
    store.update(tx, current.id, sequence=changed.sequence, updated_at=tx.now)
    announce(tx, by_loop(current), _FAILING, changed, reason=current.status_reason)


def destroy_failures(tx: Tx) -> Mapping[str, int]:
    """How often each provider did not destroy what it was asked to."""
    return store.destroy_failures(tx)

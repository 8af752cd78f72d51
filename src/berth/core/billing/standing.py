"""Where an account stands: the verbs that take it down and back, and those that ask.

Every verb reads again what it decides on, with the account locked, so that it may be run twice, by two replicas, and
with a credit coming in between.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from berth.base.clock import Instant
from berth.base.db import Tx
from berth.base.money import Micros
from berth.core import ledger
from berth.core.billing import settling, spending, store, telling
from berth.core.billing.credit import (
    Credit,
    Means,
    assess,
    is_warning_due,
    live_state,
    with_whole_lead,
)
from berth.core.billing.model import EMPTY, Rules, State


@dataclass(frozen=True, slots=True)
class Standing:
    """An account, and what follows from how it stands."""

    account: str
    credit: Credit
    must_stop_for_budget: bool = False


@dataclass(frozen=True, slots=True)
class Survey:
    """A page of accounts that need something: to be advanced, or what follows from their state."""

    accounts: Sequence[str]
    last: str
    has_more: bool


def survey(tx: Tx, rules: Rules, *, after: str = "", limit: int) -> Survey:
    """The accounts among the next `limit` that have anything open or stand badly, in one statement, and of those the
    ones with which something is to be done.
    """
    found = store.standings(tx, after=after, limit=limit)
    needing = [each.account for each in found if _needs_something(each, rules, tx.now)]
    return Survey(needing, found[-1].account if found else after, len(found) == limit)


def advance(tx: Tx, account: str, rules: Rules) -> Standing:
    """Takes the account as far as it goes now, and says what has happened to it."""
    means = _locked_means(tx, account)
    credit, alerts, limits = store.find_known(tx, account)
    before = credit
    for _ in State:
        changed, notices = assess(credit, means, alerts, rules, tx.now, auto_resume=limits.auto_resume)
        telling.tell(tx, account, notices, changed, means)
        if changed == credit:
            break
        if changed.state is State.DEPLETED and credit.state is not State.DEPLETED:
            settling.settle(tx, account)
        credit = changed
    if is_warning_due(credit, tx.now):
        credit = with_whole_lead(credit, tx.now)
    if credit != before:
        store.save_credit(tx, account, credit)
    return Standing(account, credit, spending.note_budget(tx, account, limits))


def is_still(tx: Tx, standing: Standing, *, for_budget: bool = False) -> bool:
    """Whether what follows from `standing` is still to be done: nothing was added meanwhile, nobody was quicker.

    Ask it last in the transaction that does it: it locks the account until the commit.
    """
    balance = ledger.lock(tx, standing.account).balance
    credit, _, limits = store.find_known(tx, standing.account)
    if for_budget:
        return spending.must_stop(tx, standing.account, limits)
    if (credit.state, credit.since_at) != (standing.credit.state, standing.credit.since_at):
        return False
    # Asked with every single stop: what each of ten thousand has used is added up only where it decides.
    is_used_up = balance <= 0 or means(tx, standing.account).effective <= 0
    return is_used_up == (credit.state in EMPTY)


def announced(tx: Tx, standing: Standing, *, after_id: str, to_id: str) -> bool:
    """Notes that all with ids above `after_id`, up to `to_id`, were told what is coming.

    False when that is not to be told any more, or was told by somebody else: the telling has to be undone.
    """
    if not is_still(tx, standing):
        return False
    credit, _, _ = store.find_known(tx, standing.account)
    if (credit.announced_to, credit.warnings) != (after_id, standing.credit.warnings):
        return False
    store.save_credit(tx, standing.account, replace(credit, announced_to=to_id))
    return True


def warned(tx: Tx, standing: Standing, *, volumes: int, instances: int) -> bool:
    """Notes that the owners of so many were warned once more of their deletion, and writes to them.

    False when that is not to be noted any more: the warning has to be undone.
    """
    if not is_still(tx, standing):
        return False
    credit, _, _ = store.find_known(tx, standing.account)
    if credit.warnings != standing.credit.warnings or credit.purges_at is None:
        return False
    telling.tell_deletion(tx, standing.account, credit.purges_at, volumes=volumes, instances=instances)
    changed = replace(credit, warnings=credit.warnings + 1, announced_to="")
    store.save_credit(tx, standing.account, changed)
    return True


def resumed(tx: Tx, account: str) -> None:
    """Notes that nothing is left to be started again."""
    ledger.lock(tx, account)
    credit, _, _ = store.find_known(tx, account)
    if credit.is_resuming:
        store.save_credit(tx, account, replace(credit, is_resuming=False))


def state(tx: Tx, account: str) -> State:
    """Where the account stands, live."""
    credit, alerts, _ = store.find_known(tx, account)
    return live_state(credit, means(tx, account), alerts)


def means(tx: Tx, account: str) -> Means:
    """What the account has now."""
    accrued, burn = store.accrued(tx, account)
    return Means(Micros(ledger.account(tx, account).balance - accrued), burn)


def _locked_means(tx: Tx, account: str) -> Means:
    ledger.lock(tx, account)
    return means(tx, account)


def _needs_something(found: store.Found, rules: Rules, now: Instant) -> bool:
    credit, limits = found.credit, found.limits
    if credit.state in EMPTY or credit.is_resuming or limits.monthly_budget is not None:
        return True
    changed, _ = assess(credit, found.means, found.alerts, rules, now)
    return changed != credit

"""Keeping to what an owner allows: the price of an hour, and the spending of a calendar month.

A month's spending is what its ledger rows charged, plus what is used and not charged yet. Rows are read once: what
they added up to is kept, and the next question reads only newer ones.
"""

from dataclasses import replace

from berth.base.clock import HOUR, month_start
from berth.base.db import Tx
from berth.base.money import Micros
from berth.core import ledger
from berth.core.billing import store, telling
from berth.core.billing.limits import Limits, OnBudget, Spent
from berth.core.errors import InsufficientCredits

_READS_AT_MOST = 20
"""Of a long history, in one transaction; the rest follows with the next question."""
_SKEW_AT_MOST = HOUR
"""How far the clocks of two replicas may be apart."""


def lock_hourly(tx: Tx, account: str) -> Micros | None:
    """What all that runs may cost in an hour; None without a limit. Nobody else adds to it before the commit."""
    ledger.lock(tx, account)
    return store.find_known(tx, account)[2].max_hourly


def check_hourly(tx: Tx, account: str, *, added: Micros, pending: Micros) -> None:
    """Raises InsufficientCredits when `added`, per hour, would take the account above its limit.

    `pending` is the price per hour of what was accepted and does not burn yet. Whoever goes on to add it reads that
    after `lock_hourly`.
    """
    limit = store.find_known(tx, account)[2].max_hourly
    _, burn = store.accrued(tx, account)
    if limit is None or burn + pending + added <= limit:
        return
    raise InsufficientCredits(
        "spend_limit",
        "This would cost more in an hour than the limit of the account allows.",
        limit="max_hourly_usd",
        limit_micros=limit,
        hourly_micros=burn + pending,
        added_micros=added,
    )


def check_budget(tx: Tx, account: str, limits: Limits) -> None:
    """Raises InsufficientCredits while a budget that stops is used up."""
    if must_stop(tx, account, limits):
        raise InsufficientCredits(
            "spend_limit",
            "The budget of this month is used up. Raise it, or wait for the next month.",
            limit="monthly_budget_usd",
            limit_micros=limits.monthly_budget,
        )


def must_stop(tx: Tx, account: str, limits: Limits) -> bool:
    """Whether a budget that stops is used up."""
    if limits.monthly_budget is None or limits.on_budget is not OnBudget.STOP:
        return False
    return spent_this_month(tx, account) >= limits.monthly_budget


def spent_this_month(tx: Tx, account: str) -> Micros:
    """What the calendar month has cost so far, live to the second."""
    accrued, _ = store.accrued(tx, account)
    return Micros(_counted(tx, account).micros + accrued)


def note_budget(tx: Tx, account: str, limits: Limits) -> bool:
    """Says once a month that the budget is reached; whether what runs is to be stopped. The account must be locked."""
    if limits.monthly_budget is None:
        return False
    accrued, _ = store.accrued(tx, account)
    known = store.find_spent(tx, account)
    counted = _counted(tx, account)
    is_reached = counted.micros + accrued >= limits.monthly_budget
    if is_reached and counted.reached_in_month_at != counted.month_at:
        counted = replace(counted, reached_in_month_at=counted.month_at)
        data: dict[str, object] = {
            "threshold_monthly_budget_micros": limits.monthly_budget,
            "spent_micros": counted.micros + accrued,
            "month_at": counted.month_at,
            "on_budget": limits.on_budget.value,
        }
        telling.tell_budget(tx, account, data, stops=limits.on_budget is OnBudget.STOP)
    if counted != known:
        store.save_spent(tx, account, counted)
    return is_reached and limits.on_budget is OnBudget.STOP


def _counted(tx: Tx, account: str) -> Spent:
    """What is known of this month, brought up to the newest row."""
    spent = store.find_spent(tx, account)
    if spent.month_at > tx.now + _SKEW_AT_MOST:
        # A clock that was wrong was set right again: a month that lies ahead would count nothing until it comes.
        spent = Spent()
    month_at = max(month_start(tx.now), spent.month_at)
    if spent.month_at != month_at:
        spent = replace(spent, month_at=month_at, micros=Micros(0))
    for _ in range(_READS_AT_MOST):
        read = ledger.spending(tx, account, after_seq=spent.to_seq, since=month_at)
        if read.to_seq == spent.to_seq:
            break
        spent = replace(spent, micros=Micros(spent.micros + read.micros), to_seq=read.to_seq)
    return spent

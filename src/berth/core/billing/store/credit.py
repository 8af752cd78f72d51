"""Statements over what is remembered of accounts that run empty, and over what their owners chose."""

import json
from dataclasses import dataclass

from berth.base.db import Row, Tx
from berth.core.billing.credit import Alerts, Credit, Means
from berth.core.billing.limits import Limits, OnBudget, Spent
from berth.core.billing.model import State
from berth.core.billing.store import segments, storage

_CREDIT = "state, since_at, depleted_at, stops_at, purges_at, crossed, warnings, announced_to, is_resuming"
_ALERTS = "balances_micros, runways_s, is_enabled"
_LIMITS = "max_hourly_micros, monthly_budget_micros, on_budget, auto_resume"
_SPENT = "month_at, spent_micros, spent_to_seq, reached_in_month_at"


@dataclass(frozen=True, slots=True)
class Found:
    """An account as a survey sees it."""

    account: str
    means: Means
    credit: Credit
    alerts: Alerts
    limits: Limits


def _credit(row: Row) -> Credit:
    """The account's, or that of one of which nothing is remembered."""
    if row[0] is None:
        return Credit()
    state, since_at, depleted_at, stops_at, purges_at, crossed, warnings, announced_to, is_resuming = row
    return Credit(
        State(state),
        since_at,
        depleted_at,
        stops_at,
        purges_at,
        frozenset(json.loads(crossed)),
        warnings,
        announced_to,
        is_resuming=bool(is_resuming),
    )


def _alerts(row: Row) -> Alerts:
    if row[0] is None:
        return Alerts()
    return Alerts(tuple(json.loads(row[0])), tuple(json.loads(row[1])), is_enabled=bool(row[2]))


def _limits(row: Row) -> Limits:
    if row[2] is None:
        return Limits()
    return Limits(row[0], row[1], OnBudget(row[2]), auto_resume=bool(row[3]))


_AT_WORK = "state <> 'active' OR is_resuming = 1"
_OPEN = (
    "SELECT account_id, CAST(SUM(accrued) AS BIGINT) AS accrued, CAST(SUM(burn) AS BIGINT) AS burn FROM ("
    f"SELECT * FROM (SELECT account_id, {segments.OPEN} AND account_id > :after GROUP BY account_id"
    " ORDER BY account_id LIMIT :limit) AS running UNION ALL"
    f" SELECT * FROM (SELECT account_id, {storage.OPEN} AND account_id > :after GROUP BY account_id"
    " ORDER BY account_id LIMIT :limit) AS kept) AS meters GROUP BY account_id"
)


def _next_of(table: str, column: str, condition: str) -> str:
    return (
        f"SELECT {column} FROM (SELECT {column} FROM {table} WHERE {column} > :after AND ({condition})"
        f" ORDER BY {column} LIMIT :limit) AS {table}_next"
    )


# Each part is read in the order of its index and no further than the page: what is idle and well is never looked at.
_STANDINGS = (
    f"WITH open AS MATERIALIZED ({_OPEN}), wanted AS (SELECT account_id FROM open"
    f" UNION {_next_of('account_credit', 'account_id', _AT_WORK)}"
    f" UNION {_next_of('account_limits', 'account_id', 'monthly_budget_micros IS NOT NULL')}"
    f" UNION {_next_of('accounts', 'id', 'balance_micros < 0')} ORDER BY 1 LIMIT :limit)"
    " SELECT a.id, a.balance_micros - COALESCE(o.accrued, 0), COALESCE(o.burn, 0),"
    f" {_CREDIT}, {_ALERTS}, {_LIMITS} FROM wanted JOIN accounts a ON a.id = wanted.account_id"
    " LEFT JOIN open o ON o.account_id = a.id LEFT JOIN account_credit c ON c.account_id = a.id"
    " LEFT JOIN account_alerts w ON w.account_id = a.id LEFT JOIN account_limits l ON l.account_id = a.id"
    " ORDER BY a.id"
)


def standings(tx: Tx, *, after: str, limit: int) -> list[Found]:
    """The accounts that have anything open, stand badly, are in debt or have a budget, by id."""
    return [
        Found(row[0], Means(row[1], row[2]), _credit(row[3:12]), _alerts(row[12:15]), _limits(row[15:]))
        for row in tx.all(_STANDINGS, after=after, limit=limit, now=tx.now)
    ]


_KNOWN = (
    f"SELECT {_CREDIT}, {_ALERTS}, {_LIMITS} FROM (SELECT CAST(:account AS TEXT) AS id) AS wanted"
    " LEFT JOIN account_credit c ON c.account_id = wanted.id LEFT JOIN account_alerts w ON w.account_id = wanted.id"
    " LEFT JOIN account_limits l ON l.account_id = wanted.id"
)


def find_known(tx: Tx, account: str) -> tuple[Credit, Alerts, Limits]:
    """What is remembered of an account and what its owner chose, or what holds where nothing is."""
    row = tx.one(_KNOWN, account=account)
    if row is None:
        return Credit(), Alerts(), Limits()
    return _credit(row[:9]), _alerts(row[9:12]), _limits(row[12:])


def save_credit(tx: Tx, account: str, credit: Credit) -> None:
    tx.run(
        f"INSERT INTO account_credit (account_id, {_CREDIT}) VALUES (:account, :state, :since_at, :depleted_at,"
        " :stops_at, :purges_at, :crossed, :warnings, :announced_to, :is_resuming) ON CONFLICT (account_id)"
        " DO UPDATE SET state = excluded.state, since_at = excluded.since_at, depleted_at = excluded.depleted_at,"
        " stops_at = excluded.stops_at, purges_at = excluded.purges_at, crossed = excluded.crossed,"
        " warnings = excluded.warnings, announced_to = excluded.announced_to, is_resuming = excluded.is_resuming",
        account=account,
        state=credit.state.value,
        since_at=credit.since_at,
        depleted_at=credit.depleted_at,
        stops_at=credit.stops_at,
        purges_at=credit.purges_at,
        crossed=json.dumps(sorted(credit.crossed)),
        warnings=credit.warnings,
        announced_to=credit.announced_to,
        is_resuming=int(credit.is_resuming),
    )


def save_alerts(tx: Tx, account: str, alerts: Alerts) -> None:
    tx.run(
        f"INSERT INTO account_alerts (account_id, {_ALERTS}) VALUES (:account, :balances, :runways, :is_enabled)"
        " ON CONFLICT (account_id) DO UPDATE SET balances_micros = excluded.balances_micros,"
        " runways_s = excluded.runways_s, is_enabled = excluded.is_enabled",
        account=account,
        balances=json.dumps(list(alerts.balances)),
        runways=json.dumps(list(alerts.runways_s)),
        is_enabled=int(alerts.is_enabled),
    )


def save_limits(tx: Tx, account: str, limits: Limits) -> None:
    tx.run(
        f"INSERT INTO account_limits (account_id, {_LIMITS}, {_SPENT}) VALUES (:account, :hourly, :budget, :on_budget,"
        " :auto_resume, 0, 0, 0, 0) ON CONFLICT (account_id) DO UPDATE SET"
        " max_hourly_micros = excluded.max_hourly_micros, monthly_budget_micros = excluded.monthly_budget_micros,"
        " on_budget = excluded.on_budget, auto_resume = excluded.auto_resume",
        account=account,
        hourly=limits.max_hourly,
        budget=limits.monthly_budget,
        on_budget=limits.on_budget.value,
        auto_resume=int(limits.auto_resume),
    )


def find_spent(tx: Tx, account: str) -> Spent:
    row = tx.one(f"SELECT {_SPENT} FROM account_limits WHERE account_id = :account", account=account)
    return Spent() if row is None else Spent(*row)


def save_spent(tx: Tx, account: str, spent: Spent) -> None:
    tx.run(
        "UPDATE account_limits SET month_at = :month_at, spent_micros = :spent, spent_to_seq = :to_seq,"
        " reached_in_month_at = :reached WHERE account_id = :account",
        account=account,
        month_at=spent.month_at,
        spent=spent.micros,
        to_seq=spent.to_seq,
        reached=spent.reached_in_month_at,
    )

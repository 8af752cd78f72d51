"""Money: core's values in the retail API's words, and back."""

from collections.abc import Sequence
from typing import Literal

from berth.base import money
from berth.base.clock import rfc3339
from berth.core.billing import Balance, Bill
from berth.core.instances import Instance
from berth.core.ledger import Code, Entry
from berth.faces.huddle.billing import wire
from berth.faces.huddle.words import DEPLOYMENT, optional_time

CHARGES_SHOWN = 1000


def balance(now: Balance) -> wire.Balance:
    cents = money.cents(now.balance)
    return wire.Balance(
        balance_cents=cents,
        balance_usd=money.usd(cents * 10_000),
        balance_micros=now.balance,
        accrued_micros=now.accrued,
        held_micros=now.held,
        effective_usd=money.usd(money.cents(now.effective) * 10_000),
        burn_rate_per_hr=money.usd(now.burn_micros_per_hour),
        runway_seconds=now.runway_s,
        state=_state(now),
        can_deploy=now.can_deploy,
        minimum_deploy_usd=money.usd(now.minimum_balance),
    )


def _state(now: Balance) -> Literal["active", "low", "depleted"]:
    if now.effective <= 0:
        return "depleted"
    return "active" if now.effective >= now.minimum_balance else "low"


def deployment_bill(made: Instance, bill: Bill, rows: Sequence[Entry]) -> wire.DeploymentBill:
    """`rows` are the newest, one more than is shown if there are more: a week of ticks is a thousand."""
    is_cut, rows = len(rows) > CHARGES_SHOWN, rows[-CHARGES_SHOWN:]
    minimum = any(row.code is Code.MINIMUM for row in rows)
    return wire.DeploymentBill(
        deployment_id=DEPLOYMENT + made.id,
        hostname=made.hostname,
        cluster_type=made.instance_type,
        location=made.location,
        status=made.status.value,
        gpu_seconds=bill.billed_s,
        billed_seconds=bill.billed_s + sum(row.seconds or 0 for row in rows if row.code is Code.MINIMUM),
        minimum_applied=minimum,
        unit_price_per_hr=money.usd(made.price),
        compute_micros=bill.charged,
        storage_micros=0,
        accrued_micros=bill.accrued,
        total_micros=bill.total,
        total_usd=money.usd(bill.total),
        started_at=optional_time(bill.started_at),
        ended_at=optional_time(bill.ended_at),
        charging=bill.is_charging,
        charges=[_charge(row) for row in rows],
        charges_truncated=is_cut,
    )


def _charge(row: Entry) -> wire.Charge:
    price = row.price_micros_per_hour
    return wire.Charge(
        type=row.code.value,
        tick=row.tick,
        amount_micros=row.amount,
        amount_usd=money.usd(row.amount),
        final=row.is_final,
        period_start=optional_time(row.period_start_at),
        period_end=optional_time(row.period_end_at),
        seconds=row.seconds,
        unit_price_per_hr=None if price is None else money.usd(price),
        created_at=rfc3339(row.created_at),
    )

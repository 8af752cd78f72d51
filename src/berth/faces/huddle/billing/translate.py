"""Money: core's values in the retail API's words, and back."""

from collections.abc import Mapping, Sequence
from decimal import Decimal

from berth.base import money
from berth.base.clock import DAY, HOUR, Instant, rfc3339, seconds_between
from berth.base.money import Micros
from berth.core.billing import Balance, Bill, Segment, next_tick
from berth.core.errors import Invalid
from berth.core.instances import Instance
from berth.core.ledger import Code, Entry
from berth.core.reports import (
    EntryFilter,
    GroupBy,
    Kind,
    Transaction,
    Usage,
    UsageFilter,
    UsageTotals,
)
from berth.faces.huddle import words
from berth.faces.huddle.billing import wire
from berth.faces.huddle.words import API_KEY, DEPLOYMENT, VOLUME, optional_time

CHARGES_SHOWN = 1000
SEGMENTS_SHOWN = 100
_LEAST_CREDIT, _MOST_CREDIT = Decimal("0.01"), Decimal(100_000)


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
        state=now.state.value,
        can_deploy=now.can_deploy,
        minimum_deploy_usd=money.usd(now.minimum_balance),
        depleted_at=optional_time(now.depleted_at),
        stops_at=optional_time(now.stops_at),
    )


def deployment_bill(
    made: Instance,
    bill: Bill,
    *,
    rows: Sequence[Entry],
    segments: Sequence[Segment],
    reversed_micros: int,
    is_final: bool,
    now: Instant,
) -> wire.DeploymentBill:
    """`rows` and `segments` are the newest, one more than is shown if there are more: a week of ticks is a thousand."""
    is_cut, rows = len(rows) > CHARGES_SHOWN, rows[-CHARGES_SHOWN:]
    minimum = sum(row.seconds or 0 for row in rows if row.code is Code.MINIMUM)
    compute = bill.charged - reversed_micros
    return wire.DeploymentBill(
        deployment_id=DEPLOYMENT + made.id,
        hostname=made.hostname,
        cluster_type=made.instance_type,
        location=made.location,
        status=made.status.value,
        gpu_seconds=bill.billed_s,
        billed_seconds=bill.billed_s + minimum,
        minimum_applied=minimum > 0,
        unit_price_per_hr=money.usd(made.price),
        compute_micros=compute,
        storage_micros=0,
        accrued_micros=bill.accrued,
        total_micros=compute + bill.accrued,
        total_usd=money.usd(compute + bill.accrued),
        started_at=optional_time(bill.started_at),
        ended_at=optional_time(bill.ended_at),
        charging=bill.is_charging,
        next_tick_at=optional_time(next_tick(segments[-1], now)) if bill.is_charging else None,
        segments=[_segment(segment, now) for segment in segments[-SEGMENTS_SHOWN:]],
        segments_truncated=len(segments) > SEGMENTS_SHOWN,
        charges=[_charge(row) for row in rows],
        charges_truncated=is_cut,
        is_final=is_final,
    )


def _segment(segment: Segment, now: Instant) -> wire.Segment:
    return wire.Segment(
        start=rfc3339(segment.started_at),
        end=optional_time(segment.ended_at),
        seconds=seconds_between(segment.started_at, segment.ended_at or now),
    )


def transaction(row: Transaction) -> wire.Transaction:
    entry = row.entry
    price = entry.price_micros_per_hour
    is_credit = row.kind is Kind.CREDIT
    has_reference = is_credit and entry.code is not Code.REVERSAL
    return wire.Transaction(
        id=words.transaction_id(entry.seq),
        type=_TYPES[entry.code],
        amount_micros=entry.amount,
        amount_usd=money.usd(entry.amount),
        balance_after_micros=entry.balance_after,
        deployment_id=DEPLOYMENT + entry.subject if row.kind is Kind.INSTANCE else None,
        volume_id=VOLUME + entry.subject if row.kind is Kind.VOLUME else None,
        tick=entry.tick if entry.tick > 0 else None,
        final=entry.is_final,
        period_start=optional_time(entry.period_start_at),
        period_end=optional_time(entry.period_end_at),
        billed_seconds=entry.seconds,
        unit_price_per_hr=None if price is None else money.usd(price),
        resource_name=row.name,
        reference=entry.subject if has_reference else None,
        reverses=None if entry.reverses is None else words.transaction_id(entry.reverses),
        description=_DESCRIPTIONS[entry.code] + (f": {entry.note}" if entry.note else ""),
        created_at=rfc3339(entry.created_at),
    )


_TYPES: Mapping[Code, wire.Type] = {
    Code.TOPUP: "topup",
    Code.PROMO: "promo",
    Code.USAGE: "usage",
    Code.MINIMUM: "minimum",
    Code.STORAGE: "storage",
    # This API knows no long terms.
    Code.EARLY_TERMINATION: "adjustment",
    Code.REFUND: "refund",
    Code.ADJUSTMENT: "adjustment",
    Code.REVERSAL: "reversal",
}
_DESCRIPTIONS = {
    Code.TOPUP: "Credit added",
    Code.PROMO: "Promotional credit",
    Code.USAGE: "GPU usage",
    Code.MINIMUM: "Minimum charge",
    Code.STORAGE: "Volume storage",
    Code.EARLY_TERMINATION: "Early end of a long term",
    Code.REFUND: "Refund",
    Code.ADJUSTMENT: "Adjustment",
    Code.REVERSAL: "Reversal",
}


def entry_filter(query: wire.TransactionsQuery) -> EntryFilter:
    """Raises Invalid."""
    return EntryFilter(
        code=None if query.type is None else Code(query.type),
        instance_id=None if query.deployment_id is None else query.deployment_id.removeprefix(DEPLOYMENT),
        volume_id=None if query.volume_id is None else query.volume_id.removeprefix(VOLUME),
        from_at=words.instant(query.from_, "from"),
        to_at=words.instant(query.to, "to"),
    )


def group_by(word: wire.GroupBy) -> GroupBy:
    return GroupBy.INSTANCE if word == "deployment" else GroupBy(word)


def usage(row: Usage, by: GroupBy) -> wire.Usage:
    shown = wire.Usage(
        gpu_seconds=row.used_s,
        billed_seconds=row.used_s + row.minimum_s,
        minimum_applied=row.minimum_s > 0,
        compute_micros=row.compute,
        storage_micros=row.storage,
        total_micros=row.total,
        total_usd=money.usd(row.total),
    )
    match by:
        case GroupBy.INSTANCE:
            shown.deployment_id = DEPLOYMENT + (row.key or "")
            shown.hostname, shown.cluster_type = row.name, row.type
        case GroupBy.VOLUME:
            shown.volume_id = VOLUME + (row.key or "")
            shown.name, shown.type = row.name, row.type
        case GroupBy.DAY | GroupBy.HOUR:
            start = Instant(int(row.key or 0))
            shown.period_start = rfc3339(start)
            shown.period_end = rfc3339(Instant(start + (DAY if by is GroupBy.DAY else HOUR)))
        case GroupBy.GPU_MODEL:
            shown.gpu_model = row.key
        case GroupBy.API_KEY:
            shown.api_key_id = None if row.key is None else API_KEY + row.key
    if by in {GroupBy.INSTANCE, GroupBy.VOLUME}:
        shown.location, shown.status = row.location, row.status
        shown.unit_price_per_hr = None if row.unit_price is None else money.usd(row.unit_price)
        shown.started_at, shown.ended_at = optional_time(row.started_at), optional_time(row.ended_at)
    return shown


def usage_meta(wanted: UsageFilter, query: wire.UsageQuery, totals: UsageTotals) -> wire.UsageMeta:
    total = totals.compute + totals.storage
    return wire.UsageMeta(
        from_=rfc3339(wanted.window.start),
        to=rfc3339(wanted.window.end),
        group_by=query.group_by,
        totals=wire.UsageTotals(
            gpu_seconds=totals.used_s,
            compute_micros=totals.compute,
            storage_micros=totals.storage,
            total_micros=total,
            total_usd=money.usd(total),
        ),
    )


def credit_amount(usd: Decimal) -> Micros:
    """Raises Invalid outside 0.01 to 100000 dollars, and for fractions of a cent."""
    if not usd.is_finite() or not _LEAST_CREDIT <= usd <= _MOST_CREDIT or usd != round(usd, 2):
        raise Invalid(
            "invalid_field",
            "amount_usd must be between 0.01 and 100000 with at most two decimals.",
            field="amount_usd",
        )
    return money.from_usd(str(usd))


def _charge(row: Entry) -> wire.Charge:
    price = row.price_micros_per_hour
    return wire.Charge(
        type=_TYPES[row.code],
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

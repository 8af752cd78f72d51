"""The verbs of billing. A subject is whatever runs and costs by the second; its account pays.

What a subject has paid is always the difference of cumulative totals: ticks missed, late, or cut short by a
crash change when a row is written, never what the rows add up to.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from berth.base.clock import Instant, after, seconds_between
from berth.base.db import Tx
from berth.base.money import MAX_MICROS, Micros
from berth.core import ledger
from berth.core.billing import rates, spending, storage, store, sweeps
from berth.core.billing.credit import Means, live_state
from berth.core.billing.model import EMPTY, UNUSED, Balance, Bill, Rules, Segment
from berth.core.errors import InsufficientCredits
from berth.core.events import Actor
from berth.core.ledger import Account, Code, Posting

_ANYTHING = Micros(1)
"""Whatever is more than nothing."""


def gate(tx: Tx, account: str, subject: str, price_micros_per_hour: int, rules: Rules) -> None:
    """Holds the minimum charge for a new subject, or raises InsufficientCredits and holds nothing.

    Exact under concurrency: of two that both just fit, one gets in.
    """
    state = ledger.lock(tx, account)
    effective = _usable(tx, state, rules)
    runway = rates.total(price_micros_per_hour, rules.min_runway_minutes * 60)
    amount = rates.total(price_micros_per_hour, rates.MINIMUM_S)
    owed = Micros(state.balance - effective)
    if effective < runway or not ledger.hold(
        tx, account, subject, amount, owed=owed, floor=rules.minimum_balance
    ):
        raise _below_minimum(effective, state, runway, rules)


def gate_together(tx: Tx, account: str, prices: Mapping[str, int], rules: Rules) -> None:
    """As `gate` for subjects that begin together, by their prices per hour: as if they were one at the sum of these."""
    state = ledger.lock(tx, account)
    effective = _usable(tx, state, rules)
    runway = rates.total(sum(prices.values()), rules.min_runway_minutes * 60)
    if effective < runway:
        raise _below_minimum(effective, state, runway, rules)
    held = 0
    for subject, price in prices.items():
        amount = rates.total(price, rates.MINIMUM_S)
        floor, owed = Micros(rules.minimum_balance - held), Micros(state.balance - effective)
        if not ledger.hold(tx, account, subject, amount, owed=owed, floor=floor):
            raise _below_minimum(effective, state, runway, rules)
        held += amount


def gate_again(
    tx: Tx, account: str, subject: str, price_micros_per_hour: int, *, before_micros_per_hour: int
) -> bool:
    """What has not begun goes on at another price: holds the minimum charge of that, in the place of that before.

    False, and what was held is held still, where too little is left for it.
    """
    state = ledger.lock(tx, account)
    accrued, _ = store.accrued(tx, account)
    owed = Micros(accrued)
    ledger.release(tx, subject)
    amount = rates.total(price_micros_per_hour, rates.MINIMUM_S)
    if ledger.hold(tx, account, subject, amount, owed=owed, floor=amount):
        return True
    before = rates.total(before_micros_per_hour, rates.MINIMUM_S)
    ledger.hold(
        tx, account, subject, before, owed=owed, floor=Micros(min(0, state.balance - owed) - MAX_MICROS)
    )
    return False


def check_gate(tx: Tx, account: str, price_micros_per_hour: int, rules: Rules) -> None:
    """Raises InsufficientCredits where `gate` would as things are now. Holds nothing and locks nothing."""
    state = ledger.account(tx, account)
    effective = _usable(tx, state, rules)
    runway = rates.total(price_micros_per_hour, rules.min_runway_minutes * 60)
    if effective < runway or effective - state.held < rules.minimum_balance:
        raise _below_minimum(effective, state, runway, rules)


def require_credit(tx: Tx, account: str) -> None:
    """Raises InsufficientCredits when nothing is left, or no more may be spent: enough is asked to go on."""
    accrued, _ = store.accrued(tx, account)
    effective = Micros(ledger.account(tx, account).balance - accrued)
    if effective <= 0:
        raise _suspended(effective, _ANYTHING)
    spending.check_budget(tx, account, store.find_known(tx, account)[2])


def start(
    tx: Tx,
    account: str,
    subject: str,
    price_micros_per_hour: int,
    *,
    cost_micros_per_hour: int = 0,
    since: Instant | None = None,
) -> None:
    """Starts the clock of `subject`. One that runs already is left as it is.

    `cost_micros_per_hour` is what its provider charges us for this stretch. What never ran before is charged at once
    for the time `since` then, if that is given.
    """
    ledger.lock(tx, account)
    last = store.last_segment(tx, subject)
    starts_at = tx.now
    if last is None and since is not None and since < tx.now:
        # On a whole second, so that none is lost in between.
        starts_at = after(since, seconds=seconds_between(since, tx.now))
        last = _charged_before(
            tx,
            Segment(subject, 1, account, price_micros_per_hour, cost_micros_per_hour, since, starts_at, 0, 0),
        )
    if last is None:
        segment = Segment(
            subject, 1, account, price_micros_per_hour, cost_micros_per_hour, starts_at, None, 0, 0
        )
    elif last.ended_at is None:
        return
    else:
        _, first_tick = ledger.debited(tx, subject)
        started_at = max(starts_at, last.ended_at)
        segment = _next(last, last.ended_at, price_micros_per_hour, started_at, first_tick)
        segment = replace(segment, cost_micros_per_hour=cost_micros_per_hour)
    store.insert_segment(tx, segment)


def charge_past(
    tx: Tx,
    account: str,
    subject: str,
    price_micros_per_hour: int,
    *,
    cost_micros_per_hour: int = 0,
    since: Instant,
    until: Instant,
) -> None:
    """Charges what never ran for a time that is over. What has a clock already is left as it is."""
    ledger.lock(tx, account)
    if since < until and store.last_segment(tx, subject) is None:
        _charged_before(
            tx, Segment(subject, 1, account, price_micros_per_hour, cost_micros_per_hour, since, until, 0, 0)
        )


def pause(tx: Tx, account: str, subject: str, at: Instant) -> None:
    """Stops the clock at `at` and charges what was used, to the second. What the minimum lacks stays on hold."""
    last = _settle(tx, account, subject, at, is_final=False)
    if last is None:
        ledger.shrink(tx, subject, Micros(0))
    else:
        ledger.shrink(tx, subject, rates.minimum(last.price_micros_per_hour, _ended_s(last)))


def reprice(tx: Tx, account: str, subject: str, price_micros_per_hour: int, at: Instant) -> None:
    """Charges `subject` up to `at` at its price so far, and from there on at another.

    In all it pays the sum over both prices, the total of each rounded once. `at` may have passed, but not before the
    stretch that runs began: then that changes as a whole. Where the clock stands still, its next start brings the price.
    """
    ledger.lock(tx, account)
    last = store.last_segment(tx, subject)
    if last is None or last.ended_at is not None:
        return
    # On a whole second of the segment, so that none is lost in between.
    cut_at = after(last.started_at, seconds=seconds_between(last.started_at, at))
    _settle(tx, account, subject, cut_at, is_final=False)
    _, tick = ledger.debited(tx, subject)
    segment = _next(last, cut_at, price_micros_per_hour, cut_at, tick)
    store.insert_segment(tx, segment)
    swept_at = sweeps.swept_at(tx, sweeps.INSTANCES)
    if swept_at > cut_at:
        _catch_up(tx, segment, max(tx.now, swept_at))


def used_s(tx: Tx, subject: str, until: Instant) -> int:
    """Seconds of an instance that are billed, up to `until`; the minimum is not in it."""
    return store.used_s(tx, subject, until)


def charge_early_end(
    tx: Tx, account: str, subject: str, amount: Micros, *, since: Instant, seconds: int
) -> None:
    """What a subject that ended before its term owes of its discount, for `seconds` since the term began."""
    ledger.lock(tx, account)
    _, tick = ledger.debited(tx, subject)
    posting = Posting(
        Code.EARLY_TERMINATION,
        subject,
        tick + 1,
        Micros(-amount),
        period_start_at=since,
        period_end_at=tx.now,
        seconds=seconds,
        is_final=True,
    )
    ledger.post(tx, account, posting)


def finish(
    tx: Tx, account: str, subject: str, price_micros_per_hour: int, at: Instant, *, with_minimum: bool
) -> None:
    """Stops the clock for good, charges the rest, tops up to the minimum, and ends the hold.

    `with_minimum` also charges a subject that never ran: the caller knows whether anything was created for it.
    """
    last = _settle(tx, account, subject, at, is_final=True)
    billed_s = 0 if last is None else _ended_s(last)
    missing = rates.minimum(price_micros_per_hour, billed_s)
    if with_minimum and missing > 0:
        _, tick = ledger.debited(tx, subject)
        posting = Posting(
            Code.MINIMUM,
            subject,
            max(tick, 1),
            Micros(-missing),
            period_start_at=at,
            period_end_at=at,
            seconds=rates.MINIMUM_S - billed_s,
            price_micros_per_hour=price_micros_per_hour,
            is_final=True,
        )
        ledger.post(tx, account, posting)
    elif not ledger.is_closed(tx, subject):
        _close(tx, account, subject)
    ledger.release(tx, subject)


def has_hold(tx: Tx, subject: str) -> bool:
    """Whether something is still set aside for `subject`, so that its bill is not closed."""
    return ledger.has_hold(tx, subject)


def sweep(tx: Tx) -> int:
    """Charges every tick of instances that fell due since the last sweep, in one pass over all accounts.

    Run twice it charges once. Returns rows written.
    """
    count = sweeps.sweep(tx, sweeps.INSTANCES)
    if count:
        ledger.release_charged(tx, tick_s=rates.TICK_S)
    return count


def balance(tx: Tx, account: str, rules: Rules) -> Balance:
    """The account now, live to the second. Raises NotFound."""
    state = ledger.account(tx, account)
    accrued, burn = store.accrued(tx, account)
    credit, alerts, limits = store.find_known(tx, account)
    shown = live_state(credit, Means(Micros(state.balance - accrued), burn), alerts)
    return Balance(
        state.balance,
        Micros(accrued),
        state.held,
        burn,
        rules.minimum_balance,
        shown,
        credit.depleted_at if shown in EMPTY else None,
        credit.stops_at if shown in EMPTY else None,
        is_within_budget=not spending.must_stop(tx, account, limits),
    )


def bill(tx: Tx, subject: str) -> Bill:
    """What an instance or a volume has cost so far, live to the second."""
    last = store.last_segment(tx, subject)
    if last is None and (stored := storage.bill(tx, subject)) is not None:
        return stored
    charged, _ = ledger.debited(tx, subject)
    if last is None:
        return UNUSED if charged == 0 else Bill(None, None, 0, charged, Micros(0), is_charging=False)
    accrued = last.total(tx.now) - charged if last.ended_at is None else 0
    return Bill(
        store.first_start(tx, subject),
        last.ended_at,
        last.billed_s(last.ended_at or tx.now),
        charged,
        Micros(max(0, accrued)),
        is_charging=last.ended_at is None,
        earlier_s=last.earlier_s,
        earlier=last.earlier,
    )


def segments(tx: Tx, subject: str, *, limit: int) -> Sequence[Segment]:
    """The newest `limit` stretches of one subject's billed time, oldest of them first."""
    return store.segments_of(tx, subject, limit=limit)


def next_tick(segment: Segment, now: Instant) -> Instant:
    """When an open segment is charged next."""
    ticks = seconds_between(segment.started_at, now) // rates.TICK_S
    return Instant(segment.started_at + (ticks + 1) * store.TICK)


def charges(tx: Tx, by: Actor, subject: str, *, limit: int) -> Sequence[ledger.Entry]:
    """The newest `limit` rows of one subject's bill, oldest of them first."""
    return ledger.entries_of(tx, by, subject, limit=limit)


def _usable(tx: Tx, state: Account, rules: Rules) -> Micros:
    """What is neither spent nor used. Raises InsufficientCredits where no more may be spent at all."""
    accrued, _ = store.accrued(tx, state.id)
    effective = Micros(state.balance - accrued)
    credit, _, limits = store.find_known(tx, state.id)
    if credit.state in EMPTY and effective <= 0:
        raise _suspended(effective, rules.minimum_balance)
    spending.check_budget(tx, state.id, limits)
    return effective


def _below_minimum(effective: Micros, state: Account, runway: Micros, rules: Rules) -> InsufficientCredits:
    return InsufficientCredits(
        "below_minimum",
        "The available balance is below the minimum required to deploy.",
        balance_micros=effective - state.held,
        required_micros=max(rules.minimum_balance, runway),
    )


def _suspended(effective: Micros, required: Micros) -> InsufficientCredits:
    return InsufficientCredits(
        "account_suspended", "The balance is used up.", balance_micros=effective, required_micros=required
    )


def _settle(tx: Tx, account: str, subject: str, at: Instant, *, is_final: bool) -> Segment | None:
    """Ends an open segment and charges the rest of it. Returns the last segment, ended; None when it never ran."""
    ledger.lock(tx, account)
    last = store.last_segment(tx, subject)
    if last is None or last.ended_at is not None:
        return last
    ended_at = max(at, last.started_at)
    charged, tick = ledger.debited(tx, subject)
    rest = last.total(ended_at) - charged
    ticks = seconds_between(last.started_at, sweeps.swept_at(tx, sweeps.INSTANCES)) // rates.TICK_S
    ticked_at = Instant(last.started_at + ticks * store.TICK)
    unpaid_s = seconds_between(last.started_at, ended_at) - ticks * rates.TICK_S
    # Ticks were charged past `at`, for example when a host is found to have died before them: give it back.
    is_refund = rest < 0 or unpaid_s < 0
    posting = Posting(
        Code.REFUND if is_refund else Code.USAGE,
        subject,
        tick + 1,
        Micros(-rest),
        period_start_at=min(ended_at, ticked_at),
        period_end_at=max(ended_at, ticked_at) if is_refund else ended_at,
        seconds=abs(unpaid_s),
        price_micros_per_hour=last.price_micros_per_hour,
        is_final=is_final,
    )
    ledger.post(tx, account, posting)
    store.end_segment(tx, last, ended_at)
    return replace(last, ended_at=ended_at)


def _charged_before(tx: Tx, segment: Segment) -> Segment:
    """A stretch that was over when its clock was started: charged in one row of its own."""
    assert segment.ended_at is not None
    seconds = seconds_between(segment.started_at, segment.ended_at)
    posting = Posting(
        Code.USAGE,
        segment.subject,
        1,
        Micros(-rates.total(segment.price_micros_per_hour, seconds)),
        period_start_at=segment.started_at,
        period_end_at=segment.ended_at,
        seconds=seconds,
        price_micros_per_hour=segment.price_micros_per_hour,
    )
    store.insert_segment(tx, segment)
    store.end_segment(tx, segment, segment.ended_at)
    ledger.post(tx, segment.account, posting)
    return segment


def _close(tx: Tx, account: str, subject: str) -> None:
    """The last row of what was off when it ended, and had paid already: it says that nothing follows."""
    last = store.last_segment(tx, subject)
    if last is None or last.ended_at is None:
        return
    _, tick = ledger.debited(tx, subject)
    posting = Posting(
        Code.USAGE,
        subject,
        tick + 1,
        Micros(0),
        period_start_at=last.ended_at,
        period_end_at=last.ended_at,
        seconds=0,
        price_micros_per_hour=last.price_micros_per_hour,
        is_final=True,
    )
    ledger.post(tx, account, posting)


def _next(
    last: Segment, ended_at: Instant, price_micros_per_hour: int, started_at: Instant, first_tick: int
) -> Segment:
    """The segment after `last`, which counts on from it, or, at another price, anew."""
    is_same = price_micros_per_hour == last.price_micros_per_hour
    return replace(
        last,
        number=last.number + 1,
        price_micros_per_hour=price_micros_per_hour,
        started_at=started_at,
        ended_at=None,
        before_s=last.price_s(ended_at) if is_same else 0,
        first_tick=first_tick,
        earlier_s=last.earlier_s if is_same else last.billed_s(ended_at),
        earlier=last.earlier if is_same else last.total(ended_at),
    )


def _catch_up(tx: Tx, segment: Segment, now: Instant) -> None:
    """Charges a segment that began before the last sweep, which took it for charged, and goes on with another."""
    used_s = seconds_between(segment.started_at, now)
    ended_at = after(segment.started_at, seconds=used_s)
    posting = Posting(
        Code.USAGE,
        segment.subject,
        segment.first_tick + 1,
        Micros(-rates.total(segment.price_micros_per_hour, used_s)),
        period_start_at=segment.started_at,
        period_end_at=ended_at,
        seconds=used_s,
        price_micros_per_hour=segment.price_micros_per_hour,
    )
    ledger.post(tx, segment.account, posting)
    store.end_segment(tx, segment, ended_at)
    store.insert_segment(
        tx, _next(segment, ended_at, segment.price_micros_per_hour, ended_at, segment.first_tick + 1)
    )


def _ended_s(segment: Segment) -> int:
    assert segment.ended_at is not None
    return segment.billed_s(segment.ended_at)

"""The storage meter: what a volume costs from its creation until it is trashed or purged, attached or not.

A volume's time is cut into stretches of one price. Each costs `rates.monthly(price, seconds)`, rounded once, and
its rows add up to exactly that: a change of price charges the rest of the old stretch to its last whole second,
and the new one begins at that very second, so no part of a second is lost or paid for twice.
"""

from zlib import crc32

from berth.base.clock import HOUR, SECOND, Instant, after, seconds_between
from berth.base.db import Tx
from berth.base.money import Micros
from berth.core import ledger
from berth.core.billing import rates, sweeps
from berth.core.billing.model import Bill, Stretch
from berth.core.billing.store import storage as store
from berth.core.ledger import Code, Posting

_VOLUMES_AT_MOST = 10_000
"""Of one account, that are charged at once; what is beyond is charged by the hour as ever."""


def start_storage(
    tx: Tx, account: str, subject: str, micros_per_month: int, *, cost_micros_per_month: int = 0
) -> None:
    """Starts the meter of `subject`, whose whole price for 730 hours this is. One that runs is left as it is.

    `cost_micros_per_month` is what its provider charges us for it.
    """
    ledger.lock(tx, account)
    last = store.last(tx, subject)
    if last is None:
        store.insert(tx, _first(tx, account, subject, micros_per_month, cost_micros_per_month))
    elif last.ended_at is not None:
        started_at = max(tx.now, last.ended_at)
        store.insert(tx, _next(tx, last, started_at, micros_per_month, cost_micros_per_month))


def change_storage(
    tx: Tx, account: str, subject: str, micros_per_month: int, *, cost_micros_per_month: int = 0
) -> None:
    """Charges what ran at the old price and goes on at the new one. A meter that does not run stays as it is."""
    last = _settle(tx, account, subject, tx.now, is_final=False)
    if last is not None and last.ended_at is not None:
        store.insert(tx, _next(tx, last, last.ended_at, micros_per_month, cost_micros_per_month))


def finish_storage(tx: Tx, account: str, subject: str, at: Instant) -> None:
    """Stops the meter at `at` and charges the rest; stopping twice charges once.

    The last row is final: nothing follows it, unless the volume comes back from the trash and starts anew.
    """
    _settle(tx, account, subject, at, is_final=True)


def settle_storage(tx: Tx, account: str) -> int:
    """Charges what each volume of `account` has used up to now, and goes on at its price. Returns how many run."""
    running = store.open_of(tx, account, limit=_VOLUMES_AT_MOST)
    for stretch in running:
        change_storage(
            tx,
            account,
            stretch.subject,
            stretch.micros_per_month,
            cost_micros_per_month=stretch.cost_micros_per_month,
        )
    return len(running)


def sweep_storage(tx: Tx) -> int:
    """Charges each account's volumes for the hours that are full, a row for each volume, in one pass over all.

    Run twice it charges once, and an outage is caught up in one row. Returns rows written.
    """
    return sweeps.sweep(tx, sweeps.STORAGE)


def bill(tx: Tx, subject: str) -> Bill | None:
    """What a volume has cost so far, live to the second; None for what never was on this meter."""
    last = store.last(tx, subject)
    if last is None:
        return None
    charged, _ = ledger.debited(tx, subject)
    seconds = seconds_between(last.started_at, last.ended_at or tx.now)
    accrued = 0
    if last.ended_at is None:
        accrued = _total(last, seconds) - charged
    return Bill(
        store.first_start(tx, subject),
        last.ended_at,
        last.before_s + seconds,
        charged,
        Micros(max(0, accrued)),
        is_charging=last.ended_at is None,
    )


def phase_of(account: str) -> int:
    """When in an hour the volumes of `account` are charged: all at once, and accounts spread over the hour."""
    return crc32(account.encode()) % (HOUR // SECOND) * SECOND


def _settle(tx: Tx, account: str, subject: str, at: Instant, *, is_final: bool) -> Stretch | None:
    """Ends an open stretch at a whole second of it and charges the rest. Returns it if it was open."""
    ledger.lock(tx, account)
    last = store.last(tx, subject)
    if last is None or last.ended_at is not None:
        return None
    seconds = seconds_between(last.started_at, at)
    ended = last.ended(after(last.started_at, seconds=seconds))
    store.end(tx, last, after(last.started_at, seconds=seconds))
    charged, tick = ledger.debited(tx, subject)
    rest = _total(last, seconds) - charged
    paid_s = rates.storage_paid_s(last.started_at, last.phase, sweeps.swept_at(tx, sweeps.STORAGE))
    # Charged past `at`, for example when the volume is found to have been gone before: give it back.
    is_refund = rest < 0 or paid_s > seconds
    if paid_s != seconds or rest != 0 or is_final:
        posting = Posting(
            Code.REFUND if is_refund else Code.STORAGE,
            subject,
            tick + 1,
            Micros(-rest),
            period_start_at=after(last.started_at, seconds=min(paid_s, seconds)),
            period_end_at=after(last.started_at, seconds=max(paid_s, seconds)),
            seconds=abs(seconds - paid_s),
            price_micros_per_hour=rates.hourly(last.micros_per_month),
            is_final=is_final,
        )
        ledger.post(tx, account, posting)
    return ended


def _first(tx: Tx, account: str, subject: str, price: int, cost: int) -> Stretch:
    return Stretch(subject, 1, account, price, cost, tx.now, None, 0, Micros(0), 0, phase_of(account))


def _next(tx: Tx, last: Stretch, started_at: Instant, price: int, cost: int) -> Stretch:
    seconds = seconds_between(last.started_at, started_at if last.ended_at is None else last.ended_at)
    _, first_tick = ledger.debited(tx, last.subject)
    return Stretch(
        last.subject,
        last.number + 1,
        last.account,
        price,
        cost,
        started_at,
        None,
        last.before_s + seconds,
        _total(last, seconds),
        first_tick,
        last.phase,
    )


def _total(stretch: Stretch, seconds: int) -> Micros:
    """What the subject cost in all when this stretch has run for `seconds`."""
    return Micros(stretch.before + rates.monthly(stretch.micros_per_month, seconds))

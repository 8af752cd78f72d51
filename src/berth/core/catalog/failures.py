"""Offers that turned out to be worth less than they said: what they are trusted with meanwhile.

Everything here is a function of the failures of the last hour, so that trust comes back by itself.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from berth.base.clock import DAY, HOUR, MINUTE, Instant
from berth.base.db import Tx
from berth.core.catalog import store
from berth.core.catalog.model import FailureKind, GpuHealth, OfferFailure, OfferHealth
from berth.core.events import Actor

RECENT = 30 * MINUTE
"""How long a failure of an offer counts against it."""
FAILURES_TO_SUPPRESS = 3
SUPPRESSED = 30 * MINUTE
PER_FAILURE = 0.7
GPU_WINDOW = HOUR
"""How long a failure counts against the GPU type at its provider."""
OFFERS_TO_DEGRADE = 3
DEGRADED = 0.3
LEAST = 0.05
"""What is not set aside is never trusted less."""
_KEPT = DAY
_FORGOTTEN_AT_ONCE = 1000
_MOST_REASON = 500
"""Characters of a reason that are kept."""


def note_offer_failure(tx: Tx, offer_id: str, kind: FailureKind, reason: str) -> None:
    """Something ordered from the offer failed by the offer's fault. Noting what is no offer does nothing.

    At the third time in half an hour it is set aside for half an hour: shoppers no longer see it, and where it is one
    machine of a marketplace nobody else is sold it either. A kind of which there are several is still sold elsewhere:
    its other machines are not to blame.
    """
    offer = store.find_offer(tx, offer_id)
    if offer is None:
        return
    sold = store.find_type(tx, offer.instance_type)
    gpu_type = "" if sold is None else sold.gpu_model or ""
    noted = OfferFailure(offer_id, offer.provider, gpu_type, kind, reason[:_MOST_REASON], tx.now)
    store.insert_failure(tx, noted)
    if store.count_failures(tx, offer_id, since=Instant(tx.now - RECENT)) >= FAILURES_TO_SUPPRESS:
        until = Instant(tx.now + SUPPRESSED)
        store.suppress_for_failures(tx, offer_id, until)
        if offer.is_market:
            store.suppress(tx, offer_id, until)
    store.forget_failures(tx, Instant(tx.now - _KEPT), limit=_FORGOTTEN_AT_ONCE)
    tx.signal("inventory")


@dataclass(frozen=True, slots=True)
class Trust:
    """What failures leave of the confidence in each offer, at one moment."""

    failures: Mapping[str, int]
    """By offer, the recent ones."""
    degraded: frozenset[tuple[str, str]]
    """(provider, GPU type)."""
    suppressed: Mapping[str, tuple[Instant, Instant]]
    """By offer, since when and until when."""
    failed_offers: Mapping[tuple[str, str], int] = field(default_factory=dict)

    @property
    def is_whole(self) -> bool:
        return not self.failures and not self.degraded and not self.suppressed

    def multiplier(self, offer_id: str, provider: str, gpu_type: str) -> float:
        """0 for what is set aside, else between `LEAST` and 1."""
        if offer_id in self.suppressed:
            return 0.0
        left = PER_FAILURE ** self.failures.get(offer_id, 0)
        if (provider, gpu_type) in self.degraded:
            left *= DEGRADED
        return max(LEAST, left)


def trust(tx: Tx) -> Trust:
    """What is trusted now."""
    return _trust(store.failures_since(tx, Instant(tx.now - GPU_WINDOW)), store.suppressions(tx), tx.now)


def offer_health(
    tx: Tx, by: Actor, *, provider: str | None = None, gpu_type: str | None = None
) -> tuple[Sequence[OfferHealth], Sequence[GpuHealth]]:
    """The offers that failed within the last half hour or are set aside, and the GPU types that have some that failed
    within the last hour. Both in order of their ids.
    """
    by.may("catalog:read")
    failures = [
        failure
        for failure in store.failures_since(tx, Instant(tx.now - GPU_WINDOW))
        if provider in {None, failure.provider} and gpu_type in {None, failure.gpu_type}
    ]
    now = _trust(failures, store.suppressions(tx), tx.now)
    last = {failure.offer_id: failure for failure in failures}
    shown = [offer_id for offer_id in last if now.failures.get(offer_id) or offer_id in now.suppressed]
    names = store.shopper_ids(tx, shown)
    offers = [_health(now, names[offer_id], last[offer_id]) for offer_id in shown if offer_id in names]
    gpus = [
        GpuHealth(
            f"{key[0]}:{key[1]}",
            count,
            is_degraded=key in now.degraded,
            degradation=DEGRADED if key in now.degraded else 1.0,
        )
        for key, count in sorted(now.failed_offers.items())
    ]
    return sorted(offers, key=lambda offer: offer.offer_id), gpus


def _health(now: Trust, name: str, last: OfferFailure) -> OfferHealth:
    suppressed = now.suppressed.get(last.offer_id)
    return OfferHealth(
        offer_id=name,
        provider=last.provider,
        gpu_type=last.gpu_type,
        recent_failures=now.failures.get(last.offer_id, 0),
        is_suppressed=suppressed is not None,
        suppressed_at=None if suppressed is None else suppressed[0],
        suppressed_until=None if suppressed is None else suppressed[1],
        confidence_multiplier=now.multiplier(last.offer_id, last.provider, last.gpu_type),
        last_failure=last.failed_at,
        last_failure_kind=last.kind,
        last_failure_reason=last.reason,
    )


def _trust(
    failures: Sequence[OfferFailure], suppressed: Mapping[str, tuple[Instant, Instant]], now: Instant
) -> Trust:
    recent = Counter(failure.offer_id for failure in failures if failure.failed_at > now - RECENT)
    failed = {(failure.provider, failure.gpu_type, failure.offer_id) for failure in failures}
    failed_offers = Counter((provider, gpu_type) for provider, gpu_type, _ in failed)
    degraded = frozenset(key for key, count in failed_offers.items() if count >= OFFERS_TO_DEGRADE)
    return Trust(recent, degraded, suppressed, failed_offers)

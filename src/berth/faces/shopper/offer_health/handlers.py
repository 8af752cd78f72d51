"""The health of offers: translate, one verb, translate."""

from berth.base.clock import Instant
from berth.base.db import Tx
from berth.core import catalog
from berth.core.catalog import GpuHealth, OfferHealth
from berth.faces.face import Call
from berth.faces.shopper import words
from berth.faces.shopper.offer_health import wire

_DIGITS = 4


def get_offer_health(tx: Tx, call: Call) -> wire.OffersHealth:
    query: wire.OfferHealthQuery = call.query
    words.check_provider(query.provider, call.context.providers)
    offers, gpus = catalog.offer_health(
        tx, call.by, provider=query.provider or None, gpu_type=query.gpu_type or None
    )
    return wire.OffersHealth(
        offers=[_offer(each) for each in offers], gpu_types=[_gpu(each) for each in gpus], count=len(offers)
    )


def _offer(health: OfferHealth) -> wire.OfferHealth:
    shown = wire.OfferHealth(
        offer_id=health.offer_id,
        provider=health.provider,
        gpu_type=health.gpu_type,
        recent_failures=health.recent_failures,
        is_suppressed=health.is_suppressed,
        confidence_multiplier=round(health.confidence_multiplier, _DIGITS),
    )
    for member, at in (
        ("suppressed_at", health.suppressed_at),
        ("suppressed_until", health.suppressed_until),
        ("last_failure", health.last_failure),
    ):
        if at is not None:
            setattr(shown, member, words.time(Instant(at)))
    if health.last_failure_kind is not None:
        shown.last_failure_type = health.last_failure_kind.value
    if health.last_failure_reason:
        shown.last_failure_reason = words.sentence(health.last_failure_reason)
    return shown


def _gpu(health: GpuHealth) -> wire.GpuTypeHealth:
    return wire.GpuTypeHealth(
        gpu_type_key=health.key,
        failed_offer_count=health.failed_offer_count,
        is_degraded=health.is_degraded,
        degradation_applied=round(health.degradation, _DIGITS),
    )

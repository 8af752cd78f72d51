"""The inventory: from parameters to core's question, and from core's offers to the wire."""

from decimal import Decimal

from berth.base import money
from berth.base.money import Micros
from berth.core.catalog import Template
from berth.core.catalog.inventory import Listed, Wanted
from berth.core.errors import Invalid
from berth.faces.shopper import words
from berth.faces.shopper.inventory import wire

MOST_OFFERS = 10_000
"""In one answer; `total` tells whether there are more."""
_MOST_EXPONENT = 308
"""As for the parameters that are no amounts: what no double holds is no number of theirs."""
_DIGITS = 4


def wanted(query: wire.OffersQuery) -> Wanted:
    """Raises Invalid."""
    return Wanted(
        provider=query.provider or None,
        gpu_type=query.gpu_type or None,
        location=query.location or None,
        min_vram_gb=query.min_vram,
        max_price=max_price(query.max_price),
        min_gpu_count=min_gpu_count(query),
        min_reliability=query.min_reliability,
        min_confidence=query.min_availability_confidence,
        min_cuda=query.min_cuda,
        limit=min(query.limit or MOST_OFFERS, MOST_OFFERS),
        offset=query.offset,
    )


def min_gpu_count(query: wire.OffersQuery) -> int:
    """`min_gpu_count` goes before its alias. What has no GPU is listed for whoever asks for 0 of them."""
    given = query.gpu_count if query.min_gpu_count is None else query.min_gpu_count
    return 1 if given is None else given


def max_price(given: Decimal | None) -> Micros | None:
    """Whole micro-dollars, rounded down: no price lies in between. Raises Invalid."""
    if given is None:
        return None
    if not given.is_finite() or given < 0:
        raise Invalid(
            "invalid_field", "max_price must be a number of at least 0", field="max_price", sent=str(given)
        )
    if given and given.adjusted() > _MOST_EXPONENT:
        raise Invalid("invalid_field", "max_price is out of range", field="max_price", sent=str(given))
    # Compared before it is scaled: the exponent is the caller's.
    return Micros(money.MAX_MICROS if given > money.MAX_MICROS else int(given.scaleb(6)))


def offer(listed: Listed) -> wire.Offer:
    shown = wire.Offer(
        id=listed.id,
        provider=listed.provider,
        provider_id=listed.provider_offer_id,
        gpu_type=listed.gpu_type,
        gpu_count=listed.gpu_count,
        vram_gb=listed.vram_gb,
        price_per_hour=words.price(listed.price),
        location=listed.location,
        reliability=round(listed.reliability, _DIGITS),
        available=listed.is_available,
        max_duration_hours=listed.max_duration_hours,
        fetched_at=words.time(listed.fetched_at),
        availability_confidence=round(listed.confidence, _DIGITS),
    )
    if listed.cuda_version is not None:
        shown.cuda_version = listed.cuda_version
    if listed.physical_host is not None:
        shown.machine_id = listed.physical_host
    if listed.is_interruptible:
        shown.interruptible = True
    if listed.min_bid is not None:
        shown.min_bid = words.price(listed.min_bid)
    return shown


def compatible_template(template: Template) -> wire.CompatibleTemplate:
    made = template.made
    return wire.CompatibleTemplate(
        hash_id=made.hash_id,
        name=made.name,
        image=made.image,
        recommended_disk_space=made.recommended_disk_gb,
    )

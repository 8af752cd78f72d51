"""The health of offers on the wire."""

from typing import Annotated

from msgspec import UNSET, Meta, Struct, UnsetType

Text = Annotated[str, Meta(max_length=255)]


class OfferHealthQuery(Struct, kw_only=True):
    provider: Text | None = None
    gpu_type: Text | None = None
    """Exactly, capitals included."""


class OfferHealth(Struct, kw_only=True):
    offer_id: str
    provider: str
    gpu_type: str
    recent_failures: int
    is_suppressed: bool
    suppressed_at: str | UnsetType = UNSET
    suppressed_until: str | UnsetType = UNSET
    confidence_multiplier: float
    """0 while it is set aside."""
    last_failure: str | UnsetType = UNSET
    last_failure_type: str | UnsetType = UNSET
    last_failure_reason: str | UnsetType = UNSET


class GpuTypeHealth(Struct, kw_only=True):
    gpu_type_key: str
    """`<provider>:<gpu_type>`."""
    failed_offer_count: int
    is_degraded: bool
    degradation_applied: float


class OffersHealth(Struct, kw_only=True):
    offers: list[OfferHealth]
    gpu_types: list[GpuTypeHealth]
    count: int
    """Of the offers."""

"""The inventory on the wire."""

from decimal import Decimal
from typing import Annotated

from msgspec import UNSET, Meta, Struct, UnsetType

Text = Annotated[str, Meta(max_length=255)]
Count = Annotated[int, Meta(ge=0, le=1_000_000_000)]
Share = Annotated[float, Meta(ge=0, le=1)]


class OffersQuery(Struct, kw_only=True):
    provider: Text | None = None
    gpu_type: Text | None = None
    """Exactly, capitals included."""
    location: Text | None = None
    """A part of it."""
    min_vram: Count | None = None
    """GB of one GPU."""
    max_price: Decimal | None = None
    """Dollars per hour."""
    min_gpu_count: Count | None = None
    """1 unless given: 0 also lists what has no GPU."""
    gpu_count: Count | None = None
    """As `min_gpu_count`, which goes before it."""
    min_reliability: Share | None = None
    min_availability_confidence: Share | None = None
    min_cuda: Annotated[float, Meta(ge=0, le=1000)] | None = None
    template_hash_id: Text | None = None
    """Only what can run this template."""
    limit: Annotated[int, Meta(ge=1, le=1_000_000_000)] | None = None
    offset: Count = 0


class CompatibleTemplate(Struct, kw_only=True):
    hash_id: str
    name: str
    image: str
    recommended_disk_space: int
    """GB."""


class Offer(Struct, kw_only=True):
    id: str
    provider: str
    provider_id: str
    gpu_type: str
    gpu_count: int
    vram_gb: int
    price_per_hour: Decimal
    location: str
    reliability: float
    available: bool
    max_duration_hours: int
    """0: no limit is known."""
    fetched_at: str
    availability_confidence: float
    cuda_version: float | UnsetType = UNSET
    machine_id: str | UnsetType = UNSET
    interruptible: bool | UnsetType = UNSET
    min_bid: Decimal | UnsetType = UNSET
    compatible_templates: list[CompatibleTemplate] | UnsetType = UNSET
    """Of a single offer, where there are some."""


class Offers(Struct, kw_only=True):
    offers: list[Offer]
    count: int
    total: int
    """Whatever the page."""


class CompatibleTemplates(Struct, kw_only=True):
    offer_id: str
    compatible_templates: list[CompatibleTemplate]
    count: int
    gpu_type: str | UnsetType = UNSET
    vram_gb: int | UnsetType = UNSET
    provider: str | UnsetType = UNSET
    note: str | UnsetType = UNSET

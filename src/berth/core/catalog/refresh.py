"""Takes in what a provider says it sells. An offer that is no longer named is no longer sold, never deleted."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from berth.base import ids
from berth.base.clock import Instant
from berth.base.db import Tx
from berth.base.money import USD, Micros
from berth.core.catalog import store
from berth.core.driver import (
    Abilities,
    Catalogue,
    Hardware,
    ProviderClusterType,
    ProviderImage,
    ProviderOffer,
    ProviderVolumeType,
)

MOST_MICROS_PER_HOUR = 10_000 * USD
"""Far above any instance; for ten years of it 64 bits are enough."""

MOST_MICROS_PER_GB_MONTH = 100 * USD
MOST_GB = 10**6
MOST_WORKERS = 64
"""Of one cluster: it is ordered in one transaction."""


def introduce(tx: Tx, provider: str, abilities: Abilities) -> None:
    """Makes a provider known, and what it can do, in a transaction before its first refresh.

    Refreshes take turns by the rows of all providers. Two that each wrote its own row meanwhile would not see the
    other's, and one would forget what the other boots.
    """
    store.add_provider(tx, provider)
    store.set_abilities(tx, provider, abilities)


def refresh(tx: Tx, provider: str, catalogue: Catalogue, *, listed_at: Instant, margin_percent: int) -> int:
    """Replaces what `provider` sells. `listed_at` is when its answer was asked for. Returns how many offers."""
    offers = [
        (offer, price)
        for sold in catalogue.offers
        if _is_sane(offer := _with_spot_price(sold, margin_percent), price := _price(sold, margin_percent))
    ]
    store.add_provider(tx, provider)
    store.lock_providers(tx)  # all of them: locations, types and images are common
    known = store.lock_offers(tx, provider)
    places = [offer.place for offer, _ in offers] + [sold.place for sold in catalogue.volume_types]
    for place in {place.code: place for place in places}.values():
        store.upsert_location(tx, place)
    _take_types(tx, provider, {offer.hardware.name: offer.hardware for offer, _ in offers})
    _take_images(tx, provider, catalogue.images)
    _take_volume_types(tx, provider, catalogue.volume_types, margin_percent)
    for offer, price in offers:
        store.upsert_offer(
            tx,
            offer,
            offer_id=ids.new(tx.now),
            provider=provider,
            price=Micros(price),
            counted_before=listed_at,
        )
    _take_cluster_types(
        tx, provider, catalogue.cluster_types, {offer.provider_offer_id for offer, _ in offers}
    )
    store.unlist_offers(tx, provider, known - {offer.provider_offer_id for offer, _ in offers})
    store.note_refresh(tx, provider, failure=None)
    tx.signal("waitlist")
    return len(offers)


def note_failure(tx: Tx, provider: str, failure: str) -> None:
    """The provider could not be asked: what it sold last time stands."""
    store.add_provider(tx, provider)
    store.note_refresh(tx, provider, failure=failure)


def _take_types(tx: Tx, provider: str, offered: Mapping[str, Hardware]) -> None:
    known = {kind.name: kind.providers for kind in store.list_types(tx)}
    for name, hardware in offered.items():
        store.upsert_type(tx, hardware, providers=known.get(name, frozenset()) | {provider})
    for name, providers in known.items():
        if provider in providers and name not in offered:
            store.set_type_providers(tx, name, providers - {provider})


def _take_images(tx: Tx, provider: str, images: Sequence[ProviderImage]) -> None:
    offered = {image.slug for image in images}
    for image in images:
        known = store.find_image(tx, image.slug)
        providers = frozenset({provider}) if known is None else known.providers | {provider}
        store.upsert_image(tx, image, image_id=_image_id(tx, image), providers=providers)
    for other in store.list_images(tx):
        if provider in other.providers and other.slug not in offered:
            store.set_image_providers(tx, other.id, other.providers - {provider})


def _image_id(tx: Tx, image: ProviderImage) -> str:
    wanted = image.known_id
    is_free = wanted is not None and ids.is_id(wanted) and store.find_image(tx, wanted) is None
    return wanted if is_free and wanted is not None else ids.new(tx.now)


def _take_volume_types(
    tx: Tx, provider: str, volume_types: Sequence[ProviderVolumeType], margin_percent: int
) -> None:
    store.unlist_volume_types(tx, provider)
    for sold in volume_types:
        price = sold.price_micros_per_gb_month
        if price is None:
            price = _with_margin(sold.cost_micros_per_gb_month, margin_percent)
        amounts = (price, sold.cost_micros_per_gb_month)
        is_sane = all(0 <= amount <= MOST_MICROS_PER_GB_MONTH for amount in amounts)
        if is_sane and 1 <= sold.min_size_gb <= sold.max_size_gb <= MOST_GB:
            store.upsert_volume_type(tx, provider, sold, price=price)


def _take_cluster_types(
    tx: Tx, provider: str, cluster_types: Sequence[ProviderClusterType], offered: Collection[str]
) -> None:
    store.unlist_cluster_types(tx, provider)
    for sold in cluster_types:
        has_nodes = {sold.worker_offer_id, sold.jump_host_offer_id} <= set(offered)
        is_sane = 1 <= sold.worker_count <= MOST_WORKERS and 0 <= sold.price_micros_per_hour <= (
            sold.worker_count * MOST_MICROS_PER_HOUR
        )
        if has_nodes and is_sane:
            store.upsert_cluster_type(tx, provider, sold)


def _price(offer: ProviderOffer, margin_percent: int) -> int:
    if offer.price_micros_per_hour is not None:
        return offer.price_micros_per_hour
    return _with_margin(offer.cost_micros_per_hour, margin_percent)


def _with_spot_price(offer: ProviderOffer, margin_percent: int) -> ProviderOffer:
    """The offer with what spot costs the customer, where the provider says no more than what it costs us."""
    cost = offer.spot_cost_micros_per_hour
    if cost is None or offer.spot_price_micros_per_hour is not None:
        return offer
    return replace(offer, spot_price_micros_per_hour=_with_margin(cost, margin_percent))


def _with_margin(cost_micros: int, margin_percent: int) -> int:
    return (cost_micros * (100 + margin_percent) + 99) // 100


def _is_sane(offer: ProviderOffer, price: int) -> bool:
    """One offer that would pay its customer, or overflow a bill, must not reach the ledger of everybody."""
    spot = (offer.spot_price_micros_per_hour, offer.spot_cost_micros_per_hour)
    amounts = (price, offer.cost_micros_per_hour, *(amount for amount in spot if amount is not None))
    units = (offer.free_units, offer.spot_free_units or 0)
    return min(units) >= 0 and all(0 <= amount <= MOST_MICROS_PER_HOUR for amount in amounts)

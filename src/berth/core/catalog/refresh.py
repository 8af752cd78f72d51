"""Takes in what a provider says it sells. An offer that is no longer named is no longer sold, never deleted."""

from collections.abc import Sequence

from berth.base import ids
from berth.base.clock import Instant
from berth.base.db import Tx
from berth.base.money import Micros
from berth.core.catalog import store
from berth.core.driver import Catalogue, ProviderImage


def refresh(tx: Tx, provider: str, catalogue: Catalogue, *, listed_at: Instant, margin_percent: int) -> int:
    """Replaces what `provider` sells. `listed_at` is when its answer was asked for. Returns how many offers."""
    store.add_provider(tx, provider)
    store.lock_providers(tx)  # all of them: locations, types and images are common
    known = store.lock_offers(tx, provider)
    for place in {offer.place.code: offer.place for offer in catalogue.offers}.values():
        store.upsert_location(tx, place)
    for hardware in {offer.hardware.name: offer.hardware for offer in catalogue.offers}.values():
        store.upsert_type(tx, hardware)
    _take_images(tx, provider, catalogue.images)
    for offer in catalogue.offers:
        price = offer.price_micros_per_hour
        if price is None:
            price = _with_margin(offer.cost_micros_per_hour, margin_percent)
        store.upsert_offer(
            tx,
            offer,
            offer_id=ids.new(tx.now),
            provider=provider,
            price=Micros(price),
            counted_before=listed_at,
        )
    store.unlist_offers(tx, provider, known - {offer.provider_offer_id for offer in catalogue.offers})
    store.note_refresh(tx, provider, failure=None)
    return len(catalogue.offers)


def note_failure(tx: Tx, provider: str, failure: str) -> None:
    """The provider could not be asked: what it sold last time stands."""
    store.add_provider(tx, provider)
    store.note_refresh(tx, provider, failure=failure)


def _take_images(tx: Tx, provider: str, images: Sequence[ProviderImage]) -> None:
    offered = {image.slug for image in images}
    for image in images:
        known = store.find_image(tx, image.slug)
        providers = frozenset({provider}) if known is None else known.providers | {provider}
        store.upsert_image(tx, image, image_id=ids.new(tx.now), providers=providers)
    for other in store.list_images(tx):
        if provider in other.providers and other.slug not in offered:
            store.set_providers(tx, other.id, other.providers - {provider})


def _with_margin(cost: int, margin_percent: int) -> int:
    return (cost * (100 + margin_percent) + 99) // 100

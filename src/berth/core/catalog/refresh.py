"""Takes in what a provider says it sells. An offer that is no longer named is no longer sold, never deleted."""

from collections.abc import Iterable

from berth.base import ids
from berth.base.clock import Instant
from berth.base.db import Tx
from berth.base.money import Micros
from berth.core.catalog import store
from berth.core.driver import Catalogue, ProviderImage


def refresh(tx: Tx, provider: str, catalogue: Catalogue, *, listed_at: Instant, margin_percent: int) -> int:
    """Replaces what `provider` sells. `listed_at` is when its answer was asked for. Returns how many offers."""
    store.lock_provider(tx, provider)
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
    store.unlist_offers(tx, provider)
    store.note_refresh(tx, provider, failure=None)
    return len(catalogue.offers)


def note_failure(tx: Tx, provider: str, failure: str) -> None:
    """The provider could not be asked: what it sold last time stands."""
    store.lock_provider(tx, provider)
    store.note_refresh(tx, provider, failure=failure)


def _take_images(tx: Tx, provider: str, images: Iterable[ProviderImage]) -> None:
    for image in images:
        known = store.find_image(tx, image.slug)
        providers = frozenset({provider}) if known is None else known.providers | {provider}
        store.upsert_image(tx, image, image_id=ids.new(tx.now), providers=providers)


def _with_margin(cost: int, margin_percent: int) -> int:
    return (cost * (100 + margin_percent) + 99) // 100

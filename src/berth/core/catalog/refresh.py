"""Takes in what a provider says it sells: only what has changed is written, and what is not named is not sold.

Offers of ordinary providers are never deleted. Marketplaces name new ones all the time: one that they no longer name
goes after a while, unless something was ordered from it or failed with it.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from hashlib import blake2b

from berth.base import ids
from berth.base.clock import MINUTE, Instant, after
from berth.base.db import Tx
from berth.base.money import USD
from berth.core.catalog import store
from berth.core.catalog.model import InstanceType, Sold
from berth.core.catalog.store import Known, Listing
from berth.core.driver import (
    Abilities,
    Catalogue,
    Hardware,
    Market,
    Place,
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
UNLISTED_KEPT = 60 * MINUTE
"""How long what a marketplace no longer names is still known, to say so to whoever asks for it."""
_FORGOTTEN_AT_ONCE = 5000
_FIRST_BACKOFF_S = 15
_SOON_S = 3
"""While a provider has never said what it sells, nobody can order anything of it."""
_MOST_BACKOFF_S = 300
_MOST_DOUBLINGS = 10


_MARKET = tuple(field.name for field in fields(Market))


@dataclass(frozen=True, slots=True)
class Stock:
    """What a provider said, in the form in which it is kept: made of it without the database."""

    catalogue: Catalogue
    listings: Mapping[str, Listing]
    """By the provider's own names."""
    hardware: Mapping[str, Hardware]
    """Of each type, what all of its offers have at least."""
    places: Mapping[str, Place]
    """By code, those of offers and of storage."""
    margin_percent: int


def introduce(tx: Tx, provider: str, abilities: Abilities) -> None:
    """Makes a provider known, and what it can do, in a transaction before its first refresh.

    Refreshes take turns by the rows of all providers. Two that each wrote its own row meanwhile would not see the
    other's, and one would forget what the other boots.
    """
    store.add_provider(tx, provider)
    store.set_abilities(tx, provider, abilities)


def due_at(tx: Tx, provider: str) -> Instant:
    """When it is to be asked again."""
    return store.due_at(tx, provider)


def stock(catalogue: Catalogue, *, margin_percent: int) -> Stock:
    """What of it is sold, and for how much. Takes a while for many thousands of offers, and no transaction."""
    listings = {}
    for sold in catalogue.offers:
        offer, price = _with_spot_price(sold, margin_percent), _price(sold, margin_percent)
        if _is_sane(offer, price):
            listings[offer.provider_offer_id] = _listing(offer, price)
    places = [listing.offer.place for listing in listings.values()]
    places += [offered.place for offered in catalogue.volume_types]
    return Stock(
        catalogue,
        listings,
        _hardware(listings.values()),
        {place.code: place for place in places},
        margin_percent,
    )


def refresh(tx: Tx, provider: str, catalogue: Catalogue, *, listed_at: Instant, margin_percent: int) -> int:
    """`take_in` of what is sold of it."""
    return take_in(tx, provider, stock(catalogue, margin_percent=margin_percent), listed_at=listed_at)


def take_in(tx: Tx, provider: str, sold: Stock, *, listed_at: Instant, period_s: int = 0) -> int:
    """Replaces what `provider` sells. `listed_at` is when its answer was asked for. Returns how many offers.

    It is to be asked again in `period_s`.
    """
    store.add_provider(tx, provider)
    store.lock_providers(tx)  # all of them: locations, types and images are common
    _take_places(tx, sold.places)
    _take_types(tx, provider, sold.hardware)
    _take_images(tx, provider, sold.catalogue.images)
    _take_volume_types(tx, provider, sold.catalogue.volume_types, sold.margin_percent)
    _take_offers(tx, provider, sold.listings, listed_at)
    _take_cluster_types(tx, provider, sold.catalogue.cluster_types, sold.listings.keys())
    store.forget_offers(tx, before=Instant(tx.now - UNLISTED_KEPT), limit=_FORGOTTEN_AT_ONCE)
    store.note_refresh(tx, provider, due_at=after(tx.now, seconds=period_s))
    tx.signal("waitlist")
    tx.signal("inventory")
    return len(sold.listings)


def note_failure(tx: Tx, provider: str, failure: str, *, period_s: int = 0, retry_s: int = 0) -> Instant:
    """The provider could not be asked: what it sold last time stands. Returns when it is to be asked again.

    That is after `period_s` as ever, or, if it failed before too, later each time; in a few seconds first where
    nothing is known of what it sells yet. Never sooner than it asked for itself with `retry_s`, nor later than in five
    minutes.
    """
    store.add_provider(tx, provider)
    failures, is_known = store.note_failure(tx, provider, failure)
    doublings = min(failures - 1, _MOST_DOUBLINGS)
    wait_s = period_s
    if not is_known:
        wait_s = _SOON_S * 2**doublings
    elif failures > 1:
        wait_s = max(period_s, _FIRST_BACKOFF_S) * 2**doublings
    due = after(tx.now, seconds=min(max(wait_s, retry_s), _MOST_BACKOFF_S))
    store.put_off(tx, provider, due)
    tx.signal("inventory")
    return due


def _listing(offer: ProviderOffer, price: int) -> Listing:
    market = None
    if offer.market is not None:
        said = {name: getattr(offer.market, name) for name in _MARKET}
        market = json.dumps(said, sort_keys=True, separators=(",", ":"), default=dict)
    told = (
        offer.hardware.name,
        offer.place.code,
        price,
        offer.cost_micros_per_hour,
        offer.spot_price_micros_per_hour,
        offer.spot_cost_micros_per_hour,
        offer.is_simulated,
        market,
    )
    return Listing(offer, price, market, blake2b(repr(told).encode(), digest_size=12).hexdigest())


def _take_offers(tx: Tx, provider: str, listings: Mapping[str, Listing], listed_at: Instant) -> None:
    known = store.known_offers(tx, provider, counted_before=listed_at)
    changed = {name: listing for name, listing in listings.items() if _has_changed(known.get(name), listing)}
    vanished = [kept.id for name, kept in known.items() if kept.is_listed and name not in listings]
    store.lock_offers(tx, [*vanished, *(known[name].id for name in changed if name in known)])
    store.upsert_offers(tx, provider, changed.values(), counted_before=listed_at)
    store.unlist_offers(tx, vanished)


def _has_changed(kept: Known | None, listing: Listing) -> bool:
    """Whether writing it would make a difference."""
    if kept is None or not kept.is_listed or kept.digest != listing.digest:
        return True
    offer = listing.offer
    if kept.free_units != max(0, offer.free_units - kept.claimed):
        return True
    if kept.free_syncs < store.PROVEN_SYNCS if offer.free_units else kept.free_syncs > 0:
        return True
    if offer.spot_free_units is None or kept.spot_free_units is None:
        return offer.spot_free_units is not kept.spot_free_units
    return kept.spot_free_units != max(0, offer.spot_free_units - kept.spot_claimed)


def _take_places(tx: Tx, places: Mapping[str, Place]) -> None:
    known = {place.code: place for place in store.list_locations(tx)}
    for place in places.values():
        kept = known.get(place.code)
        if kept is None or (kept.name, kept.country_code) != (place.name, place.country_code):
            store.upsert_location(tx, place)


def _hardware(listings: Collection[Listing]) -> Mapping[str, Hardware]:
    found: dict[str, Hardware] = {}
    for listing in listings:
        hardware = listing.offer.hardware
        other = found.get(hardware.name)
        if other is None:
            found[hardware.name] = hardware
        elif other is not hardware and _sold(other) != _sold(hardware):
            found[hardware.name] = _least(hardware, [_sold(other)])
    return found


def _take_types(tx: Tx, provider: str, offered: Mapping[str, Hardware]) -> None:
    """Who sells a type alone says what it is. Of several, all are taken at their least, so that no refresh undoes
    another, and the words are those of the first by name.
    """
    known = {kind.name: kind for kind in store.list_types(tx)}
    said = store.type_sellers(tx)
    for name, hardware in offered.items():
        sold = _sold(hardware)
        sellers = said.get(name, {})
        if sellers.get(provider) != sold:
            store.upsert_type_seller(tx, name, provider, sold)
        kind = known.get(name)
        providers = frozenset({provider}) if kind is None else kind.providers | {provider}
        others = [each for other, each in sellers.items() if other in providers and other != provider]
        is_first = kind is None or provider == min(providers)
        merged = _least(hardware if kind is None or is_first else _as_described(hardware, kind), others)
        if kind != _kind(merged, providers):
            store.upsert_type(tx, merged, providers=providers)
    for name, kind in known.items():
        if provider in kind.providers and name not in offered:
            _withdraw(tx, provider, kind, said.get(name, {}))


def _withdraw(tx: Tx, provider: str, kind: InstanceType, sellers: Mapping[str, Sold]) -> None:
    """What others sell has what they say at least; what nobody sells any more stays as it was."""
    providers = kind.providers - {provider}
    store.delete_type_seller(tx, kind.name, provider)
    others = [sold for other, sold in sellers.items() if other in providers]
    if not others:
        store.set_type_providers(tx, kind.name, providers)
        return
    first = others[0]
    hardware = replace(
        _as_described(_no_hardware(kind.name), kind),
        vcpu_count=first.vcpu_count,
        ram_gb=first.ram_gb,
        storage_gb=first.storage_gb,
        boot_timeout_s=first.boot_timeout_s,
    )
    store.upsert_type(tx, _least(hardware, others), providers=providers)


def _no_hardware(name: str) -> Hardware:
    return Hardware(name, None, 0, 0, 0, 0, 0)


def _sold(hardware: Hardware) -> Sold:
    return Sold(hardware.vcpu_count, hardware.ram_gb, hardware.storage_gb, hardware.boot_timeout_s)


def _least(hardware: Hardware, others: Sequence[Sold]) -> Hardware:
    every = [_sold(hardware), *others]
    return replace(
        hardware,
        vcpu_count=min(sold.vcpu_count for sold in every),
        ram_gb=min(sold.ram_gb for sold in every),
        storage_gb=min(sold.storage_gb for sold in every),
        boot_timeout_s=max(sold.boot_timeout_s for sold in every),
    )


def _as_described(hardware: Hardware, kind: InstanceType) -> Hardware:
    """With the words and the GPU that the type has already."""
    return replace(
        hardware,
        gpu_model=kind.gpu_model,
        gpu_count=kind.gpu_count,
        gpu_vram_gb=kind.gpu_vram_gb,
        description=kind.description,
        manufacturer=kind.manufacturer,
        gpu_name=kind.gpu_name,
        p2p=kind.p2p,
        best_for=kind.best_for,
        deploy_warning=kind.deploy_warning,
    )


def _kind(hardware: Hardware, providers: frozenset[str]) -> InstanceType:
    return InstanceType(
        name=hardware.name,
        gpu_model=hardware.gpu_model,
        gpu_count=hardware.gpu_count,
        gpu_vram_gb=hardware.gpu_vram_gb,
        vcpu_count=hardware.vcpu_count,
        ram_gb=hardware.ram_gb,
        storage_gb=hardware.storage_gb,
        description=hardware.description,
        manufacturer=hardware.manufacturer,
        boot_timeout_s=hardware.boot_timeout_s,
        providers=providers,
        gpu_name=hardware.gpu_name,
        p2p=hardware.p2p,
        best_for=tuple(hardware.best_for),
        deploy_warning=hardware.deploy_warning,
    )


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

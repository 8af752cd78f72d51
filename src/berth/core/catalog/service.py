"""The verbs of the catalogue: what a customer may compare and choose."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from berth.base.clock import Instant
from berth.base.db import Tx
from berth.base.money import Micros
from berth.core.catalog import store
from berth.core.catalog.compatibility import fits, is_offered
from berth.core.catalog.lines import Lines, lines
from berth.core.catalog.model import (
    Availability,
    Image,
    ImageView,
    InstanceType,
    Location,
    Offer,
    OfferView,
    Region,
    Search,
    Sort,
    Supply,
    VolumeType,
)
from berth.core.driver import Abilities
from berth.core.errors import Invalid, NotFound
from berth.core.events import Actor

_SHOWN_IMAGES = 5


def search(tx: Tx, by: Actor, wanted: Search) -> Sequence[OfferView]:
    """Every type that matches, in order. Raises NotFound for an unknown image to match."""
    by.may("catalog:read")
    image = None if wanted.image is None else get_image(tx, by, wanted.image)
    views = _views(tx, store.list_types(tx), store.supplies(tx, location=wanted.location))
    matching = [
        view for view in views if _matches(view, wanted) and (image is None or fits(image, view.type, tx.now))
    ]
    matching.sort(key=lambda view: view.type.name)
    matching.sort(key=_ORDERS[wanted.sort], reverse=wanted.is_descending)
    return matching


def get_type(tx: Tx, by: Actor, name: str) -> InstanceType:
    """Raises NotFound."""
    by.may("catalog:read")
    found = store.find_type(tx, name)
    if found is None:
        raise NotFound("instance_type_not_found", f"Unknown instance type {name!r}.")
    return found


def get_offer(tx: Tx, by: Actor, instance_type: str, *, location: str | None = None) -> OfferView:
    """One type wherever it exists, sold out or not. Raises NotFound, also when nobody lists it any more."""
    found = get_type(tx, by, instance_type)
    views = _views(tx, [found], store.supplies(tx, instance_type=instance_type, location=location))
    if views:
        return views[0]
    if location is None:
        raise NotFound("instance_type_not_found", f"Unknown instance type {instance_type!r}.")
    return OfferView(found, [], tx.now, is_simulated=False)


def locations(tx: Tx, by: Actor) -> Sequence[Location]:
    by.may("catalog:read")
    return store.list_locations(tx)


def find_location(tx: Tx, code: str) -> Location | None:
    return store.find_location(tx, code)


def check_location(tx: Tx, code: str | None) -> None:
    """Raises Invalid where it is not one that there is."""
    if code is not None and find_location(tx, code) is None:
        raise Invalid("invalid_field", f"location: unknown location {code!r}.", field="location")


def images(tx: Tx, by: Actor, *, instance_type: str | None = None) -> Sequence[Image]:
    """Newest first; with `instance_type` exactly those that an order of it accepts. Raises NotFound for the type."""
    by.may("catalog:read")
    if instance_type is not None:
        return compatible_images(tx, get_type(tx, by, instance_type))
    return [image for image in store.list_images(tx) if is_offered(image, tx.now)]


def view_images(tx: Tx, by: Actor, images: Sequence[Image]) -> Sequence[ImageView]:
    """What each can be ordered for, and where."""
    by.may("catalog:read")
    kinds = {kind.name: kind for kind in store.list_types(tx)}
    sellers = store.sellers(tx)
    defaults = _defaults([image for image in store.list_images(tx) if is_offered(image, tx.now)])
    return [_view_image(tx, image, kinds, sellers, is_default=image.id in defaults) for image in images]


def get_image(tx: Tx, by: Actor, image: str) -> Image:
    """By id or slug. Raises NotFound."""
    by.may("catalog:read")
    found = store.find_image(tx, image)
    if found is None:
        raise NotFound("image_not_found", f"Unknown image {image!r}.")
    return found


def pick_image(tx: Tx, image: str, instance_type: InstanceType) -> Image:
    """The image for an order. Raises Invalid when it is unknown or does not fit, naming some that do."""
    found = store.find_image(tx, image)
    if found is None or not is_offered(found, tx.now):
        raise Invalid("invalid_field", f"image: unknown image {image!r}.", field="image")
    if not fits(found, instance_type, tx.now):
        raise Invalid(
            "image_incompatible",
            f"image: {found.slug} does not run on {instance_type.name}.",
            field="image",
            compatible_images=[other.slug for other in compatible_images(tx, instance_type)][:_SHOWN_IMAGES],
        )
    return found


def image_on_disk(tx: Tx, image_id: str, instance_type: InstanceType, provider: str) -> Image:
    """The image that a disk at `provider` was made from: it boots there, whoever still offers the image.

    Raises Invalid when it does not run on the type.
    """
    found = store.find_image(tx, image_id)
    if found is None:
        raise AssertionError(f"no image {image_id}, yet a disk was made from it")
    here = replace(found, providers=frozenset({provider}), removed_at=None)
    if not fits(here, instance_type, tx.now):
        raise Invalid(
            "image_incompatible",
            f"image: {found.slug}, which this volume was made from, does not run on {instance_type.name} where the "
            "volume is.",
            field="image",
            compatible_images=[],
        )
    return here


def compatible_images(tx: Tx, instance_type: InstanceType) -> Sequence[Image]:
    return [image for image in store.list_images(tx) if fits(image, instance_type, tx.now)]


def candidates(
    tx: Tx, instance_type: str, location: str, image: Image, *, is_spot: bool = False
) -> Sequence[Offer]:
    """Where an order could be placed now, cheapest first; a spot order only where spot is sold, as it sees that."""
    return store.candidates(tx, instance_type, location, image.providers, is_spot=is_spot)


def availability(
    tx: Tx, by: Actor, *, is_spot: bool = False, location: str | None = None
) -> Sequence[Availability]:
    """What an order could claim a unit of now, in every location, or in `location` alone; unknown: nowhere.

    A unit that somebody in line is owed is nobody else's, here as in a claim.
    """
    by.may("catalog:read")
    waiting = lines(tx)
    places: dict[str, list[Supply]] = {place.code: [] for place in store.list_locations(tx)}
    for supply in store.supplies(tx, location=location):
        places[supply.location].append(supply)
    return [
        Availability(place, _available(places[place.code], waiting, is_spot=is_spot))
        for place in store.list_locations(tx)
        if location in {None, place.code}
    ]


def is_available(
    tx: Tx, by: Actor, instance_type: str, *, is_spot: bool = False, location: str | None = None
) -> bool:
    """Whether `availability` names the type, anywhere or in `location`; an unknown type is nowhere."""
    found = availability(tx, by, is_spot=is_spot, location=location)
    return any(instance_type in place.types for place in found)


def abilities(tx: Tx, provider: str) -> Abilities:
    """What a provider can do, as its driver said last."""
    return store.abilities(tx, provider)


def forgotten_providers(tx: Tx, before: Instant) -> Sequence[str]:
    """Those that no process has had configured since `before`."""
    return store.forgotten_providers(tx, before)


def offers_for(tx: Tx, instance_type: str, location: str, image: Image) -> Sequence[Offer]:
    """Where an order could be placed: what is free now, or, where all is sold out, whatever is listed there."""
    free = store.candidates(tx, instance_type, location, image.providers)
    if free or store.free_units(tx, instance_type, location) > 0:
        return free
    listed = store.list_offers(tx, instance_type=instance_type)
    return [offer for offer in listed if offer.location == location and offer.provider in image.providers]


def price_at(tx: Tx, instance_type: str, location: str) -> Micros | None:
    """Per hour, the lowest of what is free there now, or else of what is listed."""
    here = store.supplies(tx, instance_type=instance_type, location=location)
    return here[0].price if here else None


def volume_types(tx: Tx, by: Actor) -> Sequence[VolumeType]:
    """What storage is sold now, by whom and where: by name, location, price."""
    by.may("catalog:read")
    return store.list_volume_types(tx)


def sold_volume_types(tx: Tx, name: str, location: str) -> Sequence[VolumeType]:
    """Who sells that storage there, cheapest first."""
    return store.volume_types_at(tx, name, location)


def pick_volume_types(tx: Tx, name: str, location: str) -> Sequence[VolumeType]:
    """As `sold_volume_types`. Raises Invalid when nobody sells it there, naming where it is sold."""
    found = store.volume_types_at(tx, name, location)
    if found:
        return found
    elsewhere = sorted({sold.location for sold in store.list_volume_types(tx) if sold.name == name})
    if not elsewhere:
        raise Invalid("invalid_field", f"type: unknown volume type {name!r}.", field="type")
    raise Invalid(
        "invalid_field", f"type: {name} is not offered in {location}.", field="type", locations=elsewhere
    )


def known_offer(tx: Tx, offer_id: str) -> Offer:
    """One that something was ordered from: such offers are unlisted, never deleted."""
    offer = store.find_offer(tx, offer_id)
    if offer is None:
        raise AssertionError(f"no offer {offer_id}, yet an instance was placed at it")
    return offer


def _view_image(
    tx: Tx,
    image: Image,
    kinds: Mapping[str, InstanceType],
    sellers: Sequence[tuple[str, str, str]],
    *,
    is_default: bool,
) -> ImageView:
    usable = {kind.name for kind in kinds.values() if kind.providers and fits(image, kind, tx.now)}
    here = {
        location for kind, provider, location in sellers if kind in usable and provider in image.providers
    }
    return ImageView(image, sorted(usable), sorted(here), is_default=is_default)


def _defaults(images: Sequence[Image]) -> set[str]:
    """The ids of the defaults: where several providers name one for the same purpose, the oldest."""
    oldest_last = sorted(images, key=lambda image: (image.created_at, image.id), reverse=True)
    return set(
        {(image.category, image.is_cluster): image.id for image in oldest_last if image.is_default}.values()
    )


def _available(supplies: Sequence[Supply], waiting: Lines, *, is_spot: bool) -> Sequence[str]:
    spare = {
        supply.instance_type
        for supply in supplies
        if supply.free_units
        > (line := waiting.at(supply.instance_type, supply.location)).owed + line.reserved
    }
    if not is_spot:
        return sorted(spare)
    apart = {supply.instance_type for supply in supplies if supply.has_spot_apart}
    shared = {supply.instance_type for supply in supplies if supply.shares_spot}
    return sorted(apart | (shared & spare))


def _views(tx: Tx, types: Sequence[InstanceType], supplies: Sequence[Supply]) -> list[OfferView]:
    places = {place.code: place for place in store.list_locations(tx)}
    waiting = lines(tx, instance_type=types[0].name if len(types) == 1 else None)
    by_type: dict[str, list[Supply]] = {}
    for supply in supplies:
        by_type.setdefault(supply.instance_type, []).append(supply)
    return [
        OfferView(
            kind,
            [_region(supply, places, waiting) for supply in by_type[kind.name]],
            max(supply.observed_at for supply in by_type[kind.name]),
            is_simulated=all(supply.is_simulated for supply in by_type[kind.name]),
        )
        for kind in types
        if kind.name in by_type
    ]


def _region(supply: Supply, places: Mapping[str, Location], waiting: Lines) -> Region:
    """What all providers have there, at the price an order would get.

    The units are those that a claim would find: what is owed to those who wait is nobody else's.
    """
    line = waiting.at(supply.instance_type, supply.location)
    units = supply.free_units - line.owed - line.reserved
    return Region(
        places[supply.location],
        max(0, units),
        supply.price,
        supply.spot_price,
        waitlist_length=line.length,
    )


def _matches(view: OfferView, wanted: Search) -> bool:
    kind = view.type
    return (
        (view.available != [] or not wanted.available_only)
        and (wanted.gpu_model is None or (kind.gpu_model or "").casefold() == wanted.gpu_model.casefold())
        and (wanted.max_price is None or view.price <= wanted.max_price)
        and (wanted.min_vram_gb is None or kind.total_vram_gb >= wanted.min_vram_gb)
        and (wanted.min_gpu_count is None or kind.gpu_count >= wanted.min_gpu_count)
        and (wanted.gpu_count is None or kind.gpu_count == wanted.gpu_count)
        and (wanted.has_spot is None or (view.spot_price is not None) == wanted.has_spot)
    )


_ORDERS: dict[Sort, Callable[[OfferView], tuple[str | int, ...]]] = {
    Sort.PRICE: lambda view: (view.price,),
    Sort.VRAM: lambda view: (view.type.total_vram_gb,),
    Sort.GPU_COUNT: lambda view: (view.type.gpu_count,),
    Sort.GPU_MODEL: lambda view: ((view.type.gpu_model or "").casefold(),),
}

"""The catalogue: translate, one verb, translate."""

from collections.abc import Sequence

from berth.base import paging
from berth.base.clock import Instant
from berth.base.db import Tx
from berth.base.paging import After
from berth.core import catalog
from berth.core.catalog import ImageView, OfferView, Search
from berth.core.errors import NotFound
from berth.faces.face import Call
from berth.faces.huddle import words
from berth.faces.huddle.catalogue import translate, wire
from berth.faces.huddle.envelope import Paged
from berth.faces.huddle.words import IMAGE

_EVERYTHING = Search(available_only=False)


def list_offers(tx: Tx, call: Call) -> Paged:
    query: wire.OffersQuery = call.query
    catalog.check_location(tx, query.location)
    wanted = translate.search(query)
    views = catalog.search(tx, call.by, wanted)
    listing = f"offers {wanted}"
    start = (query.page - 1) * query.limit
    if query.cursor is not None:
        start = _start(views, words.after(query.cursor, listing))
    page = views[start : start + query.limit]
    has_more = start + query.limit < len(views)
    last = After(start + len(page), page[-1].type.name) if has_more else None
    return Paged(
        _shown(tx, call, page),
        total=len(views),
        cursor=None if last is None else paging.encode(last, listing),
        has_more=has_more,
        limit=query.limit,
        number=query.page,
        is_nestable=True,
        nest=translate.with_whole_regions,
    )


def _start(views: Sequence[OfferView], last: After | None) -> int:
    """Behind the last offer seen; where that is gone, as many offers in as were seen."""
    assert last is not None
    names = [view.type.name for view in views]
    return names.index(last.id) + 1 if last.id in names else min(max(last.time, 0), len(views))


def summarize_offers(tx: Tx, call: Call) -> wire.Summary:
    return translate.summary(catalog.search(tx, call.by, _EVERYTHING))


def get_offer(tx: Tx, call: Call) -> wire.Offer:
    name = words.name_in_path(call.parameters["instance_type"], "Instance type")
    view = catalog.get_offer(tx, call.by, name.removeprefix(words.OFFER))
    return _shown(tx, call, [view])[0]


def _shown(tx: Tx, call: Call, views: Sequence[OfferView]) -> list[wire.Offer]:
    images = catalog.images(tx, call.by)
    most_units = call.context.policy.free_units_shown
    return [
        translate.offer(
            view,
            [image.slug for image in images if catalog.fits(image, view.type, tx.now)],
            most_units=most_units,
        )
        for view in views
    ]


def get_availability(tx: Tx, call: Call) -> wire.Availability:
    query: wire.AvailabilityQuery = call.query
    name = words.name_in_path(call.parameters["cluster_type"], "Cluster type")
    catalog.check_location(tx, query.location)
    return translate.availability(catalog.get_offer(tx, call.by, name, location=query.location))


def list_regions(tx: Tx, call: Call) -> list[wire.Region]:
    query: wire.RegionsQuery = call.query
    if query.cluster_type is not None:
        catalog.get_type(tx, call.by, query.cluster_type)
    regions = translate.regions(
        catalog.locations(tx, call.by),
        catalog.search(tx, call.by, _EVERYTHING),
        catalog.volume_types(tx, call.by),
        gpu_model=query.gpu_model,
        cluster_type=query.cluster_type,
    )
    return [region for region in regions if region.is_active or not query.active_only]


def get_region(tx: Tx, call: Call) -> wire.Region:
    code = words.name_in_path(call.parameters["code"], "Region")
    regions = translate.regions(
        catalog.locations(tx, call.by),
        catalog.search(tx, call.by, _EVERYTHING),
        catalog.volume_types(tx, call.by),
    )
    found = next((region for region in regions if region.code == code), None)
    if found is None:
        raise NotFound("region_not_found", "Region not found.")
    return found


def list_images(tx: Tx, call: Call) -> Paged:
    query: wire.ImagesQuery = call.query
    catalog.check_location(tx, query.location)
    listing = (
        f"images {query.cluster_type} {query.image_type} {query.category} {query.location}"
        f" {query.include_deprecated}"
    )
    last = words.after(query.cursor, listing)
    found = catalog.images(tx, call.by, instance_type=query.cluster_type)
    matching = [
        view
        for view in catalog.view_images(tx, call.by, found)
        if query.image_type in {None, view.image.slug}
        and query.category in {None, view.image.category}
        and (query.location is None or query.location in view.locations)
        and (query.include_deprecated or view.image.deprecated_at is None)
    ]
    rest = [view for view in matching if last is None or _place(view) < (last.time, last.id)]
    page = rest[: query.limit]
    has_more = len(rest) > query.limit
    return Paged(
        [translate.image(view) for view in page],
        total=len(matching),
        cursor=paging.encode(After(*_place(page[-1])), listing) if has_more else None,
        has_more=has_more,
        limit=query.limit,
        is_nestable=True,
    )


def get_image(tx: Tx, call: Call) -> wire.Image:
    name = words.name_in_path(call.parameters["id"], "Image")
    found = catalog.get_image(tx, call.by, name.removeprefix(IMAGE))
    return translate.image(catalog.view_images(tx, call.by, [found])[0])


def _place(view: ImageView) -> tuple[Instant, str]:
    """Where an image stands in the list."""
    return view.image.created_at, view.image.id

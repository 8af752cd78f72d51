"""The catalogue: translate, one verb, translate."""

from collections.abc import Sequence

from berth.base.db import Tx
from berth.core import billing, catalog
from berth.core.catalog import OfferView, Search
from berth.core.errors import NotFound
from berth.faces.face import Call
from berth.faces.verda import words
from berth.faces.verda.catalogue import translate, wire
from berth.faces.verda.wire import Currency

_EVERYTHING = Search(available_only=False)


def get_balance(tx: Tx, call: Call) -> wire.Balance:
    account = billing.balance(tx, call.by.project, call.context.rules)
    return wire.Balance(amount=words.price(account.effective))


def list_locations(tx: Tx, call: Call) -> list[wire.Location]:
    return [
        wire.Location(code=place.code, name=place.name, country_code=place.country_code)
        for place in catalog.locations(tx, call.by)
    ]


def list_instance_types(tx: Tx, call: Call) -> list[wire.InstanceType]:
    query: wire.CurrencyQuery = call.query
    return _shown(tx, call, catalog.search(tx, call.by, _EVERYTHING), query.currency)


def get_instance_type(tx: Tx, call: Call) -> wire.InstanceType:
    query: wire.CurrencyQuery = call.query
    view = catalog.get_offer(tx, call.by, call.parameters["instance_type"])
    return _shown(tx, call, [view], query.currency)[0]


def show_price_history(_tx: Tx, _call: Call) -> wire.PriceHistory:
    return wire.PriceHistory()


def list_images(tx: Tx, call: Call) -> list[wire.Image]:
    query: wire.ImagesQuery = call.query
    try:
        found = catalog.images(tx, call.by, instance_type=query.instance_type)
    except NotFound:
        raise _no_type() from None
    return [translate.image(image) for image in found if not image.is_cluster]


def list_cluster_images(tx: Tx, call: Call) -> list[wire.Image]:
    query: wire.ImagesQuery = call.query
    try:
        found = catalog.cluster_images(tx, call.by, cluster_type=query.instance_type)
    except NotFound:
        raise _no_type() from None
    return [translate.image(image) for image in found]


def list_volume_types(tx: Tx, call: Call) -> list[wire.VolumeType]:
    return translate.volume_types(catalog.volume_types(tx, call.by))


def list_container_types(tx: Tx, call: Call) -> list[wire.ContainerType]:
    query: wire.CurrencyQuery = call.query
    return [
        translate.container_type(view, query.currency, call.context.policy.eur_per_usd_micros)
        for view in catalog.search(tx, call.by, _EVERYTHING)
        if view.type.gpu_count
    ]


def list_availability(tx: Tx, call: Call) -> list[wire.Availability]:
    query: wire.AvailabilityQuery = call.query
    found = catalog.availability(tx, call.by, is_spot=_is_spot(query), location=query.location_code)
    if not found and query.location_code is not None:
        return [wire.Availability(location_code=query.location_code, availabilities=[])]
    return [
        wire.Availability(location_code=each.location.code, availabilities=list(each.types)) for each in found
    ]


def is_available(tx: Tx, call: Call) -> bool:
    query: wire.AvailabilityQuery = call.query
    name = call.parameters["instance_type"]
    return catalog.is_available(tx, call.by, name, is_spot=_is_spot(query), location=query.location_code)


def list_periods(_tx: Tx, call: Call) -> list[wire.Period]:
    return [translate.period(period) for period in call.context.rules.periods]


def list_cluster_periods(_tx: Tx, call: Call) -> list[wire.Period]:
    return [translate.period(period) for period in call.context.rules.cluster_periods]


def _is_spot(query: wire.AvailabilityQuery) -> bool:
    return bool(query.is_spot) or bool(query.isSpot)


def _shown(tx: Tx, call: Call, views: Sequence[OfferView], currency: Currency) -> list[wire.InstanceType]:
    images = [image for image in catalog.images(tx, call.by) if not image.is_cluster]
    return [
        translate.instance_type(
            view,
            [image.slug for image in images if catalog.fits(image, view.type, tx.now)],
            currency,
            call.context.policy.eur_per_usd_micros,
        )
        for view in views
    ]


def _no_type() -> NotFound:
    return NotFound("instance_type_not_found", "Instance type not found")

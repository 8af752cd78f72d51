"""The catalogue: core's values in the retail API's words, and back."""

import math
from collections.abc import Sequence
from decimal import ROUND_HALF_UP, Context, Decimal

import msgspec

from berth.base import money
from berth.base.clock import rfc3339
from berth.base.money import MAX_MICROS, Micros
from berth.core.catalog import ImageView, Location, OfferView, Region, Search, Sort, VolumeType
from berth.core.errors import Invalid
from berth.faces.huddle import words
from berth.faces.huddle.catalogue import wire

_HOUR_S = 3600


_SHOWN_DIGITS = Context(prec=3, rounding=ROUND_HALF_UP)


_LARGEST = Decimal(10**9)
_SIMULATED = "This type is simulated: deployments of it get none of its hardware."


def search(query: wire.OffersQuery) -> Search:
    """Raises Invalid."""
    vram = None if query.min_vram is None else math.ceil(_sane(query.min_vram, "min_vram"))
    max_price = _micros(query.max_price, "max_price")
    return Search(
        gpu_model=query.gpu_model,
        available_only=query.available_only,
        max_price=None if max_price is None else min(max_price, Micros(MAX_MICROS)),
        min_vram_gb=vram,
        min_gpu_count=query.min_gpu_count,
        gpu_count=query.gpu_count,
        location=query.location,
        has_spot=query.spot,
        image=None if query.image is None else query.image.removeprefix(words.IMAGE),
        sort=Sort(query.sort_by),
        is_descending=query.sort_order == "desc",
    )


def offer(view: OfferView, images: Sequence[str], *, most_units: int | None) -> wire.Offer:
    """`images` are the slugs of those that boot on it; of free units no more than `most_units` are told."""
    kind, spot = view.type, view.spot_price
    available = [region.location.code for region in view.available]
    return wire.Offer(
        id=words.OFFER + kind.name,
        gpu_model=kind.gpu_model,
        instance_type=kind.name,
        cluster_type=kind.name,
        gpu_count=kind.gpu_count,
        gpu_vram_gb=kind.gpu_vram_gb,
        total_vram_gb=kind.total_vram_gb,
        vcpu_count=kind.vcpu_count,
        ram_gb=kind.ram_gb,
        storage_gb=kind.storage_gb,
        price_per_hr=money.usd(view.price),
        price_per_sec=per_second(view.price),
        spot_price_per_hr=None if spot is None else money.usd(spot),
        spot_price_per_sec=None if spot is None else per_second(spot),
        is_available=bool(available),
        regions=available,
        region_details=[offer_region(region, most_units) for region in view.regions],
        region_availability={region.location.code: region.free_units > 0 for region in view.regions},
        supported_images=sorted(images),
        deploy_warning=_SIMULATED if view.is_simulated else None,
        observed_at=rfc3339(view.observed_at),
        is_simulated=view.is_simulated,
    )


def with_whole_regions(shown: wire.Offer) -> wire.Offer:
    """An offer as the nested mount has it: its regions are objects."""
    return msgspec.structs.replace(
        shown, regions=[region for region in shown.region_details if region.is_available]
    )


def offer_region(region: Region, most_units: int | None) -> wire.OfferRegion:
    free_units = region.free_units
    return wire.OfferRegion(
        code=region.location.code,
        name=region.location.name,
        country_code=region.location.country_code,
        is_available=region.free_units > 0,
        free_units=free_units if most_units is None else min(free_units, most_units),
        price_per_hr=money.usd(region.price),
        waitlist_length=region.waitlist_length,
    )


def summary(views: Sequence[OfferView]) -> wire.Summary:
    """One line for each GPU model; prices are of what can be had now, or, all sold out, of what exists."""
    by_model: dict[str | None, list[OfferView]] = {}
    for view in views:
        by_model.setdefault(view.type.gpu_model, []).append(view)
    available = [view for view in views if view.available]
    lowest = min((view.price for view in available or views), default=None)
    return wire.Summary(
        total_types=len(views),
        available_types=len(available),
        min_price_per_hr=None if lowest is None else money.usd(lowest),
        updated_at=words.optional_time(max((view.observed_at for view in views), default=None)),
        models=[_model(model, by_model[model]) for model in sorted(by_model, key=lambda model: model or "")],
    )


def _model(model: str | None, views: Sequence[OfferView]) -> wire.ModelSummary:
    available = [view for view in views if view.available]
    prices = [view.price for view in available or views]
    spot = [view.spot_price for view in available or views if view.spot_price is not None]
    return wire.ModelSummary(
        gpu_model=model,
        types=len(views),
        available_types=len(available),
        min_price_per_hr=money.usd(min(prices)),
        max_price_per_hr=money.usd(max(prices)),
        min_spot_price_per_hr=money.usd(min(spot)) if spot else None,
        regions=sorted({region.location.code for view in available for region in view.available}),
        max_gpu_count=max(view.type.gpu_count for view in views),
    )


def availability(view: OfferView) -> wire.Availability:
    available = [region.location.code for region in view.available]
    return wire.Availability(
        cluster_type=view.type.name,
        is_available=bool(available),
        regions=available,
        observed_at=rfc3339(view.observed_at),
    )


def regions(
    places: Sequence[Location],
    views: Sequence[OfferView],
    storage: Sequence[VolumeType],
    *,
    gpu_model: str | None = None,
    cluster_type: str | None = None,
) -> list[wire.Region]:
    """Every place, or those where `gpu_model` or `cluster_type` exists, sold out or not."""
    found = []
    for place in places:
        here = [
            (view.type, region)
            for view in views
            for region in view.regions
            if region.location.code == place.code
        ]
        models = sorted({kind.gpu_model for kind, _ in here if kind.gpu_model is not None})
        if gpu_model is not None and gpu_model.casefold() not in [model.casefold() for model in models]:
            continue
        if cluster_type is not None and cluster_type not in [kind.name for kind, _ in here]:
            continue
        kept = [sold for sold in storage if sold.location == place.code]
        is_active = bool(here or kept)
        found.append(
            wire.Region(
                code=place.code,
                name=place.name,
                country_code=place.country_code,
                is_active=is_active,
                status="operational" if is_active else "offline",
                gpu_models=models,
                volume_types=sorted({sold.name for sold in kept}),
                available_types=[kind.name for kind, region in here if region.free_units > 0],
                shared_fs=any(sold.is_shared for sold in kept),
            )
        )
    return found


def image(view: ImageView) -> wire.Image:
    found = view.image
    return wire.Image(
        id=words.IMAGE + found.id,
        image_type=found.slug,
        name=found.name,
        category=found.category,
        details=list(found.details),
        is_default=view.is_default,
        is_cluster=found.is_cluster,
        os_name=found.os_name,
        os_version=found.os_version,
        cuda_version=found.cuda_version,
        driver_version=found.driver_version,
        has_docker=found.has_docker,
        ssh_user=found.ssh_user,
        min_os_volume_gb=found.min_os_volume_gb,
        size_gb=found.size_gb,
        arch=found.arch,
        compatible=wire.Compatible(
            cluster_types=list(view.types),
            gpu_models=None if found.gpu_models is None else sorted(found.gpu_models),
            min_driver=found.min_driver,
        ),
        locations=list(view.locations),
        deprecated_at=words.optional_time(found.deprecated_at),
        removed_at=words.optional_time(found.removed_at),
        created_at=rfc3339(found.created_at),
    )


def per_second(micros_per_hour: int) -> Decimal:
    """For display, to three digits; bills are worked out from the price per hour."""
    return _SHOWN_DIGITS.divide(Decimal(micros_per_hour), Decimal(money.USD * _HOUR_S))


def _micros(dollars: Decimal | None, member: str) -> Micros | None:
    """Whole micros not above `dollars`. Raises Invalid."""
    if dollars is None:
        return None
    return Micros(math.floor(_sane(dollars, member) * money.USD))


def _sane(number: Decimal, member: str) -> Decimal:
    if not number.is_finite() or not 0 <= number <= _LARGEST:
        raise Invalid("invalid_field", f"{member} must be a number from 0 to {_LARGEST}.", field=member)
    return number

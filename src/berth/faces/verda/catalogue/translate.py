"""The catalogue: core's values in this API's words."""

from collections.abc import Sequence
from decimal import ROUND_HALF_UP, Context, Decimal

from berth.base import money
from berth.core.billing import Period
from berth.core.catalog import Image, InstanceType, OfferView, VolumeType
from berth.faces.verda import hardware, words
from berth.faces.verda.catalogue import wire
from berth.faces.verda.wire import Currency

_MONTH_S = 730 * 3600
_SHOWN_DIGITS = Context(prec=14, rounding=ROUND_HALF_UP)
_NO_GPU = "CPU Node"


def in_currency(micros: int, currency: Currency, eur_per_usd_micros: int) -> int:
    """Micro-dollars, or as many micro-euros as they are shown as, rounded half up."""
    if currency == "usd":
        return micros
    return (micros * eur_per_usd_micros * 2 + money.USD) // (2 * money.USD)


def instance_type(
    view: OfferView, slugs: Sequence[str], currency: Currency, eur_per_usd_micros: int
) -> wire.InstanceType:
    kind = view.type
    spot = view.price if view.spot_price is None else view.spot_price
    price = words.price_text(in_currency(view.price, currency, eur_per_usd_micros))
    spot_price = words.price_text(in_currency(spot, currency, eur_per_usd_micros))
    gpu_name = gpu_name_of(kind)
    return wire.InstanceType(
        best_for=list(kind.best_for),
        cpu=hardware.cpu(kind.vcpu_count),
        deploy_warning=kind.deploy_warning,
        description=kind.description,
        gpu=hardware.gpu(kind.gpu_count, gpu_name),
        gpu_memory=hardware.gpu_memory(kind.total_vram_gb),
        id=words.named("instance-type", kind.name),
        instance_type=kind.name,
        memory=hardware.memory(kind.ram_gb),
        model=kind.gpu_model or _NO_GPU,
        name=gpu_name or kind.description,
        p2p=kind.p2p,
        price_per_hour=price,
        spot_price=spot_price,
        dynamic_price=price,
        max_dynamic_price=price,
        serverless_price=price,
        serverless_spot_price=spot_price,
        storage=hardware.storage(),
        currency=currency,
        manufacturer=kind.manufacturer,
        display_name=f"{kind.manufacturer} {gpu_name}" if gpu_name else None,
        supported_os=list(slugs),
    )


def container_type(view: OfferView, currency: Currency, eur_per_usd_micros: int) -> wire.ContainerType:
    whole = instance_type(view, (), currency, eur_per_usd_micros)
    return wire.ContainerType(
        id=words.named("container-type", whole.instance_type),
        model=whole.model,
        name=whole.name,
        instance_type=whole.instance_type,
        cpu=whole.cpu,
        gpu=whole.gpu,
        gpu_memory=whole.gpu_memory,
        memory=whole.memory,
        serverless_price=whole.serverless_price,
        serverless_spot_price=whole.serverless_spot_price,
        currency=currency,
        manufacturer=whole.manufacturer,
    )


def gpu_name_of(kind: InstanceType) -> str:
    """One GPU as price trackers write it; empty where it has none."""
    if kind.gpu_model is None:
        return ""
    return kind.gpu_name or f"{kind.gpu_model} {kind.gpu_vram_gb}GB"


def image(found: Image) -> wire.Image:
    return wire.Image(
        id=words.shown(found.id),
        image_type=found.slug,
        name=found.name,
        is_default=found.is_default,
        is_cluster=found.is_cluster,
        details=list(found.details),
        category=found.category,
    )


def volume_types(sold: Sequence[VolumeType]) -> list[wire.VolumeType]:
    """One entry for each type: the lowest price anywhere."""
    cheapest: dict[str, VolumeType] = {}
    for each in sold:
        known = cheapest.get(each.name)
        if known is None or each.price_micros_per_gb_month < known.price_micros_per_gb_month:
            cheapest[each.name] = each
    return [_volume_type(cheapest[name]) for name in sorted(cheapest)]


def _volume_type(sold: VolumeType) -> wire.VolumeType:
    monthly = sold.price_micros_per_gb_month
    return wire.VolumeType(
        type=sold.name,
        price=wire.VolumePrice(
            price_per_month_per_gb=money.usd(monthly),
            cps_per_gb=_SHOWN_DIGITS.divide(Decimal(monthly), Decimal(money.USD * _MONTH_S)),
        ),
        is_shared_fs=sold.is_shared,
        burst_bandwidth=sold.burst_bandwidth_mb_s,
        continuous_bandwidth=sold.continuous_bandwidth_mb_s,
        internal_network_speed=sold.internal_network_speed_mb_s,
        iops=sold.iops,
        throughput_gbps=sold.throughput_gbps,
    )


def period(sold: Period) -> wire.Period:
    return wire.Period(
        code=sold.code,
        name=sold.name,
        is_enabled=sold.is_enabled,
        unit_name=sold.unit.value,
        unit_value=sold.unit_value,
        discount_percentage=sold.discount_percentage,
    )

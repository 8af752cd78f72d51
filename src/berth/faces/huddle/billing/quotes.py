"""Estimates: core's values in the retail API's words, and back."""

from decimal import ROUND_CEILING, ROUND_HALF_UP, Decimal

import msgspec

from berth.base import money
from berth.core import billing
from berth.core.errors import Invalid
from berth.core.reports import Estimate, Wanted
from berth.faces.huddle.billing import wire

_LONGEST_S = 366 * 86_400
_SHOWN = Decimal("1e-12")


def wanted(request: wire.EstimateRequest) -> Wanted:
    """Raises Invalid."""
    volumes = [(volume.type, volume.size) for volume in request.volumes or ()]
    return Wanted(request.cluster_type, request.location, _seconds(request), volumes)


def _seconds(request: wire.EstimateRequest) -> int:
    given = [
        (name, unit_s, value)
        for name, unit_s, value in (("hours", 3600, request.hours), ("minutes", 60, request.minutes))
        if value is not None
    ]
    if len(given) != 1:
        raise Invalid("invalid_field", "Give either hours or minutes.", field="hours")
    name, unit_s, value = given[0]
    if not value.is_finite() or not 0 < value <= Decimal(_LONGEST_S) / unit_s:
        raise Invalid(
            "invalid_field", f"{name} must be more than 0 and at most {_LONGEST_S // unit_s}.", field=name
        )
    return int((value * unit_s).to_integral_value(ROUND_CEILING))


def shown(request: wire.EstimateRequest, made: Estimate) -> wire.Estimate:
    monthly = made.micros_per_month_of_storage
    per_second = Decimal(made.price_micros_per_hour) / 3600 + Decimal(monthly) / billing.MONTH_S
    return wire.Estimate(
        cluster_type=made.instance_type,
        location=made.location,
        seconds=made.seconds,
        per_hr=money.usd(made.price_micros_per_hour + billing.hourly(monthly)),
        per_sec=(per_second / money.USD).quantize(_SHOWN, ROUND_HALF_UP).normalize(),
        minimum_usd=money.usd(made.minimum),
        total_micros=made.total,
        total_usd=money.usd(made.total),
        runway_seconds_with_current_balance=made.runway_s,
        breakdown=_lines(request, made),
    )


def _lines(request: wire.EstimateRequest, made: Estimate) -> list[wire.EstimateLine]:
    compute = wire.EstimateLine(
        kind="compute",
        name=made.instance_type,
        per_hr=money.usd(made.price_micros_per_hour),
        total_micros=made.compute,
        total_usd=money.usd(made.compute),
        minimum_applied=made.seconds < billing.MINIMUM_S,
    )
    boot = request.os_volume or wire.EstimateOsVolume()
    disk = wire.EstimateLine(
        kind="os_volume",
        name=boot.name or "boot",
        size=msgspec.UNSET if boot.size is None else boot.size,
        per_hr=Decimal(0),
        total_micros=0,
        total_usd=Decimal(0),
        included=True,
    )
    volumes = [
        wire.EstimateLine(
            kind="volume",
            name=volume.type,
            size=volume.size_gb,
            per_hr=money.usd(billing.hourly(volume.micros_per_month)),
            total_micros=volume.total,
            total_usd=money.usd(volume.total),
        )
        for volume in made.volumes
    ]
    return [compute, disk, *volumes]

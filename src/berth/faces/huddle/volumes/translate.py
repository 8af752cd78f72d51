"""Volumes and volume types: core's values in the retail API's words, and back."""

from collections.abc import Sequence
from decimal import ROUND_HALF_UP, Context, Decimal

from berth.base import money
from berth.base.clock import rfc3339
from berth.core import volumes
from berth.core.catalog import VolumeType
from berth.core.errors import Invalid
from berth.core.volumes import Fate, Filter, NewVolume, Status, Volume
from berth.faces.huddle.volumes import wire
from berth.faces.huddle.words import DEPLOYMENT, VOLUME, optional_time

MONTH_HOURS = 730
_HOUR_S = 3600
_STATUSES = {Status.CLONING: "ordered"}
"""What core tells apart and this API does not."""
_SHOWN_DIGITS = Context(prec=14, rounding=ROUND_HALF_UP)


def new_volume(request: wire.VolumeRequest) -> NewVolume:
    return NewVolume(request.name, request.size, request.type, Fate(request.on_deployment_delete))


def hosts(request: wire.VolumeRequest) -> list[str]:
    """The core ids of the deployments it is to be attached to, each once."""
    named = [request.instance_id, request.deployment_id, *(request.instance_ids or [])]
    return list(dict.fromkeys(each.removeprefix(DEPLOYMENT) for each in named if each is not None))


def host(request: wire.VolumeActionRequest) -> str | None:
    """The core id of the deployment that an action names by either of its names. Raises Invalid for two."""
    named = {
        each.removeprefix(DEPLOYMENT)
        for each in (request.deployment_id, request.instance_id)
        if each is not None
    }
    if len(named) > 1:
        raise Invalid(
            "invalid_field",
            "deployment_id and instance_id name different deployments; send one.",
            field="deployment_id",
        )
    return named.pop() if named else None


def filter_of(query: wire.VolumesQuery) -> Filter:
    return Filter(
        statuses=None if query.status is None else _statuses(query.status),
        location=query.location,
        type=query.type,
        is_attached=query.attached,
        instance_id=None if query.deployment_id is None else query.deployment_id.removeprefix(DEPLOYMENT),
    )


def _statuses(word: str) -> frozenset[Status]:
    return frozenset(status for status in Status if _STATUSES.get(status, status.value) == word)


def volume(made: Volume) -> wire.Volume:
    pending = volumes.pending(made)
    hosts_of = [DEPLOYMENT + instance_id for instance_id in made.instance_ids]
    first = hosts_of[0] if hosts_of else None
    return wire.Volume(
        id=VOLUME + made.id,
        name=made.name,
        size=made.size_gb,
        type=made.type,
        location=made.location,
        status=_STATUSES.get(made.status, made.status.value),  # type: ignore[arg-type]
        pending_action=None if pending is None else pending.value,  # type: ignore[arg-type]
        status_reason=made.status_reason,
        is_os_volume=made.is_os_volume,
        instance_id=first,
        instance_ids=hosts_of,
        deployment_id=first,
        hourly_cost=hourly(made.price_micros_per_month),
        monthly_price=money.usd(made.price_micros_per_month),
        mount=_mount(made),
        on_deployment_delete=made.fate.value,
        actions=[action.value for action in volumes.allowed(made)],
        deleted_at=optional_time(made.deleted_at),
        purge_at=optional_time(made.purge_at),
        is_permanently_deleted=made.is_permanently_deleted,
        created_at=rfc3339(made.created_at),
        updated_at=rfc3339(made.updated_at),
    )


def volume_types(sold: Sequence[VolumeType]) -> list[wire.VolumeType]:
    """One entry for each type: the lowest price anywhere, and where it can be had."""
    by_name: dict[str, list[VolumeType]] = {}
    for each in sold:
        by_name.setdefault(each.name, []).append(each)
    return [_volume_type(by_name[name]) for name in sorted(by_name)]


def hourly(micros_per_month: int) -> Decimal:
    """For display, to the micro-dollar; bills are worked out from the price of the month."""
    return money.usd((micros_per_month * 2 + MONTH_HOURS) // (2 * MONTH_HOURS))


def _mount(made: Volume) -> wire.Mount | None:
    if made.is_os_volume:
        return None
    path = made.attachments[0].path if made.attachments else f"/mnt/{made.name}"
    # Which device it is differs between providers, and the path does not.
    return wire.Mount(device=None, path=path, fstab=None)


def _volume_type(sold: Sequence[VolumeType]) -> wire.VolumeType:
    cheapest = min(sold, key=lambda each: each.price_micros_per_gb_month)
    monthly = cheapest.price_micros_per_gb_month
    return wire.VolumeType(
        type=cheapest.name,
        price=wire.VolumePrice(
            price_per_month_per_gb=money.usd(monthly),
            cps_per_gb=_SHOWN_DIGITS.divide(Decimal(monthly), Decimal(money.USD * MONTH_HOURS * _HOUR_S)),
        ),
        is_shared_fs=cheapest.is_shared,
        burst_bandwidth=cheapest.burst_bandwidth_mb_s,
        continuous_bandwidth=cheapest.continuous_bandwidth_mb_s,
        internal_network_speed=cheapest.internal_network_speed_mb_s,
        iops=cheapest.iops,
        throughput_gbps=cheapest.throughput_gbps,
        min_size_gb=min(each.min_size_gb for each in sold),
        max_size_gb=max(each.max_size_gb for each in sold),
        locations=sorted({each.location for each in sold}),
        attachable_hot=all(each.attaches_live for each in sold),
        max_attachments=cheapest.max_attachments if cheapest.is_shared else 1,
    )

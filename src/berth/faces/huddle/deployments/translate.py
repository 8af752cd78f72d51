"""Deployments: core's values in the retail API's words, and back."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Literal

import msgspec
from msgspec import UNSET, UnsetType

from berth.base import money
from berth.base.clock import Instant, parse_rfc3339, rfc3339
from berth.base.money import Micros
from berth.core import instances, volumes
from berth.core.billing import Bill
from berth.core.driver import Abilities
from berth.core.errors import Invalid
from berth.core.events import Event
from berth.core.instances import AutoDelete, Instance, OrderSpec, Reservation, Version
from berth.core.volumes import NewVolume, Volume
from berth.faces.huddle.deployments import wire
from berth.faces.huddle.volumes.translate import hourly
from berth.faces.huddle.words import DEPLOYMENT, EVENT, IMAGE, SSH_KEY, VOLUME, optional_time

_LISTED_LIMIT = 50_000
"""About 1 KB each."""


_listed: dict[Version, msgspec.Raw] = {}


_encoder = msgspec.json.Encoder(decimal_format="number")


def order(request: wire.DeployRequest) -> OrderSpec:
    volume = request.os_volume or wire.OsVolumeRequest()
    return OrderSpec(
        instance_type=request.cluster_type,
        image=request.image.removeprefix(IMAGE),
        hostname=request.hostname,
        ssh_key_ids=[key_id.removeprefix(SSH_KEY) for key_id in request.ssh_key_ids],
        location=request.location,
        description=request.description or "",
        os_volume_name=volume.name,
        os_volume_gb=volume.size,
        auto_delete=None if request.auto_delete is None else auto_delete(request.auto_delete, "auto_delete."),
        volumes=[
            NewVolume(each.name, each.size, each.type, volumes.Fate(each.on_deployment_delete))
            for each in request.volumes or ()
        ],
        existing_volumes=[each.removeprefix(VOLUME) for each in request.existing_volumes or ()],
    )


def doomed(
    request: wire.ActionRequest | wire.DeleteDeploymentRequest, listed: str | None = None
) -> Sequence[str] | None:
    """The core ids of the volumes that are to be deleted with a deployment, `listed` in the query or in the body.

    None: all of them.
    """
    in_body = request.delete_volumes or ()
    if "all" in (listed, in_body):
        return None
    in_query = () if listed is None else [each.strip() for each in listed.split(",")]
    return [each.removeprefix(VOLUME) for each in (*in_query, *in_body) if each]


def kept(volume: Volume) -> wire.KeptVolume:
    return wire.KeptVolume(
        id=VOLUME + volume.id,
        name=volume.name,
        size=volume.size_gb,
        type=volume.type,
        hourly_cost=hourly(volume.price_micros_per_month),
    )


def auto_delete(request: wire.AutoDelete, prefix: str = "") -> AutoDelete:
    """Raises Invalid naming the member."""
    minutes = request.idle_minutes
    return AutoDelete(
        at=None if request.at is None else _instant(prefix + "at", request.at),
        max_spend=None
        if request.max_spend_usd is None
        else _amount(prefix + "max_spend_usd", request.max_spend_usd),
        idle_s=None if minutes is None else minutes * 60,
    )


def deployment(
    made: Instance, abilities: Abilities, reservation: Reservation | None = None, bill: Bill | None = None
) -> wire.Deployment:
    """With its `bill` live to the second where one is given."""
    price = money.usd(made.price)
    is_running = made.status is instances.Status.RUNNING
    pending = instances.pending(made)
    return wire.Deployment(
        id=DEPLOYMENT + made.id,
        provider_id=made.handle,
        hostname=made.hostname,
        cluster_type=made.instance_type,
        image=IMAGE + made.image_id if made.image == made.image_id else made.image,
        image_id=IMAGE + made.image_id,
        os_name=made.os_name,
        location=made.location,
        status=made.status.value,
        status_reason=made.status_reason,
        status_changed_at=rfc3339(made.status_changed_at),
        ssh_user=made.ssh_user,
        ssh_key_ids=[SSH_KEY + key_id for key_id in made.ssh_key_ids],
        ip=made.ip if is_running else None,
        ssh_port=made.ssh_port if is_running else None,
        ssh_command=_ssh_command(made) if is_running else None,
        specs=wire.Specs(
            gpu_model=made.specs.gpu_model,
            gpu_count=made.specs.gpu_count,
            gpu_vram_gb=made.specs.gpu_vram_gb,
            total_vram_gb=made.specs.gpu_count * made.specs.gpu_vram_gb,
            vcpu_count=made.specs.vcpu_count,
            ram_gb=made.specs.ram_gb,
            storage_gb=made.specs.storage_gb,
            price_per_hr=price,
        ),
        volumes=[VOLUME + volume_id for volume_id in made.volume_ids],
        os_volume=wire.OsVolume(name=made.os_volume_name, size=made.os_volume_gb),
        description=made.description,
        billing=_billing(made, price, bill),
        auto_delete=None if reservation is None else shown_auto_delete(reservation.wanted),
        expires_at=None
        if reservation is None
        else optional_time(reservation.stops_at or reservation.wanted.at),
        ip_may_change=abilities.ip_may_change,
        actions=[action.value for action in instances.allowed(made, abilities)],
        pending_action=None if pending is None else pending.value,
        is_simulated=made.specs.is_simulated,
        created_at=rfc3339(made.created_at),
        updated_at=rfc3339(made.updated_at),
    )


def known_deployment(version: Version) -> msgspec.Raw | None:
    """What an instance of this version looks like in a list, if it was shown lately."""
    return _listed.get(version)


def listed_deployment(
    version: Version, made: Instance, abilities: Abilities, reservation: Reservation | None
) -> msgspec.Raw:
    """As JSON, kept for as long as nothing that can be seen of it changes: lists are asked for again and again."""
    shown = msgspec.Raw(_encoder.encode(deployment(made, abilities, reservation)))
    if len(_listed) >= _LISTED_LIMIT:
        _listed.clear()
    _listed[version] = shown
    return shown


def shown_auto_delete(wanted: AutoDelete) -> wire.AutoDelete:
    return wire.AutoDelete(
        at=optional_time(wanted.at),
        max_spend_usd=None if wanted.max_spend is None else money.usd(wanted.max_spend),
        idle_minutes=None if wanted.idle_s is None else wanted.idle_s // 60,
    )


def _instant(field: str, text: str) -> Instant:
    try:
        at = parse_rfc3339(text)
        rfc3339(at)  # an offset can push the last years beyond what can be shown again
    except (ValueError, OverflowError):
        message = f"{field} must be a time such as 2026-04-03T10:00:00Z."
        raise Invalid("invalid_field", message, field=field) from None
    return at


def _amount(field: str, amount: Decimal) -> Micros:
    try:
        return money.from_usd(str(amount))
    except ValueError:
        message = f"{field} must be an amount of dollars with at most six decimals."
        raise Invalid("invalid_field", message, field=field) from None


def _ssh_command(made: Instance) -> str | None:
    if made.ip is None or made.ssh_port is None:
        return None
    return f"ssh -p {made.ssh_port} {made.ssh_user}@{made.ip}"


def _billing(made: Instance, price: Decimal, bill: Bill | None) -> wire.Billing:
    reason: Literal["hardware_reserved"] | None = None
    if made.status is instances.Status.OFFLINE and made.is_reserved:
        reason = "hardware_reserved"
    if bill is None:
        return wire.Billing(
            started_at=optional_time(made.first_running_at),
            price_per_hr=price,
            charging=made.status is instances.Status.RUNNING or reason is not None,
            charging_reason=reason,
        )
    return wire.Billing(
        started_at=optional_time(bill.started_at),
        price_per_hr=price,
        billed_seconds=bill.billed_s,
        charged_usd=money.usd(bill.charged),
        accrued_usd=money.usd(bill.accrued),
        total_usd=money.usd(bill.total),
        charging=bill.is_charging,
        charging_reason=reason if bill.is_charging else None,
    )


def event(happened: Event) -> wire.Event:
    data = happened.data
    return wire.Event(
        id=EVENT + happened.id,
        type=happened.type.replace("instance.", "deployment.", 1),
        sequence=happened.sequence,
        deployment_id=DEPLOYMENT + happened.subject,
        status=_text(data.get("status")),
        previous_status=_text(data.get("previous_status")),
        reason=_text(data.get("reason")),
        stops_at=_time(data.get("stops_at")),
        evicts_at=_time(data.get("evicts_at")),
        created_at=rfc3339(happened.created_at),
    )


def _time(value: object) -> str | UnsetType:
    return rfc3339(Instant(value)) if isinstance(value, int) else UNSET


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def lives(shown: wire.Deployment) -> str | None:
    """The core id of the deployment that an answer shows, unless it is gone."""
    return None if shown.status == "deleted" else shown.id.removeprefix(DEPLOYMENT)

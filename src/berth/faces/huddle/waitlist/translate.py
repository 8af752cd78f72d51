"""The waitlist: core's values in the retail API's words, and back."""

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any

from msgspec import UNSET

from berth.base import ids, money
from berth.base.clock import Instant, parse_rfc3339, rfc3339
from berth.base.money import Micros
from berth.core.errors import Invalid
from berth.core.instances import OrderSpec
from berth.core.waitlist import Place, Wish
from berth.faces.face.bodies import body_of
from berth.faces.huddle.deployments import translate as deployments
from berth.faces.huddle.deployments.wire import DeployedVolume, DeployRequest, OsVolume
from berth.faces.huddle.waitlist import wire
from berth.faces.huddle.words import DEPLOYMENT, IMAGE, SSH_KEY, VOLUME, WAITLIST, optional_time

_UNSAID = "-"
"""In a configuration that leaves the cluster type or the location to its entry."""


def wish(request: wire.JoinRequest) -> Wish:
    """Raises Invalid."""
    return Wish(
        request.cluster_type,
        request.location or None,
        request.auto_deploy,
        _config(request.config),
        _price(request.max_price_per_hr),
        _instant(request.expires_at),
    )


def changes(request: wire.ChangeRequest) -> Mapping[str, object]:
    """The members of the wish that change. Raises Invalid."""
    found: dict[str, object] = {}
    if request.cluster_type is not UNSET:
        found["instance_type"] = request.cluster_type
    if request.location is not UNSET:
        found["location"] = request.location or None
    if request.auto_deploy is not UNSET:
        found["is_auto"] = request.auto_deploy
    if request.config is not UNSET:
        found["config"] = _config(request.config)
    if request.max_price_per_hr is not UNSET:
        found["max_price"] = _price(request.max_price_per_hr)
    if request.expires_at is not UNSET:
        found["expires_at"] = _instant(request.expires_at)
    return found


def entry(place: Place) -> wire.Entry:
    waiting = place.entry
    price = waiting.max_price
    blocked = waiting.blocked_reason
    return wire.Entry(
        id=WAITLIST + waiting.id,
        cluster_type=waiting.instance_type,
        location=waiting.location,
        status=waiting.status.value,
        auto_deploy=waiting.is_auto,
        config=None if waiting.config is None else _shown(waiting.config, waiting.location),
        max_price_per_hr=None if price is None else money.usd(price),
        position=place.position,
        ahead=place.ahead,
        blocked_reason=None if blocked is None else blocked.value,
        notified_count=waiting.notified_count,
        notified_at=optional_time(waiting.notified_at),
        claim_expires_at=optional_time(waiting.claim_expires_at),
        deployment_id=None if waiting.instance_id is None else DEPLOYMENT + waiting.instance_id,
        attempts=waiting.attempts,
        last_error=waiting.last_error,
        expires_at=rfc3339(waiting.expires_at),
        created_at=rfc3339(waiting.created_at),
        updated_at=rfc3339(waiting.updated_at),
    )


def _config(given: dict[str, Any] | None) -> OrderSpec | None:
    """What a deploy would make of it, read by what reads a deploy. Raises Invalid naming the member."""
    if given is None:
        return None
    said = {name: value for name, value in given.items() if value is not None and value != ""}
    document = {"cluster_type": _UNSAID, "location": _UNSAID, **said}
    try:
        spec = deployments.order(body_of(document, DeployRequest))
    except Invalid as refusal:
        field = refusal.details.get("field", "")
        raise Invalid(
            refusal.code, f"config.{refusal.message}", **{**refusal.details, "field": f"config.{field}"}
        ) from None
    return replace(spec, instance_type=_said(spec.instance_type), location=_said(spec.location))


def _said(text: str) -> str:
    return "" if text == _UNSAID else text


def _shown(config: OrderSpec, location: str | None) -> wire.Config:
    volume = None
    if config.os_volume_gb is not None:
        volume = OsVolume(name=config.os_volume_name, size=config.os_volume_gb)
    return wire.Config(
        hostname=config.hostname,
        image=IMAGE + config.image if ids.is_id(config.image) else config.image,
        ssh_key_ids=[SSH_KEY + key_id for key_id in config.ssh_key_ids],
        location=location,
        description=config.description,
        os_volume=volume,
        volumes=[
            DeployedVolume(
                name=each.name, size=each.size_gb, type=each.type, on_deployment_delete=each.fate.value
            )
            for each in config.volumes
        ],
        existing_volumes=[VOLUME + volume_id for volume_id in config.existing_volumes],
        auto_delete=None if config.auto_delete is None else deployments.shown_auto_delete(config.auto_delete),
    )


def _price(dollars: Decimal | None) -> Micros | None:
    if dollars is None:
        return None
    try:
        return money.from_usd(str(dollars))
    except ValueError:
        raise Invalid(
            "invalid_field",
            "max_price_per_hr must be an amount of dollars with at most six decimals.",
            field="max_price_per_hr",
        ) from None


def _instant(text: str | None) -> Instant | None:
    if text is None:
        return None
    try:
        return parse_rfc3339(text)
    except ValueError:
        raise Invalid(
            "invalid_field", "expires_at must be a time such as 2026-04-03T10:00:00Z.", field="expires_at"
        ) from None

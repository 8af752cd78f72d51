"""Core's values in the retail API's words, and back."""

import re
from collections.abc import Sequence
from decimal import Decimal
from typing import Any, Literal

import msgspec

from berth.base import money, paging
from berth.base.clock import DAY, Instant, parse_rfc3339, rfc3339
from berth.core import instances
from berth.core.billing import Balance, Bill
from berth.core.errors import Invalid, NotFound
from berth.core.events import Event
from berth.core.instances import Instance, OrderSpec, Version
from berth.core.keys import SshKey
from berth.core.ledger import Code, Entry
from berth.core.projects import ApiKey
from berth.faces.huddle import wire

DEPLOYMENT, OFFER, IMAGE, SSH_KEY, API_KEY, EVENT = "dep_", "off_", "img_", "sk_", "ak_", "evt_"
_SAFE = re.compile(r"[A-Za-z0-9._:+-]{1,128}")
_ID_LIMIT = 64
CHARGES_SHOWN = 1000
_LISTED_LIMIT = 50_000
"""About 1 KB each."""
_listed: dict[Version, msgspec.Raw] = {}
_encoder = msgspec.json.Encoder(decimal_format="number")


def core_id(prefix: str, text: str, what: str) -> str:
    """The id in a path, with or without its prefix. Raises NotFound for what cannot be one."""
    if len(text) > _ID_LIMIT or not _SAFE.fullmatch(text):
        raise NotFound("not_found", f"{what} not found.")
    return text.removeprefix(prefix)


def name_in_path(text: str, what: str) -> str:
    """Raises NotFound for what cannot name anything."""
    if not _SAFE.fullmatch(text):
        raise NotFound("not_found", f"{what} not found.")
    return text


def optional_time(at: Instant | None) -> str | None:
    return None if at is None else rfc3339(at)


def after(cursor: str | None, listing: str) -> paging.After | None:
    """Raises Invalid for a cursor that is not one of `listing`."""
    if cursor is None:
        return None
    try:
        return paging.decode(cursor, listing)
    except paging.MalformedCursor:
        raise Invalid("invalid_cursor", "cursor is not one of this list.", field="cursor") from None


# Money


def balance(now: Balance) -> wire.Balance:
    cents = money.cents(now.balance)
    return wire.Balance(
        balance_cents=cents,
        balance_usd=money.usd(cents * 10_000),
        balance_micros=now.balance,
        accrued_micros=now.accrued,
        held_micros=now.held,
        effective_usd=money.usd(money.cents(now.effective) * 10_000),
        burn_rate_per_hr=money.usd(now.burn_micros_per_hour),
        runway_seconds=now.runway_s,
        state=_state(now),
        can_deploy=now.can_deploy,
        minimum_deploy_usd=money.usd(now.minimum_balance),
    )


def _state(now: Balance) -> Literal["active", "low", "depleted"]:
    if now.effective <= 0:
        return "depleted"
    return "active" if now.effective >= now.minimum_balance else "low"


# Keys


def ssh_key(key: SshKey, *, is_whole: bool = False) -> wire.SshKey:
    return wire.SshKey(
        id=SSH_KEY + key.id,
        name=key.name,
        fingerprint=key.fingerprint,
        key_type=key.key_type,
        created_at=rfc3339(key.created_at),
        public_key=key.public_key if is_whole else msgspec.UNSET,
    )


def api_key(key: ApiKey) -> wire.ApiKey:
    return wire.ApiKey(**_api_key(key))


def created_api_key(key: ApiKey, secret: str) -> wire.CreatedApiKey:
    return wire.CreatedApiKey(**_api_key(key), secret=secret)


def without_secret(created: wire.CreatedApiKey) -> wire.CreatedApiKey:
    return msgspec.structs.replace(created, secret=None, secret_redacted=True)


def _api_key(key: ApiKey) -> dict[str, Any]:
    return {
        "id": API_KEY + key.id,
        "name": key.name,
        "prefix": key.prefix,
        "scopes": sorted(key.scopes),
        "description": key.description,
        "created_by": None if key.created_by is None else API_KEY + key.created_by,
        "created_at": rfc3339(key.created_at),
        "last_used_at": optional_time(key.last_used_at),
        "expires_at": optional_time(key.expires_at),
        "revoked_at": optional_time(key.revoked_at),
    }


def key_expiry(request: wire.ApiKeyRequest, now: Instant) -> Instant | None:
    """Raises Invalid."""
    if request.allowed_cidrs:
        raise Invalid(
            "invalid_field",
            "allowed_cidrs cannot be set: keys work from every address.",
            field="allowed_cidrs",
        )
    if request.expires_at is not None and request.expires_in_days is not None:
        raise Invalid(
            "invalid_field", "Send expires_at or expires_in_days, not both.", field="expires_in_days"
        )
    if request.expires_in_days is not None:
        return Instant(now + request.expires_in_days * DAY)
    if request.expires_at is None:
        return None
    try:
        expires_at = parse_rfc3339(request.expires_at)
        # An offset can push the last years beyond what can be shown again.
        rfc3339(expires_at)
        return expires_at
    except (ValueError, OverflowError):
        raise Invalid(
            "invalid_field", "expires_at must be a time such as 2026-04-03T10:00:00Z.", field="expires_at"
        ) from None


# Deployments


def order(request: wire.DeployRequest) -> OrderSpec:
    """Raises Invalid for what cannot be ordered here."""
    for member in ("volumes", "existing_volumes"):
        if getattr(request, member):
            raise Invalid(
                "invalid_field",
                f"{member} cannot be ordered yet; leave it out or send an empty list. The boot disk's size is"
                " os_volume.size.",
                field=member,
            )
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
    )


def deployment(made: Instance, bill: Bill | None = None) -> wire.Deployment:
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
        volumes=[],
        os_volume=wire.OsVolume(name=made.os_volume_name, size=made.os_volume_gb),
        description=made.description,
        billing=_billing(made, price, bill),
        actions=[action.value for action in instances.allowed(made)],
        pending_action=None if pending is None else pending.value,
        is_simulated=made.specs.is_simulated,
        created_at=rfc3339(made.created_at),
        updated_at=rfc3339(made.updated_at),
    )


def known_deployment(version: Version) -> msgspec.Raw | None:
    """What an instance of this version looks like in a list, if it was shown lately."""
    return _listed.get(version)


def listed_deployment(version: Version, made: Instance) -> msgspec.Raw:
    """As JSON, kept for as long as nothing that can be seen of it changes: lists are asked for again and again."""
    shown = msgspec.Raw(_encoder.encode(deployment(made)))
    if len(_listed) >= _LISTED_LIMIT:
        _listed.clear()
    _listed[version] = shown
    return shown


def _ssh_command(made: Instance) -> str | None:
    if made.ip is None or made.ssh_port is None:
        return None
    return f"ssh -p {made.ssh_port} {made.ssh_user}@{made.ip}"


def _billing(made: Instance, price: Decimal, bill: Bill | None) -> wire.Billing:
    if bill is None:
        return wire.Billing(started_at=optional_time(made.first_running_at), price_per_hr=price)
    return wire.Billing(
        started_at=optional_time(bill.started_at),
        price_per_hr=price,
        billed_seconds=bill.billed_s,
        charged_usd=money.usd(bill.charged),
        accrued_usd=money.usd(bill.accrued),
        total_usd=money.usd(bill.total),
        charging=bill.is_charging,
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
        created_at=rfc3339(happened.created_at),
    )


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def deployment_bill(made: Instance, bill: Bill, rows: Sequence[Entry]) -> wire.DeploymentBill:
    """`rows` are the newest, one more than is shown if there are more: a week of ticks is a thousand."""
    is_cut, rows = len(rows) > CHARGES_SHOWN, rows[-CHARGES_SHOWN:]
    minimum = any(row.code is Code.MINIMUM for row in rows)
    return wire.DeploymentBill(
        deployment_id=DEPLOYMENT + made.id,
        hostname=made.hostname,
        cluster_type=made.instance_type,
        location=made.location,
        status=made.status.value,
        gpu_seconds=bill.billed_s,
        billed_seconds=bill.billed_s + sum(row.seconds or 0 for row in rows if row.code is Code.MINIMUM),
        minimum_applied=minimum,
        unit_price_per_hr=money.usd(made.price),
        compute_micros=bill.charged,
        storage_micros=0,
        accrued_micros=bill.accrued,
        total_micros=bill.total,
        total_usd=money.usd(bill.total),
        started_at=optional_time(bill.started_at),
        ended_at=optional_time(bill.ended_at),
        charging=bill.is_charging,
        charges=[_charge(row) for row in rows],
        charges_truncated=is_cut,
    )


def _charge(row: Entry) -> wire.Charge:
    price = row.price_micros_per_hour
    return wire.Charge(
        type=row.code.value,
        tick=row.tick,
        amount_micros=row.amount,
        amount_usd=money.usd(row.amount),
        final=row.is_final,
        period_start=optional_time(row.period_start_at),
        period_end=optional_time(row.period_end_at),
        seconds=row.seconds,
        unit_price_per_hr=None if price is None else money.usd(price),
        created_at=rfc3339(row.created_at),
    )

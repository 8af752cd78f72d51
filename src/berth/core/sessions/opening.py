"""The verb that begins a session: one offer is taken, as it is listed, or the session is refused."""

from dataclasses import dataclass

from berth.base import secrets
from berth.base.clock import HOUR, Instant
from berth.base.db import Tx
from berth.core import catalog, events, instances
from berth.core.billing import Rules as MoneyRules
from berth.core.catalog import Image, InstanceType, Offer
from berth.core.driver import ProviderTemplate
from berth.core.errors import Conflict, Invalid, NoCapacity, NotFound
from berth.core.events import Actor
from berth.core.instances import Instance, Rental
from berth.core.sessions import checking, launching, observing, sizing, states, store
from berth.core.sessions.launching import Start
from berth.core.sessions.model import (
    RETRIES_MOST,
    Opened,
    RetryScope,
    Rules,
    Session,
    SessionSpec,
    StoragePolicy,
    Watch,
    Workload,
)

HOSTNAME_PREFIX = "sess-"
_TOKEN_PREFIX = "agt_"  # noqa: S105 - what tokens begin with is no secret
_DASHES = 8
"""More than any provider's name has."""
_STALE = "The offer is no longer available. Refresh the inventory and choose another."


@dataclass(frozen=True, slots=True)
class Choice:
    """What was asked for, looked up."""

    offer: Offer
    kind: InstanceType
    image: Image
    start: Start
    disk_gb: int


def open_session(
    tx: Tx,
    by: Actor,
    spec: SessionSpec,
    rules: Rules,
    money: MoneyRules,
    *,
    public_key: str,
    pepper: bytes,
    template: ProviderTemplate | None = None,
) -> Opened:
    """Accepts a session. `public_key` is the public half of a pair that was made before, off the event loop.

    `template` is the provider's template of `spec.template_hash_id`, which the caller has looked up.
    Raises, in this order: Invalid `invalid_fields` (`problems`: every sentence, as in its message), NotFound
    `offer_not_found`, Conflict `duplicate_session`, Invalid `insufficient_disk` (details `requested_gb`, `minimum_gb`,
    `recommended_gb`, `breakdown`: the members of a `DiskEstimate` that are known), Invalid `not_supported` for what the
    provider cannot do and `exceeds_offer` for hours that the offer cannot be had for, InsufficientCredits, NoCapacity `stale_inventory` (details `offer_id`, `provider`).
    """
    choice = check(tx, by, spec, rules, template=template)
    ends_at = Instant(tx.now + (spec.reservation_hours or 0) * HOUR)
    rental = Rental(
        kind=choice.kind,
        offer=choice.offer,
        image=choice.image,
        hostname_prefix=HOSTNAME_PREFIX,
        disk_gb=choice.disk_gb,
        ends_at=ends_at,
        ssh_public_keys=(public_key.strip(), observing.public_line(tx, pepper)),
        ends_off=spec.storage_policy is StoragePolicy.PRESERVE,
        boot_timeout_s=choice.start.timeout_s,
        launch=choice.start.launch,
        environment=choice.start.environment,
        startup_script=choice.start.startup_script,
    )
    store.retire_twins(tx, by.project, spec.consumer_id, spec.offer_id)
    try:
        instance = instances.rent(tx, by, rental, money)
    except NoCapacity:
        raise stale(spec.offer_id, choice.offer.provider) from None
    token = secrets.new_token(_TOKEN_PREFIX)
    session = _session(spec, instance, choice, template, ends_at, secrets.fingerprint(pepper, token))
    if not store.insert(tx, session):
        raise _duplicate(store.find_twin(tx, by.project, spec.consumer_id, spec.offer_id))
    return Opened(session, token)


def check(
    tx: Tx, by: Actor, spec: SessionSpec, rules: Rules, *, template: ProviderTemplate | None = None
) -> Choice:
    """All that a session is checked for except money and its unit. Raises as `open_session`."""
    by.may("deployments:write")
    checking.check(spec)
    offer = find_offer(tx, spec.offer_id)
    twin_id = store.find_twin(tx, by.project, spec.consumer_id, spec.offer_id)
    if twin_id is not None:
        raise _duplicate(twin_id)
    disk_gb = _disk_gb(spec, template)
    _check_duration(offer, spec.reservation_hours or 0)
    kind = catalog.get_type(tx, events.system(by.project, by.key_id), offer.instance_type)
    if spec.template_hash_id is not None and template is None:
        launching.check(spec, catalog.abilities(tx, offer.provider), provider=offer.provider)
        raise NotFound("template_not_found", "template not found")
    start = launching.start_of(
        spec,
        catalog.abilities(tx, offer.provider),
        rules,
        template=template,
        provider=offer.provider,
        bid_micros_per_hour=offer.cost if offer.is_spot else None,
    )
    if not catalog.is_sold_now(tx, offer):
        raise stale(spec.offer_id, offer.provider)
    return Choice(offer, kind, image_for(tx, kind, offer.provider), start, disk_gb)


def find_offer(tx: Tx, offer_id: str) -> Offer:
    """As the listing names it, as spot where others may take it away. Raises NotFound."""
    words = offer_id.split("-")
    # Both halves may have dashes of their own.
    for count in range(1, min(len(words), _DASHES)):
        offer = catalog.find_offer_named(tx, "-".join(words[:count]), "-".join(words[count:]))
        if offer is not None:
            return instances.as_rented(offer)
    raise NotFound("offer_not_found", "offer not found")


def image_for(tx: Tx, kind: InstanceType, provider: str) -> Image:
    """What the provider boots unless it is told otherwise. Raises Invalid where it boots nothing on that type."""
    usable = [image for image in catalog.compatible_images(tx, kind) if provider in image.providers]
    if not usable:
        raise Invalid("not_supported", f"offer_id: {provider} has no image for it.", field="offer_id")
    return next((image for image in usable if image.is_default), usable[-1])


def stale(offer_id: str, provider: str) -> NoCapacity:
    return NoCapacity("stale_inventory", _STALE, offer_id=offer_id, provider=provider)


def external_id(offer: Offer) -> str:
    """What shoppers know an offer by."""
    return f"{offer.provider}-{offer.provider_offer_id}"


def _check_duration(offer: Offer, hours: int) -> None:
    """Raises Invalid where its host ends what is rented of it before the reservation does."""
    if not launching.lasts(offer, hours * HOUR):
        most = 0 if offer.market is None else offer.market.max_duration_hours
        raise Invalid(
            "exceeds_offer",
            f"reservation_hours must be at most {most} (got {hours}): the offer cannot be rented for longer",
            field="reservation_hours",
        )


def _disk_gb(spec: SessionSpec, template: ProviderTemplate | None) -> int:
    """Raises Invalid `insufficient_disk` where what was asked for is less than is needed."""
    floor_gb = None if template is None else template.recommended_disk_gb
    needed = sizing.estimate(spec.model_id, spec.quantization, template_floor_gb=floor_gb)
    if needed is None:
        return spec.disk_gb or sizing.DEFAULT_GB
    if 0 < spec.disk_gb < needed.minimum_gb:
        raise Invalid(
            "insufficient_disk",
            f"disk_gb must be at least {needed.minimum_gb} (got {spec.disk_gb}): {needed.recommended_gb} are recommended",
            field="disk_gb",
            requested_gb=spec.disk_gb,
            minimum_gb=needed.minimum_gb,
            recommended_gb=needed.recommended_gb,
            breakdown=needed.breakdown(),
        )
    return spec.disk_gb or needed.recommended_gb


def _session(
    spec: SessionSpec,
    instance: Instance,
    choice: Choice,
    template: ProviderTemplate | None,
    ends_at: Instant,
    token_hash: str,
) -> Session:
    return Session(
        id=instance.id,
        instance=instance,
        consumer_id=spec.consumer_id,
        offer_id=spec.offer_id,
        workload_type=Workload(spec.workload_type),
        reservation_hours=spec.reservation_hours or 0,
        expires_at=ends_at,
        idle_threshold_minutes=spec.idle_threshold_minutes,
        storage_policy=spec.storage_policy,
        launch_mode=choice.start.mode,
        model_id=spec.model_id,
        quantization=spec.quantization,
        template_hash_id=spec.template_hash_id,
        template_name=None if template is None else template.name,
        disk_gb=choice.disk_gb,
        auto_retry=spec.auto_retry,
        max_retries=min(spec.max_retries, RETRIES_MOST),
        retry_scope=RetryScope(spec.retry_scope),
        retry_count=0,
        failed_offers=(),
        failed_hosts=(),
        first_price=instance.price,
        token_hash=token_hash,
        watch=Watch(),
        status=states.status_of(instance),
        failure=None,
        error=None,
        api_port=None,
    )


def _duplicate(twin_id: str | None) -> Conflict:
    return Conflict(
        "duplicate_session",
        "this consumer has an active session with this offer already",
        session_id=twin_id,
    )

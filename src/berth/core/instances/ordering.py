"""The verb that begins an instance: what was asked for is looked up, a unit claimed, the minimum charge held."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from berth.base import ids
from berth.base.clock import Instant
from berth.base.db import Tx
from berth.base.money import Micros
from berth.core import billing, catalog, events, keys, scripts, volumes
from berth.core.billing import Rules
from berth.core.catalog import Image, InstanceType, Offer
from berth.core.errors import Invalid, NoCapacity, NotFound
from berth.core.events import Actor
from berth.core.instances import endings, guards, store, terms
from berth.core.instances.affording import check_hourly, foresee_hourly
from berth.core.instances.announcing import announce
from berth.core.instances.model import OS_VOLUME_NAME, AutoDelete, Instance, OrderSpec, Specs, Status, Wanted
from berth.core.keys import SshKey
from berth.core.volumes import Cargo, Fate, NewVolume, Origin, Volume

HOSTNAME_LIMIT = 255
DESCRIPTION_LIMIT = 1000
VOLUME_NAME_LIMIT = 64
NAME_LIMIT = 255
"""Of anything an order refers to by name or id."""
OS_VOLUME_DEFAULT_GB = 50
OS_VOLUME_MAX_GB = 512
OS_VOLUME_TYPE = "NVMe"


@dataclass(frozen=True, slots=True)
class Choice:
    """An order's members, looked up."""

    kind: InstanceType
    image: Image
    os_volume_gb: int
    ssh_keys: Sequence[SshKey]
    cargo: Cargo
    startup_script: str | None = None


def order(
    tx: Tx,
    by: Actor,
    spec: OrderSpec,
    rules: Rules,
    *,
    in_turn: bool = False,
    max_price: Micros | None = None,
) -> Instance:
    """Accepts an order: a unit is claimed and the minimum charge held, or the order is refused and nothing is.

    `in_turn` says that it is the turn of whoever orders in the line of those who wait; nobody else is served from
    what is owed to them. `max_price` is per hour. Raises Invalid naming the member, InsufficientCredits, NoCapacity.
    """
    if spec.volumes or spec.existing_volumes:
        # They are locked, and the project: whoever grants what others wait for has the line when it comes to that.
        catalog.lock_line(tx, spec.instance_type)
    choice = validate(tx, by, spec)
    period = terms.pick(spec, rules)
    guards.check_hostname(tx, by, spec)
    instance_id = ids.new(tx.now)
    offer = _claim(tx, choice, spec, instance_id, in_turn=in_turn, max_price=max_price)
    list_price = offer.price
    if period is not None:
        offer = replace(offer, price=billing.discounted(list_price, period.discount_percentage))
    billing.gate(tx, by.project, instance_id, offer.price, rules)
    check_hourly(tx, by.project, offer.price)
    volume_ids = volumes.board(tx, by, choice.cargo, instance_id, offer.provider)
    instance = drafted(by, spec, choice, offer, instance_id=instance_id, volume_ids=volume_ids, now=tx.now)
    store.insert(tx, instance)
    if spec.auto_delete is not None and spec.auto_delete != AutoDelete():
        store.put_reservation(tx, instance_id, spec.auto_delete)
    if period is not None:
        terms.begin(tx, instance, period, spec.extension, list_price)
    if instance.boot_volume_id is None:
        add_disk(tx, by, instance, eviction_fate=spec.os_volume_eviction_fate)
    announce(tx, by, "instance.ordered", instance)
    return instance


def rehearse(tx: Tx, by: Actor, spec: OrderSpec, rules: Rules, *, max_price: Micros | None = None) -> None:
    """Raises what `order` would raise if there were a unit, as things are now: nothing is claimed, nothing held.

    Besides, Invalid naming `max_price` or `image` where all that is offered is too dear, or does not fit.
    """
    choice = validate(tx, by, spec)
    guards.check_hostname(tx, by, spec, is_taken_now=False)
    offer = _cheapest(tx, choice, spec)
    if max_price is not None and offer.price > max_price:
        raise Invalid(
            "invalid_field", "The price is above the highest that was asked for.", field="max_price"
        )
    billing.check_gate(tx, by.project, offer.price, rules)
    foresee_hourly(tx, by.project, offer.price)


def validate(tx: Tx, by: Actor, spec: OrderSpec) -> Choice:
    """All that an order is checked for, except capacity and money. Raises Invalid naming the member, Forbidden."""
    by.may("deployments:write")
    _check(spec)
    if spec.auto_delete is not None:
        endings.check(spec.auto_delete, tx.now)
    return _look_up(tx, by, spec)


def _look_up(tx: Tx, by: Actor, spec: OrderSpec) -> Choice:
    """Raises Invalid naming the member that means nothing here."""
    try:
        kind = catalog.get_type(tx, events.system(by.project, by.key_id), spec.instance_type)
    except NotFound as error:
        raise _invalid("instance_type", error.message) from None
    disk = volumes.find_bootable(tx, by, spec.image)
    if disk is not None:
        image, size_gb = _image_of(tx, disk, kind, spec), disk.size_gb
    else:
        image = catalog.pick_image(tx, spec.image, kind)
        size_gb = spec.os_volume_gb or max(OS_VOLUME_DEFAULT_GB, image.min_os_volume_gb)
        if size_gb < image.min_os_volume_gb:
            raise _invalid("os_volume.size", f"{image.slug} needs at least {image.min_os_volume_gb} GB.")
    catalog.check_location(tx, spec.location)
    ssh_keys = keys.take(tx, by, spec.ssh_key_ids)
    script = spec.startup_script
    if spec.startup_script_id is not None:
        script = scripts.take(tx, by, spec.startup_script_id).text
    cargo = volumes.look_up(
        tx,
        by,
        spec.volumes,
        spec.existing_volumes,
        spec.location,
        disk_id=None if disk is None else disk.id,
        paths=spec.mount_paths,
    )
    return Choice(kind, image, size_gb, ssh_keys, cargo, script)


def _image_of(tx: Tx, disk: Volume, kind: InstanceType, spec: OrderSpec) -> Image:
    """What a boot disk was made from, bootable only where the disk is. Raises as `_look_up`, and NotFound."""
    of_a_new_one = (spec.os_volume_name, spec.os_volume_gb, spec.os_volume_eviction_fate)
    if disk.origin is None or of_a_new_one != (OS_VOLUME_NAME, None, Fate.DETACH):
        raise volumes.os_volume_not_found()
    image = catalog.image_on_disk(tx, disk.origin.image_id, kind, disk.provider)
    return replace(
        image,
        id=disk.origin.image_id,
        slug=disk.origin.image_slug,
        os_name=disk.origin.os_name,
        ssh_user=disk.origin.ssh_user,
    )


def add_disk(
    tx: Tx, by: Actor, instance: Instance, *, eviction_fate: Fate, volume_type: str = OS_VOLUME_TYPE
) -> None:
    """The new boot disk of a new instance."""
    spec = NewVolume(instance.os_volume_name, instance.os_volume_gb, volume_type, eviction_fate=eviction_fate)
    origin = Origin(instance.image_id, instance.image_slug, instance.os_name, instance.ssh_user)
    volumes.add_os_volume(tx, by, instance.id, spec, instance.location, instance.provider, origin)


def _claim(
    tx: Tx, choice: Choice, spec: OrderSpec, subject: str, *, in_turn: bool, max_price: Micros | None
) -> Offer:
    """A unit of the cheapest offer that has one. Raises NoCapacity, and Invalid when none can end it as ordered."""
    location, refusal = spec.location, None
    for offer in catalog.candidates(
        tx, choice.kind.name, location, choice.image, is_spot=terms.is_spot(spec)
    ):
        if max_price is not None and offer.price > max_price:
            break
        if not choice.cargo.fits(offer.provider):
            continue
        unfit = _cannot_end(tx, spec.auto_delete, offer)
        if unfit is not None:
            refusal = refusal or unfit
        elif catalog.claim(tx, offer, subject, in_turn=in_turn):
            return offer
    if refusal is not None:
        raise refusal
    what = f"{choice.kind.name} spot" if terms.is_spot(spec) else choice.kind.name
    raise NoCapacity(
        "no_capacity", f"{what} has no capacity in {location} now. Try another location or type."
    )


def _cheapest(tx: Tx, choice: Choice, spec: OrderSpec) -> Offer:
    """Of the offers that could be ordered from: those with a unit, or all where nothing is free. Raises Invalid."""
    offers = catalog.offers_for(tx, choice.kind.name, spec.location, choice.image)
    refusals = []
    for offer in sorted(offers, key=lambda offer: offer.price):
        if not choice.cargo.fits(offer.provider):
            continue
        unfit = _cannot_end(tx, spec.auto_delete, offer)
        if unfit is None:
            return offer
        refusals.append(unfit)
    if refusals:
        raise refusals[0]
    luggage = " and the volumes" if choice.cargo.specs or choice.cargo.existing else ""
    raise _invalid("image", f"nobody has {choice.image.slug}{luggage} and the type in {spec.location}.")


def _cannot_end(tx: Tx, wanted: AutoDelete | None, offer: Offer) -> Invalid | None:
    """Why an instance of the offer could not end as is wanted."""
    if wanted is None:
        return None
    try:
        reports_use = catalog.abilities(tx, offer.provider).reports_use
        endings.check_offer(wanted, offer.price, reports_use=reports_use)
    except Invalid as refusal:
        return refusal
    return None


def drafted(
    by: Actor,
    spec: OrderSpec,
    choice: Choice,
    offer: Offer,
    *,
    instance_id: str,
    volume_ids: Sequence[str],
    now: Instant,
) -> Instance:
    """An instance as it is ordered, not in the database yet."""
    disk = choice.cargo.disk
    return Instance(
        id=instance_id,
        project=by.project,
        created_by=by.key_id,
        hostname=spec.hostname,
        description=spec.description,
        instance_type=choice.kind.name,
        location=spec.location,
        image=spec.image,
        image_id=choice.image.id,
        image_slug=choice.image.slug,
        os_name=choice.image.os_name,
        ssh_user=choice.image.ssh_user,
        specs=specs_of(choice.kind, offer),
        os_volume_name=spec.os_volume_name if disk is None else disk.name,
        os_volume_gb=choice.os_volume_gb,
        ssh_key_ids=tuple(key.id for key in choice.ssh_keys),
        ssh_public_keys=tuple(key.public_key.strip() for key in choice.ssh_keys),
        startup_script=choice.startup_script,
        price=offer.price,
        cost=offer.cost,
        offer_id=offer.id,
        provider=offer.provider,
        tried_offers=(offer.id,),
        volume_ids=volume_ids,
        handle=None,
        status=Status.ORDERED,
        wanted=Wanted.RUNNING,
        status_reason=None,
        status_changed_at=now,
        is_restart_wanted=False,
        keeps_hardware=False,
        is_reserved=False,
        ip=None,
        ssh_port=None,
        created_at=now,
        updated_at=now,
        first_running_at=None,
        deleted_at=None,
        create_sent_at=None,
        deadline_at=None,
        missing_since=None,
        sequence=1,
        due_at=now,
        lease_token=0,
        is_spot=offer.is_spot,
        contract=terms.contract_of(spec),
        startup_script_id=spec.startup_script_id,
        attempt=0,
        boot_volume_id=None if disk is None else disk.id,
    )


def specs_of(kind: InstanceType, offer: Offer) -> Specs:
    """The hardware as it is sold now."""
    return Specs(
        kind.gpu_model,
        kind.gpu_count,
        kind.gpu_vram_gb,
        kind.vcpu_count,
        kind.ram_gb,
        kind.storage_gb,
        is_simulated=offer.is_simulated,
    )


def _check(spec: OrderSpec) -> None:
    _check_text("hostname", spec.hostname, HOSTNAME_LIMIT, least=1)
    _check_text("description", spec.description, DESCRIPTION_LIMIT)
    _check_text("os_volume.name", spec.os_volume_name, VOLUME_NAME_LIMIT, least=1)
    if spec.os_volume_gb is not None and not 1 <= spec.os_volume_gb <= OS_VOLUME_MAX_GB:
        raise _invalid("os_volume.size", f"must be 1 to {OS_VOLUME_MAX_GB} GB.")
    for field, name in (
        ("instance_type", spec.instance_type),
        ("image", spec.image),
        ("location", spec.location),
    ):
        _check_text(field, name, NAME_LIMIT)
    for key_id in spec.ssh_key_ids:
        _check_text("ssh_key_ids", key_id, NAME_LIMIT)
    terms.check(spec)
    if spec.startup_script is not None and spec.startup_script_id is not None:
        raise _invalid("startup_script_id", "goes without startup_script: an instance runs one script.")
    if spec.startup_script is not None:
        scripts.check(spec.startup_script, "startup_script")


def _check_text(field: str, text: str, longest: int, *, least: int = 0) -> None:
    if not least <= len(text) <= longest:
        raise _invalid(field, f"must be {least} to {longest} characters.")
    if not text.isprintable():
        raise _invalid(field, "must hold printable characters only.")


def _invalid(field: str, message: str) -> Invalid:
    return Invalid("invalid_field", f"{field}: {message}", field=field)

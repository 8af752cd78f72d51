"""Instances for sessions: one offer taken as it is listed, moved to another, switched off for good, ended by its time.

What a session is, is for the noun above to know; here is what that means for the row, the unit, and the money.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from berth.base import ids
from berth.base.clock import Instant
from berth.base.db import Tx
from berth.base.money import Micros
from berth.core import billing, catalog, events
from berth.core.billing import Rules
from berth.core.catalog import Image, InstanceType, Offer
from berth.core.driver import Launch
from berth.core.errors import InsufficientCredits, NoCapacity
from berth.core.events import Actor
from berth.core.instances import ordering, reserving, storage, store
from berth.core.instances.affording import check_hourly
from berth.core.instances.announcing import announce
from berth.core.instances.model import AutoDelete, Instance, OrderSpec
from berth.core.instances.ordering import Choice
from berth.core.volumes import Cargo, Fate


@dataclass(frozen=True, slots=True)
class Rental:
    """How one offer is taken."""

    kind: InstanceType
    offer: Offer
    image: Image
    hostname_prefix: str
    disk_gb: int
    ends_at: Instant
    ssh_public_keys: Sequence[str]
    ends_off: bool
    boot_timeout_s: int
    launch: Launch | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    startup_script: str | None = None


def rent(tx: Tx, by: Actor, wanted: Rental, rules: Rules) -> Instance:
    """Takes a unit of exactly that offer at its price now. Raises InsufficientCredits, NoCapacity, Forbidden."""
    by.may("deployments:write")
    instance_id = ids.new(tx.now)
    offer = wanted.offer
    if offer.suppressed_until > tx.now or not catalog.claim(tx, offer, instance_id):
        raise NoCapacity("no_capacity", "The offer has just gone.")
    billing.gate(tx, by.project, instance_id, offer.price, rules)
    check_hourly(tx, by.project, offer.price)
    spec = OrderSpec(
        instance_type=wanted.kind.name,
        image=wanted.image.slug,
        hostname=f"{wanted.hostname_prefix}{instance_id.lower()}",
        ssh_key_ids=(),
        location=offer.location,
        os_volume_gb=wanted.disk_gb,
        is_spot=offer.is_spot,
    )
    choice = Choice(wanted.kind, wanted.image, wanted.disk_gb, (), Cargo(), wanted.startup_script)
    drafted = ordering.drafted(by, spec, choice, offer, instance_id=instance_id, volume_ids=(), now=tx.now)
    instance = replace(
        drafted,
        ssh_public_keys=tuple(wanted.ssh_public_keys),
        is_session=True,
        ends_off=wanted.ends_off,
        launch=wanted.launch,
        environment=wanted.environment,
        boot_timeout_s=wanted.boot_timeout_s,
    )
    store.insert(tx, instance)
    store.put_reservation(tx, instance_id, AutoDelete(at=wanted.ends_at))
    ordering.add_disk(tx, by, instance, eviction_fate=Fate.PURGE)
    announce(tx, by, "instance.ordered", instance)
    return instance


def rehouse(
    tx: Tx, instance: Instance, offer: Offer, kind: InstanceType, image: Image, launch: Launch | None
) -> Instance:
    """What is still to boot goes to another offer, whose unit it has claimed, and pays its price from its first second.

    The caller has the row locked and writes what comes back.
    """
    placed = replace(
        storage.placed(
            tx, events.system(instance.project, "loop:provisioning"), instance, offer.provider, offer.location
        ),
        instance_type=kind.name,
        location=offer.location,
        image=image.slug,
        image_id=image.id,
        image_slug=image.slug,
        os_name=image.os_name,
        ssh_user=image.ssh_user,
        specs=ordering.specs_of(kind, offer),
        price=offer.price,
        cost=offer.cost,
        offer_id=offer.id,
        provider=offer.provider,
        tried_offers=(*instance.tried_offers, offer.id),
        is_spot=offer.is_spot,
        launch=launch,
        ports={},
        logins_refused=0,
    )
    store.rehouse(tx, placed)
    return placed


def as_rented(offer: Offer) -> Offer:
    """As a session takes it: what others may take away by bidding more is spot."""
    is_spot = offer.market is not None and offer.market.is_interruptible
    return replace(offer, is_spot=True) if is_spot and not offer.is_spot else offer


def can_afford(tx: Tx, instance: Instance, price: Micros) -> bool:
    """Whether its project may spend that much in an hour on it, in the place of what it costs now: then so much is held."""
    project, subject, before = instance.project, instance.id, instance.price
    if not billing.gate_again(tx, project, subject, price, before_micros_per_hour=before):
        return False
    try:
        check_hourly(tx, project, Micros(max(0, price - before)))
    except InsufficientCredits:
        billing.gate_again(tx, project, subject, before, before_micros_per_hour=before)
        return False
    return True


def prolong(tx: Tx, by: Actor, instance: Instance, *, ends_at: Instant) -> Instance:
    """Its time ends then. The caller has locked it."""
    store.put_reservation(tx, instance.id, AutoDelete(at=ends_at))
    return reserving.told(tx, by, instance, "instance.auto_delete_changed")


def finish_by_itself(tx: Tx, instance: Instance, code: str, rules: Rules) -> Instance:
    """What its time, or what it did not do, brings: it is switched off or deleted, as was agreed."""
    return reserving.end(tx, instance, code, rules)


def lock(tx: Tx, by: Actor, instance_id: str) -> Instance | None:
    """For a change, in the project of `by`; None where there is none such. Raises Forbidden."""
    by.may("deployments:write")
    return store.find(tx, by.project, instance_id, lock=True)


def lock_any(tx: Tx, instance_id: str) -> Instance | None:
    """Whoever's it is: for loops only."""
    return store.find_any(tx, instance_id)


def of_ids(tx: Tx, instance_ids: Sequence[str]) -> Mapping[str, Instance]:
    """Those that there are, by id."""
    return {instance.id: instance for instance in store.of_ids(tx, instance_ids)} if instance_ids else {}

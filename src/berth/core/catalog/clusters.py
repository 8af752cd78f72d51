"""Which clusters are sold, and which could be ordered now. Their nodes come out of the units of their offers."""

from collections import Counter
from collections.abc import Sequence

from berth.base.db import Tx
from berth.core.catalog import store
from berth.core.catalog.compatibility import fits
from berth.core.catalog.lines import spare_units
from berth.core.catalog.model import Availability, ClusterType, Image
from berth.core.errors import NotFound
from berth.core.events import Actor


def list_cluster_types(tx: Tx, by: Actor) -> Sequence[ClusterType]:
    """Every kind of cluster, by whom and where it is sold, sold out or not: by name, location, price."""
    by.may("catalog:read")
    return store.list_cluster_types(tx)


def find_cluster_type(tx: Tx, by: Actor, name: str) -> ClusterType | None:
    """One of that name, wherever it is cheapest."""
    by.may("catalog:read")
    named = [sold for sold in store.list_cluster_types(tx) if sold.name == name]
    return min(named, key=lambda sold: sold.price, default=None)


def cluster_types_at(tx: Tx, name: str, location: str) -> Sequence[ClusterType]:
    """Who sells it there, cheapest first."""
    return store.cluster_types_at(tx, name, location)


def cluster_availability(tx: Tx, by: Actor, *, location: str | None = None) -> Sequence[Availability]:
    """Which clusters an order could claim all units of now, in every location or in `location` alone."""
    by.may("catalog:read")
    sold = store.list_cluster_types(tx)
    return [
        Availability(
            place,
            sorted({each.name for each in sold if each.location == place.code and has_units(tx, each)}),
        )
        for place in store.list_locations(tx)
        if location in {None, place.code}
    ]


def is_cluster_available(tx: Tx, by: Actor, name: str, *, location: str | None = None) -> bool:
    """Whether `cluster_availability` names it, anywhere or in `location`; an unknown one is nowhere."""
    return any(name in place.types for place in cluster_availability(tx, by, location=location))


def has_units(tx: Tx, sold: ClusterType) -> bool:
    """Whether its offers have units for all its nodes that are owed to nobody else."""
    needed: Counter[str] = Counter({sold.worker_offer_id: sold.worker_count})
    needed[sold.jump_host_offer_id] += 1
    by_type: Counter[str] = Counter({sold.worker_type: sold.worker_count})
    by_type[sold.jump_host_type] += 1
    for offer_id, count in needed.items():
        offer = store.find_offer(tx, offer_id)
        if offer is None or offer.free_units < count or offer.suppressed_until > tx.now:
            return False
    return all(spare_units(tx, kind, sold.location) >= count for kind, count in by_type.items())


def cluster_images(tx: Tx, by: Actor, *, cluster_type: str | None = None) -> Sequence[Image]:
    """Images for clusters, newest first; with `cluster_type` exactly those that an order of it accepts.

    Raises NotFound for an unknown one.
    """
    by.may("catalog:read")
    images = [image for image in store.list_images(tx) if image.is_cluster]
    sold = [each for each in store.list_cluster_types(tx) if cluster_type in {None, each.name}]
    if cluster_type is not None and not sold:
        raise NotFound("cluster_type_not_found", f"Unknown cluster type {cluster_type!r}.")
    return [image for image in images if any(boots_cluster(tx, image, each) for each in sold)]


def boots_cluster(tx: Tx, image: Image, sold: ClusterType) -> bool:
    """Whether its nodes boot the image at who sells it. The host to reach them from boots what they do."""
    kind = store.find_type(tx, sold.worker_type)
    return (
        kind is not None
        and image.is_cluster
        and sold.provider in image.providers
        and fits(image, kind, tx.now)
    )

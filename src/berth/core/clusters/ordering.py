"""The verb that begins a cluster: all of it is accepted, in one transaction, or nothing."""

from collections.abc import Sequence

from berth.base import ids
from berth.base.db import Tx
from berth.base.money import Micros
from berth.core import catalog, instances, volumes
from berth.core.billing import Rules
from berth.core.catalog import ClusterType, Offer
from berth.core.clusters import store
from berth.core.clusters.model import Cluster, ClusterSpec, Status, Wanted
from berth.core.clusters.writing import record
from berth.core.errors import Invalid, NoCapacity
from berth.core.events import Actor
from berth.core.instances import Choice, Contract, OrderSpec, Post
from berth.core.volumes import SharedCargo

HOSTNAME_LIMIT = 240
"""Those of the workers are longer."""
_SHOWN_IMAGES = 5


def order(tx: Tx, by: Actor, spec: ClusterSpec, rules: Rules) -> Cluster:
    """Accepts an order: units for every member are claimed and the minimum charge of all held, or nothing is.

    Raises Invalid naming the member, Conflict (in_use, quota, duplicate), InsufficientCredits, NoCapacity, Forbidden.
    """
    by.may("deployments:write")
    _check(spec)
    sold = _sold(tx, spec)
    for kind in sorted({kind for each in sold for kind in (each.worker_type, each.jump_host_type)}):
        # Before the project is locked: whoever grants what others wait for has the line when it comes to that.
        catalog.lock_line(tx, kind)
    asked = _asked(spec, sold[0])
    choice = instances.validate(tx, by, asked)
    if not choice.image.is_cluster or choice.cargo.disk is not None:
        raise _no_cluster_image(tx, by, spec, choice.image.slug)
    shared, hosts = spec.shared_volume, max(each.worker_count for each in sold) + 1
    cargo = volumes.look_up_shared(
        tx, by, shared.name, shared.size_gb, spec.existing_volumes, spec.location, hosts=hosts
    )
    picked = _pick(tx, sold, choice, cargo)
    cluster_id = ids.new(tx.now)
    members, volume_ids = instances.enlist(
        tx, by, cluster_id, asked, choice, _posts(tx, by, spec, picked), cargo, rules
    )
    cluster = Cluster(
        id=cluster_id,
        project=by.project,
        created_by=by.key_id,
        hostname=spec.hostname,
        description=spec.description,
        cluster_type=picked.name,
        location=picked.location,
        provider=picked.provider,
        image=spec.image,
        image_id=choice.image.id,
        os_name=choice.image.os_name,
        ssh_key_ids=tuple(key.id for key in choice.ssh_keys),
        startup_script_id=spec.startup_script_id,
        contract=spec.contract,
        jump_host_id=members[0].id,
        volume_ids=volume_ids,
        status=Status.PROVISIONING,
        wanted=Wanted.RUNNING,
        status_reason=None,
        status_changed_at=tx.now,
        created_at=tx.now,
        updated_at=tx.now,
        first_running_at=None,
        discontinued_at=None,
        sequence=1,
    )
    store.insert(tx, cluster)
    record(tx, by, cluster, "cluster.ordered")
    return cluster


def split(price: int, count: int) -> Sequence[Micros]:
    """`count` prices that add up to `price`, none more than one micro-dollar above another."""
    share, rest = divmod(price, count)
    return [Micros(share + (number < rest)) for number in range(count)]


def _check(spec: ClusterSpec) -> None:
    if len(spec.hostname) > HOSTNAME_LIMIT:
        raise _invalid("hostname", f"must be at most {HOSTNAME_LIMIT} characters.")
    if not spec.ssh_key_ids:
        raise Invalid("missing_field", "ssh_key_ids is required.", field="ssh_key_ids")
    if spec.contract is Contract.SPOT:
        raise _invalid("contract", "clusters are not sold as spot.")


def _sold(tx: Tx, spec: ClusterSpec) -> Sequence[ClusterType]:
    """Who sells it there, cheapest first. Raises Invalid when nobody does."""
    catalog.check_location(tx, spec.location)
    found = catalog.cluster_types_at(tx, spec.cluster_type, spec.location)
    if not found:
        shown = spec.cluster_type[:100]
        raise _invalid("cluster_type", f"{shown!r} is not offered in {spec.location}.")
    return found


def _asked(spec: ClusterSpec, sold: ClusterType) -> OrderSpec:
    """What each member is ordered as."""
    return OrderSpec(
        instance_type=sold.worker_type,
        image=spec.image,
        hostname=spec.hostname,
        ssh_key_ids=spec.ssh_key_ids,
        location=spec.location,
        description=spec.description,
        startup_script=spec.startup_script,
        startup_script_id=spec.startup_script_id,
        contract=spec.contract,
        long_term_period=spec.long_term_period,
        extension=spec.extension,
    )


def _pick(tx: Tx, sold: Sequence[ClusterType], choice: Choice, cargo: SharedCargo) -> ClusterType:
    """The cheapest that can have everything and has units for all. Raises Invalid, NoCapacity."""
    fitting = [
        each for each in sold if cargo.fits(each.provider) and catalog.boots_cluster(tx, choice.image, each)
    ]
    if not fitting:
        raise _invalid("image", f"nobody has {choice.image.slug}, the volumes and the type in one place.")
    for each in fitting:
        if catalog.has_units(tx, each):
            return each
    raise NoCapacity(
        "no_capacity",
        f"{sold[0].name} has no capacity in {sold[0].location} now. Try another location or type.",
    )


def _posts(tx: Tx, by: Actor, spec: ClusterSpec, sold: ClusterType) -> Sequence[Post]:
    """The host to reach the others from, at no charge, and the workers, whose prices add up to the cluster's."""
    jump_host = Post(
        catalog.get_type(tx, by, sold.jump_host_type),
        _offer(tx, sold.jump_host_offer_id),
        spec.hostname,
        Micros(0),
    )
    kind, offer = catalog.get_type(tx, by, sold.worker_type), _offer(tx, sold.worker_offer_id)
    prices = split(sold.price, sold.worker_count)
    return [
        jump_host,
        *(Post(kind, offer, f"{spec.hostname}-{number}", price) for number, price in enumerate(prices, 1)),
    ]


def _offer(tx: Tx, offer_id: str) -> Offer:
    return catalog.known_offer(tx, offer_id)


def _no_cluster_image(tx: Tx, by: Actor, spec: ClusterSpec, slug: str) -> Invalid:
    usable = catalog.cluster_images(tx, by, cluster_type=spec.cluster_type)
    return Invalid(
        "image_incompatible",
        f"image: {slug} is no image for clusters.",
        field="image",
        compatible_images=[image.slug for image in usable][:_SHOWN_IMAGES],
    )


def _invalid(field: str, message: str) -> Invalid:
    return Invalid("invalid_field", f"{field}: {message}", field=field)

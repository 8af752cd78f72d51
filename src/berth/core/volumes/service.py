"""The verbs a customer has of a volume. They write what is wanted; the loop brings it about."""

import re
from collections.abc import Sequence
from dataclasses import replace

from berth.base import ids
from berth.base.clock import Instant
from berth.base.db import Tx
from berth.base.paging import After, Page
from berth.core import billing, catalog, projects
from berth.core.catalog import VolumeType
from berth.core.errors import Conflict, Invalid, NotFound
from berth.core.events import Actor
from berth.core.volumes import states, store
from berth.core.volumes.model import (
    Action,
    Attachment,
    Filter,
    Host,
    Link,
    NewVolume,
    Status,
    Volume,
    Wanted,
)
from berth.core.volumes.writing import attachment_to, insert, link, write

VOLUMES_PER_PROJECT = 1000
GB_PER_PROJECT = 1_000_000
"""Quotas. What is in the trash counts."""
VOLUMES_PER_INSTANCE = 16
NAME_LIMIT = 64
_NAME = re.compile(rf"[A-Za-z0-9._-]{{1,{NAME_LIMIT}}}", re.ASCII)
_PATH = re.compile(r"(/(?!\.{1,2}(?:/|$))[A-Za-z0-9._-]{1,64}){1,4}", re.ASCII)
_PATH_TOPS = frozenset({"home", "mnt", "media", "srv", "opt", "data"})
_BOOT_ONLY = frozenset({"NVMe_OS_Cluster"})
"""Types that come with an instance, never alone."""


def get(tx: Tx, by: Actor, volume_id: str) -> Volume:
    """Raises NotFound, also for another project's. What is deleted is found as long as its row is kept."""
    by.may("volumes:read")
    return _existing(store.find(tx, by.project, volume_id))


def find(tx: Tx, volume_id: str) -> Volume | None:
    """Whoever's it is. For loops only."""
    return store.find_any(tx, volume_id, lock=False)


def list_page(tx: Tx, by: Actor, wanted: Filter, *, after: After | None, limit: int) -> Page[Volume]:
    """Newest first, boot disks included."""
    by.may("volumes:read")
    rows = store.page(tx, by.project, wanted, after_row=after, limit=limit + 1)
    return Page(rows[:limit], len(rows) > limit, store.total(tx, by.project, wanted))


def of_instance(tx: Tx, instance_id: str) -> Sequence[Volume]:
    """The data volumes that an instance has, gets or leaves."""
    return store.of_instance(tx, instance_id)


def os_volume_of(tx: Tx, instance_id: str) -> Volume | None:
    return store.os_of(tx, instance_id)


def live_of(tx: Tx, project: str, *, after_id: str = "", limit: int) -> Sequence[Volume]:
    """A page of a project's data volumes that are not deleted, by id. For loops only."""
    return store.live_of(tx, project, after_id=after_id, limit=limit)


def create(tx: Tx, by: Actor, spec: NewVolume, location: str, hosts: Sequence[Host] = ()) -> Volume:
    """Accepts an order; with `hosts` it is attached to them once it exists.

    Raises Invalid naming the member, Conflict (in_use, quota, invalid_state), InsufficientCredits.
    """
    by.may("volumes:write")
    check_new(spec)
    catalog.check_location(tx, location)
    sold = _choose(tx, spec, location, hosts)
    reserve(tx, by, [spec])
    billing.require_credit(tx, by.project)
    volume = drafted(tx, by, spec, sold)
    for host in hosts:
        _check_host(volume, host)
        made = _attaching(tx, volume, host, spec.mount_path)
        volume = replace(volume, attachments=(*volume.attachments, made))
    return insert(tx, by, volume)


def attach(tx: Tx, by: Actor, volume_id: str, host: Host, *, mount_path: str | None = None) -> Volume:
    """Attaching to an instance that has it changes nothing. Raises NotFound, Invalid, Conflict."""
    check_path(mount_path)
    volume = lock(tx, by, volume_id)
    known = attachment_to(volume, host.instance_id)
    if known is not None and known.link not in states.ENDING:
        return volume
    check_attachable(volume)
    check_not_copied(tx, volume)
    _check_host(volume, host)
    if known is not None or len(volume.attachments) >= volume.max_attachments:
        raise Conflict(
            "in_use", "The volume has all the attachments that it can have.", status=volume.status.value
        )
    made = _attaching(tx, volume, host, mount_path)
    store.insert_attachment(tx, made)
    changed = replace(volume, attachments=(*volume.attachments, made), status_reason=None)
    return write(tx, by, changed, "volume.attach_wanted", instance_id=host.instance_id)


def detach(tx: Tx, by: Actor, volume_id: str, host: Host) -> Volume:
    """Detaching what is being detached changes nothing. Raises NotFound, Conflict."""
    volume = lock(tx, by, volume_id)
    known = attachment_to(volume, host.instance_id)
    if known is None or known.link in states.ENDING:
        return volume
    if known.link is not Link.ATTACHED:
        raise Conflict("invalid_state", "The volume is still being attached.", status=volume.status.value)
    states.check(volume, Action.DETACH)
    _check_power(volume, host)
    changed = replace(link(tx, volume, host.instance_id, Link.DETACHING), status_reason=None)
    return write(tx, by, changed, "volume.detach_wanted", instance_id=host.instance_id)


def resize(tx: Tx, by: Actor, volume_id: str, size_gb: int) -> Volume:
    """Volumes only grow. Its price changes once it has. Raises NotFound, Invalid, Conflict, InsufficientCredits."""
    by.may("volumes:write")
    projects.lock(tx, by)  # before any volume, as in an order
    volume = lock(tx, by, volume_id)
    if volume.status is not Status.DELETED and size_gb == volume.wanted_size_gb > volume.size_gb:
        return volume
    states.check(volume, Action.RESIZE)
    check_not_copied(tx, volume)
    if size_gb <= volume.wanted_size_gb:
        raise invalid(
            "size", f"must be more than the {volume.wanted_size_gb} GB that it has; volumes only grow."
        )
    for sold in catalog.sold_volume_types(tx, volume.type, volume.location):
        if sold.provider == volume.provider:
            check_size(size_gb, sold)
    reserve(tx, by, [NewVolume(volume.name, size_gb - volume.wanted_size_gb, volume.type)], is_new=False)
    billing.require_credit(tx, by.project)
    changed = replace(volume, wanted_size_gb=size_gb, status_reason=None)
    return write(tx, by, changed, "volume.resize_wanted")


def rename(tx: Tx, by: Actor, volume_id: str, name: str) -> Volume:
    """Where it is mounted already it stays mounted. Raises NotFound, Invalid, Conflict."""
    volume = lock(tx, by, volume_id)
    check_name(name)
    states.check(volume, Action.RENAME)
    return volume if volume.name == name else write(tx, by, replace(volume, name=name), "volume.renamed")


def trash(tx: Tx, by: Actor, volume_id: str) -> Volume:
    """Deletes it so that it can be restored for a while; it costs nothing from now on. Twice is once.

    Raises NotFound, Conflict `in_use` while it is attached.
    """
    volume = lock(tx, by, volume_id)
    if volume.status is Status.DELETED:
        return volume
    states.check(volume, Action.DELETE)
    check_not_copied(tx, volume)
    return _end(tx, by, volume, Wanted.TRASHED)


def announce_deletion(tx: Tx, by: Actor, volume_id: str, *, deletes_at: Instant, reason: str) -> None:
    """Tells its owner when it will be deleted; nothing of what is deleted already."""
    volume = lock(tx, by, volume_id)
    if volume.status is not Status.DELETED:
        write(tx, by, volume, "volume.deletion_scheduled", reason=reason, deletes_at=deletes_at)


def purge(tx: Tx, by: Actor, volume_id: str) -> Volume:
    """Deletes it for good, from the trash too. Twice is once. Raises NotFound, Conflict `in_use`."""
    volume = lock(tx, by, volume_id)
    if volume.is_permanently_deleted:
        return volume
    if volume.status is Status.DELETED:
        return write(tx, by, replace(volume, wanted=Wanted.PURGED), "volume.purge_wanted")
    states.check(volume, Action.DELETE)
    check_not_copied(tx, volume)
    return _end(tx, by, volume, Wanted.PURGED)


def restore(tx: Tx, by: Actor, volume_id: str) -> Volume:
    """Out of the trash; it costs again from now on. Raises NotFound, Conflict, InsufficientCredits."""
    volume = lock(tx, by, volume_id)
    states.check(volume, Action.RESTORE)
    if volume.purge_at is not None and volume.purge_at <= tx.now:
        raise Conflict("invalid_state", "The volume's time in the trash is over.", status=volume.status.value)
    billing.require_credit(tx, by.project)
    if volume.cloning_from is None:
        start_storage(tx, volume)
    return write(tx, by, replace(volume, wanted=Wanted.KEPT), "volume.restored")


def start_storage(tx: Tx, volume: Volume) -> None:
    """From now on it costs, if it exists."""
    if volume.handle is not None:
        cost = volume.cost_micros_per_gb_month * volume.size_gb
        price = volume.price_micros_per_month
        billing.start_storage(tx, volume.project, volume.id, price, cost_micros_per_month=cost)


def _attaching(tx: Tx, volume: Volume, host: Host, mount_path: str | None) -> Attachment:
    if mount_path is not None and mount_path in store.mount_paths(tx, host.instance_id):
        raise invalid("mount_path", f"another volume is mounted at {mount_path}.")
    name = mount_name(tx, volume, host.instance_id)
    return Attachment(volume.id, host.instance_id, name, Link.ATTACHING, tx.now, mount_path)


def _end(tx: Tx, by: Actor, volume: Volume, wanted: Wanted) -> Volume:
    billing.finish_storage(tx, volume.project, volume.id, tx.now)
    return write(tx, by, replace(volume, wanted=wanted), "volume.deleted")


def _choose(tx: Tx, spec: NewVolume, location: str, hosts: Sequence[Host]) -> VolumeType:
    """The cheapest that sells it there in its size and, with `hosts`, that has them."""
    sold = catalog.pick_volume_types(tx, spec.type, location)
    for host in hosts:
        if host.location != location:
            raise mismatch("instance_ids", host.location)
    providers = {host.provider for host in hosts}
    usable = [each for each in sold if providers <= {each.provider}]
    if not usable:
        raise Invalid(
            "location_mismatch",
            f"type: {spec.type} cannot be attached to these deployments: it is kept elsewhere.",
            field="type",
        )
    roomy = [each for each in usable if each.min_size_gb <= spec.size_gb <= each.max_size_gb]
    chosen = (roomy or usable)[0]
    check_size(spec.size_gb, chosen)
    if len(hosts) > 1 and not chosen.is_shared:
        raise invalid("instance_ids", f"{spec.type} is attached to one deployment at a time.")
    if len(hosts) > chosen.max_attachments:
        raise invalid("instance_ids", f"at most {chosen.max_attachments} deployments can have it.")
    return chosen


def _check_host(volume: Volume, host: Host) -> None:
    if host.location != volume.location:
        raise mismatch("deployment_id", volume.location)
    if host.provider != volume.provider:
        raise Invalid(
            "location_mismatch",
            f"deployment_id: the volume is in {volume.location} too, and out of this deployment's reach.",
            field="deployment_id",
        )
    _check_power(volume, host)


def _check_power(volume: Volume, host: Host) -> None:
    if host.is_on and not volume.attaches_live:
        raise Conflict(
            "invalid_state",
            f"Volumes of type {volume.type} are attached and detached while the deployment is off: stop it first.",
            deployment_status="running",
            hint="stop first",
        )


# What an order of an instance with volumes asks for as well.


def check_new(spec: NewVolume, field: str = "") -> None:
    """Raises Invalid; `field` is put before the member's name."""
    check_name(spec.name, f"{field}name")
    check_path(spec.mount_path, f"{field}mount_path")
    if spec.type in _BOOT_ONLY:
        raise invalid(f"{field}type", f"{spec.type} comes with a deployment and cannot be created alone.")


def check_name(name: str, field: str = "name") -> None:
    if not _NAME.fullmatch(name):
        raise invalid(field, "must be 1 to 64 letters, digits, dots, dashes and underscores.")


def check_path(path: str | None, field: str = "mount_path") -> None:
    """Nothing that an instance needs of its own is mounted over."""
    if path is not None and not (_PATH.fullmatch(path) and path.split("/")[1] in _PATH_TOPS):
        raise invalid(field, f"must be a path below /{', /'.join(sorted(_PATH_TOPS))}, or one of them.")


def check_attachable(volume: Volume) -> None:
    """Raises Conflict, also for what is only booted from."""
    if volume.is_os_volume and not volume.is_boot_disk and volume.status is Status.DETACHED:
        raise Conflict(
            "invalid_state", "A boot disk is booted from, not attached.", status=volume.status.value
        )
    states.check(volume, Action.ATTACH)


def check_not_copied(tx: Tx, volume: Volume) -> None:
    """Raises Conflict while it is being copied."""
    if store.copies_of(tx, [volume.id]):
        raise Conflict("in_use", "The volume is being copied; try again later.", status=volume.status.value)


def check_size(size_gb: int, sold: VolumeType, field: str = "size") -> None:
    if not sold.min_size_gb <= size_gb <= sold.max_size_gb:
        raise invalid(field, f"{sold.name} has {sold.min_size_gb} to {sold.max_size_gb} GB.")


def reserve(tx: Tx, by: Actor, specs: Sequence[NewVolume], *, is_new: bool = True) -> None:
    """Nobody else adds to the project's storage until the commit. Raises Conflict over the quota."""
    projects.lock(tx, by)
    count, size_gb = store.used(tx, by.project)
    if is_new and count + len(specs) > VOLUMES_PER_PROJECT:
        raise Conflict("quota", f"At most {VOLUMES_PER_PROJECT} volumes, those in the trash included.")
    if size_gb + sum(spec.size_gb for spec in specs) > GB_PER_PROJECT:
        raise Conflict("quota", f"At most {GB_PER_PROJECT} GB in all, what is in the trash included.")


def drafted(tx: Tx, by: Actor, spec: NewVolume, sold: VolumeType) -> Volume:
    """A volume as it is ordered, not in the database yet."""
    return Volume(
        id=ids.new(tx.now),
        project=by.project,
        created_by=by.key_id,
        name=spec.name,
        type=sold.name,
        location=sold.location,
        provider=sold.provider,
        size_gb=spec.size_gb,
        wanted_size_gb=spec.size_gb,
        is_shared=sold.is_shared,
        max_attachments=sold.max_attachments if sold.is_shared else 1,
        attaches_live=sold.attaches_live,
        price_micros_per_gb_month=sold.price_micros_per_gb_month,
        cost_micros_per_gb_month=sold.cost_micros_per_gb_month,
        os_of=None,
        born_with=None,
        fate=spec.fate,
        handle=None,
        status=Status.ORDERED,
        wanted=Wanted.KEPT,
        status_reason=None,
        created_at=tx.now,
        updated_at=tx.now,
        deleted_at=None,
        purge_at=None,
        gone_at=None,
        create_sent_at=None,
        missing_since=None,
        sequence=0,
        due_at=tx.now,
        lease_token=0,
        attempt=0,
        eviction_fate=spec.eviction_fate,
    )


def mount_name(tx: Tx, volume: Volume, instance_id: str) -> str:
    """Where an instance will find it: by its name, with some of its id where that is taken.

    Raises Conflict when the instance has all the volumes that it can have.
    """
    taken = store.mount_names(tx, instance_id)
    if len(taken) >= VOLUMES_PER_INSTANCE:
        raise Conflict(
            "quota", f"A deployment has at most {VOLUMES_PER_INSTANCE} volumes beside its boot disk."
        )
    return distinct_name(volume, taken)


def distinct_name(volume: Volume, taken: set[str]) -> str:
    is_usable = volume.name not in taken and set(volume.name) - {"."}
    return volume.name if is_usable else f"{volume.name[: NAME_LIMIT - 9]}-{volume.id[-8:].lower()}"


def lock(tx: Tx, by: Actor, volume_id: str) -> Volume:
    by.may("volumes:write")
    return _existing(store.find(tx, by.project, volume_id, lock=True))


def mismatch(field: str, location: str) -> Invalid:
    return Invalid(
        "location_mismatch",
        f"{field}: volumes and deployments have to be in one location; this one is in {location}.",
        field=field,
        location=location,
    )


def invalid(field: str, message: str) -> Invalid:
    return Invalid("invalid_field", f"{field}: {message}", field=field)


def _existing(found: Volume | None) -> Volume:
    if found is None:
        raise NotFound("volume_not_found", "Volume not found.")
    return found

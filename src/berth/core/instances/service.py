"""The verbs a customer has: order, look, start, stop, restart, delete. They write what is wanted."""

import re
from collections.abc import Sequence
from dataclasses import replace

from berth.base import ids
from berth.base.db import Tx
from berth.base.paging import After, Page
from berth.core import billing, catalog, events, keys
from berth.core.billing import Rules
from berth.core.catalog import InstanceType, Offer
from berth.core.errors import Invalid, NoCapacity, NotFound
from berth.core.events import Actor
from berth.core.instances import states, store
from berth.core.instances.model import Action, Instance, OrderSpec, Specs, Status, Version, Wanted

HOSTNAME_LIMIT = 255
DESCRIPTION_LIMIT = 1000
VOLUME_NAME_LIMIT = 64
NAME_LIMIT = 255
"""Of anything an order refers to by name or id."""
SCRIPT_LIMIT = 64 * 1024
OS_VOLUME_DEFAULT_GB = 50
OS_VOLUME_MAX_GB = 512
_NO_TEXT = re.compile("[\0\ud800-\udfff]")
_NOT_FOUND = ("instance_not_found", "Instance not found.")


def order(tx: Tx, by: Actor, spec: OrderSpec, rules: Rules) -> Instance:
    """Accepts an order: a unit is claimed and the minimum charge held, or the order is refused and nothing is.

    Raises Invalid naming the member, InsufficientCredits, NoCapacity.
    """
    by.may("deployments:write")
    _check(spec)
    try:
        kind = catalog.get_type(tx, events.system(by.project, by.key_id), spec.instance_type)
    except NotFound as error:
        raise _invalid("instance_type", error.message) from None
    image = catalog.pick_image(tx, spec.image, kind)
    size_gb = spec.os_volume_gb or max(OS_VOLUME_DEFAULT_GB, image.min_os_volume_gb)
    if size_gb < image.min_os_volume_gb:
        raise _invalid("os_volume.size", f"{image.slug} needs at least {image.min_os_volume_gb} GB.")
    if catalog.find_location(tx, spec.location) is None:
        raise _invalid("location", f"unknown location {spec.location!r}.")
    ssh_keys = keys.take(tx, by, spec.ssh_key_ids)
    instance_id = ids.new(tx.now)
    offer = _claim(tx, catalog.candidates(tx, kind.name, spec.location, image), instance_id)
    if offer is None:
        raise NoCapacity(
            "no_capacity",
            f"{kind.name} has no capacity in {spec.location} now. Try another location or type.",
        )
    billing.gate(tx, by.project, instance_id, offer.price, rules)
    instance = Instance(
        id=instance_id,
        project=by.project,
        created_by=by.key_id,
        hostname=spec.hostname,
        description=spec.description,
        instance_type=kind.name,
        location=spec.location,
        image=spec.image,
        image_id=image.id,
        image_slug=image.slug,
        os_name=image.os_name,
        ssh_user=image.ssh_user,
        specs=_specs(kind, offer),
        os_volume_name=spec.os_volume_name,
        os_volume_gb=size_gb,
        ssh_key_ids=tuple(key.id for key in ssh_keys),
        ssh_public_keys=tuple(key.public_key for key in ssh_keys),
        startup_script=spec.startup_script,
        price=offer.price,
        cost=offer.cost,
        offer_id=offer.id,
        provider=offer.provider,
        tried_offers=(offer.id,),
        handle=None,
        status=Status.ORDERED,
        wanted=Wanted.RUNNING,
        status_reason=None,
        status_changed_at=tx.now,
        is_restart_wanted=False,
        ip=None,
        ssh_port=None,
        created_at=tx.now,
        updated_at=tx.now,
        first_running_at=None,
        deleted_at=None,
        create_sent_at=None,
        deadline_at=None,
        missing_since=None,
        sequence=1,
        due_at=tx.now,
        lease_token=0,
        attempt=0,
    )
    store.insert(tx, instance)
    events.record(
        tx, by, "instance.ordered", subject=instance_id, sequence=1, data={"status": Status.ORDERED.value}
    )
    return instance


def get(tx: Tx, by: Actor, instance_id: str) -> Instance:
    """Raises NotFound, also for another project's."""
    by.may("deployments:read")
    return _existing(store.find(tx, by.project, instance_id))


def list_page(tx: Tx, by: Actor, *, status: Status | None, after: After | None, limit: int) -> Page[Instance]:
    """Newest first. Without `status` all but the deleted."""
    by.may("deployments:read")
    rows = store.page(tx, by.project, status=status, after_row=after, limit=limit + 1)
    return Page(rows[:limit], len(rows) > limit, store.total(tx, by.project, status))


def list_versions(
    tx: Tx, by: Actor, *, status: Status | None, after: After | None, limit: int
) -> Page[Version]:
    """The same page as `list_page`, for a caller that keeps what instances look like."""
    by.may("deployments:read")
    rows = store.page_of_versions(tx, by.project, status=status, after_row=after, limit=limit + 1)
    return Page(rows[:limit], len(rows) > limit, store.total(tx, by.project, status))


def start(tx: Tx, by: Actor, instance_id: str) -> Instance:
    """Raises NotFound, Conflict, InsufficientCredits, and NoCapacity when its hardware went to somebody else."""
    instance = _lock(tx, by, instance_id)
    if not states.changes(instance, Action.START):
        return instance
    billing.require_credit(tx, instance.project)
    if not catalog.reclaim(tx, instance.offer_id, instance.id):
        raise NoCapacity("no_capacity", "The hardware is taken by others now. Try again later.")
    return _want(tx, by, instance, Wanted.RUNNING, "instance.start_wanted")


def stop(tx: Tx, by: Actor, instance_id: str) -> Instance:
    """Raises NotFound, Conflict. Stopping what is stopped changes nothing."""
    instance = _lock(tx, by, instance_id)
    if not states.changes(instance, Action.STOP):
        return instance
    return _want(tx, by, instance, Wanted.OFFLINE, "instance.stop_wanted")


def restart(tx: Tx, by: Actor, instance_id: str) -> Instance:
    """Raises NotFound, Conflict. The clock keeps running: the hardware stays allocated."""
    instance = _lock(tx, by, instance_id)
    if not states.changes(instance, Action.RESTART):
        return instance
    return _want(tx, by, instance, Wanted.RUNNING, "instance.restart_wanted", is_restart_wanted=True)


def delete(tx: Tx, by: Actor, instance_id: str, rules: Rules) -> Instance:
    """Accepts the end of an instance: its clock stops now, whatever the provider's teardown takes.

    Raises NotFound. Deleting twice is one delete.
    """
    instance = _lock(tx, by, instance_id)
    if not states.changes(instance, Action.DELETE):
        return instance
    _settle_delete(tx, instance, rules)
    changed = replace(
        instance,
        status=Status.DELETING,
        wanted=Wanted.DELETED,
        is_restart_wanted=False,
        status_changed_at=tx.now,
        # Why it failed stays: it is what makes it free of charge.
        status_reason=instance.status_reason if instance.status in states.FAILED else None,
    )
    store.count_move(tx, instance.project, instance.status, Status.DELETING)
    return _write(tx, by, changed, "instance.deleting", previous=instance.status)


_ACTIONS = {Action.START: start, Action.STOP: stop, Action.RESTART: restart}


def act(tx: Tx, by: Actor, instance_id: str, action: Action, rules: Rules) -> Instance:
    """Any of the four actions by name."""
    if action is Action.DELETE:
        return delete(tx, by, instance_id, rules)
    return _ACTIONS[action](tx, by, instance_id)


def _settle_delete(tx: Tx, instance: Instance, rules: Rules) -> None:
    """What the delete costs. While it is unknown whether anything was created, the bill waits for that answer."""
    if instance.status in states.FAILED:
        return  # settled when it failed
    if instance.first_running_at is None and instance.handle is None and instance.create_sent_at is not None:
        return
    if instance.missing_since is not None:
        # Its provider has lost sight of it: nobody pays for what may have been down since.
        ended_at, with_minimum = instance.missing_since, False
    else:
        ran = instance.first_running_at is not None
        ended_at = tx.now
        with_minimum = ran or (instance.handle is not None and rules.minimum_on_cancel)
    billing.finish(tx, instance.project, instance.id, instance.price, ended_at, with_minimum=with_minimum)


def _want(
    tx: Tx, by: Actor, instance: Instance, wanted: Wanted, event: str, *, is_restart_wanted: bool = False
) -> Instance:
    changed = replace(
        instance, wanted=wanted, is_restart_wanted=is_restart_wanted, deadline_at=None, status_reason=None
    )
    return _write(tx, by, changed, event, previous=instance.status)


def _write(tx: Tx, by: Actor, instance: Instance, event: str, *, previous: Status) -> Instance:
    """Writes what is wanted and makes the row due at once."""
    changed = replace(instance, sequence=instance.sequence + 1, updated_at=tx.now, due_at=tx.now, attempt=0)
    store.update(
        tx,
        changed.id,
        status=changed.status.value,
        wanted=changed.wanted.value,
        restart_wanted=int(changed.is_restart_wanted),
        status_reason=changed.status_reason,
        status_changed_at=changed.status_changed_at,
        deadline_at=changed.deadline_at,
        sequence=changed.sequence,
        updated_at=changed.updated_at,
        due_at=changed.due_at,
        attempt=changed.attempt,
    )
    data = {"status": changed.status.value, "previous_status": previous.value}
    events.record(tx, by, event, subject=changed.id, sequence=changed.sequence, data=data)
    return changed


def _lock(tx: Tx, by: Actor, instance_id: str) -> Instance:
    by.may("deployments:write")
    return _existing(store.find(tx, by.project, instance_id, lock=True))


def _existing(found: Instance | None) -> Instance:
    if found is None:
        raise NotFound(*_NOT_FOUND)
    return found


def _claim(tx: Tx, offers: Sequence[Offer], subject: str) -> Offer | None:
    return next((offer for offer in offers if catalog.claim(tx, offer, subject)), None)


def _specs(kind: InstanceType, offer: Offer) -> Specs:
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
    if spec.startup_script is not None:
        _check_script(spec.startup_script)


def _check_script(script: str) -> None:
    if len(script) > SCRIPT_LIMIT:
        raise _invalid("startup_script", f"must be at most {SCRIPT_LIMIT} characters.")
    if _NO_TEXT.search(script):
        raise _invalid("startup_script", "must be text, without zero bytes and halves of characters.")


def _check_text(field: str, text: str, longest: int, *, least: int = 0) -> None:
    if not least <= len(text) <= longest:
        raise _invalid(field, f"must be {least} to {longest} characters.")
    if not text.isprintable():
        raise _invalid(field, "must hold printable characters only.")


def _invalid(field: str, message: str) -> Invalid:
    return Invalid("invalid_field", f"{field}: {message}", field=field)

"""Copies of volumes: asked for, made by the loop, whole or not there at all.

Nothing writes to a volume while it is copied: it is detached, or its instances are off and stay off, unless its
provider copies what is in use. A copy costs from when it is whole; one that fails or is cancelled costs nothing.
"""

import re
from collections.abc import Sequence
from dataclasses import replace

from berth.base.db import Tx
from berth.core import billing, catalog, projects
from berth.core.catalog import VolumeType
from berth.core.driver import Abilities
from berth.core.errors import Conflict
from berth.core.events import Actor
from berth.core.volumes import states, store
from berth.core.volumes.model import Host, Link, NewVolume, Status, Volume, Wanted
from berth.core.volumes.reasons import because
from berth.core.volumes.service import (
    NAME_LIMIT,
    check_name,
    check_size,
    drafted,
    invalid,
    lock,
    reserve,
)
from berth.core.volumes.writing import insert, write

_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9._-]")
_UNSETTLED = frozenset({Link.BOOT, Link.ATTACHING, *states.ENDING})


def clone(
    tx: Tx,
    by: Actor,
    volume_id: str,
    *,
    name: str | None = None,
    type: str | None = None,  # noqa: A002 - as customers call it
    hosts: Sequence[Host] = (),
) -> Volume:
    """Orders a copy where the volume is, of its size; a boot disk's copy can be booted from.

    `hosts` are the instances that have it. Raises NotFound, Invalid naming the member, InsufficientCredits, and
    Conflict (invalid_state, in_use, not_supported, quota).
    """
    by.may("volumes:write")
    projects.lock(tx, by)  # before any volume, as in an order
    source = lock(tx, by, volume_id)
    able = catalog.abilities(tx, source.provider)
    _check_source(source, able, hosts)
    # A boot disk may have a name that no other volume could be given.
    copy_name = _NOT_IN_NAMES.sub("-", f"CLONE-{source.name}")[:NAME_LIMIT] if name is None else name
    check_name(copy_name)
    sold = _sold(tx, source, type or source.type)
    check_size(source.size_gb, sold)
    spec = NewVolume(copy_name, source.size_gb, sold.name)
    reserve(tx, by, [spec])
    billing.require_credit(tx, by.project)
    made = replace(
        drafted(tx, by, spec, sold),
        status=Status.CLONING,
        is_bootable=source.is_bootable,
        origin=source.origin,
        cloning_from=source.id,
    )
    return insert(tx, by, made)


def cancel_clone(tx: Tx, by: Actor, volume_id: str) -> Volume:
    """Gives up a copy that is not whole yet, for good and free of charge. Twice is once. Raises NotFound, Conflict."""
    volume = lock(tx, by, volume_id)
    if volume.cloning_from is not None and volume.is_permanently_deleted:
        return volume
    if volume.status is not Status.CLONING:
        raise Conflict(
            "invalid_state", "Only a copy that is not finished can be cancelled.", status=volume.status.value
        )
    return write(
        tx,
        by,
        replace(volume, wanted=Wanted.PURGED, status_reason=because("clone_cancelled")),
        "volume.deleted",
    )


def is_copied_from(tx: Tx, volume_ids: Sequence[str]) -> bool:
    """Whether one of these is being copied."""
    return bool(volume_ids) and bool(store.copies_of(tx, volume_ids))


def _check_source(source: Volume, able: Abilities, hosts: Sequence[Host]) -> None:
    if not able.clones_volumes:
        raise Conflict("not_supported", "Volumes cannot be copied where this one is.")
    is_usable = (
        source.status in {Status.DETACHED, Status.ATTACHED}
        and source.handle is not None
        and source.wanted is Wanted.KEPT
        and source.wanted_size_gb == source.size_gb
        and not any(attachment.link in _UNSETTLED for attachment in source.attachments)
    )
    if not is_usable:
        raise Conflict(
            "invalid_state",
            f"A volume that is {source.status.value}, or about to change, cannot be copied.",
            status=source.status.value,
        )
    if any(host.is_on for host in hosts) and not able.clones_live:
        raise Conflict(
            "invalid_state",
            "The volume is in use: stop what it is attached to first.",
            status=source.status.value,
            hint="stop first",
        )


def _sold(tx: Tx, source: Volume, wanted: str) -> VolumeType:
    """What the copy is sold as, where its source is."""
    for sold in catalog.pick_volume_types(tx, wanted, source.location):
        if sold.provider == source.provider and not (source.is_bootable and sold.is_shared):
            return sold
    raise invalid("type", f"this volume cannot be copied to {wanted}.")

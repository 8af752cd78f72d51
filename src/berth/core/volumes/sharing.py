"""What the members of a cluster have in common: one volume that is their home, and shared ones that existed before."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from berth.base.db import Tx
from berth.core import catalog
from berth.core.catalog import VolumeType
from berth.core.errors import Conflict
from berth.core.events import Actor
from berth.core.volumes import boarding, store
from berth.core.volumes.model import Attachment, Link, NewVolume, Volume
from berth.core.volumes.service import check_name, check_size, distinct_name, drafted, invalid, reserve
from berth.core.volumes.writing import insert, write

HOME = "/home"
HOME_TYPES = ("NVMe_Shared_Cluster", "NVMe_Shared", "HDD_Shared")
"""The first that is sold where the cluster is."""


@dataclass(frozen=True, slots=True)
class SharedCargo:
    """The volumes of a cluster's order, looked up: a new one by who could make it, and those that exist, locked."""

    name: str
    size_gb: int
    sold: Sequence[VolumeType]
    existing: Sequence[Volume]

    def fits(self, provider: str) -> bool:
        """Whether a cluster at `provider` can have them all."""
        return any(each.provider == provider for each in self.sold) and all(
            volume.provider == provider for volume in self.existing
        )


def look_up_shared(
    tx: Tx, by: Actor, name: str, size_gb: int, existing_ids: Sequence[str], location: str, *, hosts: int
) -> SharedCargo:
    """Checks and locks what the order of a cluster of `hosts` members names.

    Raises Invalid naming the member, Conflict (in_use, invalid_state, quota).
    """
    by.may("volumes:write")
    check_name(name, "shared_volume.name")
    sold = _homes(tx, size_gb, location, hosts)
    reserve(tx, by, [NewVolume(name, size_gb, sold[0].name)])
    existing = boarding.look_up(tx, by, (), existing_ids, location).existing
    for volume in existing:
        if not volume.is_shared:
            raise invalid("existing_volumes", f"{volume.type} is attached to one deployment at a time.")
        if len(volume.attachments) + hosts > volume.max_attachments:
            raise Conflict(
                "in_use", f"The volume {volume.name} cannot be attached to {hosts} more deployments."
            )
    return SharedCargo(name, size_gb, sold, existing)


def board_shared(
    tx: Tx, by: Actor, cargo: SharedCargo, instance_ids: Sequence[str], provider: str
) -> Sequence[str]:
    """Gives new instances their common volumes, the new one first. Returns the volumes' ids.

    The new one begins to cost when the first of the instances runs, and ends with it if it never does.
    """
    offered = next(each for each in cargo.sold if each.provider == provider)
    home = drafted(tx, by, NewVolume(cargo.name, cargo.size_gb, offered.name), offered)
    taken: set[str] = set()
    tickets = _tickets(tx, home, instance_ids, taken, HOME)
    boarded = [insert(tx, by, replace(home, born_with=instance_ids[0], attachments=tickets)).id]
    for volume in cargo.existing:
        tickets = _tickets(tx, volume, instance_ids, taken, None)
        for ticket in tickets:
            store.insert_attachment(tx, ticket)
        changed = replace(volume, attachments=(*volume.attachments, *tickets), status_reason=None)
        write(tx, by, changed, "volume.attach_wanted", instance_id=instance_ids[0])
        boarded.append(volume.id)
    return tuple(boarded)


def _homes(tx: Tx, size_gb: int, location: str, hosts: int) -> Sequence[VolumeType]:
    """Who could make it: of the first type that has the size and room for all, cheapest first."""
    found = [catalog.sold_volume_types(tx, name, location) for name in HOME_TYPES]
    sold = [each for of_type in found for each in of_type if each.is_shared and each.max_attachments >= hosts]
    if not sold:
        raise invalid("shared_volume", f"no storage that {hosts} nodes can share is offered in {location}.")
    roomy = [each for each in sold if each.min_size_gb <= size_gb <= each.max_size_gb]
    if not roomy:
        check_size(size_gb, sold[0], "shared_volume.size")
    return roomy


def _tickets(
    tx: Tx, volume: Volume, instance_ids: Sequence[str], taken: set[str], path: str | None
) -> tuple[Attachment, ...]:
    name = distinct_name(volume, taken)
    taken.add(name)
    return tuple(
        Attachment(volume.id, instance_id, name, Link.BOOT, tx.now, path) for instance_id in instance_ids
    )

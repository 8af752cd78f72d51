"""What must hold of volumes and the providers' disks together, whatever happened before; as `truth` for instances."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from berth.base.db import Database
from tests.world.provider import Provider
from tests.world.truth import rows


@dataclass(frozen=True)
class Kept:
    """A row of data volumes, as far as it is judged."""

    id: str
    status: str
    wanted: str
    provider: str
    handle: str | None
    size_gb: int
    is_shared: int
    gone_at: int | None
    born_with: str | None


_KEPT = (
    "SELECT id, status, wanted, provider, handle, size_gb, is_shared, gone_at, born_with FROM volumes"
    " WHERE os_of IS NULL ORDER BY id"
)


def problems(db: Database, providers: Sequence[Provider], *, at_rest: bool) -> list[str]:
    kept = [Kept(*row) for row in rows(db, _KEPT)]
    found = [f"volume {each.id} ({each.status}): {said}" for each in kept for said in _always(db, each)]
    found += _boot_disks(db)
    if at_rest:
        found += [
            f"volume {each.id} ({each.status}): {said}"
            for each in kept
            for said in _settled(db, each, providers)
        ]
        known = {each.handle for each in kept if each.gone_at is None}
        known |= {
            row[0]
            for row in rows(db, "SELECT handle FROM volumes WHERE os_of IS NOT NULL AND gone_at IS NULL")
        }
        found += [sentence for provider in providers for sentence in _strays(provider, known)]
    return found


def is_storing(db: Database, volume_id: str) -> bool:
    """Whether a volume costs now."""
    return (
        rows(db, "SELECT 1 FROM storage_segments WHERE subject = :id AND ended_at IS NULL", id=volume_id)
        != []
    )


def _always(db: Database, kept: Kept) -> Iterator[str]:
    """At every commit."""
    hosts = rows(
        db,
        "SELECT a.instance_id, v.location = i.location AND v.provider = i.provider FROM attachments a"
        " JOIN volumes v ON v.id = a.volume_id JOIN instances i ON i.id = a.instance_id"
        " WHERE a.volume_id = :id",
        id=kept.id,
    )
    if len(hosts) > 1 and not kept.is_shared:
        yield f"attached to {hosts}"
    if hosts and kept.status == "deleted":
        yield f"attached to {hosts}"
    if not all(is_together for _, is_together in hosts):
        yield "its instance is elsewhere"
    if is_storing(db, kept.id) and (kept.status == "deleted" or kept.born_with is not None):
        yield "it costs"


def _settled(db: Database, kept: Kept, providers: Sequence[Provider]) -> Iterator[str]:
    """Once faults have ended: one disk for what is there, none for what is gone."""
    disks = [disk for provider in providers for disk in provider.disks_of(kept.id)]
    if kept.gone_at is not None:
        if disks:
            yield f"it is gone, and {[disk.handle for disk in disks]} are there"
        return
    if kept.status not in {"attached", "detached", "deleted"} or kept.wanted == "purged":
        yield f"{kept.wanted} is wanted"
    if kept.handle is None and kept.status == "deleted" and not disks:
        return  # deleted before it was made
    if [disk.handle for disk in disks] != [kept.handle]:
        yield f"its handle is {kept.handle}, there are {[disk.handle for disk in disks]}"
        return
    if disks[0].size_gb != kept.size_gb:
        yield f"it has {kept.size_gb} GB, its disk {disks[0].size_gb}"
    if is_storing(db, kept.id) != (kept.status != "deleted"):
        yield "its meter is wrong"
    wanted_at = {
        row[0]
        for row in rows(
            db,
            "SELECT i.handle FROM attachments a JOIN instances i ON i.id = a.instance_id"
            " WHERE a.volume_id = :id",
            id=kept.id,
        )
    }
    # What a provider lost left its disks behind.
    machines = {machine.handle for provider in providers for machine in provider.alive()}
    if disks[0].attached_to & machines != wanted_at:
        yield f"it is to be at {wanted_at}, and is at {disks[0].attached_to & machines}"


def _boot_disks(db: Database) -> Iterator[str]:
    """One for each instance, there and paid for with it as long as that is; then it is gone, or on its own."""
    for (volume_id,) in rows(db, "SELECT id FROM volumes WHERE os_of IS NOT NULL ORDER BY id"):
        if is_storing(db, volume_id):
            yield f"the boot disk {volume_id} costs beside its instance"
    for instance_id, status, disks, live in rows(
        db,
        "SELECT i.id, i.status, COUNT(v.id), COUNT(CASE WHEN v.status <> 'deleted' THEN 1 END) FROM instances i"
        " LEFT JOIN volumes v ON v.os_of = i.id GROUP BY i.id, i.status ORDER BY i.id",
    ):
        if disks > 1:
            yield f"instance {instance_id} has {disks} boot disks"
        if status in {"ordered", "provisioning", "running", "offline"} and live != 1:
            yield f"instance {instance_id} ({status}) has lost its boot disk"
        if status == "deleted" and live != 0:
            yield f"instance {instance_id} ({status}) has left its boot disk"


def _strays(provider: Provider, known: set[str | None]) -> Iterator[str]:
    for disk in provider.disks.values():
        if disk.label is not None and disk.label.install_id != "other" and disk.handle not in known:
            yield f"{disk.handle} is there and no volume accounts for it"

"""How a volume's row is written: its status and when it is due follow from the rest, and each change is recorded."""

from dataclasses import replace

from berth.base.clock import HOUR, Instant
from berth.base.db import Tx
from berth.core import events
from berth.core.events import Actor
from berth.core.volumes import states, store
from berth.core.volumes.model import Attachment, Link, Status, Volume, Wanted

TRASH_H = 96
"""How long what was deleted can be restored."""


def write(
    tx: Tx,
    by: Actor,
    volume: Volume,
    event: str | None = None,
    *,
    keep_lease: bool = True,
    due_at: Instant | None = None,
    instance_id: str | None = None,
    reason: str | None = None,
    deletes_at: Instant | None = None,
) -> Volume:
    """The volume as written. `due_at` puts off what is still to be done; an event names the last three."""
    previous = volume.status
    changed = settled(volume, tx.now)
    if due_at is not None and changed.due_at is not None:
        changed = replace(changed, due_at=max(due_at, changed.due_at))
    if event is not None:
        changed = replace(changed, sequence=changed.sequence + 1, updated_at=tx.now, attempt=0)
        _record(
            tx,
            by,
            changed,
            event,
            previous=previous,
            instance_id=instance_id,
            reason=reason,
            deletes_at=deletes_at,
        )
    store.save(tx, changed, keep_lease=keep_lease)
    return changed


def insert(tx: Tx, by: Actor, volume: Volume) -> Volume:
    """A volume that was just ordered, with its attachments."""
    made = replace(settled(volume, tx.now), sequence=1)
    store.insert(tx, made)
    _record(tx, by, made, "volume.ordered", previous=made.status, instance_id=made.born_with, reason=None)
    return made


def settled(volume: Volume, now: Instant) -> Volume:
    """With what follows from what is known of it."""
    changed = replace(volume, status=states.status_of(volume))
    if changed.status is not Status.DELETED:
        changed = replace(changed, deleted_at=None, purge_at=None)
    elif changed.wanted is Wanted.PURGED:
        changed = replace(
            changed, deleted_at=changed.deleted_at or now, purge_at=min(changed.purge_at or now, now)
        )
    elif changed.deleted_at is None:
        changed = replace(changed, deleted_at=now, purge_at=Instant(now + TRASH_H * HOUR))
    return replace(changed, due_at=states.due_at(changed, now))


def link(tx: Tx, volume: Volume, instance_id: str, to: Link) -> Volume:
    """Moves one attachment on; the row itself is still to be written."""
    changed = []
    for attachment in volume.attachments:
        moved = attachment
        if attachment.instance_id == instance_id and attachment.link is not to:
            moved = replace(attachment, link=to)
            store.set_link(tx, moved)
        changed.append(moved)
    return replace(volume, attachments=tuple(changed))


def unlink(tx: Tx, volume: Volume, instance_id: str) -> Volume:
    """Forgets one attachment; the row itself is still to be written."""
    kept = []
    for attachment in volume.attachments:
        if attachment.instance_id == instance_id:
            store.delete_attachment(tx, attachment)
        else:
            kept.append(attachment)
    return replace(volume, attachments=tuple(kept))


def attachment_to(volume: Volume, instance_id: str) -> Attachment | None:
    return next((each for each in volume.attachments if each.instance_id == instance_id), None)


def _told(status: Status) -> str:
    # Those who are told of events know no other word for what does not exist yet.
    return Status.ORDERED.value if status is Status.CLONING else status.value


def _record(
    tx: Tx,
    by: Actor,
    volume: Volume,
    event: str,
    *,
    previous: Status,
    instance_id: str | None,
    reason: str | None,
    deletes_at: Instant | None = None,
) -> None:
    data: dict[str, object] = {
        "volume_id": volume.id,
        "name": volume.name,
        "volume_type": volume.type,
        "location": volume.location,
        "size_gb": volume.size_gb,
        "status": _told(volume.status),
        "previous_status": _told(previous),
    }
    if instance_id is not None:
        data["instance_id"] = instance_id
    if reason is not None:
        data["reason"] = reason
    if deletes_at is not None:
        data["deletes_at"] = deletes_at
    if volume.purge_at is not None:
        data["purge_at"] = volume.purge_at
    events.record(tx, by, event, subject=volume.id, sequence=volume.sequence, data=data)

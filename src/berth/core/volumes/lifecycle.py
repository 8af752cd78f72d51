"""The verbs of the volumes loop. They write what is seen, and only under the lease the row was taken with.

Each takes the volume as it was leased. If the lease is no longer ours, nothing is written and None comes back.
Since the owner may have changed their mind meanwhile, each starts from the row as it is now.
"""

from collections.abc import Collection, Sequence
from dataclasses import replace

from berth.base.clock import SECOND, Instant, after
from berth.base.db import Tx
from berth.core import billing, events
from berth.core.driver import Mount, VolumeOrder, VolumeSighting
from berth.core.volumes import store
from berth.core.volumes.model import Attachment, Link, Volume, Wanted
from berth.core.volumes.service import start_storage
from berth.core.volumes.writing import attachment_to, link, unlink, write

_ACTOR = "loop:volumes"


def lease_due(tx: Tx, *, limit: int, seconds: int, providers: Collection[str]) -> Sequence[Volume]:
    """Takes up to `limit` volumes at `providers`, whom the caller can ask, that something is to be done for.

    They are held for `seconds` at most.
    """
    return store.lease_due(tx, limit=limit, seconds=seconds, providers=providers)


def renew_lease(tx: Tx, leased: Volume, *, seconds: int) -> bool:
    """Keeps the row for `seconds` from now; False when it is no longer ours."""
    return store.renew_lease(tx, leased.id, leased.lease_token, until=after(tx.now, seconds=seconds))


def give_back(tx: Tx, leased: Volume) -> None:
    """Lets others take the row at once. One that was lost stays as it is."""
    store.give_back(tx, leased.id, leased.lease_token)


def release_leases(tx: Tx) -> None:
    """Takes every row back from whoever held it. Only for a process that knows that it is alone, when it starts."""
    store.release_leases(tx)


def next_due(tx: Tx, *, providers: Collection[str]) -> Instant | None:
    """When the next volume that `lease_due` would take is due, or None when everything is as wanted."""
    return store.next_due(tx, providers=providers)


def volume_order(volume: Volume, *, install_id: str, source: str | None = None) -> VolumeOrder:
    """What the provider is told; `source` is the handle of what it is to be a copy of."""
    return VolumeOrder(
        volume.label(install_id),
        volume.name,
        volume.type,
        volume.wanted_size_gb,
        volume.location,
        source=source,
    )


def mount_of(volume: Volume, attachment: Attachment) -> Mount:
    """What the provider is told of an attachment of a volume that exists."""
    assert volume.handle is not None
    return Mount(volume.handle, attachment.mount_name, attachment.mount_path)


def intend_create(tx: Tx, leased: Volume) -> Volume | None:
    """Commits that something may exist at the provider from now on: always before the call that makes it."""
    current = _current(tx, leased)
    if current is None or current.wanted is not Wanted.KEPT or current.may_exist:
        return None
    return _keep(tx, replace(current, create_sent_at=tx.now), keep_lease=True)


def created(tx: Tx, leased: Volume, sighting: VolumeSighting) -> Volume | None:
    """The provider made it, or has it: its handle is known and, unless it is still being copied, it costs from now on."""
    current = _current(tx, leased)
    if current is None:
        return None
    changed = replace(current, handle=sighting.handle, missing_since=None)
    if changed.cloning_from is not None and not sighting.is_ready:
        return _keep(tx, changed)
    changed = replace(changed, cloning_from=None, size_gb=sighting.size_gb)
    changed = replace(changed, wanted_size_gb=max(changed.wanted_size_gb, changed.size_gb))
    if changed.wanted is Wanted.KEPT and changed.born_with is None:
        start_storage(tx, changed)
    return _keep(tx, changed, "volume.created")


def source_of(tx: Tx, leased: Volume) -> str | None:
    """The handle of what it is to be a copy of; None when that is gone."""
    source = None if leased.cloning_from is None else store.find_any(tx, leased.cloning_from, lock=False)
    return None if source is None or source.gone_at is not None else source.handle


def found(tx: Tx, leased: Volume, sighting: VolumeSighting) -> Volume | None:
    """What is about to be destroyed did exist: its handle is kept before it goes, and the row stays leased."""
    current = _current(tx, leased)
    if current is None:
        return None
    return _keep(tx, replace(current, handle=sighting.handle), keep_lease=True)


def did_not_happen(tx: Tx, leased: Volume, *, retry_s: float) -> Volume | None:
    """The create certainly made nothing: it may be tried again after `retry_s`."""
    current = _current(tx, leased)
    if current is None:
        return None
    return _keep(tx, replace(current, create_sent_at=None), due_at=_again_at(tx, leased, current, retry_s))


def look_again(tx: Tx, leased: Volume, *, retry_s: float) -> Volume | None:
    """Nothing new to act on: the row is due again after `retry_s`, if something is still to be done."""
    current = _current(tx, leased)
    if current is None:
        return None
    return _keep(tx, current, due_at=_again_at(tx, leased, current, retry_s))


def cannot_create(tx: Tx, leased: Volume, *, reason: str) -> Volume | None:
    """The provider will not make it, and made nothing: it ends, and costs nothing."""
    current = _current(tx, leased)
    if current is None:
        return None
    for attachment in current.attachments:
        store.delete_attachment(tx, attachment)
    changed = replace(
        current,
        wanted=Wanted.PURGED,
        status_reason=reason,
        create_sent_at=None,
        # What began as a copy and came to nothing may have left something.
        gone_at=tx.now if current.handle is None else None,
        attachments=(),
    )
    return _keep(tx, changed, "volume.deleted", reason=reason)


def attached(tx: Tx, leased: Volume, instance_id: str) -> Volume | None:
    """The instance has it."""
    current = _current(tx, leased)
    if current is None:
        return None
    known = attachment_to(current, instance_id)
    if known is None or known.link is not Link.ATTACHING:
        return _keep(tx, current)
    changed = link(tx, current, instance_id, Link.ATTACHED)
    return _keep(tx, changed, "volume.attached", instance_id=instance_id)


def not_attached(tx: Tx, leased: Volume, instance_id: str, *, reason: str) -> Volume | None:
    """The provider will not attach it: the wish is dropped, and the volume says why."""
    current = _current(tx, leased)
    if current is None:
        return None
    known = attachment_to(current, instance_id)
    if known is None or known.link is not Link.ATTACHING:
        return _keep(tx, current)
    changed = replace(unlink(tx, current, instance_id), status_reason=reason)
    return _keep(tx, changed, "volume.attach_failed", instance_id=instance_id, reason=reason)


def detached(tx: Tx, leased: Volume, instance_id: str) -> Volume | None:
    """The instance no longer has it."""
    current = _current(tx, leased)
    if current is None:
        return None
    known = attachment_to(current, instance_id)
    if known is None or known.link is not Link.DETACHING:
        return _keep(tx, current)
    return _keep(tx, unlink(tx, current, instance_id), "volume.detached", instance_id=instance_id)


def not_detached(tx: Tx, leased: Volume, instance_id: str, *, reason: str) -> Volume | None:
    """The provider will not detach it: it stays attached, and says why."""
    current = _current(tx, leased)
    if current is None:
        return None
    known = attachment_to(current, instance_id)
    if known is None or known.link is not Link.DETACHING:
        return _keep(tx, current)
    changed = replace(link(tx, current, instance_id, Link.ATTACHED), status_reason=reason)
    return _keep(tx, changed, "volume.detach_failed", instance_id=instance_id, reason=reason)


def resized(tx: Tx, leased: Volume, size_gb: int) -> Volume | None:
    """It has grown to `size_gb`: so has its price."""
    current = _current(tx, leased)
    if current is None or size_gb <= current.size_gb:
        return current
    changed = replace(current, size_gb=size_gb, wanted_size_gb=max(current.wanted_size_gb, size_gb))
    if changed.wanted is Wanted.KEPT and changed.born_with is None:
        cost = changed.cost_micros_per_gb_month * size_gb
        price = changed.price_micros_per_month
        billing.change_storage(tx, changed.project, changed.id, price, cost_micros_per_month=cost)
    return _keep(tx, changed, "volume.resized")


def not_resized(tx: Tx, leased: Volume, *, reason: str) -> Volume | None:
    """The provider will not grow it: it stays as it is, and says why."""
    current = _current(tx, leased)
    if current is None:
        return None
    changed = replace(current, wanted_size_gb=current.size_gb)
    if current.wanted is not Wanted.KEPT:
        return _keep(tx, changed)  # nobody waits for it any more
    return _keep(tx, replace(changed, status_reason=reason), "volume.resize_failed", reason=reason)


def intend_destroy(tx: Tx, leased: Volume) -> Volume | None:
    """Commits that nobody brings it back: always before the call that ends it. None when it is wanted after all."""
    current = _current(tx, leased)
    if current is None or current.wanted is Wanted.KEPT or current.attachments:
        return None
    if current.wanted is Wanted.PURGED:
        return current
    if current.purge_at is None or current.purge_at > tx.now:
        return None
    return _keep(tx, replace(current, wanted=Wanted.PURGED), "volume.purge_wanted", keep_lease=True)


def gone(tx: Tx, leased: Volume) -> Volume | None:
    """The provider confirms that nothing is left."""
    current = _current(tx, leased)
    if current is None or current.wanted is not Wanted.PURGED:
        return None
    return _keep(tx, replace(current, create_sent_at=None, gone_at=tx.now), "volume.purged")


def _current(tx: Tx, leased: Volume) -> Volume | None:
    """The row now, locked; None when another holder has it."""
    current = store.find_any(tx, leased.id)
    if current is None or current.lease_token != leased.lease_token:
        return None
    return current


def _again_at(tx: Tx, leased: Volume, current: Volume, retry_s: float) -> Instant:
    """After the pause, or at once when its owner asked for something since it was leased."""
    if current.sequence != leased.sequence:
        return tx.now
    return Instant(tx.now + int(retry_s * SECOND))


def _keep(
    tx: Tx,
    volume: Volume,
    event: str | None = None,
    *,
    keep_lease: bool = False,
    due_at: Instant | None = None,
    instance_id: str | None = None,
    reason: str | None = None,
) -> Volume:
    """Writes the row and ends the lease, unless the step goes on."""
    by = events.system(volume.project, _ACTOR)
    return write(
        tx, by, volume, event, keep_lease=keep_lease, due_at=due_at, instance_id=instance_id, reason=reason
    )

"""The verbs of the loop that observes volumes: what a provider's listing proves, and what it does not.

The rules are those of instances. Only here what was given up for lost and is back is taken back: it holds what its
owner wrote.
"""

from collections.abc import Sequence
from dataclasses import replace

from berth.base.clock import Instant
from berth.base.db import Tx
from berth.core import billing, events
from berth.core.driver import VolumeSighting
from berth.core.volumes import store
from berth.core.volumes.model import Orphan, Volume, Wanted
from berth.core.volumes.reasons import because
from berth.core.volumes.service import start_storage
from berth.core.volumes.writing import write

_PAGE = 1000
_NOBODY = "berth"
"""The project under which events are kept that concern no customer."""
_ACTOR = "loop:volume_observation"
LOST = "volume_lost"


def at_provider(tx: Tx, provider: str, *, after_id: str = "") -> Sequence[Volume]:
    """A page of the data volumes that exist at `provider`, by id; empty after the last."""
    return store.at_provider(tx, provider, after_id=after_id, limit=_PAGE)


def listed(tx: Tx, provider: str) -> Instant | None:
    """Notes that a complete listing was had; returns when the one before was."""
    return store.mark_listed(tx, provider)


def missing(tx: Tx, volume: Volume, *, since: Instant) -> None:
    """A complete listing lacks it, for the first time: it was last seen at `since`."""
    current = store.find_any(tx, volume.id)
    if current is not None and current.missing_since is None and current.gone_at is None:
        _write(tx, replace(current, missing_since=since), "volume.unreachable")


def back(tx: Tx, volume: Volume) -> None:
    """It was missing and is listed again; if it had been given up, it is taken back and costs from now on."""
    current = store.find_any(tx, volume.id)
    if current is None or current.missing_since is None:
        return
    changed = replace(current, missing_since=None)
    if _was_lost(current):
        changed = replace(changed, wanted=Wanted.KEPT, gone_at=None, status_reason=None)
        start_storage(tx, changed)
    _write(tx, changed, "volume.recovered")


def lost(tx: Tx, volume: Volume, *, seen_at: Instant) -> Volume | None:
    """It ended without anybody asking: it costs nothing since it was last seen."""
    current = store.find_any(tx, volume.id)
    if current is None or current.sequence != volume.sequence or current.missing_since is None:
        return None
    billing.finish_storage(tx, current.project, current.id, seen_at)
    for attachment in current.attachments:
        store.delete_attachment(tx, attachment)
    reason = because(LOST)
    if current.wanted is not Wanted.KEPT:
        reason = current.status_reason or ""
    changed = replace(
        current,
        wanted=Wanted.PURGED,
        status_reason=reason or None,
        gone_at=tx.now,
        attachments=(),
        # Whoever is at work on it was told by a provider that still had it: what they bring back is void.
        lease_token=current.lease_token + 1,
    )
    return _write(tx, changed, "volume.deleted", reason=reason or None)


def is_orphan(tx: Tx, provider: str, sighting: VolumeSighting) -> bool:
    """Whether no row accounts for what was sighted. One that is just being created has a row."""
    if sighting.label is None:
        return False
    volume = store.find_any(tx, sighting.label.instance_id, lock=False)
    if volume is None or volume.provider != provider:
        return True
    if volume.handle is not None and volume.handle != sighting.handle:
        return True
    return volume.gone_at is not None and not _was_lost(volume)


def given_up(tx: Tx, sighting: VolumeSighting) -> Volume | None:
    """The volume that was lost, and is what was sighted."""
    volume = None if sighting.label is None else store.find_any(tx, sighting.label.instance_id, lock=False)
    is_it = volume is not None and volume.handle == sighting.handle and _was_lost(volume)
    return volume if is_it else None


def report_orphan(tx: Tx, provider: str, sighting: VolumeSighting) -> Orphan:
    """Remembers since when it was seen; the first time an event says so."""
    volume_id = "" if sighting.label is None else sighting.label.instance_id
    orphan, is_new = store.upsert_orphan(tx, provider, sighting.handle, volume_id)
    if is_new:
        _record_orphan(tx, orphan, "orphan_volume.found")
    return orphan


def orphan_destroyed(tx: Tx, orphan: Orphan) -> None:
    store.end_orphan(tx, orphan)
    _record_orphan(tx, orphan, "orphan_volume.destroyed")


def _was_lost(volume: Volume) -> bool:
    reason = volume.status_reason
    return volume.gone_at is not None and reason is not None and reason.startswith(LOST)


def _write(tx: Tx, volume: Volume, event: str, *, reason: str | None = None) -> Volume:
    return write(tx, events.system(volume.project, _ACTOR), volume, event, reason=reason)


def _record_orphan(tx: Tx, orphan: Orphan, event: str) -> None:
    events.record(
        tx,
        events.system(_NOBODY, _ACTOR),
        event,
        subject=f"orphan_volume:{orphan.provider}:{orphan.handle}",
        data={"provider": orphan.provider, "handle": orphan.handle, "volume_id": orphan.volume_id},
    )

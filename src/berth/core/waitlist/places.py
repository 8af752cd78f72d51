"""Every change of an entry: written, counted in its lines, and told. The caller holds the lock of the type."""

from dataclasses import replace

from berth.base.db import Tx
from berth.core import catalog, events
from berth.core.catalog import ANYWHERE, Line
from berth.core.events import Actor
from berth.core.waitlist import states, store
from berth.core.waitlist.model import IN_LINE, Entry, Rules, Status


def put(tx: Tx, before: Entry | None, after: Entry, rules: Rules) -> Entry:
    """Writes `after` in place of `before`, and counts it where it stands now instead of where it stood."""
    written = replace(after, is_owed=states.is_owed(after, rules), updated_at=tx.now)
    changes: dict[tuple[str, str], Line] = {}
    for entry, sign in ((before, -1), (written, 1)):
        if entry is not None:
            _count(entry, sign, changes)
    for (kind, location), change in sorted(changes.items()):
        if change != Line(0, 0, 0):
            catalog.count_in_line(tx, kind, location, change)
    store.write(tx, written, states.due_at(written))
    return written


def tell(tx: Tx, by: Actor, event: str, entry: Entry, **more: object) -> Entry:
    """Records what happened to an entry; returns it with its sequence counted up, to be put."""
    counted = replace(entry, sequence=entry.sequence + 1)
    told: dict[str, object | None] = {
        "waitlist_id": entry.id,
        "status": entry.status.value,
        "instance_type": entry.instance_type,
        "location": entry.granted_location or entry.location,
        "instance_id": entry.instance_id,
    }
    data = {name: value for name, value in told.items() if value is not None} | more
    events.record(tx, by, event, subject=entry.id, sequence=counted.sequence, data=data)
    return counted


def end(tx: Tx, by: Actor, entry: Entry, status: Status, rules: Rules, *, reason: str | None = None) -> Entry:
    """Takes an entry out of line for good, and says so."""
    ended = replace(
        entry,
        status=status,
        blocked_reason=None,
        blocked_at=None,
        blocked_balance=None,
        claim_expires_at=None,
        rest_until=None,
        look_at=None,
        remind_at=None,
        last_error=reason if status is Status.FAILED else entry.last_error,
    )
    more = {} if reason is None else {"reason": reason}
    return put(tx, entry, tell(tx, by, f"waitlist.{status.value}", ended, **more), rules)


def _count(entry: Entry, sign: int, changes: dict[tuple[str, str], Line]) -> None:
    def add(location: str, length: int, owed: int, reserved: int) -> None:
        pair = (entry.instance_type, location)
        known = changes.get(pair, Line(0, 0, 0))
        changes[pair] = Line(
            known.length + sign * length, known.owed + sign * owed, known.reserved + sign * reserved
        )

    if entry.status in IN_LINE:
        add(entry.location or ANYWHERE, 1, int(entry.is_owed), 0)
    if entry.has_reservation:
        assert entry.granted_location is not None
        add(entry.granted_location, 0, 0, 1)

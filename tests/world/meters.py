"""What must hold of billed time at every commit: each second of use is in one stretch, and paid once.

Worked out from the rows of events and the instants at which anything was committed, not from what billing says.
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from berth.base.clock import HOUR, SECOND
from berth.base.db import Database, Row
from tests.world.truth import rows

MINIMUM_S = 600
MONTH_S = 730 * 3600
_CUT_OFF = {"insufficient_credits", "budget_reached"}
_BEGINS = {"instance.running"}
_ENDS = {
    "instance.deleting",
    "instance.offline",
    "instance.stop_wanted",
    "instance.start_failed",
    "instance.hardware_released",
}
_LOSES = {"instance.unreachable", "instance.offline", "instance.error"}
"""Ends that lie before the event: when it was last seen, or when it was restarted in vain."""
_WHOEVER = ""
_STOPS = {
    "instance.deleting": _WHOEVER,
    "instance.error": _WHOEVER,
    "instance.stop_wanted": "credit",
    "instance.offline": "loop:observation",
}
"""What stops the clock at once, by who says so: a delete, a failure, an empty balance, a host that went down."""
_STORES = {"volume.created", "volume.attached", "volume.restored", "volume.recovered", "volume.resized"}
_STORES_DISKS = _STORES | {"volume.detached"}
"""A boot disk costs by itself once it is no instance's."""


@dataclass(frozen=True)
class Stretch:
    """Time of one subject at one price, whichever meter it is on."""

    subject: str
    number: int
    started_at: int
    ended_at: int | None
    before_s: int
    price: int
    before_micros: int = 0
    phase: int = 0


_SEGMENTS = (
    "SELECT subject, number, started_at, ended_at, before_s, price_micros_per_hour FROM segments"
    " ORDER BY subject, number"
)
_STORAGE = (
    "SELECT subject, number, started_at, ended_at, before_s, micros_per_month, before_micros, phase"
    " FROM storage_segments ORDER BY subject, number"
)
_EVENTS = "SELECT subject, type, created_at, actor FROM events ORDER BY seq"
_PAID = (
    "SELECT subject, CAST(-SUM(amount_micros) AS BIGINT), CAST(COALESCE(SUM(CASE code WHEN 'usage' THEN seconds"
    " WHEN 'storage' THEN seconds WHEN 'refund' THEN -seconds ELSE 0 END), 0) AS BIGINT) FROM entries"
    " WHERE tick > 0 GROUP BY subject"
)
_POOR = "SELECT DISTINCT subject FROM events WHERE type IN ('billing.suspended', 'billing.low_balance')"
_TICKED = f"SELECT DISTINCT subject FROM entries WHERE code = 'usage' AND seconds >= {MINIMUM_S}"
_INSTANCES = (
    "SELECT id, status, wanted, COALESCE(status_reason, ''), is_reserved, price_micros_per_hour,"
    " create_sent_at, first_running_at, is_session, project_id FROM instances ORDER BY id"
)
_VOLUMES = (
    "SELECT id, wanted, handle, born_with, size_gb, price_micros_per_gb_month, is_bootable, os_of FROM volumes"
    " WHERE os_of IS NULL OR id IN (SELECT subject FROM storage_segments) ORDER BY id"
)


class Meters:
    """Everything that is judged, read once."""

    def __init__(self, db: Database, instants: Collection[int], *, is_steady: bool) -> None:
        self.db = db
        self.instants = sorted(instants)
        self.is_steady = is_steady
        """Whether the clock never stepped back."""
        self.events: Mapping[str, list[tuple[str, int]]] = defaultdict(list)
        self.stops: Mapping[str, list[int]] = defaultdict(list)
        """When a clock had to stand, whatever its provider took."""
        for subject, kind, at, actor in rows(db, _EVENTS):
            self.events[subject].append((kind, at))
            if kind in _STOPS and _STOPS[kind] in {actor, _WHOEVER}:
                self.stops[subject].append(at)
        self.poor = {row[0] for row in rows(db, _POOR)}
        """Projects that had what runs stopped for want of credit, or may have had."""
        self.paid = {row[0]: (row[1], row[2]) for row in rows(db, _PAID)}
        self.holds: dict[str, int] = dict(rows(db, "SELECT subject, amount_micros FROM holds"))
        self.ticked = {row[0] for row in rows(db, _TICKED)}
        """What has paid a whole tick once, though some of it may have been given back since."""
        self.claims = {row[0] for row in rows(db, "SELECT subject FROM claims")}
        self.swept: dict[str, int] = dict(rows(db, "SELECT name, swept_at FROM sweeps"))

    def committed_within(self, start: int, end: int) -> bool:
        """Whether anything was committed in [start, end)."""
        found = bisect_left(self.instants, start)
        return found < len(self.instants) and self.instants[found] < end


def problems(db: Database, instants: Collection[int], *, is_steady: bool) -> list[str]:
    meters = Meters(db, instants, is_steady=is_steady)
    instances, volumes = rows(db, _INSTANCES), rows(db, _VOLUMES)
    used, stored = _by_subject(rows(db, _SEGMENTS)), _by_subject(rows(db, _STORAGE))
    found = [f"{name} is billed, and there is no such instance" for name in used.keys() - _ids(instances)]
    found += [f"{name} is billed, and there is no such volume" for name in stored.keys() - _ids(volumes)]
    for row in instances:
        said = _of_instance(meters, row, used.get(row[0], []))
        found += [f"{row[0]} ({row[1]}, {row[2]}): {sentence}" for sentence in said]
    for row in volumes:
        said = _of_volume(meters, row, stored.get(row[0], []))
        found += [f"volume {row[0]} ({row[1]}): {sentence}" for sentence in said]
    found += [
        f"{amount} are held for {name}"
        for name, amount in meters.holds.items()
        if name not in _ids(instances)
    ]
    return found


def _ids(found: Sequence[Row]) -> set[str]:
    return {row[0] for row in found}


def _by_subject(found: Sequence[Row]) -> dict[str, list[Stretch]]:
    by_subject: dict[str, list[Stretch]] = defaultdict(list)
    for row in found:
        by_subject[row[0]].append(Stretch(*row))
    return by_subject


def _of_instance(meters: Meters, row: Row, used: Sequence[Stretch]) -> Iterator[str]:
    instance_id, status, wanted, reason, is_reserved, price, _, _, is_session, project = row
    yield from _in_turn(used)
    events = meters.events[instance_id]
    begun = [at for kind, at in events if kind in _BEGINS]
    yield from _begins(meters, used, begun)
    yield from _has_begun(meters, used, begun)
    is_poor = project in meters.poor
    yield from _ends(meters, used, events, is_cut_off=is_poor)
    yield from _runs_on(meters, used, meters.stops[instance_id])
    if any(stretch.price != price for stretch in used):
        yield f"it was ordered at {price} and billed at {[stretch.price for stretch in used]}"
    is_open = bool(used) and used[-1].ended_at is None
    # What its owner had stopped already is cut off without another word; a session is, whatever its stop takes.
    is_off_at_once = status == "running" and (is_poor or is_session)
    is_cut_off = wanted == "offline" and (reason in _CUT_OFF or is_off_at_once)
    if status == "running" and not is_open and not is_cut_off:
        yield "it runs and its clock stands"
    if status == "offline" and is_reserved and not is_open and not is_cut_off:
        yield "its hardware is kept and its clock stands"
    has_ended = status not in {"running", "offline"}
    if is_open and (has_ended or (status == "offline" and not is_reserved and wanted == "offline")):
        yield "its clock runs"
    seconds = sum((end - stretch.started_at) // SECOND for stretch in used if (end := stretch.ended_at))
    if is_open:
        ticks = max(0, meters.swept.get("ticks", 0) - used[-1].started_at) // (MINIMUM_S * SECOND)
        seconds += ticks * MINIMUM_S
    paid_s = meters.paid.get(instance_id, (0, 0))[1]
    if paid_s != seconds:
        yield f"its rows are about {paid_s} s, and {seconds} s fell due"
    yield from _held(meters, row, used)
    if status in {"ordered", "provisioning", "running"} and instance_id not in meters.claims:
        yield "no unit is claimed for it"
    if status == "deleted" and instance_id in meters.claims:
        yield "a unit is claimed for it"


def _held(meters: Meters, row: Row, used: Sequence[Stretch]) -> Iterator[str]:
    instance_id, status, wanted, _, _, price, create_sent_at, first_running_at, is_session, _ = row
    held, full = meters.holds.get(instance_id, 0), _hourly(price, MINIMUM_S)
    if status in {"ordered", "provisioning"} and held != full:
        yield f"{held} are held, {full} is what it costs at least"
    if status in {"running", "offline"}:
        billed_s = sum((end - each.started_at) // SECOND for each in used if (end := each.ended_at))
        lacking = full - _hourly(price, min(billed_s, MINIMUM_S))
        if is_session and wanted == "offline" and held == 0:
            lacking = 0  # a session that is to be off pays what it used, and no minimum
        # A whole tick ends the hold; what is stopped before that keeps what the minimum lacks.
        if held > full or (instance_id not in meters.ticked and held < lacking):
            yield f"{held} are held, and the minimum lacks {lacking}"
        if used and used[-1].ended_at is not None and held not in {0, lacking}:
            yield f"{held} are held while it is off, and the minimum lacks {lacking}"
    # A delete that met a create under way is settled when its provider says what became of that.
    is_settled_later = status == "deleting" and first_running_at is None and create_sent_at is not None
    if held and not is_settled_later and status in {"error", "failed_no_capacity", "deleted", "deleting"}:
        yield f"{held} are held for what has ended"


def _of_volume(meters: Meters, row: Row, stored: Sequence[Stretch]) -> Iterator[str]:
    volume_id, wanted, handle, born_with, size_gb, price_gb, is_bootable, os_of = row
    yield from _in_turn(stored)
    starts = _STORES_DISKS if is_bootable else _STORES
    begun = [at for kind, at in meters.events[volume_id] if kind in starts]
    yield from _begins(meters, stored, begun)
    for stretch in stored:
        if stretch.ended_at is not None and not _ends_somewhere(meters, stretch.ended_at):
            yield f"stretch {stretch.number} ends at {stretch.ended_at}, when nothing happened"
        if stretch.price % price_gb:
            yield f"stretch {stretch.number} costs {stretch.price}, a GB {price_gb}"
    is_open = bool(stored) and stored[-1].ended_at is None
    # While an instance boots from it, it is paid for with that.
    is_to_cost = wanted == "kept" and handle is not None and born_with is None and os_of is None
    if is_open != is_to_cost:
        yield f"its meter {'runs' if is_open else 'stands'}"
    if is_open and stored[-1].price != price_gb * size_gb:
        yield f"{size_gb} GB cost {stored[-1].price}, a GB {price_gb}"
    cost = seconds = 0
    for stretch in stored:
        if stretch.before_micros != cost:
            yield f"stretch {stretch.number} says {stretch.before_micros} for those before, they cost {cost}"
        used_s = _stored_s(meters, stretch)
        cost, seconds = cost + _monthly(stretch.price, used_s), seconds + used_s
    paid = meters.paid.get(volume_id, (0, 0))
    if paid != (cost, seconds):
        yield f"paid {paid[0]} for {paid[1]} s, {cost} for {seconds} s fell due"


def _stored_s(meters: Meters, stretch: Stretch) -> int:
    """Seconds of a stretch that are to be paid now: all of one that has ended, else those up to the last tick."""
    if stretch.ended_at is not None:
        return (stretch.ended_at - stretch.started_at) // SECOND
    ticked_at = (meters.swept.get("storage", 0) - stretch.phase) // HOUR * HOUR + stretch.phase
    since = ticked_at - stretch.started_at
    return since // SECOND if since >= MINIMUM_S * SECOND else 0


def _in_turn(stretches: Sequence[Stretch]) -> Iterator[str]:
    """Numbered, none before the one before has ended, each knowing what came before."""
    before_s = 0
    for number, stretch in enumerate(stretches, 1):
        if stretch.number != number:
            yield f"stretch {stretch.number} is the {number}th"
        if stretch.before_s != before_s:
            yield f"stretch {number} says {stretch.before_s} s for those before, they were {before_s} s"
        if stretch.ended_at is not None:
            if stretch.ended_at < stretch.started_at:
                yield f"stretch {number} ends before it begins"
            before_s += (stretch.ended_at - stretch.started_at) // SECOND
    for earlier, later in pairwise(stretches):
        if earlier.ended_at is None or earlier.ended_at > later.started_at:
            yield f"stretches {earlier.number} and {later.number} overlap"


def _begins(meters: Meters, stretches: Sequence[Stretch], begun: Sequence[int]) -> Iterator[str]:
    """Each stretch begins with what starts its clock, or goes on where the one before ends, at a whole second of it."""
    ended: Stretch | None = None
    for stretch in stretches:
        goes_on = ended is not None and ended.ended_at == stretch.started_at
        if not goes_on and stretch.started_at not in begun:
            yield f"stretch {stretch.number} begins at {stretch.started_at}, nothing started it"
        is_whole = (
            ended is not None
            and ended.ended_at is not None
            and (ended.ended_at - ended.started_at) % SECOND == 0
        )
        if goes_on and not is_whole and stretch.started_at not in begun and meters.is_steady:
            yield f"stretch {stretch.number} forgets a part of a second of the one before"
        ended = stretch


def _has_begun(meters: Meters, stretches: Sequence[Stretch], begun: Sequence[int]) -> Iterator[str]:
    for at in begun if meters.is_steady and stretches else ():
        if not any(
            each.started_at <= at and (each.ended_at is None or at <= each.ended_at) for each in stretches
        ):
            yield f"it began to cost at {at}, and no stretch has that"
    if begun and not stretches:
        yield "it began to cost and was never billed"


def _ends(
    meters: Meters, stretches: Sequence[Stretch], events: Sequence[tuple[str, int]], *, is_cut_off: bool
) -> Iterator[str]:
    ends = {at for kind, at in events if kind in _ENDS}
    is_lost = is_cut_off or any(kind in _LOSES for kind, _ in events)
    starts = {stretch.started_at for stretch in stretches}
    for stretch in stretches:
        at = stretch.ended_at
        if at is None or at in ends or at in starts or (is_lost and at in meters.instants):
            continue
        yield f"stretch {stretch.number} ends at {at}, when nothing happened"


def _runs_on(meters: Meters, stretches: Sequence[Stretch], stops: Sequence[int]) -> Iterator[str]:
    for at in stops if meters.is_steady else ():
        if any(each.started_at < at and (each.ended_at is None or each.ended_at > at) for each in stretches):
            yield f"its clock ran on at {at}"


def _ends_somewhere(meters: Meters, at: int) -> bool:
    """A stretch of storage ends at the last whole second of it before something happened."""
    return meters.committed_within(at, at + SECOND)


def _hourly(price: int, seconds: int) -> int:
    return (price * seconds + 1800) // 3600


def _monthly(price: int, seconds: int) -> int:
    return (price * seconds + MONTH_S // 2) // MONTH_S

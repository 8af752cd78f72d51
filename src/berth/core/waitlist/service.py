"""The verbs a customer has of the waitlist: join, look, change, leave, and order what was kept for them."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from berth.base import ids
from berth.base.clock import Instant, rfc3339
from berth.base.db import Tx
from berth.core import catalog, events, instances, projects
from berth.core.billing import Rules as MoneyRules
from berth.core.catalog import ANYWHERE
from berth.core.errors import Conflict, Invalid, NotFound
from berth.core.events import Actor
from berth.core.instances import Instance, OrderSpec
from berth.core.waitlist import obstacles, states, store
from berth.core.waitlist.matching import put_block
from berth.core.waitlist.model import ACTIVE, IN_LINE, Entry, Place, Rules, Status, Wish
from berth.core.waitlist.places import end, put, tell

ENTRIES_PER_PROJECT = 20
ENTRIES_PER_PAIR = 5
_LISTED = 100


def join(tx: Tx, by: Actor, wish: Wish, rules: Rules, money: MoneyRules) -> Place:
    """Takes a place at the end of a line. What stands in the way of an automatic entry is said, not refused.

    Raises NotFound for an unknown type, Invalid naming the member, Conflict over a quota or for a second entry that
    would only be told of the same.
    """
    wish = _checked(tx, by, wish)
    projects.lock(tx, by)
    _check_limits(tx, by.project, wish)
    entry_id = ids.new(tx.now)
    expires_at = wish.expires_at or Instant(tx.now + states.DEFAULT_LIFE)
    entry = Entry(
        id=entry_id,
        project=by.project,
        created_by=by.key_id,
        ticket=store.new_ticket(tx, entry_id),
        instance_type=wish.instance_type,
        location=wish.location,
        is_auto=wish.is_auto,
        config=wish.config,
        max_price=wish.max_price,
        status=Status.WAITING,
        blocked_reason=None,
        blocked_at=None,
        blocked_balance=None,
        is_owed=False,
        granted_location=None,
        notified_count=0,
        notified_at=None,
        claim_expires_at=None,
        rest_until=None,
        look_at=None,
        instance_id=None,
        attempts=0,
        last_error=None,
        remind_at=states.remind_at(expires_at, tx.now),
        expires_at=expires_at,
        created_at=tx.now,
        updated_at=tx.now,
        sequence=0,
    )
    entry = put(tx, None, tell(tx, by, "waitlist.joined", entry), rules)
    tx.signal("waitlist")
    return _placed(tx, _examined(tx, entry, rules, money))


def get(tx: Tx, by: Actor, entry_id: str) -> Place:
    """Raises NotFound."""
    by.may("waitlist:read")
    return _placed(tx, _existing(store.find(tx, entry_id, project=by.project)))


def list_entries(tx: Tx, by: Actor, *, statuses: Collection[Status] = ACTIVE) -> Sequence[Place]:
    """Newest first."""
    by.may("waitlist:read")
    return [
        _placed(tx, entry) for entry in store.list_entries(tx, by.project, statuses=statuses, limit=_LISTED)
    ]


def change(
    tx: Tx, by: Actor, entry_id: str, changes: Mapping[str, object], rules: Rules, money: MoneyRules
) -> Place:
    """Changes the named members of an entry's wish. It keeps its place unless it changes lines.

    Raises NotFound, Invalid, and Conflict where it is no longer in line.
    """
    by.may("waitlist:write")
    seen = _existing(store.find(tx, entry_id, project=by.project))
    wish = _checked(tx, by, _changed_wish(seen, changes), leaving=seen.instance_type)
    projects.lock(tx, by)
    entry = _existing(store.find(tx, entry_id, project=by.project, lock=True))
    if entry.status not in IN_LINE or entry.instance_type != seen.instance_type:
        raise _not_in_line(entry, "change")
    _check_limits(tx, by.project, wish, leaving=entry)
    expires_at = wish.expires_at or entry.expires_at
    changed = replace(
        entry,
        instance_type=wish.instance_type,
        location=wish.location,
        is_auto=wish.is_auto,
        config=wish.config,
        max_price=wish.max_price,
        expires_at=expires_at,
        remind_at=states.remind_at(expires_at, tx.now),
    )
    is_elsewhere = _pair(changed) != _pair(entry)
    if is_elsewhere:
        changed = replace(changed, ticket=store.new_ticket(tx, entry.id))
    if is_elsewhere or changed.is_auto != entry.is_auto:
        changed = _back_in_line(changed)
    changed = put(tx, entry, tell(tx, by, "waitlist.changed", changed), rules)
    tx.signal("waitlist")
    return _placed(tx, _examined(tx, changed, rules, money))


def cancel(tx: Tx, by: Actor, entry_id: str, rules: Rules) -> Place:
    """Leaves the line; what was kept for the entry is the next one's. Cancelling twice is one cancellation.

    Raises NotFound, and Conflict for what is being deployed or has ended otherwise.
    """
    by.may("waitlist:write")
    seen = _existing(store.find(tx, entry_id, project=by.project))
    catalog.lock_line(tx, seen.instance_type)
    entry = _existing(store.find(tx, entry_id, project=by.project, lock=True))
    if entry.status is Status.CANCELLED:
        return _placed(tx, entry)
    if entry.status not in IN_LINE or entry.instance_type != seen.instance_type:
        raise _not_in_line(entry, "cancel")
    tx.signal("waitlist")
    return _placed(tx, end(tx, by, entry, Status.CANCELLED, rules))


def order(tx: Tx, by: Actor, spec: OrderSpec, rules: Rules, money: MoneyRules) -> Instance:
    """As `instances.order`, for a customer who may be waiting to be told of just that: it ends the wait.

    What was kept for the customer is used up; otherwise the customer's own place counts for nobody.
    """
    waiting = _own(tx, by, spec)
    if waiting is None:
        return instances.order(tx, by, spec, money)
    catalog.lock_line(tx, waiting.instance_type)
    entry = store.find(tx, waiting.id, lock=True)
    if entry is None or entry.status not in IN_LINE or _pair(entry) != _pair(waiting):
        return instances.order(tx, by, spec, money)
    in_turn = entry.has_reservation and entry.granted_location == spec.location
    without = put(tx, entry, replace(entry, status=Status.FULFILLED), rules)
    made = instances.order(tx, by, spec, money, in_turn=in_turn)
    served = replace(without, granted_location=spec.location, instance_id=made.id)
    end(tx, by, served, Status.FULFILLED, rules)
    tx.signal("waitlist")
    return made


def verify(tx: Tx) -> list[str]:
    """What is wrong with the lines; empty when each is as long as those who stand in it."""
    kept = {(row[0], row[1]): row[2:] for row in catalog.all_lines(tx)}
    real = {(row[0], row[1]): tuple(row[2:]) for row in store.real_lines(tx)}
    return [
        f"line for {kind} in {place or 'any location'}: kept {kept.get((kind, place))},"
        f" there are {real.get((kind, place))}"
        for kind, place in sorted(kept.keys() | real.keys())
        if kept.get((kind, place)) != real.get((kind, place))
    ]


def _own(tx: Tx, by: Actor, spec: OrderSpec) -> Entry | None:
    """The entry that an order of `spec` would serve: what is kept there, else the first in line."""
    own = [
        entry
        for entry in store.active(tx, by.project, instance_type=spec.instance_type, limit=ENTRIES_PER_PROJECT)
        if not entry.is_auto and entry.status in IN_LINE and entry.location in {None, spec.location}
    ]
    kept = [entry for entry in own if entry.has_reservation and entry.granted_location == spec.location]
    return next(iter(kept or own), None)


def _checked(tx: Tx, by: Actor, wish: Wish, *, leaving: str | None = None) -> Wish:
    """The wish with its location settled, and its lines locked, those of the type that is left too.

    Raises NotFound, Invalid, Forbidden.
    """
    by.may("waitlist:write")
    catalog.get_type(tx, events.system(by.project, by.key_id), wish.instance_type)
    # Before the project, which new volumes in a configuration lock: whoever grants has the line when it comes to that.
    for kind in sorted({wish.instance_type, leaving or wish.instance_type}):
        catalog.lock_line(tx, kind)
    wish = replace(wish, location=_location(tx, wish))
    latest = Instant(tx.now + states.LONGEST_LIFE)
    if wish.expires_at is not None and not tx.now < wish.expires_at <= latest:
        raise _invalid("expires_at", f"must lie between now and {rfc3339(latest)}.")
    if wish.max_price is not None and wish.max_price < 0:
        raise _invalid("max_price_per_hr", "must not be negative.")
    if wish.is_auto != (wish.config is not None):
        sentence = "is required with auto_deploy." if wish.is_auto else "goes with auto_deploy only."
        raise _invalid("config", sentence)
    if wish.config is not None:
        by.may("deployments:write")
        _check_config(tx, by, wish, wish.config)
    return wish


def _location(tx: Tx, wish: Wish) -> str | None:
    """Where; what only the configuration says counts as well."""
    configured = None if wish.config is None else wish.config.location or None
    for field, place in (("location", wish.location), ("config.location", configured)):
        if place is not None and catalog.find_location(tx, place) is None:
            raise _invalid(field, f"unknown location {place!r}.")
    if wish.location is not None and configured not in {None, wish.location}:
        raise Invalid(
            "location_mismatch",
            f"config.location: is {configured}, and the entry waits for {wish.location}.",
            field="config.location",
        )
    return wish.location or configured


def _check_config(tx: Tx, by: Actor, wish: Wish, config: OrderSpec) -> None:
    """As an order is checked; for any location, as an order in the first that has the type."""
    if config.instance_type not in {"", wish.instance_type}:
        raise _invalid("config.instance_type", f"is {config.instance_type}, and the entry's another.")
    places = [wish.location] if wish.location is not None else catalog.places_of(tx, wish.instance_type)
    try:
        for place in places[:1]:
            instances.validate(tx, by, replace(config, instance_type=wish.instance_type, location=place))
    except Invalid as refusal:
        details = {**refusal.details, "field": f"config.{refusal.details.get('field', '')}"}
        raise Invalid(refusal.code, f"config.{refusal.message}", **details) from None


def _check_limits(tx: Tx, project: str, wish: Wish, *, leaving: Entry | None = None) -> None:
    """Raises Conflict. The project's row is locked, so that two that join at once count each other."""
    active = [
        entry
        for entry in store.active(tx, project, limit=ENTRIES_PER_PROJECT + 1)
        if leaving is None or entry.id != leaving.id
    ]
    if len(active) >= ENTRIES_PER_PROJECT:
        raise Conflict("quota", f"At most {ENTRIES_PER_PROJECT} waitlist entries can be active.")
    same = [entry for entry in active if _pair(entry) == (wish.instance_type, wish.location)]
    if not wish.is_auto:
        for entry in same:
            if not entry.is_auto:
                raise Conflict(
                    "duplicate", "You wait to be told of this already.", existing_waitlist_id=entry.id
                )
    if len(same) >= ENTRIES_PER_PAIR:
        raise Conflict("quota", f"At most {ENTRIES_PER_PAIR} entries can wait for one type in one location.")


def _changed_wish(entry: Entry, changes: Mapping[str, object]) -> Wish:
    wish = Wish(entry.instance_type, entry.location, entry.is_auto, entry.config, entry.max_price)
    changed: Wish = replace(wish, **changes)  # type: ignore[arg-type]
    if not changed.is_auto and "config" not in changes:
        changed = replace(changed, config=None)
    if "location" in changes and "config" not in changes and changed.config is not None:
        changed = replace(changed, config=replace(changed.config, location=""))
    return changed


def _back_in_line(entry: Entry) -> Entry:
    """It waits as before it was told of anything, and is not told again at once."""
    rest_until = None
    if not entry.is_auto and entry.notified_at is not None:
        rest_until = Instant(entry.notified_at + states.QUIET)
    return replace(
        entry, status=Status.WAITING, granted_location=None, claim_expires_at=None, rest_until=rest_until
    )


def _examined(tx: Tx, entry: Entry, rules: Rules, money: MoneyRules) -> Entry:
    if entry.status is not Status.WAITING or not (entry.is_auto or entry.blocked_reason):
        return entry
    return put_block(tx, entry, obstacles.of_all_places(tx, entry, money), rules)


def _placed(tx: Tx, entry: Entry) -> Place:
    if entry.status is Status.NOTIFIED:
        return Place(entry, 0)
    return Place(entry, _ahead(tx, entry) if entry.status is Status.WAITING else None)


def _ahead(tx: Tx, entry: Entry) -> int:
    """Where the fewest come before it, of the locations that it would take."""
    places = [entry.location] if entry.location is not None else catalog.places_of(tx, entry.instance_type)
    counts = [store.count_ahead(tx, entry.instance_type, place, entry.ticket) for place in places]
    anywhere = store.count_ahead(tx, entry.instance_type, ANYWHERE, entry.ticket)
    return anywhere + min(counts, default=0)


def _pair(entry: Entry) -> tuple[str, str | None]:
    return entry.instance_type, entry.location


def _existing(found: Entry | None) -> Entry:
    if found is None:
        raise NotFound("waitlist_entry_not_found", "Waitlist entry not found.")
    return found


def _not_in_line(entry: Entry, action: str) -> Conflict:
    details: dict[str, object] = {"status": entry.status.value}
    if entry.instance_id is not None:
        details["instance_id"] = entry.instance_id
    return Conflict("invalid_state", f"Cannot {action} an entry that is {entry.status.value}.", **details)


def _invalid(field: str, message: str) -> Invalid:
    return Invalid("invalid_field", f"{field}: {message}", field=field)

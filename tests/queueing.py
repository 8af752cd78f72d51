"""Builders of waitlist entries, the loop's steps by hand, and a line as tests look at it."""

from typing import Any

from berth.base.clock import Instant
from berth.base.db import Database
from berth.base.money import from_usd
from berth.core import catalog, events, instances, keys, waitlist
from berth.core.catalog import Search
from berth.core.events import Actor
from berth.core.instances import Instance
from berth.core.waitlist import Entry, Place
from tests import make

WAITING = waitlist.Rules()


def waiting(
    db: Database,
    by: Actor,
    *,
    instance_type: str = make.H100,
    location: str | None = "FIN-01",
    is_auto: bool = False,
    rules: waitlist.Rules = WAITING,
    max_price: str | None = None,
    expires_at: Instant | None = None,
    **members: Any,
) -> waitlist.Place:
    """A place in line. `**members` are those of `spec`, for an automatic entry."""
    config = None
    if is_auto:
        if "ssh_key_ids" not in members:
            known = db.read_now(keys.list_keys, by)
            members["ssh_key_ids"] = [known[0].id if known else make.ssh_key(db, by).id]
        config = make.spec(instance_type=instance_type, location="", **members)
    price = None if max_price is None else from_usd(max_price)
    wish = waitlist.Wish(instance_type, location, is_auto, config, price, expires_at)
    return db.write_now(waitlist.join, by, wish, rules, make.RULES)


def grants(db: Database, *, rules: waitlist.Rules = WAITING, most: int = 100) -> list[waitlist.Granted]:
    """Grants what is free to whose turn it is, as the loop does; what each grant was."""
    granted: list[waitlist.Granted] = []
    for kind, place in db.read_now(waitlist.open_pairs, rules):
        while len(granted) < most:
            outcome = db.write_now(waitlist.grant_next, kind, place, rules, make.RULES)
            if outcome is waitlist.Granted.NOTHING:
                break
            granted.append(outcome)
    return granted


def refused_too(db: Database) -> list[waitlist.Granted]:
    """As `grants`, with orders that are refused passed over as the loop does it."""
    granted: list[waitlist.Granted] = []
    for kind, place in db.read_now(waitlist.open_pairs, WAITING):
        for _ in range(100):
            try:
                outcome = db.write_now(waitlist.grant_next, kind, place, WAITING, make.RULES)
            except waitlist.NotDeployed as refused:
                if refused.block is None:
                    raise
                db.write_now(waitlist.block, refused.entry_id, refused.block, WAITING)
                continue
            if outcome is waitlist.Granted.NOTHING:
                break
            granted.append(outcome)
    return granted


def attended(db: Database, *, rules: waitlist.Rules = WAITING) -> None:
    """Does what is due for entries of the waitlist, as the loop does."""
    for entry_id in db.read_now(waitlist.due, limit=1000):
        db.write_now(waitlist.attend, entry_id, rules, make.RULES)


def bought(db: Database, by: Actor, *, rules: waitlist.Rules = WAITING, **members: Any) -> Instance:
    """What a customer orders who may be waiting for just that. `**members` are those of `spec`."""
    if "ssh_key_ids" not in members:
        known = db.read_now(keys.list_keys, by)
        members["ssh_key_ids"] = [known[0].id if known else make.ssh_key(db, by).id]
    return db.write_now(waitlist.order, by, make.spec(**members), rules, make.RULES)


def shown(db: Database, by: Actor, location: str = "FIN-01") -> int:
    """Free units, as everybody is shown them."""
    (view,) = db.read_now(catalog.search, by, Search(available_only=False))
    return next(region.free_units for region in view.regions if region.location.code == location)


def now(db: Database, place: Place) -> Entry:
    return db.read_now(waitlist.get, place.entry.actor, place.entry.id).entry


def told(db: Database, place: Place) -> list[str]:
    """What happened to an entry since it joined."""
    happened = db.read_now(events.list_for, place.entry.actor, place.entry.id)
    return [event.type for event in happened if not event.type.endswith(".joined")]


def free(db: Database, units: int, *, syncs: int = 2, **members: Any) -> None:
    """The provider says that so many are free, in as many listings."""
    for _ in range(syncs):
        make.catalogue(db, make.offer(free=units, **members))


def deployment(db: Database, place: Place) -> Instance:
    instance_id = now(db, place).instance_id
    assert instance_id is not None
    return db.read_now(instances.get, place.entry.actor, instance_id)

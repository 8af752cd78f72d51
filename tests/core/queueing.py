"""A line as tests see it: its entries now, what was told of them, and what is shown of what is free."""

from typing import Any

from berth.base.db import Database
from berth.core import catalog, events, instances, waitlist
from berth.core.catalog import Search
from berth.core.events import Actor
from berth.core.instances import Instance
from berth.core.waitlist import Entry, Place
from tests import make


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

"""A place in line: who is served, in which order, and what keeps others from overtaking."""

import pytest

from berth.base.db import Database
from berth.core import catalog, instances, waitlist
from berth.core.catalog import Search
from berth.core.errors import NoCapacity
from berth.core.events import Actor
from berth.core.waitlist import Granted, Status
from tests import make


def shown(db: Database, by: Actor) -> int:
    (view,) = db.read_now(catalog.search, by, Search(available_only=False))
    return view.regions[0].free_units


def test_the_longest_waiter_is_served_when_a_unit_comes_free_and_nobody_overtakes(db: Database) -> None:
    make.catalogue(db, make.offer(free=0))
    first, second, direct = (make.project(db) for _ in range(3))
    places = [make.waiting(db, customer.by, is_auto=True) for customer in (first, second)]
    assert [place.position for place in places] == [1, 2]
    make.catalogue(db, make.offer(free=1))
    assert shown(db, direct.by) == 0
    with pytest.raises(NoCapacity):
        make.ordered(db, direct.by)
    assert make.grants(db) == [Granted.DEPLOYED]
    served = db.read_now(waitlist.get, first.by, places[0].entry.id)
    assert served.entry.status is Status.DEPLOYING
    assert served.entry.instance_id is not None
    made = db.read_now(instances.get, first.by, served.entry.instance_id)
    assert (made.project, made.created_by, made.location) == (first.id, first.by.key_id, "FIN-01")
    assert db.read_now(waitlist.get, second.by, places[1].entry.id).position == 1
    assert db.read_now(waitlist.verify) == []

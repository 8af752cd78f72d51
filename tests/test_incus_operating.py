"""What customers are told before a host is emptied."""

from berth.base.clock import HOUR, Instant
from berth.base.db import Database
from berth.core import events
from berth.incus_operating import tell
from tests import make
from tests.conftest import FakeClock


def test_everybody_on_a_host_is_told_once_when_it_is_emptied(db: Database, clock: FakeClock) -> None:
    make.catalogue(db, make.offer())
    instance = make.instance(db, "running")
    at = Instant(clock.now() + HOUR)
    assert tell(db, [instance.id, "somebody else's"], at) == 1
    assert tell(db, [instance.id], at) == 1
    found = [
        event
        for event in db.read_now(events.list_for, make.owner(instance), instance.id)
        if event.type == "instance.interruption_notice"
    ]
    assert [event.data["evicts_at"] for event in found] == [at]

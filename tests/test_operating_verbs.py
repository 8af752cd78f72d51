"""What an operator's commands do, by whom the trail says it was."""

import os
import pwd

import pytest

from berth import operating
from berth.base.clock import SECOND
from berth.base.db import Database
from berth.core import instances
from berth.core.errors import Conflict, NotFound
from tests import make
from tests.conftest import FakeClock
from tests.core.books import rows


def test_spot_is_evicted_at_once_or_announced_for_later(db: Database, clock: FakeClock) -> None:
    make.catalogue(db, make.offer(spot_price="0.6"))
    now, later, kept = (make.instance(db, "running", is_spot=is_spot) for is_spot in (True, True, False))
    ended = db.write_now(operating.evict, now.id, make.RULES, 0, "The host is needed.")
    assert (ended.status, ended.status_reason) == ("deleting", "evicted: The host is needed.")
    assert db.write_now(operating.evict, later.id, make.RULES, 90, None).status == "running"
    announced = db.read_now(instances.eviction, later.id)
    assert announced is not None
    assert announced.evicts_at == clock.now() + 90 * SECOND
    with pytest.raises(Conflict):
        db.write_now(operating.evict, kept.id, make.RULES, 0, None)
    with pytest.raises(NotFound):
        db.write_now(operating.evict, "nobody", make.RULES, 0, None)
    actors = {
        row[0] for row in rows(db, "SELECT actor FROM events WHERE type = 'instance.interruption_notice'")
    }
    assert actors == {f"cli:{pwd.getpwuid(os.getuid()).pw_name}"}

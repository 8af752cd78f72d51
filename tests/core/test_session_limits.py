"""Sessions: how long their offers last, and that none is lost sight of before it has ended."""

from dataclasses import replace

import pytest

from berth.base.db import Database
from berth.core import instances, sessions
from berth.core.driver import Market
from berth.core.errors import Conflict, Invalid
from berth.core.sessions import Status
from tests import make
from tests.conftest import FakeClock
from tests.core.rented import running, seen
from tests.world import truth


def test_it_is_reserved_for_no_longer_than_its_offer_can_be_had(db: Database, clock: FakeClock) -> None:
    market = Market("California, US", max_duration_hours=3)
    make.catalogue(db, make.offer(name="short", market=market), make.offer(name="open"))
    by_owner = make.project(db).by
    with pytest.raises(Invalid) as refused:
        make.session(db, by_owner, offer_id="sandbox-short", reservation_hours=4)
    assert (refused.value.code, refused.value.details["field"]) == ("exceeds_offer", "reservation_hours")
    assert "at most 3 (got 4)" in refused.value.message
    assert truth.free_units(db) == {"short": 8, "open": 8}
    make.session(db, by_owner, offer_id="sandbox-open", reservation_hours=12)
    session = running(db, make.session(db, by_owner, offer_id="sandbox-short", reservation_hours=2))
    with pytest.raises(Invalid) as refused:
        db.write_now(sessions.extend, by_owner, session.id, 2, make.SESSION_RULES)
    assert (refused.value.code, refused.value.details["field"]) == ("exceeds_offer", "additional_hours")
    assert seen(db, session).expires_at == session.expires_at
    db.write_now(sessions.extend, by_owner, session.id, 1, make.SESSION_RULES)
    clock.advance(seconds=3600)
    make.catalogue(db, make.offer(name="short", market=replace(market, max_duration_hours=8)))
    db.write_now(
        sessions.extend, by_owner, session.id, 4, make.SESSION_RULES
    )  # its host has it for longer now


def test_what_is_off_and_to_be_ended_is_lost_sight_of_by_nobody(db: Database) -> None:
    owner = make.project(db).by
    session = running(db, make.session(db, owner))
    observed = make.now(db, session.instance)
    db.write_now(instances.went_down, observed, seen_at=observed.updated_at)
    make.seen(db, session.instance, instances.start_failed, reason="start_refused: no")
    assert seen(db, session).status is Status.STOPPING
    db.write_now(sessions.retire, limit=10)  # between the look for such and the next one
    with pytest.raises(Conflict):
        make.session(db, owner)
    assert db.read_now(sessions.unsettled, make.SESSION_RULES, limit=10) == [session.id]
    db.write_now(sessions.attend, session.id, make.SESSION_RULES, make.RULES)
    assert seen(db, session).instance.wanted.value == "deleted"
    make.session(db, owner)

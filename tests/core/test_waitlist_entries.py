"""What a customer does with a place in line, and what time does with it."""

import pytest

from berth.base.clock import DAY, SECOND, Instant
from berth.base.db import Database
from berth.core import notices, waitlist
from berth.core.errors import Conflict, Forbidden, Invalid, NotFound
from berth.core.events import Actor
from berth.core.waitlist import Granted, Obstacle, Place, Status
from tests import make, queueing
from tests.conftest import FakeClock
from tests.queueing import free, now, shown, told


def test_an_entry_ends_and_says_so_two_days_before(db: Database, clock: FakeClock) -> None:
    free(db, 0)
    customer = make.project(db)
    db.write_now(notices.set_contacts, customer.by, ["ops@example.com"])
    place = queueing.waiting(db, customer.by)
    assert place.entry.expires_at == clock.now() + 30 * DAY
    clock.advance(seconds=28 * DAY // SECOND)
    for _ in range(3):
        queueing.attended(db)
    assert told(db, place) == ["waitlist.expiring"]
    assert len(db.read_now(notices.list_for, customer.id)) == 1
    clock.advance(seconds=2 * DAY // SECOND - 1)
    queueing.attended(db)
    assert now(db, place).status is Status.WAITING
    clock.advance(seconds=1)
    queueing.attended(db)
    assert now(db, place).status is Status.EXPIRED
    assert told(db, place) == ["waitlist.expiring", "waitlist.expired"]
    assert db.read_now(waitlist.next_due) is None
    assert db.read_now(waitlist.verify) == []


def test_leaving_gives_back_what_was_kept(db: Database) -> None:
    free(db, 1)
    first, second = make.project(db), make.project(db)
    place, behind = queueing.waiting(db, first.by), queueing.waiting(db, second.by)
    queueing.grants(db)
    entry_id = place.entry.id
    assert (
        db.write_now(waitlist.cancel, first.by, entry_id, queueing.WAITING).entry.status is Status.CANCELLED
    )
    again = db.write_now(waitlist.cancel, first.by, entry_id, queueing.WAITING)
    assert again.entry == now(db, place)
    assert queueing.grants(db) == [Granted.TOLD]
    assert now(db, behind).status is Status.NOTIFIED
    assert told(db, place) == ["gpu.available", "waitlist.cancelled"]


def test_what_is_deployed_or_ended_is_neither_cancelled_nor_changed(db: Database, clock: FakeClock) -> None:
    free(db, 1)
    customer = make.project(db)
    place = queueing.waiting(db, customer.by, is_auto=True)
    queueing.grants(db)
    entry = now(db, place)
    with pytest.raises(Conflict) as refusal:
        db.write_now(waitlist.cancel, customer.by, entry.id, queueing.WAITING)
    assert refusal.value.details == {"status": "deploying", "instance_id": entry.instance_id}
    with pytest.raises(Conflict):
        change(db, place, max_price=5)
    ended = queueing.waiting(db, customer.by, expires_at=Instant(clock.now() + SECOND))
    clock.advance(seconds=1)
    queueing.attended(db)
    with pytest.raises(Conflict):
        db.write_now(waitlist.cancel, customer.by, ended.entry.id, queueing.WAITING)


def change(db: Database, place: Place, by: Actor | None = None, **changes: object) -> Place:
    actor = by or place.entry.actor
    return db.write_now(waitlist.change, actor, place.entry.id, changes, queueing.WAITING, make.RULES)


def test_a_change_keeps_the_place_unless_it_changes_lines(db: Database) -> None:
    make.catalogue(db, make.offer(free=0), make.offer(location="FIN-02", free=0))
    customer = make.project(db)
    place = queueing.waiting(db, customer.by)
    queueing.waiting(db, make.project(db).by)
    config = make.spec([make.ssh_key(db, customer.by).id], location="")
    raised = change(db, place, is_auto=True, config=config)
    assert (raised.entry.ticket, raised.position) == (place.entry.ticket, 1)
    priced = change(db, place, max_price=make.micros("1"))
    assert (priced.entry.ticket, priced.entry.blocked_reason) == (
        place.entry.ticket,
        Obstacle.PRICE_ABOVE_MAX,
    )
    assert change(db, place, max_price=None).entry.blocked_reason is None
    moved = change(db, place, location="FIN-02")
    assert moved.entry.ticket > place.entry.ticket
    assert change(db, place, is_auto=False).entry.config is None
    assert change(db, place, location=None).entry.location is None
    assert db.read_now(waitlist.verify) == []


def test_a_change_of_lines_gives_back_what_was_kept(db: Database) -> None:
    make.catalogue(db, make.offer(free=1), make.offer(location="FIN-02", free=0))
    make.catalogue(db, make.offer(free=1), make.offer(location="FIN-02", free=0))
    place = queueing.waiting(db, make.project(db).by)
    queueing.grants(db)
    assert change(db, place, expires_at=None).entry.status is Status.NOTIFIED
    assert change(db, place, location="FIN-02").entry.status is Status.WAITING
    assert shown(db, place.entry.actor) == 1
    assert db.read_now(waitlist.verify) == []


def test_who_joins_is_checked_as_who_orders(db: Database, clock: FakeClock) -> None:
    free(db, 0)
    by = make.project(db).by
    join = {
        "location": {"location": "MARS-01"},
        "config.hostname": {"is_auto": True, "hostname": ""},
        "config.image": {"is_auto": True, "image_slug": "nonsense"},
        "config.ssh_key_ids": {"is_auto": True, "ssh_key_ids": ["nonsense"]},
        "expires_at": {"expires_at": clock.now()},
        "max_price_per_hr": {"max_price": "-1"},
    }
    for field, members in join.items():
        with pytest.raises(Invalid) as refusal:
            queueing.waiting(db, by, **members)  # type: ignore[arg-type]
        assert refusal.value.details["field"] == field
    with pytest.raises(Invalid):
        queueing.waiting(db, by, expires_at=Instant(clock.now() + 90 * DAY + 1))
    with pytest.raises(NotFound):
        queueing.waiting(db, by, instance_type="nonsense")
    with pytest.raises(Forbidden):
        queueing.waiting(db, make.allowed(by, "waitlist:write", "ssh_keys:write"), is_auto=True)
    assert db.read_now(waitlist.list_entries, by) == []


def test_a_second_wish_to_be_told_of_the_same_is_a_duplicate(db: Database) -> None:
    free(db, 0)
    by = make.project(db).by
    place = queueing.waiting(db, by)
    queueing.waiting(db, by, location=None)
    with pytest.raises(Conflict) as refusal:
        queueing.waiting(db, by)
    assert (refusal.value.code, refusal.value.details) == (
        "duplicate",
        {"existing_waitlist_id": place.entry.id},
    )


def test_so_many_wait_for_one_project_and_no_more(db: Database) -> None:
    make.catalogue(db, *(make.offer(location=f"FIN-{n:02}", free=0) for n in range(1, 6)))
    by = make.project(db).by
    for place in range(1, 5):
        for _ in range(5):
            queueing.waiting(db, by, location=f"FIN-{place:02}", is_auto=True)
        with pytest.raises(Conflict) as refusal:
            queueing.waiting(db, by, location=f"FIN-{place:02}", is_auto=True)
        assert refusal.value.code == "quota"
    with pytest.raises(Conflict):
        queueing.waiting(db, by, location="FIN-05")
    assert len(db.read_now(waitlist.list_entries, by)) == 20


def test_anothers_entry_does_not_exist(db: Database) -> None:
    free(db, 0)
    place, other = queueing.waiting(db, make.project(db).by), make.project(db).by
    with pytest.raises(NotFound):
        db.read_now(waitlist.get, other, place.entry.id)
    with pytest.raises(NotFound):
        db.write_now(waitlist.cancel, other, place.entry.id, queueing.WAITING)
    with pytest.raises(NotFound):
        change(db, place, other, max_price=1)
    assert db.read_now(waitlist.list_entries, other) == []
    assert now(db, place) == place.entry

"""A place in line: who is served, in which order, and what keeps others from overtaking."""

from collections.abc import Callable

import pytest

from berth.base.clock import DAY, HOUR, MINUTE, SECOND
from berth.base.db import Database
from berth.core import catalog, events, instances, keys, notices, waitlist
from berth.core.errors import Invalid, NoCapacity
from berth.core.waitlist import Granted, Obstacle, Place, Rules, Status
from tests import make, queueing
from tests.conftest import FakeClock
from tests.queueing import deployment, free, now, shown, told

BROADCAST = Rules(claim_window_s=0)


def test_the_longest_waiter_is_served_when_a_unit_comes_free_and_nobody_overtakes(db: Database) -> None:
    free(db, 0)
    first, second, direct = (make.project(db) for _ in range(3))
    places = [queueing.waiting(db, customer.by, is_auto=True) for customer in (first, second)]
    assert [place.position for place in places] == [1, 2]
    free(db, 1)
    assert shown(db, direct.by) == 0
    with pytest.raises(NoCapacity):
        make.ordered(db, direct.by)
    assert queueing.grants(db) == [Granted.DEPLOYED]
    served = now(db, places[0])
    assert served.status is Status.DEPLOYING
    assert served.instance_id is not None
    made = db.read_now(instances.get, first.by, served.instance_id)
    assert (made.project, made.created_by, made.location) == (first.id, first.by.key_id, "FIN-01")
    assert db.read_now(waitlist.get, second.by, places[1].entry.id).position == 1
    assert db.read_now(waitlist.verify) == []


def test_what_is_beyond_those_who_wait_is_shown_and_sold(db: Database) -> None:
    free(db, 0)
    waiting, direct = make.project(db), make.project(db)
    queueing.waiting(db, waiting.by, is_auto=True)
    queueing.waiting(db, waiting.by, location=None, is_auto=True)
    free(db, 3)
    assert shown(db, direct.by) == 1
    make.ordered(db, direct.by)
    assert shown(db, direct.by) == 0
    with pytest.raises(NoCapacity):
        make.ordered(db, direct.by)
    assert queueing.grants(db) == [Granted.DEPLOYED] * 2


def test_a_stopped_instance_does_not_jump_the_line(db: Database) -> None:
    stopped = make.instance(db, "offline")
    free(db, 0)
    queueing.waiting(db, make.project(db).by, is_auto=True)
    free(db, 1)
    with pytest.raises(NoCapacity):
        db.write_now(instances.start, make.owner(stopped), stopped.id)


def test_what_was_granted_before_may_be_exchanged_for_what_is_owed(db: Database) -> None:
    make.catalogue(db, make.offer(free=1, price="1"), make.offer(free=0, name="dearer", price="2"))
    made = make.instance(db, "ordered")
    queueing.waiting(db, make.project(db).by, is_auto=True)
    make.catalogue(db, make.offer(free=0, price="1"), make.offer(free=1, name="dearer", price="2"))
    moved = make.seen(db, make.now(db, made), instances.fail_over, is_sold_out=True, reason="sold out")
    assert moved.offer_id != made.offer_id


def test_what_is_kept_for_somebody_is_exchanged_for_nothing(db: Database) -> None:
    offers = make.offer(free=1, price="1"), make.offer(free=1, name="dearer", price="2")
    for _ in range(2):
        make.catalogue(db, *offers)
    told = make.project(db)
    place = queueing.waiting(db, told.by)
    assert queueing.grants(db) == [Granted.TOLD]
    made = make.instance(db, "ordered")
    failed = make.seen(db, make.now(db, made), instances.fail_over, is_sold_out=True, reason="sold out")
    assert failed.status is instances.Status.FAILED_NO_CAPACITY
    assert queueing.bought(db, told.by).status is instances.Status.ORDERED
    assert now(db, place).status is Status.FULFILLED


def test_who_takes_any_location_is_in_every_line_with_one_ticket(db: Database) -> None:
    make.catalogue(db, make.offer(free=0), make.offer(location="FIN-02", free=0))
    here, anywhere, there = (make.project(db) for _ in range(3))
    queueing.waiting(db, here.by, is_auto=True)
    place = queueing.waiting(db, anywhere.by, location=None, is_auto=True)
    late = queueing.waiting(db, there.by, location="FIN-02", is_auto=True)
    assert (place.position, late.position) == (1, 2)
    make.catalogue(db, make.offer(free=0), make.offer(location="FIN-02", free=1))
    assert queueing.grants(db) == [Granted.DEPLOYED]
    assert (now(db, place).status, now(db, place).granted_location) == (Status.DEPLOYING, "FIN-02")
    assert now(db, late).status is Status.WAITING


def test_nobody_waits_in_vain_where_there_is_something_already(db: Database) -> None:
    free(db, 1)
    place = queueing.waiting(db, make.project(db).by, is_auto=True)
    assert queueing.grants(db) == [Granted.DEPLOYED]
    assert now(db, place).status is Status.DEPLOYING


def in_the_way(db: Database, what: str) -> tuple[Place, Callable[[], None], Callable[[], None]]:
    """An entry in whose way something is, what puts it there, and what takes it away."""
    customer = make.project(db, credit="50")
    key = make.ssh_key(db, customer.by)
    images = [make.image(), make.image("other")]
    place = queueing.waiting(db, customer.by, is_auto=True, max_price="2")

    def nothing() -> None:
        """Only the customer's own change helps."""

    ways: dict[str, tuple[Callable[[], object], Callable[[], object]]] = {
        "insufficient_credits": (
            lambda: make.topup(db, customer.by, "-40"),
            lambda: make.topup(db, customer.by, "40"),
        ),
        "ssh_key_missing": (lambda: db.write_now(keys.remove, customer.by, key.id), nothing),
        "image_unavailable": (
            lambda: make.catalogue(db, make.offer(free=1), images=images[1:]),
            lambda: make.catalogue(db, make.offer(free=1), images=images),
        ),
        "price_above_max": (
            lambda: make.catalogue(db, make.offer(free=1, price="3")),
            lambda: make.catalogue(db, make.offer(free=1)),
        ),
    }
    put, remove = ways[what]
    return place, lambda: void(put()), lambda: void(remove())


def void(_value: object) -> None:
    """For a callable whose answer nobody needs."""


@pytest.mark.parametrize(
    "what", ["insufficient_credits", "ssh_key_missing", "image_unavailable", "price_above_max"]
)
def test_what_is_blocked_keeps_its_place_and_is_passed_over(
    db: Database, clock: FakeClock, what: str
) -> None:
    free(db, 0)
    place, put, remove = in_the_way(db, what)
    behind = make.project(db)
    later = queueing.waiting(db, behind.by, is_auto=True)
    free(db, 1)
    put()
    granted = queueing.grants(db)
    assert now(db, place).blocked_reason == what
    assert now(db, place).last_error
    assert told(db, place) == ["waitlist.blocked"]
    if what in {"insufficient_credits", "ssh_key_missing"}:
        assert granted == [Granted.DEPLOYED]
        assert now(db, later).status is Status.DEPLOYING
    before = now(db, place)
    clock.advance(seconds=31)
    queueing.attended(db)
    assert now(db, place).blocked_reason == what
    assert told(db, place) == ["waitlist.blocked"]
    remove()
    db.write_now(waitlist.wake_credited)
    clock.advance(seconds=600)
    queueing.attended(db)
    after = now(db, place)
    assert after.ticket == before.ticket
    assert (after.blocked_reason is None) == (what != "ssh_key_missing")
    assert db.read_now(waitlist.verify) == []


def test_credit_that_comes_in_unblocks_at_once(db: Database) -> None:
    free(db, 0)
    customer = make.project(db, credit="5")
    place = queueing.waiting(db, customer.by, is_auto=True)
    assert place.entry.blocked_reason is Obstacle.INSUFFICIENT_CREDITS
    assert not db.read_now(waitlist.has_credited)
    make.topup(db, customer.by, "20")
    assert db.read_now(waitlist.has_credited)
    assert db.write_now(waitlist.wake_credited) == 1
    queueing.attended(db)
    assert now(db, place).blocked_reason is None
    free(db, 1)
    assert queueing.grants(db) == [Granted.DEPLOYED]


def test_who_is_blocked_holds_nobody_up(db: Database) -> None:
    free(db, 0)
    queueing.waiting(db, make.project(db, credit="5").by, is_auto=True)
    free(db, 1)
    direct = make.project(db)
    assert shown(db, direct.by) == 1
    make.ordered(db, direct.by)


def test_an_entry_for_any_location_is_blocked_only_where_nothing_fits(db: Database, clock: FakeClock) -> None:
    cheap, dear = make.offer(price="1", free=0), make.offer(location="FIN-02", price="9", free=1)
    make.catalogue(db, cheap, dear)
    place = queueing.waiting(db, make.project(db).by, location=None, is_auto=True, max_price="2")
    assert queueing.grants(db) == []
    assert now(db, place).blocked_reason is Obstacle.PRICE_ABOVE_MAX
    make.ordered(db, make.project(db).by, location="FIN-02")
    make.catalogue(db, make.offer(price="1", free=1), make.offer(location="FIN-02", price="9", free=1))
    clock.advance(seconds=5)
    assert place.entry.id in db.read_now(waitlist.due, limit=10)
    queueing.attended(db)
    assert queueing.grants(db) == [Granted.DEPLOYED]
    assert now(db, place).granted_location == "FIN-01"


def test_a_region_that_is_drained_is_waited_for_and_any_other_will_do_for_who_takes_any(db: Database) -> None:
    make.catalogue(db, make.offer(free=0), make.offer(location="FIN-02", free=0))
    fixed = queueing.waiting(db, make.project(db).by, is_auto=True)
    anywhere = queueing.waiting(db, make.project(db).by, location=None, is_auto=True)
    make.catalogue(db, make.offer(location="FIN-02", free=2))
    assert queueing.grants(db) == [Granted.DEPLOYED]
    assert now(db, fixed).status is Status.WAITING
    assert now(db, anywhere).granted_location == "FIN-02"


def test_it_is_fulfilled_once_its_instance_runs(db: Database, clock: FakeClock) -> None:
    free(db, 1)
    place = queueing.waiting(db, make.project(db).by, is_auto=True)
    queueing.grants(db)
    clock.advance(seconds=10)
    queueing.attended(db)
    assert now(db, place).status is Status.DEPLOYING
    made = make.provisioned(db, deployment(db, place))
    make.seen(db, made, instances.reachable, make.sighting(made))
    clock.advance(seconds=10)
    queueing.attended(db)
    assert now(db, place).status is Status.FULFILLED
    assert told(db, place) == ["waitlist.deploying", "waitlist.fulfilled"]
    clock.advance(seconds=100 * DAY // SECOND)
    queueing.attended(db)
    assert now(db, place).status is Status.FULFILLED


def test_capacity_that_was_not_there_is_tried_again_with_growing_pauses_and_not_for_ever(
    db: Database, clock: FakeClock
) -> None:
    free(db, 1)
    place = queueing.waiting(db, make.project(db).by, is_auto=True)
    for attempt, minutes in enumerate([1, 2, 4, 8], 1):
        assert queueing.grants(db) == [Granted.DEPLOYED]
        failed = deployment(db, place)
        make.seen(db, failed, instances.fail_over, is_sold_out=True, reason="sold out", offers_allowed=0)
        clock.advance(seconds=10)
        queueing.attended(db)
        resting = now(db, place)
        assert (resting.status, resting.attempts, resting.ticket) == (
            Status.WAITING,
            attempt,
            place.entry.ticket,
        )
        assert resting.rest_until == clock.now() + minutes * MINUTE
        assert resting.instance_id is None
        clock.advance(seconds=60 * minutes - 1)
        free(db, 1)
        queueing.attended(db)
        assert queueing.grants(db) == []
        with pytest.raises(NoCapacity):
            make.ordered(db)
        clock.advance(seconds=1)
        clock.advance(seconds=catalog.claims.SUPPRESSED_S)
    queueing.grants(db)
    failed = deployment(db, place)
    make.seen(db, failed, instances.fail_over, is_sold_out=True, reason="sold out", offers_allowed=0)
    clock.advance(seconds=10)
    queueing.attended(db)
    assert now(db, place).status is Status.FAILED
    assert now(db, place).last_error == make.now(db, failed).status_reason
    assert told(db, place)[-1] == "waitlist.failed"
    assert db.read_now(waitlist.verify) == []


@pytest.mark.parametrize(
    ("ending", "reason"), [("error", "boot_failed"), ("deleted", "deleted_before_it_ran")]
)
def test_an_instance_that_never_runs_ends_its_entry(
    db: Database, clock: FakeClock, ending: str, reason: str
) -> None:
    free(db, 1)
    place = queueing.waiting(db, make.project(db).by, is_auto=True)
    queueing.grants(db)
    made = deployment(db, place)
    if ending == "error":
        make.seen(db, make.provisioned(db, made), instances.fail, reason=reason)
    else:
        db.write_now(instances.delete, make.owner(made), made.id, make.RULES)
    clock.advance(seconds=10)
    queueing.attended(db)
    assert (now(db, place).status, now(db, place).last_error) == (Status.FAILED, reason)


def test_who_is_told_has_a_unit_kept_and_takes_it_by_deploying(db: Database, clock: FakeClock) -> None:
    free(db, 0)
    customer, stranger = make.project(db), make.project(db)
    db.write_now(notices.set_contacts, customer.by, ["ops@example.com"])
    place = queueing.waiting(db, customer.by)
    behind = queueing.waiting(db, make.project(db).by, is_auto=True)
    free(db, 1)
    assert queueing.grants(db) == [Granted.TOLD]
    kept = now(db, place)
    assert (kept.status, kept.claim_expires_at) == (Status.NOTIFIED, clock.now() + 600 * SECOND)
    (event,) = [e for e in db.read_now(events.list_for, customer.by, kept.id) if e.type == "gpu.available"]
    assert event.data == {
        "waitlist_id": kept.id,
        "status": "notified",
        "instance_type": make.H100,
        "location": "FIN-01",
        "is_available": True,
        "free_units": 1,
        "price_micros_per_hour": 1_710_000,
        "claim_expires_at": kept.claim_expires_at,
    }
    (letter,) = db.read_now(notices.list_for, customer.id)
    assert "2026-04-03T10:10:00Z" in letter.body
    assert shown(db, stranger.by) == 0
    with pytest.raises(NoCapacity):
        queueing.bought(db, stranger.by)
    made = queueing.bought(db, customer.by)
    served = now(db, place)
    assert (served.status, served.instance_id) == (Status.FULFILLED, made.id)
    assert now(db, behind).status is Status.WAITING
    assert queueing.grants(db) == []
    assert db.read_now(waitlist.verify) == []


def test_a_deploy_elsewhere_leaves_what_is_kept(db: Database) -> None:
    make.catalogue(db, make.offer(free=1), make.offer(location="FIN-02", free=1))
    make.catalogue(db, make.offer(free=1), make.offer(location="FIN-02", free=1))
    customer = make.project(db)
    place = queueing.waiting(db, customer.by)
    queueing.grants(db)
    queueing.bought(db, customer.by, location="FIN-02")
    assert now(db, place).status is Status.NOTIFIED


def test_ones_own_deploy_ends_the_wait_to_be_told(db: Database) -> None:
    free(db, 0)
    customer = make.project(db)
    place = queueing.waiting(db, customer.by)
    make.catalogue(db, make.offer(free=1))  # in one listing only, so nobody is told yet
    assert queueing.grants(db) == []
    made = queueing.bought(db, customer.by)
    assert (now(db, place).status, now(db, place).instance_id) == (Status.FULFILLED, made.id)
    assert db.read_now(waitlist.verify) == []


def test_ones_own_deploy_leaves_an_automatic_entry(db: Database) -> None:
    free(db, 0)
    customer = make.project(db)
    place = queueing.waiting(db, customer.by, is_auto=True)
    free(db, 2)
    queueing.bought(db, customer.by)
    assert now(db, place).status is Status.WAITING
    assert queueing.grants(db) == [Granted.DEPLOYED]


def test_a_refused_deploy_leaves_what_is_kept(db: Database) -> None:
    free(db, 1)
    customer = make.project(db)
    place = queueing.waiting(db, customer.by)
    queueing.grants(db)
    with pytest.raises(Invalid):
        queueing.bought(db, customer.by, hostname="")
    assert now(db, place).status is Status.NOTIFIED
    assert db.read_now(waitlist.verify) == []


def test_a_claim_that_is_missed_passes_on_and_after_three_the_entry_expires(
    db: Database, clock: FakeClock
) -> None:
    free(db, 1)
    careless = queueing.waiting(db, make.project(db).by)
    next_one = queueing.waiting(db, make.project(db).by)
    assert queueing.grants(db) == [Granted.TOLD]
    clock.advance(seconds=600)
    queueing.attended(db)
    missed = now(db, careless)
    assert (missed.status, missed.notified_count) == (Status.WAITING, 1)
    assert missed.ticket > now(db, next_one).ticket
    assert queueing.grants(db) == [Granted.TOLD]
    assert now(db, next_one).status is Status.NOTIFIED
    db.write_now(waitlist.cancel, next_one.entry.actor, next_one.entry.id, queueing.WAITING)
    assert queueing.grants(db) == []  # not twice within a quarter of an hour
    clock.advance(seconds=299)
    queueing.attended(db)
    assert queueing.grants(db) == []
    for _ in range(2):
        clock.advance(seconds=301)
        queueing.attended(db)
        assert queueing.grants(db) == [Granted.TOLD]
        clock.advance(seconds=600)
        queueing.attended(db)
    assert now(db, careless).status is Status.EXPIRED
    assert told(db, careless)[-1] == "waitlist.expired"
    assert db.read_now(waitlist.verify) == []


def test_a_unit_is_believed_after_two_listings_or_once_it_was_had(db: Database) -> None:
    free(db, 0)
    place = queueing.waiting(db, make.project(db).by)
    free(db, 1, syncs=1)
    assert queueing.grants(db) == []
    free(db, 0, syncs=1)
    free(db, 1, syncs=1)
    assert queueing.grants(db) == []
    free(db, 1, syncs=1)
    assert queueing.grants(db) == [Granted.TOLD]
    assert now(db, place).status is Status.NOTIFIED


def test_a_unit_given_back_is_believed_at_once(db: Database) -> None:
    make.catalogue(db, make.offer(free=1))
    made = make.instance(db, "deleting")
    place = queueing.waiting(db, make.project(db).by)
    make.seen(db, made, instances.gone, make.RULES)
    assert queueing.grants(db) == [Granted.TOLD]
    assert now(db, place).status is Status.NOTIFIED


def test_without_a_claim_window_several_are_told_and_nothing_is_kept(db: Database, clock: FakeClock) -> None:
    free(db, 1)
    places = [queueing.waiting(db, make.project(db).by, rules=BROADCAST) for _ in range(5)]
    direct = make.project(db)
    assert shown(db, direct.by) == 1
    assert queueing.grants(db, rules=BROADCAST) == [Granted.TOLD] * 3
    assert [now(db, place).status for place in places] == [Status.NOTIFIED] * 3 + [Status.WAITING] * 2
    assert now(db, places[0]).claim_expires_at is None
    assert shown(db, direct.by) == 1
    clock.advance(seconds=HOUR // SECOND)
    queueing.attended(db, rules=BROADCAST)
    assert now(db, places[0]).status is Status.WAITING
    assert now(db, places[0]).ticket == places[0].entry.ticket
    made = queueing.bought(db, places[4].entry.actor, rules=BROADCAST)
    assert now(db, places[4]).instance_id == made.id
    assert db.read_now(waitlist.verify) == []


def test_nobody_gets_more_than_a_quarter_while_others_wait(db: Database) -> None:
    free(db, 0)
    greedy = make.project(db, credit="1000")
    own = [queueing.waiting(db, greedy.by, is_auto=True) for _ in range(5)]
    others = [queueing.waiting(db, make.project(db).by, is_auto=True) for _ in range(3)]
    free(db, 4)
    assert queueing.grants(db) == [Granted.DEPLOYED] * 4
    assert [now(db, place).status for place in others] == [Status.DEPLOYING] * 3
    assert [now(db, place).status for place in own].count(Status.DEPLOYING) == 1
    free(db, 8)  # of which the four above are not counted by their provider yet
    assert len(queueing.grants(db)) == 4

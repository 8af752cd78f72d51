"""The loops' verbs: what is seen becomes what is kept, under the lease alone, and costs what it must."""

from collections.abc import Callable

import pytest

from berth.base.clock import SECOND, Instant
from berth.base.db import Database
from berth.base.money import from_usd
from berth.core import billing, events, instances
from berth.core.billing import Rules
from berth.core.driver import Power, Sighting
from berth.core.instances import Instance, Status, Wanted
from tests import make
from tests.conftest import FakeClock
from tests.core.books import amounts, assert_exact, codes, rows

FREE_BEFORE_RUNNING = Rules(minimum_on_cancel=False)


def lease(db: Database, seconds: int = 60) -> Instance:
    (leased,) = db.write_now(instances.lease_due, limit=10, seconds=seconds, providers=[make.PROVIDER])
    return leased


def paid(db: Database, made: Instance) -> int:
    return -sum(amounts(db, made.project, made.id))


def units(db: Database) -> list[int]:
    return [row[0] for row in rows(db, "SELECT free_units FROM offers ORDER BY price_micros_per_hour, id")]


def delete(db: Database, made: Instance, rules: Rules = make.RULES) -> Instance:
    return db.write_now(instances.delete, make.owner(made), made.id, rules)


def test_an_instance_walks_from_order_to_deleted(db: Database, clock: FakeClock) -> None:
    made = make.instance(db, "running")
    by = make.owner(made)
    assert (made.ip, made.ssh_port, made.ssh_user) == ("192.0.2.7", 22, "root")
    assert made.first_running_at == clock.now()
    clock.advance(seconds=700)
    db.write_now(instances.stop, by, made.id)
    clock.advance(seconds=100)  # the clock runs until it is off
    make.seen(db, made, instances.stopped, releases_hardware=True)
    assert units(db) == [8]
    clock.advance(seconds=5000)
    db.write_now(instances.start, by, made.id)
    clock.advance(seconds=60)  # and again only once it is reachable
    make.seen(db, made, instances.reachable, make.sighting(made))
    clock.advance(seconds=30)
    db.write_now(instances.restart, by, made.id)
    clock.advance(seconds=30)
    make.seen(db, made, instances.reachable, make.sighting(made))
    clock.advance(seconds=40)
    delete(db, made)
    clock.advance(seconds=900)  # the teardown is ours
    ended = make.seen(db, made, instances.gone, make.RULES)
    assert (ended.status, ended.deleted_at, ended.handle, ended.ip) == ("deleted", clock.now(), None, None)
    assert paid(db, made) == billing.total(made.price, 900)
    assert units(db) == [8]
    happened = db.read_now(events.list_for, by, made.id)
    assert [event.type.removeprefix("instance.") for event in happened] == [
        *("ordered", "provisioning", "running", "stop_wanted", "offline", "start_wanted", "running"),
        *("restart_wanted", "restarted", "deleting", "deleted"),
    ]
    assert [event.sequence for event in happened] == list(range(1, len(happened) + 1))
    assert_exact(db)


VERBS: dict[str, Callable[[Database, Instance], object]] = {
    "intend_create": lambda db, i: db.write_now(instances.intend_create, i, boot_timeout_s=60),
    "created": lambda db, i: db.write_now(instances.created, i, make.sighting(i)),
    "found": lambda db, i: db.write_now(instances.found, i, make.sighting(i)),
    "did_not_happen": lambda db, i: db.write_now(instances.did_not_happen, i, retry_s=1),
    "look_again": lambda db, i: db.write_now(instances.look_again, i, retry_s=1),
    "fail_over": lambda db, i: db.write_now(instances.fail_over, i, is_sold_out=True, reason="x"),
    "fail": lambda db, i: db.write_now(instances.fail, i, reason="x"),
    "reachable": lambda db, i: db.write_now(instances.reachable, i, make.sighting(i)),
    "stopped": lambda db, i: db.write_now(instances.stopped, i, releases_hardware=True),
    "start_failed": lambda db, i: db.write_now(instances.start_failed, i, reason="x"),
    "restart_unconfirmed": lambda db, i: db.write_now(instances.restart_unconfirmed, i, reason="x"),
    "wait_for_boot": lambda db, i: db.write_now(instances.wait_for_boot, i, boot_timeout_s=60),
    "gone": lambda db, i: db.write_now(instances.gone, i, make.RULES),
}


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("status", ["ordered", "provisioning", "running", "offline", "error", "deleting"])
def test_a_lease_that_was_lost_writes_nothing(db: Database, clock: FakeClock, status: str, verb: str) -> None:
    stale = make.instance(db, status)
    db.write_now(instances.act, make.owner(stale), stale.id, instances.Action.DELETE, make.RULES)
    stale = lease(db)
    clock.advance(seconds=61)
    held = lease(db)
    assert held.lease_token > stale.lease_token
    before = [rows(db, f"SELECT * FROM {table}") for table in ("instances", "offers", "entries", "events")]
    assert VERBS[verb](db, stale) is None
    assert before == [
        rows(db, f"SELECT * FROM {table}") for table in ("instances", "offers", "entries", "events")
    ]


@pytest.mark.parametrize("verb", VERBS)
def test_no_verb_brings_a_deleted_instance_back(db: Database, clock: FakeClock, verb: str) -> None:
    made = make.instance(db, "deleted")
    VERBS[verb](db, made)
    assert make.now(db, made).status is Status.DELETED
    assert units(db) == [8]
    assert_exact(db)


@pytest.mark.parametrize("verb", [verb for verb in VERBS if verb != "gone"])
def test_no_verb_but_gone_ends_a_delete(db: Database, verb: str) -> None:
    made = make.instance(db, "deleting")
    VERBS[verb](db, made)
    after = make.now(db, made)
    assert (after.status, after.wanted) == ("deleting", Wanted.DELETED)
    assert after.due_at is not None
    assert_exact(db)


def test_a_lease_keeps_others_away_until_it_ends(db: Database, clock: FakeClock) -> None:
    made = make.ordered(db)
    assert lease(db).id == made.id
    assert list(db.write_now(instances.lease_due, limit=10, seconds=60, providers=[make.PROVIDER])) == []
    clock.advance(seconds=59)
    assert list(db.write_now(instances.lease_due, limit=10, seconds=60, providers=[make.PROVIDER])) == []
    clock.advance(seconds=1)
    assert lease(db).attempt == 2


def test_leases_are_given_to_the_longest_waiting_first_and_no_more_than_asked(
    db: Database, clock: FakeClock
) -> None:
    by = make.project(db, credit="1000").by
    made = []
    for _ in range(5):
        made.append(make.ordered(db, by).id)
        clock.advance(seconds=1)
    taken = [
        sorted(
            one.id
            for one in db.write_now(instances.lease_due, limit=2, seconds=60, providers=[make.PROVIDER])
        )
        for _ in range(4)
    ]
    assert taken == [made[:2], made[2:4], made[4:], []]


def test_something_wanted_while_it_is_leased_is_due_at_once_when_the_lease_ends(db: Database) -> None:
    made = make.instance(db, "provisioning")
    held = lease(db)
    delete(db, made)
    db.write_now(instances.look_again, held, retry_s=100)
    assert lease(db).wanted is Wanted.DELETED


def test_a_create_is_intended_once(db: Database, clock: FakeClock) -> None:
    make.ordered(db)
    held = lease(db)
    intended = db.write_now(instances.intend_create, held, boot_timeout_s=300)
    assert intended is not None
    assert (intended.status, intended.create_sent_at) == ("provisioning", clock.now())
    assert intended.deadline_at == clock.now() + 300 * SECOND
    assert db.write_now(instances.intend_create, intended, boot_timeout_s=300) is None
    assert list(db.write_now(instances.lease_due, limit=10, seconds=60, providers=[make.PROVIDER])) == []


def test_a_create_that_did_not_happen_is_tried_again_with_the_first_deadline(
    db: Database, clock: FakeClock
) -> None:
    made = make.ordered(db)
    first = make.seen(db, made, instances.intend_create, boot_timeout_s=300)
    clock.advance(seconds=20)
    made = make.seen(db, made, instances.did_not_happen, retry_s=2.5)
    assert (made.create_sent_at, made.due_at, made.may_exist) == (None, clock.now() + 2_500_000, False)
    made = make.seen(db, made, instances.intend_create, boot_timeout_s=300)
    assert (made.status, made.deadline_at) == (Status.PROVISIONING, first.deadline_at)


def test_a_delete_before_anything_was_created_is_free(db: Database, clock: FakeClock) -> None:
    made = make.ordered(db)
    clock.advance(seconds=100)
    deleted = delete(db, made)
    assert (deleted.status, paid(db, made)) == (Status.DELETING, 0)
    assert make.balance(db, make.owner(made)).held == 0
    assert units(db) == [7]
    make.seen(db, made, instances.gone, make.RULES)
    assert (units(db), paid(db, made)) == ([8], 0)
    assert_exact(db)


@pytest.mark.parametrize(("rules", "cost"), [(make.RULES, 285000), (FREE_BEFORE_RUNNING, 0)])
def test_a_delete_of_what_was_created_and_never_ran_costs_the_minimum(
    db: Database, rules: Rules, cost: int
) -> None:
    made = make.instance(db, "provisioning")
    delete(db, made, rules)
    assert paid(db, made) == cost
    make.seen(db, made, instances.gone, rules)
    assert paid(db, made) == cost
    assert_exact(db)


@pytest.mark.parametrize(("rules", "cost"), [(make.RULES, 285000), (FREE_BEFORE_RUNNING, 0)])
@pytest.mark.parametrize("answer", ["created", "found", "nothing"])
def test_a_delete_during_a_create_is_settled_by_its_answer(
    db: Database, clock: FakeClock, rules: Rules, cost: int, answer: str
) -> None:
    made = make.ordered(db)
    make.seen(db, made, instances.intend_create, boot_timeout_s=600)
    delete(db, made, rules)
    assert paid(db, made) == 0
    assert make.balance(db, make.owner(made)).held == 285000
    clock.advance(seconds=5)
    if answer == "created":
        make.seen(db, made, instances.created, make.sighting(made))
    elif answer == "found":
        make.seen(db, made, instances.found, make.sighting(made))
    make.seen(db, made, instances.gone, rules)
    assert paid(db, made) == (0 if answer == "nothing" else cost)
    assert make.balance(db, make.owner(made)).held == 0
    assert units(db) == [8]
    assert_exact(db)


@pytest.mark.parametrize("status", ["error", "failed_no_capacity"])
def test_a_failed_order_costs_nothing_also_when_it_is_deleted_later(
    db: Database, clock: FakeClock, status: str
) -> None:
    made = make.instance(db, status)
    assert make.balance(db, make.owner(made)).held == 0
    clock.advance(seconds=5000)
    db.write_now(billing.sweep)
    delete(db, made)
    ended = make.seen(db, made, instances.gone, make.RULES)
    assert (ended.status, paid(db, made), units(db)) == ("deleted", 0, [8])
    assert_exact(db)


def test_what_is_left_of_a_failed_order_is_destroyed_before_its_unit_is_free(db: Database) -> None:
    made = make.instance(db, "error")
    assert (units(db), made.may_exist, made.due_at is not None) == ([7], True, True)
    after = make.seen(db, made, instances.gone, make.RULES)
    assert (units(db), after.status, after.may_exist, after.due_at) == ([8], "error", False, None)


def test_a_sold_out_offer_gives_way_to_the_next_cheapest_at_the_frozen_price(db: Database) -> None:
    by = make.project(db).by
    make.catalogue(
        db,
        make.offer(price="1", cost="0.8", free=5, name="first"),
        make.offer(price="2", cost="1.01", free=5, name="costs more than the order pays"),
        make.offer(price="3", cost="1", free=0, name="sold out"),
        make.offer(price="4", cost="0.9", free=5, name="dearer"),
        make.offer(price="3.5", cost="1", free=5, name="second"),
        make.offer(price="1.5", cost="0.5", free=5, name="elsewhere", location="FIN-02"),
    )
    made = make.ordered(db, by)
    make.seen(db, made, instances.intend_create, boot_timeout_s=600)
    placed = make.seen(db, made, instances.fail_over, is_sold_out=True, reason="no_capacity")
    names: dict[str, str] = {row[0]: row[1] for row in rows(db, "SELECT id, provider_offer_id FROM offers")}
    assert (names[placed.offer_id], placed.price, placed.cost) == ("second", from_usd("1"), from_usd("1"))
    assert (placed.create_sent_at, placed.handle, placed.deadline_at) == (None, None, None)
    assert placed.status is Status.PROVISIONING
    assert [names[offer] for offer in placed.tried_offers] == ["first", "second"]
    placed = make.seen(db, made, instances.fail_over, is_sold_out=False, reason="refused")
    assert names[placed.offer_id] == "dearer"
    failed = make.seen(db, made, instances.fail_over, is_sold_out=True, reason="no_capacity")
    assert (failed.status, failed.status_reason) == ("failed_no_capacity", "no_capacity")
    assert rows(db, "SELECT free_units FROM offers WHERE provider_offer_id = 'second'") == [(5,)]
    assert rows(db, "SELECT 1 FROM claims") == []
    assert make.balance(db, by).held == 0
    assert_exact(db)


def test_an_order_tries_five_offers_at_most(db: Database) -> None:
    make.catalogue(db, *(make.offer(name=f"{n}") for n in range(9)))
    made = make.ordered(db)
    for _ in range(4):
        made = make.seen(db, made, instances.fail_over, is_sold_out=False, reason="refused")
        assert made.status is Status.ORDERED
    made = make.seen(db, made, instances.fail_over, is_sold_out=False, reason="refused")
    assert (made.status, len(made.tried_offers)) == ("error", 5)


def test_an_order_whose_image_nobody_boots_any_more_fails_and_costs_nothing(db: Database) -> None:
    make.catalogue(db, make.offer(name="1"), make.offer(name="2"))
    made = make.ordered(db)
    make.catalogue(db, make.offer(name="1"), make.offer(name="2"), images=[make.image("another")])
    made = make.seen(db, made, instances.fail_over, is_sold_out=False, reason="refused")
    assert (made.status, paid(db, made)) == ("error", 0)


def test_a_boot_that_is_seen_to_fail_after_its_owner_ended_it_changes_no_reason(db: Database) -> None:
    made = make.instance(db, "provisioning")
    delete(db, made)
    after = make.seen(db, made, instances.boot_failed, reason="boot_failed: The image does not boot.")
    assert (after.status, after.status_reason) == ("deleting", None)
    gone = make.seen(db, made, instances.gone, make.RULES)
    assert (gone.status_reason, paid(db, made)) == (None, 285_000)


def test_a_delete_during_a_fail_over_places_it_nowhere(db: Database) -> None:
    make.catalogue(db, make.offer(name="1"), make.offer(name="2"))
    made = make.ordered(db)
    make.seen(db, made, instances.intend_create, boot_timeout_s=600)
    delete(db, made)
    after = make.seen(db, made, instances.fail_over, is_sold_out=False, reason="refused")
    assert (after.status, after.may_exist) == ("deleting", False)
    make.seen(db, made, instances.gone, make.RULES)
    assert (paid(db, made), units(db)) == (0, [8, 8])


def test_what_vanished_pays_up_to_when_it_was_seen_and_no_minimum(db: Database, clock: FakeClock) -> None:
    made = make.instance(db, "running")
    clock.advance(seconds=120)
    seen_at = clock.now()
    clock.advance(seconds=1000)
    db.write_now(billing.sweep)
    after = db.write_now(instances.vanished, make.now(db, made), seen_at=seen_at, reason="host_lost")
    assert after is not None
    assert (after.status, after.status_reason, after.due_at, after.handle) == (
        "error",
        "host_lost",
        None,
        None,
    )
    assert codes(db, made.project, made.id) == [("usage", -285000), ("refund", 228000)]
    assert units(db) == [8]
    delete(db, made)
    make.seen(db, made, instances.gone, make.RULES)
    assert paid(db, made) == 57000
    assert units(db) == [8]
    assert_exact(db)


def test_what_changed_since_it_was_missed_has_not_vanished(db: Database, clock: FakeClock) -> None:
    made = make.instance(db, "running")
    db.write_now(instances.stop, make.owner(made), made.id)
    assert db.write_now(instances.vanished, made, seen_at=clock.now(), reason="x") is None
    assert make.now(db, made).status is Status.RUNNING


@pytest.mark.parametrize("status", ["ordered", "provisioning", "error", "deleting", "deleted"])
def test_only_what_was_reached_can_vanish(db: Database, clock: FakeClock, status: str) -> None:
    made = make.instance(db, status)
    assert db.write_now(instances.vanished, made, seen_at=clock.now(), reason="x") is None
    assert make.now(db, made) == made


def test_what_went_down_by_itself_is_started_again_and_pays_only_for_being_up(
    db: Database, clock: FakeClock
) -> None:
    made = make.instance(db, "running")
    clock.advance(seconds=1000)
    seen_at = clock.now()
    clock.advance(seconds=30)
    db.write_now(instances.went_down, make.now(db, made), seen_at=seen_at)
    after = make.now(db, made)
    assert (after.status, after.wanted, after.due_at) == (Status.OFFLINE, Wanted.RUNNING, clock.now())
    assert paid(db, made) == billing.total(made.price, 1000)
    clock.advance(seconds=60)
    make.seen(db, made, instances.reachable, make.sighting(made))
    clock.advance(seconds=100)
    delete(db, made)
    assert paid(db, made) == billing.total(made.price, 1100)
    assert_exact(db)


def test_a_start_that_failed_leaves_it_off_and_says_why(db: Database) -> None:
    made = make.instance(db, "offline")
    db.write_now(instances.start, make.owner(made), made.id)
    assert units(db) == [7]
    after = make.seen(db, made, instances.start_failed, reason="start_timeout")
    assert (after.status, after.wanted, after.status_reason) == ("offline", Wanted.OFFLINE, "start_timeout")
    assert (after.due_at, units(db)) == (None, [8])
    told = db.read_now(events.list_for, make.owner(made), made.id)[-1]
    assert (told.type, told.data["reason"]) == ("instance.resume_failed", "start_timeout")
    assert db.write_now(instances.start, make.owner(made), made.id).status_reason is None


def test_a_restart_that_does_not_answer_leaves_it_running_and_says_why(db: Database) -> None:
    made = make.instance(db, "running")
    db.write_now(instances.restart, make.owner(made), made.id)
    after = make.seen(db, made, instances.restart_unconfirmed, reason="restart_timeout")
    assert (after.status, after.is_restart_wanted, after.due_at) == ("running", False, None)
    assert after.status_reason == "restart_timeout"


def test_a_restart_that_fails_after_its_owner_deleted_it_is_not_why_it_ended(db: Database) -> None:
    made = make.instance(db, "running")
    db.write_now(instances.restart, make.owner(made), made.id)
    db.write_now(instances.delete, make.owner(made), made.id, make.RULES)
    after = make.seen(db, made, instances.restart_unconfirmed, reason="restart_refused")
    assert (after.status, after.status_reason, after.due_at) == ("deleting", None, after.updated_at)
    told = [each.type for each in db.read_now(events.list_for, make.owner(made), made.id)]
    assert "instance.unreachable" not in told


def test_what_is_missing_is_noted_once_and_forgotten_when_it_is_back(db: Database, clock: FakeClock) -> None:
    made = make.instance(db, "running")
    since = clock.now()
    for _ in range(2):
        db.write_now(instances.missing, make.now(db, made), since=since)
        clock.advance(seconds=20)
    assert make.now(db, made).missing_since == since
    for _ in range(2):
        db.write_now(instances.back, make.now(db, made), make.sighting(made))
    after = make.now(db, made)
    assert (after.missing_since, after.sequence) == (None, made.sequence + 2)
    assert after.status is Status.RUNNING


def at_provider(db: Database) -> set[str]:
    return {made.id for made in db.read_now(instances.at_provider, make.PROVIDER)}


def test_what_may_exist_at_a_provider_is_listed_and_nothing_else(db: Database) -> None:
    by = make.project(db, credit="1000").by
    exists = {
        make.instance(db, status, by).id
        for status in ("provisioning", "running", "offline", "error", "deleting")
    }
    for status in ("ordered", "deleted"):
        make.instance(db, status, by)
    assert at_provider(db) == exists
    assert list(db.read_now(instances.at_provider, "another")) == []


def test_an_orphan_is_what_no_live_row_accounts_for(db: Database, clock: FakeClock) -> None:
    by = make.project(db, credit="1000").by

    def is_orphan(made: Instance, *, handle: str | None = None, provider: str = make.PROVIDER) -> bool:
        return db.read_now(instances.is_orphan, provider, make.sighting(made, handle=handle))

    running, creating = make.instance(db, "running", by), make.ordered(db, by)
    deleted = make.instance(db, "deleted", by)
    assert not is_orphan(running)
    assert is_orphan(running, handle="a second one")
    assert is_orphan(running, provider="another")
    assert not is_orphan(creating)
    assert is_orphan(deleted)
    stranger = Sighting(None, "x", Power.RUNNING)
    assert not db.read_now(instances.is_orphan, make.PROVIDER, stranger)


def test_an_orphan_is_reported_once_until_it_is_destroyed(db: Database, clock: FakeClock) -> None:
    made = make.instance(db, "deleted")
    first_seen_at = clock.now()
    orphan = db.write_now(instances.report_orphan, make.PROVIDER, make.sighting(made, handle="h"))
    for _ in range(2):
        clock.advance(seconds=30)
        orphan = db.write_now(instances.report_orphan, make.PROVIDER, make.sighting(made, handle="h"))
        assert orphan.first_seen_at == first_seen_at
    clock.advance(seconds=30)
    db.write_now(instances.orphan_destroyed, orphan)
    again = db.write_now(instances.report_orphan, make.PROVIDER, make.sighting(made, handle="h"))
    assert again.first_seen_at == clock.now()
    kinds = [row[0] for row in rows(db, "SELECT type FROM events WHERE subject LIKE 'orphan:%' ORDER BY seq")]
    assert kinds == ["orphan.found", "orphan.destroyed", "orphan.found"]


def test_listings_remember_when_the_one_before_was(db: Database, clock: FakeClock) -> None:
    assert db.write_now(instances.listed, make.PROVIDER) is None
    first = clock.now()
    clock.advance(seconds=20)
    assert db.write_now(instances.listed, make.PROVIDER) == first
    make.catalogue(db)
    clock.advance(seconds=20)
    assert db.write_now(instances.listed, make.PROVIDER) == Instant(first + 20 * SECOND)

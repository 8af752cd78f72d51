"""Two transactions of which the second begins before the first commits: what the second read must still hold."""

from berth.base.db import Database, Tx
from berth.base.money import from_usd
from berth.core import catalog, instances, keys, ledger, notices
from berth.core.driver import Catalogue
from berth.core.errors import Conflict
from berth.core.events import list_for
from berth.core.events import operator as operator_of
from berth.core.instances import Instance, Wanted
from tests import make
from tests.conftest import FakeClock
from tests.core.books import rows
from tests.core.together import failed, overlap, succeeded


def test_a_refresh_that_begins_during_an_order_counts_its_unit(db: Database, clock: FakeClock) -> None:
    customer = make.project(db, credit="1000")
    make.catalogue(db, make.offer(free=2))
    key = make.ssh_key(db, customer.by)
    listed_at = clock.now()
    sold = Catalogue([make.offer(free=2)], [make.image()])

    def order(tx: Tx) -> object:
        return instances.order(tx, customer.by, make.spec([key.id]), make.RULES)

    def refresh(tx: Tx) -> object:
        return catalog.refresh(tx, make.PROVIDER, sold, listed_at=listed_at, margin_percent=0)

    failed(overlap(db, order, refresh))
    assert rows(db, "SELECT free_units FROM offers") == [(1,)]
    failed(overlap(db, refresh, order))
    assert rows(db, "SELECT free_units FROM offers") == [(0,)]


def test_two_providers_with_one_image_both_boot_it(db: Database) -> None:
    make.catalogue(db, provider="first")

    def refresh(tx: Tx, provider: str) -> object:
        sold = Catalogue([make.offer()], [make.image()])
        return catalog.refresh(tx, provider, sold, listed_at=tx.now, margin_percent=0)

    failed(overlap(db, lambda tx: refresh(tx, "second"), lambda tx: refresh(tx, "third")))
    (image,) = db.read_now(catalog.images, make.project(db).by)
    assert image.providers == {"first", "second", "third"}


def test_one_reference_is_one_credit_and_one_event(db: Database) -> None:
    customer = make.project(db, credit="0")

    def credit(tx: Tx) -> ledger.Entry:
        return ledger.topup(tx, customer.by, from_usd("5"), reference="invoice-7")

    first, second = succeeded(overlap(db, credit, credit))
    assert first == second
    happened = db.read_now(list_for, customer.by, customer.id)
    assert [event.type for event in happened].count("billing.credited") == 1


def test_the_fiftieth_ssh_key_is_the_last(db: Database) -> None:
    customer = make.project(db)
    for _ in range(49):
        make.ssh_key(db, customer.by)

    def add(tx: Tx) -> object:
        return keys.add(tx, customer.by, name="one more", public_key=make.public_key())

    outcomes = overlap(db, add, add)
    assert len(succeeded(outcomes)) == 1
    failed(outcomes, Conflict)


def test_a_start_and_a_stop_of_two_instances_do_not_wait_for_each_other(db: Database) -> None:
    customer = make.project(db, credit="1000")
    on = make.instance(db, "running", customer.by)
    off = make.instance(db, "offline", customer.by)
    db.write_now(instances.stop, customer.by, on.id)
    db.write_now(instances.start, customer.by, off.id)
    tries = {on.id: 0, off.id: 0}

    def stop(tx: Tx) -> Instance | None:
        tries[on.id] += 1
        leased = instances.get(tx, customer.by, on.id)
        return instances.stopped(tx, leased, releases_hardware=False)

    def start(tx: Tx) -> Instance | None:
        tries[off.id] += 1
        leased = instances.get(tx, customer.by, off.id)
        return instances.reachable(tx, leased, make.sighting(leased))

    failed(overlap(db, stop, start))
    assert tries == {on.id: 1, off.id: 1}


def test_a_stop_that_was_under_way_when_the_instance_vanished_does_not_bring_it_back(
    db: Database, clock: FakeClock
) -> None:
    running = make.instance(db)
    db.write_now(instances.stop, make.owner(running), running.id)
    leased = make.now(db, running)
    vanished = db.write_now(instances.vanished, leased, seen_at=clock.now(), reason="host_lost")
    assert vanished is not None
    db.write_now(instances.stopped, leased, releases_hardware=True)
    after = make.now(db, running)
    assert (after.status, after.wanted) == ("error", Wanted.OFFLINE)
    assert after.status_reason == "host_lost"


def test_credit_and_new_contacts_at_the_same_moment_are_two_events_in_a_row(db: Database) -> None:
    """Each holds a lock of its own, and both tell of the same project."""
    by = make.project(db).by
    operator = operator_of(by.project)
    before = len(db.read_now(list_for, by, by.project))

    def credited(tx: Tx) -> object:
        return ledger.credit(tx, operator, by.project, ledger.Code.TOPUP, from_usd("5"), reference="r")

    def contacted(tx: Tx) -> object:
        return notices.set_contacts(tx, by, ["ops@example.com"])

    failed(overlap(db, credited, contacted))
    happened = db.read_now(list_for, by, by.project)[before:]
    assert [event.type for event in happened] == ["billing.credited", "project.contacts_changed"]
    assert [event.sequence for event in happened] == [before + 1, before + 2]

"""What happens to lines when everybody moves at once: first come, first served, and each is served once."""

import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, cast

import pytest

from berth.base import ids
from berth.base.clock import Instant
from berth.base.db import Database, Row, Tx
from berth.core import events, instances, projects, waitlist
from berth.core.errors import Conflict, NoCapacity
from berth.core.volumes import NewVolume
from berth.core.waitlist import Granted, Place, Status
from tests import make, queueing
from tests.conftest import FakeClock
from tests.core.books import assert_exact, rows
from tests.core.together import failed, overlap, succeeded, together
from tests.queueing import free, now

CROWD = 10_000


def grant(db: Database, location: str = "FIN-01") -> Granted:
    return db.write_now(waitlist.grant_next, make.H100, location, queueing.WAITING, make.RULES)


def served(db: Database) -> list[int]:
    """Tickets in the order in which they were served."""
    statement = (
        "SELECT w.ticket FROM events e JOIN waitlist_entries w ON w.id = e.subject"
        " WHERE e.type IN ('waitlist.deploying', 'gpu.available') ORDER BY e.seq"
    )
    return [row[0] for row in rows(db, statement)]


def cancel(db: Database, place: Place) -> Place:
    return db.write_now(waitlist.cancel, place.entry.actor, place.entry.id, queueing.WAITING)


def test_several_workers_and_direct_orders_at_once_serve_the_line_in_order(db: Database) -> None:
    free(db, 0)
    customers = [make.project(db) for _ in range(8)]
    places = [queueing.waiting(db, customer.by, is_auto=True) for customer in customers]
    direct = make.project(db, credit="1000")
    key = make.ssh_key(db, direct.by)
    free(db, 6)
    order = partial(
        db.write_now, waitlist.order, direct.by, make.spec([key.id]), queueing.WAITING, make.RULES
    )
    outcomes = together([*[partial(grant, db)] * 10, *[order] * 10])
    failed(outcomes, NoCapacity)
    assert succeeded(outcomes).count(Granted.DEPLOYED) == 6
    assert served(db) == sorted(place.entry.ticket for place in places)[:6]
    assert rows(db, f"SELECT 1 FROM instances WHERE project_id = '{direct.id}'") == []
    assert rows(db, "SELECT free_units FROM offers") == [(0,)]
    assert db.read_now(waitlist.verify) == []
    assert_exact(db)


def test_of_what_is_beyond_the_line_no_direct_order_gets_more(db: Database) -> None:
    free(db, 0)
    for _ in range(3):
        queueing.waiting(db, make.project(db).by, is_auto=True)
    direct = make.project(db, credit="1000")
    key = make.ssh_key(db, direct.by)
    free(db, 5)
    order = partial(db.write_now, instances.order, direct.by, make.spec([key.id]), make.RULES)
    outcomes = together([*[order] * 12, *[partial(grant, db)] * 2])
    failed(outcomes, NoCapacity)
    while grant(db) is Granted.DEPLOYED:
        pass
    made = "SELECT COUNT(*) FROM instances WHERE project_id {} '" + direct.id + "'"
    assert rows(db, made.format("=")) == [(2,)]
    assert rows(db, made.format("<>")) == [(3,)]


@pytest.mark.parametrize("is_auto", [True, False])
def test_a_cancel_and_a_grant_at_once_have_one_winner(db: Database, is_auto: bool) -> None:
    for _ in range(5):
        free(db, 0)
        place = queueing.waiting(db, make.project(db).by, is_auto=is_auto)
        free(db, 1)
        outcomes = together([partial(cancel, db, place), partial(grant, db), partial(grant, db)])
        failed(outcomes, Conflict)
        end = now(db, place)
        if end.status is Status.DEPLOYING:
            assert isinstance(outcomes[0], Conflict)
            assert end.instance_id is not None
        else:
            assert end.status is Status.CANCELLED
            assert end.instance_id is None
        assert db.read_now(waitlist.verify) == []
        queueing.attended(db)


def test_a_grant_that_began_first_is_not_undone_by_a_cancel(db: Database) -> None:
    free(db, 1)
    place = queueing.waiting(db, make.project(db).by, is_auto=True)

    def first(tx: Tx) -> object:
        return waitlist.grant_next(tx, make.H100, "FIN-01", queueing.WAITING, make.RULES)

    def second(tx: Tx) -> object:
        return waitlist.cancel(tx, place.entry.actor, place.entry.id, queueing.WAITING)

    granted, refused = overlap(db, first, second)
    assert granted is Granted.DEPLOYED
    assert isinstance(refused, Conflict)


def test_two_units_and_three_entries_leave_the_last_waiting(db: Database) -> None:
    free(db, 0)
    places = [queueing.waiting(db, make.project(db).by, is_auto=True) for _ in range(3)]
    free(db, 2)
    together([partial(grant, db)] * 6)
    assert [now(db, place).status for place in places] == [
        Status.DEPLOYING,
        Status.DEPLOYING,
        Status.WAITING,
    ]


def test_lines_of_two_locations_and_any_are_served_at_once_without_waiting_for_each_other_for_good(
    db: Database,
) -> None:
    offers = [make.offer(free=0), make.offer(location="FIN-02", free=0)]
    make.catalogue(db, *offers)
    for number in range(12):
        queueing.waiting(
            db, make.project(db).by, location=(None, "FIN-01", "FIN-02")[number % 3], is_auto=True
        )
    make.catalogue(db, make.offer(free=6), make.offer(location="FIN-02", free=6))
    joins = [partial(queueing.waiting, db, make.project(db).by, location=None) for _ in range(4)]
    grants = [partial(grant, db, location) for location in ("FIN-01", "FIN-02") for _ in range(8)]
    failed(together([*grants, *joins]))
    queueing.grants(db)
    assert db.read_now(waitlist.open_pairs, queueing.WAITING) == []
    given = "SELECT COUNT(*) FROM waitlist_entries WHERE granted_location = '{0}'"
    for location in ("FIN-01", "FIN-02"):
        left = rows(db, f"SELECT free_units FROM offers WHERE location = '{location}'")[0][0]
        reserved = f"{given.format(location)} AND status = 'notified'"
        assert rows(db, given.format(location))[0][0] + left - rows(db, reserved)[0][0] == 6
    assert db.read_now(waitlist.verify) == []


def test_one_project_joining_many_times_at_once_stays_within_its_limits(db: Database) -> None:
    free(db, 0)
    by = make.project(db).by
    make.ssh_key(db, by)
    outcomes = together([partial(queueing.waiting, db, by, is_auto=True)] * 12)
    assert len(succeeded(outcomes)) == 5
    failed(outcomes, Conflict)
    told = together([partial(queueing.waiting, db, by, location=None)] * 6)
    assert len(succeeded(told)) == 1
    failed(told, Conflict)


@pytest.mark.slow
def test_ten_thousand_in_line_with_many_leaving_are_served_in_order_and_soon(
    db: Database, clock: FakeClock
) -> None:
    free(db, 0)
    customers = [make.project(db) for _ in range(20)]
    key_ids = [make.ssh_key(db, customer.by).id for customer in customers]
    first = queueing.waiting(db, customers[0].by, is_auto=True)
    db.write_now(crowd, first, [(c.id, key_id) for c, key_id in zip(customers, key_ids, strict=True)])
    assert db.read_now(waitlist.verify) == []
    free(db, 20)
    ids = [row[0] for row in rows(db, "SELECT id FROM waitlist_entries ORDER BY ticket LIMIT 60")]
    started_at = time.perf_counter()
    leaving = [partial(leave, db, entry_id) for entry_id in ids[1:45:3]]
    outcomes = together([*leaving, *[partial(grant, db)] * 10])
    failed(outcomes, Conflict)
    while grant(db) is Granted.DEPLOYED:
        pass
    # A hundred times what it takes: what must not happen is a look at the whole line for each unit.
    assert time.perf_counter() - started_at < 60
    assert served(db)[0] == first.entry.ticket
    assert served(db) == sorted(served(db))
    assert rows(db, "SELECT free_units FROM offers") == [(0,)]
    assert db.read_now(waitlist.verify) == []


def leave(db: Database, entry_id: str) -> object:
    def verb(tx: Tx) -> object:
        row = tx.one("SELECT project_id FROM waitlist_entries WHERE id = :id", id=entry_id)
        assert row is not None
        by = events.system(row[0], "test")
        return waitlist.cancel(tx, by, entry_id, queueing.WAITING)

    return db.write_now(verb)


def crowd(tx: Tx, like: Place, customers: list[tuple[str, str]]) -> None:
    """Copies of one entry by ten thousand, as if each had joined."""
    entry = like.entry
    assert entry.config is not None
    columns = (
        "created_by, instance_type, location, is_auto, status, is_owed, notified_count, attempts,"
        " expires_at, due_at, created_at, updated_at, sequence"
    )
    tx.run_many(
        f"INSERT INTO waitlist_entries (id, project_id, ticket, config, {columns}) SELECT :id, :project, :ticket,"
        f" REPLACE(config, :key, :own_key), {columns} FROM waitlist_entries WHERE id = :like",
        [
            {
                "id": ids.new(Instant(entry.created_at + number)),
                "project": customers[number % len(customers)][0],
                "key": entry.config.ssh_key_ids[0],
                "own_key": customers[number % len(customers)][1],
                "ticket": entry.ticket + number,
                "like": entry.id,
            }
            for number in range(1, CROWD)
        ],
    )
    tx.run(f"UPDATE waiting_lines SET length = {CROWD}, owed = {CROWD} WHERE location = 'FIN-01'")


class Noting:
    """Passes everything on, and notes which lock is taken when."""

    def __init__(self, tx: Tx) -> None:
        self._tx = tx
        self.taken: list[str] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tx, name)

    def one(self, statement: str, /, **values: Any) -> Row | None:
        for lock in ("waiting_lines", "projects"):
            if statement.startswith(f"SELECT 1 FROM {lock} ") and lock not in self.taken:
                self.taken.append(lock)
        return self._tx.one(statement, **values)


def grant_one(tx: Tx, _place: Place) -> object:
    return waitlist.grant_next(tx, make.H100, "FIN-01", queueing.WAITING, make.RULES)


def join_too(tx: Tx, place: Place) -> object:
    wish = waitlist.Wish(make.H100, "FIN-01", is_auto=True, config=place.entry.config)
    return waitlist.join(tx, place.entry.actor, wish, queueing.WAITING, make.RULES)


def change_it(tx: Tx, place: Place) -> object:
    changes = {"config": place.entry.config}
    return waitlist.change(tx, place.entry.actor, place.entry.id, changes, queueing.WAITING, make.RULES)


def order_directly(tx: Tx, place: Place) -> object:
    assert place.entry.config is not None
    spec = replace(place.entry.config, location="FIN-01", instance_type=make.H100)
    return waitlist.order(tx, place.entry.actor, spec, queueing.WAITING, make.RULES)


@pytest.mark.parametrize("has_volumes", [True, False])
@pytest.mark.parametrize("verb", [grant_one, join_too, change_it, order_directly])
def test_whoever_locks_a_line_and_a_project_locks_the_line_first(
    db: Database, verb: Callable[[Tx, Place], object], has_volumes: bool
) -> None:
    free(db, 0)
    customer = make.project(db, credit="500")
    db.write_now(projects.set_preferences, customer.by, unique_active_hostname=True)
    volumes = [NewVolume("data", 10, "NVMe")] if has_volumes else []
    place = queueing.waiting(db, customer.by, is_auto=True, volumes=volumes)
    free(db, 3)

    def noted(tx: Tx) -> list[str]:
        noting = Noting(tx)
        verb(cast("Tx", noting), place)
        return noting.taken

    assert db.write_now(noted) == ["waiting_lines", "projects"]

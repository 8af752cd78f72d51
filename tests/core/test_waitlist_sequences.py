"""Any sequence of joining, leaving, freeing, deploying and blocking: nobody is overtaken, nothing is sold twice."""

from collections.abc import Callable, Mapping
from contextlib import suppress

from hypothesis import given, settings
from hypothesis import strategies as st

from berth.base.db import Database
from berth.core import events, instances, waitlist
from berth.core.errors import NoCapacity, Refusal
from berth.core.waitlist import Granted, Place
from tests import make, queueing
from tests.conftest import FakeClock
from tests.core.books import assert_exact, clear, rows
from tests.queueing import shown

PLACES = ("FIN-01", "FIN-02")


class Street:
    """Two locations, one type, many customers of one wish each."""

    def __init__(self, db: Database, clock: FakeClock) -> None:
        clear(db)
        self.db = db
        self.clock = clock
        self.units = dict.fromkeys(PLACES, 0)
        self.places: list[Place] = []
        self.refresh(0)

    def refresh(self, number: int) -> None:
        """One more or one fewer is there, by its provider's word."""
        place = PLACES[number % 2]
        self.units[place] = max(0, self.units[place] + (1 if number % 3 else -1))
        offers = [make.offer(location=place, free=units) for place, units in self.units.items()]
        make.catalogue(self.db, *offers, listed_at=self.clock.now())

    def join(self, number: int) -> None:
        credit = "100" if number % 5 else "5"
        location = (*PLACES, None)[number % 3]
        by = make.project(self.db, credit=credit).by
        self.places.append(queueing.waiting(self.db, by, location=location, is_auto=number % 2 == 0))

    def cancel(self, number: int) -> None:
        if self.places:
            entry = self.places[number % len(self.places)].entry
            with suppress(Refusal):  # it is being deployed, or has ended
                self.db.write_now(waitlist.cancel, entry.actor, entry.id, queueing.WAITING)

    def credit(self, number: int) -> None:
        if self.places:
            entry = self.places[number % len(self.places)].entry
            make.topup(self.db, entry.actor, "60" if number % 2 else "-60")
            self.db.write_now(waitlist.wake_credited)

    def deploy(self, number: int) -> None:
        """Somebody who does not wait orders: exactly what is shown can be had, and it is owed to nobody."""
        place = PLACES[number % 2]
        by = make.project(self.db).by
        spare = shown(self.db, by, place)
        assert spare == max(0, self.free(place) - self.owed(place))
        try:
            make.ordered(self.db, by, location=place)
        except NoCapacity:
            assert spare == 0
        else:
            assert spare > 0

    def claim(self, number: int) -> None:
        """Somebody who waits to be told orders."""
        if self.places:
            entry = self.places[number % len(self.places)].entry
            with suppress(Refusal):
                queueing.bought(self.db, entry.actor, location=entry.location or PLACES[number % 2])

    def grant(self, number: int) -> None:
        place = PLACES[number % 2]
        first = self.first(place)
        granted = self.db.write_now(waitlist.grant_next, make.H100, place, queueing.WAITING, make.RULES)
        if granted in {Granted.DEPLOYED, Granted.TOLD}:
            served = self.last_served()
            skipped = [entry for entry in first if entry[1] < served[1]]
            states = [self.state(entry_id) for entry_id, _, _ in skipped]
            # Whoever stood before is blocked now, or waits to be told of what nobody believes yet.
            assert all(blocked is not None or not is_auto for is_auto, blocked in states), states

    def end(self, number: int) -> None:
        """An instance comes to run, fails or is deleted."""
        found = rows(self.db, "SELECT id, project_id FROM instances WHERE status = 'ordered' ORDER BY id")
        if not found:
            return
        made_id, project = found[number % len(found)]
        by = events.system(project, "test")
        made = self.db.read_now(instances.get, by, made_id)
        if number % 3 == 0:
            make.seen(
                self.db, made, instances.fail_over, is_sold_out=True, reason="sold out", offers_allowed=0
            )
            return
        made = make.provisioned(self.db, made)
        make.seen(self.db, made, instances.reachable, make.sighting(made))
        if number % 3 == 1:
            self.db.write_now(instances.delete, by, made.id, make.RULES)
            make.seen(self.db, make.now(self.db, made), instances.gone, make.RULES)

    def wait(self, number: int) -> None:
        self.clock.advance(seconds=(10, 61, 600, 901)[number % 4])
        queueing.attended(self.db)

    def free(self, place: str) -> int:
        return self.sum(
            f"SELECT SUM(free_units) FROM offers WHERE location = '{place}' AND is_listed = 1"
            f" AND suppressed_until <= {self.clock.now()}"
        )

    def owed(self, place: str) -> int:
        return self.sum(
            "SELECT SUM(is_owed) FROM waitlist_entries WHERE status = 'waiting'"
            f" AND location IN ('{place}', '')"
        ) + self.sum(
            f"SELECT COUNT(*) FROM waitlist_entries WHERE status = 'notified' AND granted_location = '{place}'"
        )

    def first(self, place: str) -> list[tuple[str, int, int]]:
        """Who could be served there, by ticket."""
        return [
            (row[0], row[1], row[2])
            for row in rows(
                self.db,
                "SELECT id, ticket, is_auto FROM waitlist_entries WHERE status = 'waiting'"
                f" AND blocked_reason IS NULL AND (rest_until IS NULL OR rest_until <= {self.clock.now()})"
                f" AND location IN ('{place}', '') ORDER BY ticket",
            )
        ]

    def last_served(self) -> tuple[str, int]:
        statement = (
            "SELECT e.subject, w.ticket FROM events e JOIN waitlist_entries w ON w.id = e.subject"
            " WHERE e.type IN ('gpu.available', 'waitlist.deploying') ORDER BY e.seq DESC LIMIT 1"
        )
        found = rows(self.db, statement)[0]
        return found[0], found[1]

    def state(self, entry_id: str) -> tuple[bool, str | None]:
        found = rows(
            self.db, f"SELECT is_auto, blocked_reason FROM waitlist_entries WHERE id = '{entry_id}'"
        )[0]
        return bool(found[0]), found[1]

    def sum(self, statement: str) -> int:
        return int(rows(self.db, statement)[0][0] or 0)

    def check(self) -> None:
        assert self.db.read_now(waitlist.verify) == []
        assert rows(self.db, "SELECT 1 FROM offers WHERE free_units < 0") == []
        twice = (
            "SELECT d.entry_id FROM waitlist_deployments d JOIN instances i ON i.id = d.instance_id"
            " WHERE i.status NOT IN ('failed_no_capacity', 'error') GROUP BY d.entry_id HAVING COUNT(*) > 1"
        )
        assert rows(self.db, twice) == []
        unclaimed = (
            "SELECT id FROM instances WHERE status IN ('ordered', 'provisioning', 'running')"
            " AND id NOT IN (SELECT subject FROM claims)"
        )
        assert rows(self.db, unclaimed) == []


ACTS: Mapping[str, Callable[[Street, int], None]] = {
    "refresh": Street.refresh,
    "join": Street.join,
    "cancel": Street.cancel,
    "credit": Street.credit,
    "deploy": Street.deploy,
    "claim": Street.claim,
    "grant": Street.grant,
    "end": Street.end,
    "wait": Street.wait,
}
acts = st.lists(
    st.tuples(st.sampled_from([*ACTS, "join", "grant", "refresh"]), st.integers(0, 59)), max_size=40
)


@settings(max_examples=30)
@given(story=acts)
def test_whatever_happens_nobody_is_overtaken_and_no_unit_is_sold_twice(
    db: Database, clock: FakeClock, story: list[tuple[str, int]]
) -> None:
    street = Street(db, clock)
    for act, number in story:
        ACTS[act](street, number)
        street.check()
    assert_exact(db)

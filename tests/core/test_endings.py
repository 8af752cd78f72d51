"""When an instance ends by itself: the first of what was asked for, worked out from its bill and what was seen."""

from dataclasses import replace

import pytest

from berth.base.clock import SECOND, Instant
from berth.base.db import Database
from berth.base.money import Micros
from berth.core import billing, catalog, instances
from berth.core.billing import Bill
from berth.core.driver import Abilities
from berth.core.errors import Conflict, Invalid
from berth.core.instances import AutoDelete, Instance, Reservation, Status
from berth.core.instances.endings import End, plan
from tests import make
from tests.conftest import FakeClock
from tests.core.books import rows

NOW = Instant(10**15)
WATCHES = Abilities(reports_use=True)


def seconds(count: int) -> Instant:
    return Instant(NOW + count * SECOND)


def spent(micros: int, billed_s: int, *, is_charging: bool = True) -> Bill:
    return Bill(NOW, None, billed_s, Micros(micros), Micros(0), is_charging=is_charging)


DOLLAR = make.micros("1")
PLANS = [
    (AutoDelete(), None, spent(0, 0), None),
    (AutoDelete(at=seconds(60)), None, spent(0, 0), End(seconds(60), "expired")),
    (AutoDelete(at=seconds(-60)), None, spent(0, 0), End(seconds(-60), "expired")),
    # An hour costs 3.60: a dollar lasts a thousand seconds.
    (AutoDelete(max_spend=DOLLAR), None, spent(0, 0), End(seconds(1000), "max_spend_reached")),
    (AutoDelete(max_spend=DOLLAR), None, spent(400_000, 400), End(seconds(600), "max_spend_reached")),
    (AutoDelete(max_spend=DOLLAR), None, spent(400_000, 400, is_charging=False), None),
    (
        AutoDelete(max_spend=DOLLAR),
        None,
        spent(DOLLAR, 1000, is_charging=False),
        End(NOW, "max_spend_reached"),
    ),
    (AutoDelete(idle_s=600), None, spent(0, 0), None),
    (AutoDelete(idle_s=600), seconds(-500), spent(0, 0), End(seconds(100), "idle")),
    (
        AutoDelete(at=seconds(300), max_spend=DOLLAR, idle_s=600),
        seconds(-500),
        spent(800_000, 800),
        End(seconds(100), "idle"),
    ),
    (
        AutoDelete(at=seconds(300), max_spend=DOLLAR, idle_s=600),
        seconds(0),
        spent(900_000, 900),
        End(seconds(100), "max_spend_reached"),
    ),
]


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
@pytest.mark.parametrize(("wanted", "idle_since", "bill", "end"), PLANS)
def test_the_first_end_in_sight_counts(
    db: Database, wanted: AutoDelete, idle_since: Instant | None, bill: Bill, end: End | None
) -> None:
    made = replace(make.instance(db), price=make.micros("3.6"))
    assert plan(made, Reservation(made.id, wanted, idle_since, None), bill, NOW) == end


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_what_is_off_is_not_idle_and_what_is_free_is_never_spent(db: Database) -> None:
    made = make.instance(db)
    kept = Reservation(made.id, AutoDelete(idle_s=60), seconds(-500), None)
    assert plan(replace(made, status=Status.OFFLINE), kept, spent(0, 0), NOW) is None
    kept = Reservation(made.id, AutoDelete(max_spend=DOLLAR), None, None)
    assert plan(replace(made, price=Micros(0)), kept, spent(0, 0), NOW) is None


@pytest.mark.parametrize("price", [1, 965_000, 1_710_000, 2_290_000, 32_000_000])
@pytest.mark.parametrize("amount", [1, 160_833, 285_475, 10_000_000])
def test_an_amount_is_reached_at_the_first_second_that_costs_it(price: int, amount: int) -> None:
    reached = billing.seconds_for(price, amount)
    assert billing.total(price, reached) >= amount
    assert reached == 0 or billing.total(price, reached - 1) < amount


def sells(db: Database, abilities: Abilities = WATCHES) -> None:
    db.write_now(catalog.introduce, make.PROVIDER, abilities)
    make.catalogue(db)


@pytest.mark.parametrize(
    ("members", "field"),
    [
        ({"at": Instant(0)}, "at"),
        ({"at": Instant(2**60)}, "at"),
        ({"max_spend": Micros(0)}, "max_spend_usd"),
        ({"max_spend": Micros(284_999)}, "max_spend_usd"),
        ({"idle_s": 0}, "idle_minutes"),
        ({"idle_s": 30 * 86_400 + 60}, "idle_minutes"),
    ],
)
def test_an_end_that_cannot_be_kept_is_refused(db: Database, members: dict[str, int], field: str) -> None:
    sells(db)
    wanted = AutoDelete(**members)  # type: ignore[arg-type]
    with pytest.raises(Invalid) as refusal:
        make.ordered(db, auto_delete=wanted)
    assert refusal.value.details["field"] == f"auto_delete.{field}"
    made = make.instance(db)
    with pytest.raises(Invalid):
        db.write_now(instances.reserve, make.owner(made), made.id, wanted)
    assert rows(db, "SELECT 1 FROM reservations") == []


def test_idle_minutes_are_refused_where_nobody_tells_what_instances_do(db: Database) -> None:
    sells(db, Abilities())
    with pytest.raises(Invalid) as refusal:
        make.ordered(db, auto_delete=AutoDelete(idle_s=600))
    assert refusal.value.details["field"] == "auto_delete.idle_minutes"
    assert rows(db, "SELECT 1 FROM claims") == []


def test_an_order_that_ends_when_idle_is_placed_where_that_can_be_seen(db: Database) -> None:
    sells(db, Abilities())
    db.write_now(catalog.introduce, "other", WATCHES)
    make.catalogue(db, make.offer(name="dearer", price="3"), provider="other")
    assert make.ordered(db).provider == make.PROVIDER
    assert make.ordered(db, auto_delete=AutoDelete(idle_s=600)).provider == "other"


@pytest.mark.parametrize("status", ["error", "failed_no_capacity", "deleting", "deleted"])
def test_what_has_ended_cannot_be_told_when_to_end(db: Database, status: str) -> None:
    made = make.instance(db, status)
    with pytest.raises(Conflict):
        db.write_now(instances.reserve, make.owner(made), made.id, AutoDelete(max_spend=DOLLAR))


def reservation(db: Database, made: Instance) -> Reservation | None:
    return db.read_now(instances.reservation, made.id)


def test_an_end_can_be_changed_and_taken_back(db: Database, clock: FakeClock) -> None:
    made = make.instance(db)
    by = make.owner(made)
    changed = db.write_now(instances.reserve, by, made.id, AutoDelete(max_spend=DOLLAR))
    assert changed.sequence == made.sequence + 1
    assert db.read_now(instances.due_to_end, limit=9) == [made.id]
    db.write_now(instances.reserve, by, made.id, AutoDelete(at=Instant(clock.now() + SECOND)))
    kept = reservation(db, made)
    assert kept is not None
    assert kept.wanted == AutoDelete(at=Instant(clock.now() + SECOND))
    db.write_now(instances.reserve, by, made.id, AutoDelete())
    assert reservation(db, made) is None

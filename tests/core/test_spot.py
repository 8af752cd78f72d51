"""Spot: sold where it is sold, at its own price, out of its own units, and taken away again."""

from dataclasses import replace
from typing import Any

import pytest

from berth.base.clock import DAY, SECOND, Instant
from berth.base.db import Database
from berth.base.money import from_usd
from berth.core import billing, catalog, events, instances
from berth.core.billing import rates
from berth.core.driver import ProviderOffer
from berth.core.errors import Conflict, Forbidden, Invalid, NoCapacity, NotFound
from berth.core.events import Actor
from berth.core.instances import Contract, Instance
from tests import make, queueing
from tests.conftest import FakeClock
from tests.core.books import assert_exact, codes, rows

SPOT = from_usd("0.6")


def offer(*, apart: int | None = None, cost: str | None = "0.4", **members: object) -> ProviderOffer:
    made = make.offer(spot_price="0.6", **members)  # type: ignore[arg-type]
    return replace(
        made,
        spot_free_units=apart,
        spot_cost_micros_per_hour=None if cost is None else from_usd(cost),
    )


def units(db: Database) -> list[tuple[int, int | None]]:
    return [
        (row[0], row[1])
        for row in rows(db, "SELECT free_units, spot_free_units FROM offers ORDER BY provider_offer_id")
    ]


def spot(db: Database, status: str = "running", by: Actor | None = None, **members: Any) -> Instance:
    return make.instance(db, status, by, is_spot=True, **members)


def operator(made: Instance) -> Actor:
    return events.operator(made.project)


def evict(db: Database, made: Instance, by: Actor | None = None, **members: object) -> Instance:
    return db.write_now(instances.evict, by or operator(made), made.id, make.RULES, **members)  # type: ignore[arg-type]


def available(db: Database, by: Actor, *, is_spot: bool) -> dict[str, list[str]]:
    found = db.read_now(catalog.availability, by, is_spot=is_spot)
    return {place.location.code: list(place.types) for place in found}


@pytest.mark.parametrize("members", [{"is_spot": True}, {"contract": Contract.SPOT}])
def test_a_spot_order_pays_the_spot_price_and_costs_the_spot_cost(
    db: Database, members: dict[str, Any]
) -> None:
    make.catalogue(db, offer())
    made = make.ordered(db, **members)
    assert (made.is_spot, made.contract, made.price, made.cost) == (
        True,
        Contract.SPOT,
        SPOT,
        from_usd("0.4"),
    )
    held = rows(db, "SELECT amount_micros FROM holds")
    assert held == [(rates.total(SPOT, 600),)]
    order = db.read_now(instances.create_order, made, install_id="install")
    assert order.is_spot


def test_spot_without_a_cost_of_its_own_costs_as_much_as_any(db: Database) -> None:
    make.catalogue(db, offer(cost=None))
    assert spot(db, "ordered").cost == from_usd("1")


def test_where_no_spot_is_sold_there_is_no_capacity_for_it(db: Database) -> None:
    make.catalogue(db)
    with pytest.raises(NoCapacity):
        spot(db, "ordered")
    assert not make.ordered(db).is_spot


def test_spot_comes_out_of_the_units_of_all_unless_they_are_counted_apart(db: Database) -> None:
    make.catalogue(db, offer(free=2))
    spot(db, "ordered")
    assert units(db) == [(1, None)]
    make.catalogue(db, offer(free=2, apart=1), listed_at=Instant(0))
    assert units(db) == [(1, 1)]
    made = spot(db, "ordered")
    assert units(db) == [(1, 0)]
    with pytest.raises(NoCapacity):
        spot(db, "ordered")
    make.ordered(db)
    assert units(db) == [(0, 0)]
    make.catalogue(db, offer(free=2, apart=1), listed_at=Instant(0))
    assert units(db) == [(0, 0)]
    make.seen(db, made, instances.fail, reason="refused")
    assert units(db) == [(0, 1)]


def test_a_pool_of_its_own_that_runs_dry_is_closed_to_spot_only(db: Database, clock: FakeClock) -> None:
    make.catalogue(db, offer(free=2, apart=2))
    by = make.project(db).by
    failed = make.seen(db, spot(db, "ordered"), instances.fail_over, is_sold_out=True, reason="no_capacity")
    assert failed.status == "failed_no_capacity"
    assert (available(db, by, is_spot=True), available(db, by, is_spot=False)) == (
        {"FIN-01": []},
        {"FIN-01": [make.H100]},
    )


def test_what_runs_dry_for_spot_out_of_the_units_of_all_is_closed_to_all_for_a_while(
    db: Database, clock: FakeClock
) -> None:
    make.catalogue(db, offer(free=2))
    by = make.project(db).by
    make.seen(db, spot(db, "ordered"), instances.fail_over, is_sold_out=True, reason="no_capacity")
    assert (available(db, by, is_spot=True), available(db, by, is_spot=False)) == ({"FIN-01": []},) * 2
    clock.advance(seconds=catalog.claims.SUPPRESSED_S)
    assert available(db, by, is_spot=True) == {"FIN-01": [make.H100]}


def test_fail_over_keeps_spot_to_spot_that_costs_no_more_than_it_pays(db: Database) -> None:
    make.catalogue(
        db,
        offer(name="a"),
        replace(offer(name="b", cost="0.7"), spot_price_micros_per_hour=from_usd("0.8")),
        make.offer(name="c", price="0.1", cost="0"),
        replace(offer(name="d", cost="0.5"), spot_price_micros_per_hour=from_usd("0.9")),
    )
    made = spot(db, "ordered")
    moved = make.seen(db, made, instances.fail_over, is_sold_out=True, reason="no_capacity")
    names: dict[str, str] = dict(rows(db, "SELECT id, provider_offer_id FROM offers"))
    assert (names[moved.offer_id], moved.price, moved.cost) == ("d", SPOT, from_usd("0.5"))
    ended = make.seen(db, moved, instances.fail_over, is_sold_out=True, reason="no_capacity")
    assert ended.status == "failed_no_capacity"


def test_a_spot_order_never_overtakes_those_who_wait(db: Database) -> None:
    make.catalogue(db, offer(free=0))
    queueing.waiting(db, make.project(db).by, is_auto=True)
    make.catalogue(db, offer(free=1))
    late = make.project(db).by
    assert available(db, late, is_spot=True) == {"FIN-01": []}
    with pytest.raises(NoCapacity):
        spot(db, "ordered", late)
    make.catalogue(db, offer(free=1, apart=1))
    assert available(db, late, is_spot=True) == {"FIN-01": [make.H100]}
    assert available(db, late, is_spot=False) == {"FIN-01": []}
    spot(db, "ordered", late)
    assert units(db) == [(1, 0)]


@pytest.mark.parametrize("is_spot", [True, False])
@pytest.mark.parametrize("apart", [None, 0, 1])
@pytest.mark.parametrize("free", [0, 1])
@pytest.mark.parametrize("waiting", [0, 1])
@pytest.mark.parametrize("has_spot", [True, False])
def test_what_is_listed_an_order_accepts_and_nothing_else(
    db: Database, is_spot: bool, apart: int | None, free: int, waiting: int, has_spot: bool
) -> None:
    def sold(units: int) -> ProviderOffer:
        made = offer(free=units, apart=apart)
        return made if has_spot else replace(made, spot_price_micros_per_hour=None)

    make.catalogue(db, sold(0))
    for _ in range(waiting):
        queueing.waiting(db, make.project(db).by, is_auto=True)
    make.catalogue(db, sold(free))
    by = make.project(db).by
    listed = db.read_now(catalog.is_available, by, make.H100, is_spot=is_spot, location="FIN-01")
    try:
        make.ordered(db, by, is_spot=is_spot)
        accepted = True
    except NoCapacity:
        accepted = False
    assert listed is accepted


def test_availability_names_every_location_in_the_order_they_were_first_named(db: Database) -> None:
    by = make.project(db).by
    make.catalogue(db, make.offer(location="ICE-01"), make.offer(location="FIN-01", free=0))
    make.catalogue(db, make.offer(location="FIN-01"), make.offer("A", location="AAA"), provider="other")
    assert [place.code for place in db.read_now(catalog.locations, by)] == ["ICE-01", "FIN-01", "AAA"]
    assert list(available(db, by, is_spot=False).items()) == [
        ("ICE-01", [make.H100]),
        ("FIN-01", [make.H100]),
        ("AAA", ["A"]),
    ]
    (one,) = db.read_now(catalog.availability, by, location="AAA")
    assert (one.location.code, one.types) == ("AAA", ["A"])
    assert db.read_now(catalog.availability, by, location="nowhere") == []
    assert db.read_now(catalog.is_available, by, "nothing") is False


def test_a_spot_instance_that_gave_its_unit_back_gets_a_spot_unit_again(db: Database) -> None:
    make.catalogue(db, offer(free=1, apart=1))
    made = spot(db, "offline")
    assert units(db) == [(1, 1)]
    db.write_now(instances.start, make.owner(made), made.id)
    assert units(db) == [(1, 0)]


# Eviction.


@pytest.mark.parametrize("seconds", [0, 1, 599, 600, 4321])
def test_an_eviction_is_paid_to_the_second_and_costs_no_minimum(
    db: Database, clock: FakeClock, seconds: int
) -> None:
    make.catalogue(db, offer())
    made = spot(db)
    clock.advance(seconds=seconds)
    ended = evict(db, made, sentence="The host is needed.")
    assert (ended.status, ended.status_reason) == ("deleting", "evicted: The host is needed.")
    assert -sum(amount for _, amount in codes(db, made.project, made.id)) == rates.total(SPOT, seconds)
    assert rows(db, "SELECT amount_micros FROM holds") == []
    gone = make.seen(db, ended, instances.gone, make.RULES)
    assert (gone.status, (gone.status_reason or "")[:7]) == ("deleted", "evicted")
    assert units(db) == [(8, None)]
    assert_exact(db)


@pytest.mark.parametrize("is_sent", [True, False])
def test_what_is_evicted_before_it_ran_costs_nothing(db: Database, is_sent: bool) -> None:
    make.catalogue(db, offer())
    made = spot(db, "ordered")
    if is_sent:
        made = make.seen(db, made, instances.intend_create, boot_timeout_s=600)
    evict(db, made)
    make.seen(db, made, instances.found, make.sighting(made))
    make.seen(db, made, instances.gone, make.RULES)
    assert codes(db, made.project, made.id) == []
    assert rows(db, "SELECT amount_micros FROM holds") == []


def test_an_eviction_that_is_announced_happens_then_and_its_owner_is_told(
    db: Database, clock: FakeClock
) -> None:
    make.catalogue(db, offer())
    made = spot(db)
    at = Instant(clock.now() + 120 * SECOND)
    assert evict(db, made, at=at).status == "running"
    (told,) = rows(db, "SELECT data, sequence FROM events WHERE type = 'instance.interruption_notice'")
    assert f'"evicts_at":{at}' in told[0].replace(" ", "")
    assert db.read_now(instances.next_outside) == at
    clock.advance(seconds=119)
    assert db.read_now(instances.due_outside, limit=10) == []
    clock.advance(seconds=1)
    assert db.read_now(instances.due_outside, limit=10) == [made.id]
    db.write_now(instances.attend_outside, made.id, make.RULES)
    now = make.now(db, made)
    assert (now.status, (now.status_reason or "")[:7]) == ("deleting", "evicted")
    assert db.read_now(billing.bill, made.id).total == rates.total(SPOT, 120)
    db.write_now(instances.attend_outside, made.id, make.RULES)
    assert db.read_now(instances.next_outside) is None


def test_the_later_announcement_holds(db: Database, clock: FakeClock) -> None:
    make.catalogue(db, offer())
    made = spot(db)
    evict(db, made, at=Instant(clock.now() + 10 * SECOND))
    evict(db, made, at=Instant(clock.now() + 60 * SECOND))
    clock.advance(seconds=30)
    db.write_now(instances.attend_outside, made.id, make.RULES)
    assert make.now(db, made).status == "running"
    announced = db.read_now(instances.eviction, made.id)
    assert announced is not None
    assert announced.evicts_at == clock.now() + 30 * SECOND


def test_only_an_operator_evicts_and_only_spot_that_stands(db: Database, clock: FakeClock) -> None:
    make.catalogue(db, offer())
    made, bought = spot(db), make.instance(db, "running")
    with pytest.raises(Forbidden):
        evict(db, made, make.owner(made))
    with pytest.raises(NotFound):
        evict(db, made, events.operator(bought.project))
    with pytest.raises(Conflict):
        evict(db, bought)
    with pytest.raises(Invalid):
        evict(db, made, at=Instant(clock.now() + 31 * DAY))
    with pytest.raises(Invalid):
        evict(db, made, sentence="two\nlines")
    evict(db, made)
    with pytest.raises(Conflict):
        evict(db, made)


def test_spot_that_its_provider_took_away_was_evicted_not_lost(db: Database, clock: FakeClock) -> None:
    make.catalogue(db, offer())
    made = spot(db)
    clock.advance(seconds=120)
    seen_at = clock.now()
    clock.advance(seconds=1000)
    db.write_now(billing.sweep)
    after = db.write_now(instances.vanished, made, seen_at=seen_at, reason="instance_lost: gone")
    assert after is not None
    assert (after.status, after.deleted_at, after.handle, after.due_at) == (
        "deleted",
        clock.now(),
        None,
        None,
    )
    assert (after.status_reason or "").startswith("evicted: ")
    assert db.read_now(billing.bill, made.id).total == rates.total(SPOT, 120)
    assert units(db) == [(8, None)]
    assert_exact(db)


def test_volumes_outlive_an_eviction_by_the_provider(db: Database, clock: FakeClock) -> None:
    make.catalogue(db, offer())
    made = spot(db)
    volume = make.volume(db, "attached", to=made)
    db.write_now(instances.vanished, make.now(db, made), seen_at=clock.now(), reason="instance_lost: gone")
    assert make.volume_now(db, volume).status == "detached"

"""What an automatic entry deploys: all that an order can hold, and what happens where that cannot be had."""

from collections.abc import Callable

import pytest

from berth.base.clock import DAY, Instant
from berth.base.db import Database
from berth.base.money import from_usd
from berth.core import billing, instances, projects, volumes, waitlist
from berth.core.billing import Limits
from berth.core.instances import AutoDelete
from berth.core.volumes import Fate, NewVolume
from berth.core.waitlist import Granted, Obstacle, Place, Status
from tests import make, queueing
from tests.conftest import FakeClock
from tests.queueing import deployment, free, now, told

ELSEWHERE = "elsewhere"


def test_all_that_an_order_can_hold_is_deployed(db: Database, clock: FakeClock) -> None:
    free(db, 0)
    customer = make.project(db, credit="500")
    held = make.volume(db, by=customer.by, name="kept")
    ending = AutoDelete(at=Instant(clock.now() + DAY), max_spend=from_usd("30"))
    place = queueing.waiting(
        db,
        customer.by,
        is_auto=True,
        description="nightly",
        os_volume_name="root",
        os_volume_gb=80,
        startup_script="#!/bin/sh\ntrue\n",
        volumes=[NewVolume("scratch", 40, "NVMe", Fate.TRASH)],
        existing_volumes=[held.id],
        auto_delete=ending,
    )
    free(db, 1)
    assert queueing.grants(db) == [Granted.DEPLOYED]
    made = deployment(db, place)
    assert (made.description, made.os_volume_name, made.os_volume_gb) == ("nightly", "root", 80)
    assert made.startup_script == "#!/bin/sh\ntrue\n"
    kept = db.read_now(instances.reservation, made.id)
    assert kept is not None
    assert kept.wanted == ending
    scratch, found = (db.read_now(volumes.get, customer.by, volume_id) for volume_id in made.volume_ids)
    assert (scratch.name, scratch.size_gb, scratch.fate) == ("scratch", 40, Fate.TRASH)
    assert found.id == held.id


def test_whose_volume_is_elsewhere_holds_nobody_up(db: Database, clock: FakeClock) -> None:
    make.catalogue(db, make.offer(free=0))
    make.catalogue(db, make.offer(free=0, name="other"), provider=ELSEWHERE)
    customer = make.project(db, credit="500")
    held = make.volume(db, by=customer.by)
    first = queueing.waiting(db, customer.by, is_auto=True, existing_volumes=[held.id])
    second = queueing.waiting(db, make.project(db).by, is_auto=True)
    other = ELSEWHERE if held.provider == make.PROVIDER else make.PROVIDER
    make.catalogue(db, make.offer(free=1, name="other"), provider=other)
    assert queueing.grants(db) == [Granted.DEPLOYED]
    assert now(db, second).status is Status.DEPLOYING
    assert now(db, first).status is Status.WAITING
    make.catalogue(db, make.offer(free=1), provider=held.provider)
    clock.advance(seconds=600)
    queueing.attended(db)
    assert queueing.grants(db) == [Granted.DEPLOYED]
    assert deployment(db, first).volume_ids == (held.id,)


def limited(db: Database, customer: make.Customer, dollars: str | None) -> None:
    chosen = Limits(max_hourly=None if dollars is None else from_usd(dollars))
    db.write_now(billing.set_limits, customer.by, chosen)


def lasting(db: Database, what: str) -> tuple[Place, Callable[[], object], Obstacle]:
    """An entry in whose way something is that only its owner can take away; that; and what it is."""
    customer = make.project(db, credit="500")
    if what == "hostname":
        free(db, 1)
        taken = make.ordered(db, customer.by)
        db.write_now(projects.set_preferences, customer.by, unique_active_hostname=True)
        free(db, 0)
        place = queueing.waiting(db, customer.by, is_auto=True)
        return (
            place,
            lambda: db.write_now(instances.delete, customer.by, taken.id, make.RULES),
            Obstacle.QUOTA,
        )
    free(db, 0)
    place = queueing.waiting(db, customer.by, is_auto=True)
    if what == "hourly limit":
        limited(db, customer, "1")
        return place, lambda: limited(db, customer, "10"), Obstacle.INSUFFICIENT_CREDITS
    if what == "runs on credit":
        make.topup(db, customer.by, "-600")
        db.write_now(billing.advance, customer.id, make.RULES)
        return place, lambda: make.topup(db, customer.by, "600"), Obstacle.ACCOUNT_SUSPENDED
    raise AssertionError(what)


@pytest.mark.parametrize("what", ["hostname", "hourly limit", "runs on credit"])
def test_what_lasts_is_told_once_and_holds_nobody_up(db: Database, clock: FakeClock, what: str) -> None:
    place, remove, reason = lasting(db, what)
    behind = queueing.waiting(db, make.project(db).by, is_auto=True)
    free(db, 2)
    assert Granted.DEPLOYED in queueing.refused_too(db)
    assert now(db, behind).status is Status.DEPLOYING
    free(db, 2)
    for _ in range(4):
        queueing.refused_too(db)
        clock.advance(seconds=600)
        queueing.attended(db)
    assert now(db, place).blocked_reason is reason
    assert told(db, place) == ["waitlist.blocked"]
    remove()
    db.write_now(waitlist.wake_credited)
    clock.advance(seconds=600)
    queueing.attended(db)
    assert now(db, place).blocked_reason is None
    assert db.read_now(waitlist.verify) == []


def test_who_would_rather_be_told_is_no_longer_in_the_way_of_a_deployment(db: Database) -> None:
    free(db, 0)
    customer = make.project(db, credit="5")
    place = queueing.waiting(db, customer.by, is_auto=True)
    assert place.entry.blocked_reason is Obstacle.INSUFFICIENT_CREDITS
    changes = {"is_auto": False, "config": None}
    db.write_now(waitlist.change, customer.by, place.entry.id, changes, queueing.WAITING, make.RULES)
    assert now(db, place).blocked_reason is None
    free(db, 1)
    assert queueing.grants(db) == [Granted.TOLD]

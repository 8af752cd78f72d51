"""An order is accepted whole or refused whole: capacity, money, keys and the row in one commit."""

from collections.abc import Callable
from typing import Any

import pytest

from berth.base.clock import Instant
from berth.base.db import Database
from berth.base.money import from_usd
from berth.base.paging import After
from berth.core import billing, events, instances, keys
from berth.core.errors import Forbidden, InsufficientCredits, Invalid, NoCapacity, NotFound
from berth.core.instances import Status
from tests import make
from tests.conftest import FakeClock
from tests.core.books import assert_exact, rows


def left_behind(db: Database) -> list[Any]:
    return [
        rows(db, f"SELECT COUNT(*) FROM {table}")
        for table in ("instances", "holds", "claims", "instance_counts", "segments")
    ] + [rows(db, "SELECT SUM(free_units) FROM offers"), rows(db, "SELECT SUM(held_micros) FROM accounts")]


def test_an_order_carries_everything_it_was_made_with(db: Database, clock: FakeClock) -> None:
    customer = make.project(db)
    make.catalogue(db, make.offer(price="1.71", cost="1.2", free=1, is_simulated=True))
    key = make.ssh_key(db, customer.by)
    made = make.ordered(
        db, customer.by, description="a run", os_volume_gb=100, startup_script="#!/bin/sh\n\techo hé\n"
    )
    assert make.now(db, made) == made
    assert (made.status, made.wanted, made.handle) == ("ordered", "running", None)
    assert (made.price, made.cost, made.os_volume_gb) == (from_usd("1.71"), from_usd("1.2"), 100)
    assert (made.ssh_key_ids, made.ssh_public_keys) == ((key.id,), (key.public_key,))
    assert (made.created_at, made.due_at, made.sequence) == (clock.now(), clock.now(), 1)
    assert made.specs.is_simulated
    assert made.tried_offers == (made.offer_id,)
    assert rows(db, "SELECT offer_id, subject FROM claims") == [(made.offer_id, made.id)]
    assert make.balance(db, customer.by).held == 285000
    (event,) = db.read_now(events.list_for, customer.by, made.id)
    assert (event.type, event.sequence, event.actor) == ("instance.ordered", 1, customer.by.key_id)


def test_deleting_a_key_or_dropping_an_offer_touches_no_order(db: Database) -> None:
    made = make.instance(db, "ordered")
    by = make.owner(made)
    db.write_now(keys.remove, by, made.ssh_key_ids[0])
    make.catalogue(db, make.offer("another", price="9"), images=[make.image("another")])
    assert make.now(db, made) == made
    order = db.read_now(instances.create_order, made, install_id="x")
    assert order.ssh_public_keys == made.ssh_public_keys
    assert order.image_slug == "ubuntu-24.04"


BAD: dict[str, dict[str, Any]] = {
    "instance_type": {"instance_type": "nonsense"},
    "instance_type of a zero byte": {"instance_type": "a\0b"},
    "image": {"image_slug": "nonsense"},
    "image of a zero byte": {"image_slug": "a\0b"},
    "image of half a character": {"image_slug": "\ud800"},
    "location": {"location": "MARS-01"},
    "location of a zero byte": {"location": "\0"},
    "hostname": {"hostname": ""},
    "hostname too long": {"hostname": "x" * 256},
    "hostname of two lines": {"hostname": "a\nb"},
    "description": {"description": "x" * 1001},
    "os_volume.size": {"os_volume_gb": 0},
    "os_volume.size too large": {"os_volume_gb": 513},
    "os_volume.size too small for the image": {"os_volume_gb": 9},
    "os_volume.name is nothing": {"os_volume_name": ""},
    "ssh_key_ids": {"ssh_key_ids": []},
    "ssh_key_ids unknown": {"ssh_key_ids": ["nonsense"]},
    "ssh_key_ids of a zero byte": {"ssh_key_ids": ["\0"]},
    "ssh_key_ids too many": {"ssh_key_ids": [f"{n}" for n in range(21)]},
    "startup_script": {"startup_script": "x" * (64 * 1024 + 1)},
    "startup_script of a zero byte": {"startup_script": "echo \0"},
    "startup_script of half a character": {"startup_script": "echo \ud800"},
}


@pytest.mark.parametrize("what", BAD)
def test_a_member_that_will_not_do_is_named_and_nothing_is_kept(db: Database, what: str) -> None:
    customer = make.project(db)
    make.catalogue(db)
    before = left_behind(db)
    with pytest.raises(Invalid) as refusal:
        make.ordered(db, customer.by, **BAD[what])
    assert refusal.value.details["field"] == what.split(maxsplit=1)[0]
    assert left_behind(db) == before


def test_what_costs_too_much_or_is_sold_out_leaves_nothing_behind(db: Database) -> None:
    poor, rich = make.project(db, credit="19.999999"), make.project(db, credit="100")
    make.catalogue(db, make.offer(), make.offer(location="FIN-02", free=0))
    before = left_behind(db)
    with pytest.raises(InsufficientCredits) as refusal:
        make.ordered(db, poor.by)
    assert refusal.value.details == {"balance_micros": 19_999_999, "required_micros": 20_000_000}
    with pytest.raises(NoCapacity):
        make.ordered(db, rich.by, location="FIN-02")
    with pytest.raises(Forbidden):
        make.ordered(db, make.allowed(rich.by, "deployments:read"), ssh_key_ids=["x"])
    assert left_behind(db) == before


def test_exactly_twenty_dollars_are_enough_for_one(db: Database) -> None:
    by = make.project(db, credit="20").by
    make.ordered(db, by)
    with pytest.raises(InsufficientCredits):
        make.ordered(db, by)
    assert_exact(db)


def test_what_runs_and_is_not_charged_yet_is_not_there_to_spend(db: Database, clock: FakeClock) -> None:
    by = make.project(db, credit="20.3").by
    made = make.instance(db, by=by)
    clock.advance(seconds=599)
    with pytest.raises(InsufficientCredits):
        make.ordered(db, by)
    clock.advance(seconds=1)
    db.write_now(billing.sweep)
    make.topup(db, by, "0.000475")
    make.topup(db, by, "-0.015")
    clock.advance(seconds=1)
    make.ordered(db, by)
    clock.advance(seconds=1)
    with pytest.raises(InsufficientCredits):
        make.ordered(db, by)
    assert make.now(db, made).status is Status.RUNNING


def test_an_image_that_needs_more_room_than_usual_gets_it(db: Database) -> None:
    by = make.project(db).by
    make.catalogue(db, images=[make.image("large", min_os_volume_gb=80), make.image("small")])
    assert make.ordered(db, by, image_slug="large").os_volume_gb == 80
    assert make.ordered(db, by, image_slug="small").os_volume_gb == 50


def test_anothers_instance_does_not_exist(db: Database) -> None:
    made, other = make.instance(db), make.project(db).by
    calls: list[Callable[[], object]] = [
        lambda: db.read_now(instances.get, other, made.id),
        lambda: db.write_now(instances.stop, other, made.id),
        lambda: db.write_now(instances.delete, other, made.id, make.RULES),
        lambda: db.read_now(instances.get, make.owner(made), "nonsense"),
    ]
    for call in calls:
        with pytest.raises(NotFound):
            call()
    assert make.now(db, made) == made
    assert db.read_now(events.list_for, other, made.id) == []


def test_who_may_only_read_changes_nothing(db: Database) -> None:
    made = make.instance(db)
    reader = make.allowed(make.owner(made), "deployments:read")
    assert db.read_now(instances.get, reader, made.id) == made
    for action in instances.Action:
        with pytest.raises(Forbidden):
            db.write_now(instances.act, reader, made.id, action, make.RULES)
    with pytest.raises(Forbidden):
        db.read_now(instances.get, make.allowed(reader, "billing:write"), made.id)


def test_pages_hold_every_instance_once_whatever_is_ordered_meanwhile(db: Database, clock: FakeClock) -> None:
    by = make.project(db, credit="10000").by
    make.catalogue(db, make.offer(free=1000))
    made = []
    for number in range(23):
        made.append(make.ordered(db, by).id)
        clock.advance(seconds=number % 3)  # several share an instant
    seen: list[str] = []
    ordered_meanwhile = 0
    last: After | None = None
    while True:
        page = db.read_now(instances.list_page, by, status=None, after=last, limit=5)
        seen += [one.id for one in page.rows]
        versions = db.read_now(instances.list_versions, by, status=None, after=last, limit=5)
        assert [one.id for one in versions.rows] == [one.id for one in page.rows]
        assert page.total == len(made) + ordered_meanwhile
        if not page.has_more:
            break
        last = After(page.rows[-1].created_at, page.rows[-1].id)
        clock.advance(seconds=1)
        make.ordered(db, by)
        ordered_meanwhile += 1
    assert sorted(seen) == sorted(made)


@pytest.mark.parametrize("count", [0, 1, 5, 6])
def test_a_page_says_whether_more_follow(db: Database, count: int) -> None:
    by = make.project(db, credit="1000").by
    for _ in range(count):
        make.ordered(db, by)
    page = db.read_now(instances.list_page, by, status=None, after=None, limit=5)
    assert (len(page.rows), page.has_more, page.total) == (min(count, 5), count > 5, count)


def test_a_list_is_of_one_status_or_of_all_that_is_not_deleted(db: Database) -> None:
    by = make.project(db, credit="1000").by
    for status in (*Status, Status.RUNNING):
        make.catalogue(db, make.offer(name=f"for {status}"))  # one that is sold out is not sold from
        make.instance(db, status, by)
    make.instance(db, "running")

    def listed(status: Status | None) -> tuple[int, int]:
        page = db.read_now(instances.list_page, by, status=status, after=None, limit=50)
        assert all(one.status is status for one in page.rows if status is not None)
        return len(page.rows), page.total

    assert listed(None) == (8, 8)
    assert listed(Status.RUNNING) == (2, 2)
    assert listed(Status.DELETED) == (1, 1)
    assert db.read_now(instances.get, by, make.instance(db, "deleted", by).id).deleted_at is not None


def test_instances_are_listed_newest_first(db: Database, clock: FakeClock) -> None:
    by = make.project(db, credit="1000").by
    first = make.ordered(db, by)
    clock.advance(micros=1)
    second = make.ordered(db, by)
    page = db.read_now(instances.list_page, by, status=None, after=None, limit=5)
    assert [one.id for one in page.rows] == [second.id, first.id]
    assert page.rows[0].created_at == Instant(first.created_at + 1)

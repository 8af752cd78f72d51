"""What happens when everybody does it at once: nothing is sold, charged or counted twice, and nothing is lost."""

from collections.abc import Callable
from functools import partial

import pytest

from berth.base.db import Database
from berth.base.money import from_usd
from berth.core import billing, catalog, instances, ledger, projects
from berth.core.billing import rates
from berth.core.catalog import Search
from berth.core.driver import Catalogue
from berth.core.errors import Conflict, InsufficientCredits, NoCapacity
from berth.core.events import list_for
from berth.core.instances import Instance
from tests import make
from tests.conftest import FakeClock
from tests.core.books import amounts, assert_exact, rows
from tests.core.together import failed, succeeded, together

PRICE = from_usd("1.71")


def assert_counted(db: Database) -> None:
    """The kept numbers of instances are the real ones, and every unit is either free or claimed."""
    real = rows(db, "SELECT project_id, status, COUNT(*) FROM instances GROUP BY 1, 2 ORDER BY 1, 2")
    kept = rows(db, "SELECT project_id, status, count FROM instance_counts WHERE count <> 0 ORDER BY 1, 2")
    assert kept == real
    assert rows(db, "SELECT 1 FROM offers WHERE free_units < 0") == []


@pytest.mark.parametrize(
    ("credit", "free", "accepted"),
    [("20", 3, 1), ("20.285", 3, 2), ("20.57", 3, 3), ("1000", 3, 3), ("19.999999", 3, 0), ("1000", 0, 0)],
)
def test_fifty_orders_at_once_get_what_credit_and_capacity_allow(
    db: Database, credit: str, free: int, accepted: int
) -> None:
    customer = make.project(db, credit=credit)
    make.catalogue(db, make.offer(free=free))
    key = make.ssh_key(db, customer.by)
    order = partial(db.write_now, instances.order, customer.by, make.spec([key.id]), make.RULES)
    outcomes = together([order] * 50)
    assert len(succeeded(outcomes)) == accepted
    failed(outcomes, InsufficientCredits, NoCapacity)
    assert make.balance(db, customer.by).held == accepted * 285000
    assert rows(db, "SELECT free_units FROM offers") == [(free - accepted,)]
    assert_counted(db)
    assert_exact(db)


def test_sweeps_races_with_stops_deletes_and_topups_and_every_second_is_charged_once(
    db: Database, clock: FakeClock
) -> None:
    customers = [make.project(db, credit="1000") for _ in range(3)]
    make.catalogue(db, make.offer(free=100))
    running = [make.instance(db, by=customer.by) for customer in customers for _ in range(8)]
    used_s = 0
    sweeps = [partial(db.write_now, billing.sweep)] * 4
    topups: list[Callable[[], object]] = []
    for _ in range(4):
        clock.advance(seconds=700)
        used_s += 700
        topups = [
            partial(make.topup, db, customer.by, "1", reference=f"{used_s}")
            for customer in customers
            for _ in range(3)
        ]
        failed(together([*sweeps, *topups]))
        assert_exact(db)
    clock.advance(seconds=555)
    used_s += 555

    def stop(instance: Instance) -> None:
        db.write_now(instances.stop, make.owner(instance), instance.id)
        make.seen(db, instance, instances.stopped, releases_hardware=True)

    def delete(instance: Instance) -> None:
        db.write_now(instances.delete, make.owner(instance), instance.id, make.RULES)

    endings = [partial(stop if n % 2 else delete, instance) for n, instance in enumerate(running)]
    failed(together([*sweeps, *endings, *topups]))
    db.write_now(billing.sweep)
    for instance in running:
        assert -sum(amounts(db, instance.project, instance.id)) == rates.total(PRICE, used_s)
    for customer in customers:
        spent = 8 * rates.total(PRICE, used_s)
        assert make.balance(db, customer.by).balance == from_usd("1004") - spent
    assert_exact(db)
    assert_counted(db)


def test_one_reference_credited_by_ten_at_once_is_one_credit_and_one_event(db: Database) -> None:
    customer = make.project(db, credit="0")
    credit = partial(make.topup, db, customer.by, "5", reference="invoice-7")
    entries = succeeded(together([credit] * 10))
    assert {entry.seq for entry in entries} == {entries[0].seq}
    assert make.balance(db, customer.by).balance == from_usd("5")
    happened = db.read_now(list_for, customer.by, customer.id)
    assert [event.type for event in happened].count("billing.credited") == 1


def test_different_credits_at_once_all_arrive(db: Database) -> None:
    customer = make.project(db, credit="0")
    failed(together([partial(make.topup, db, customer.by, "1") for _ in range(20)]))
    assert make.balance(db, customer.by).balance == from_usd("20")
    assert_exact(db)


def test_one_delete_by_ten_at_once_is_one_delete(db: Database, clock: FakeClock) -> None:
    instance = make.instance(db)
    clock.advance(seconds=120)
    delete = partial(db.write_now, instances.delete, make.owner(instance), instance.id, make.RULES)
    outcomes = succeeded(together([delete] * 10))
    assert {outcome.sequence for outcome in outcomes} == {instance.sequence + 1}
    assert sum(amounts(db, instance.project, instance.id)) == -285000
    assert_counted(db)


def test_starts_and_stops_of_many_at_once_never_wait_for_each_other_for_good(db: Database) -> None:
    customer = make.project(db, credit="1000")
    make.catalogue(db, make.offer(free=100))
    on = [make.instance(db, by=customer.by) for _ in range(10)]
    off = [make.instance(db, "offline", by=customer.by) for _ in range(10)]
    for instance in on:
        db.write_now(instances.stop, customer.by, instance.id)
    for instance in off:
        db.write_now(instances.start, customer.by, instance.id)
    stops = [
        partial(make.seen, db, i, instances.stopped, releases_hardware=n % 2 == 0) for n, i in enumerate(on)
    ]
    starts = [partial(make.seen, db, i, instances.reachable, make.sighting(i)) for i in off]
    key = make.ssh_key(db, customer.by)
    order = partial(db.write_now, instances.order, customer.by, make.spec([key.id]), make.RULES)
    failed(together([*stops, *starts, *[order] * 10]))
    assert_counted(db)
    assert_exact(db)


def test_a_refresh_never_forgets_the_orders_it_races_with(db: Database, clock: FakeClock) -> None:
    customer = make.project(db, credit="1000")
    make.catalogue(db, make.offer(free=5))
    key = make.ssh_key(db, customer.by)

    def order() -> object:
        return db.write_now(instances.order, customer.by, make.spec([key.id]), make.RULES)

    def refresh() -> object:
        return make.catalogue(db, make.offer(free=5), listed_at=clock.now())

    outcomes = together([*[order] * 20, *[refresh] * 8])
    assert len(failed(outcomes, NoCapacity)) == 15
    make.catalogue(db, make.offer(free=5), listed_at=clock.now())
    assert rows(db, "SELECT free_units FROM offers") == [(0,)]


def test_two_providers_refreshed_at_once_both_end_up_in_the_catalogue(db: Database) -> None:
    sold = Catalogue([make.offer(), make.offer("1A100.22V")], [make.image(), make.image("debian-12")])

    def refresh(provider: str) -> int:
        return db.write_now(
            lambda tx: catalog.refresh(tx, provider, sold, listed_at=tx.now, margin_percent=0)
        )

    failed(together([partial(refresh, f"provider-{n % 4}") for n in range(12)]))
    by = make.project(db).by
    assert [len(v.regions) for v in db.read_now(catalog.search, by, Search())] == [1, 1]
    assert rows(db, "SELECT COUNT(*) FROM offers") == [(8,)]
    for image in db.read_now(catalog.images, by):
        assert image.providers == {f"provider-{n}" for n in range(4)}


def test_of_two_projects_of_one_name_made_at_once_one_is_made(db: Database) -> None:
    outcomes = together([partial(db.write_now, projects.create, "acme", pepper=make.PEPPER)] * 8)
    assert len(succeeded(outcomes)) == 1
    failed(outcomes, Conflict)


def test_twenty_keys_are_the_most_also_when_asked_for_at_once(db: Database) -> None:
    customer = make.project(db)
    outcomes = together([partial(make.key, db, customer.by)] * 40)
    assert len(succeeded(outcomes)) == 19
    failed(outcomes, Conflict)


def test_the_last_key_survives_when_all_are_revoked_at_once(db: Database) -> None:
    customer = make.project(db)
    ids = [customer.by.key_id, *(make.key(db, customer.by)[0].id for _ in range(5))]
    outcomes = together([partial(db.write_now, projects.revoke_key, customer.by, one) for one in ids])
    assert len(failed(outcomes, Conflict)) == 1
    assert len(db.read_now(projects.list_keys, customer.by)) == 1


def test_one_ssh_key_uploaded_by_ten_at_once_is_kept_once(db: Database) -> None:
    customer = make.project(db)
    line = make.public_key()
    outcomes = together([partial(make.ssh_key, db, customer.by, public_key_line=line)] * 10)
    (kept,) = succeeded(outcomes)
    for error in failed(outcomes, Conflict):
        assert isinstance(error, Conflict)
        assert (error.code, error.details) == ("duplicate", {"existing_ssh_key_id": kept.id})


def test_fifty_ssh_keys_are_the_most_also_when_uploaded_at_once(db: Database) -> None:
    customer = make.project(db)
    for _ in range(45):
        make.ssh_key(db, customer.by)
    outcomes = together([partial(make.ssh_key, db, customer.by)] * 20)
    assert len(succeeded(outcomes)) == 5
    failed(outcomes, Conflict)


def test_due_instances_are_leased_by_one_each(db: Database) -> None:
    customer = make.project(db, credit="1000")
    make.catalogue(db, make.offer(free=100))
    wanted = {make.ordered(db, customer.by).id for _ in range(30)}
    lease = partial(db.write_now, instances.lease_due, limit=7, seconds=60, providers=[make.PROVIDER])
    batches = succeeded(together([lease] * 8))
    taken = [instance.id for batch in batches for instance in batch]
    assert max(len(batch) for batch in batches) <= 7
    assert len(taken) == len(set(taken))
    taken += [
        i.id for i in db.write_now(instances.lease_due, limit=100, seconds=60, providers=[make.PROVIDER])
    ]
    assert sorted(taken) == sorted(wanted)


def test_accounts_are_verified_while_money_moves(db: Database, clock: FakeClock) -> None:
    instance = make.instance(db)
    clock.advance(seconds=700)

    def sweep() -> list[str]:
        db.write_now(billing.sweep)
        return []

    def credit() -> list[str]:
        make.topup(db, make.owner(instance), "3")
        return []

    outcomes = together([sweep, credit, *[partial(db.read_now, ledger.verify)] * 10])
    assert outcomes == [[]] * 12

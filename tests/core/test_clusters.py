"""Clusters as they are ordered: all or nothing, and units and money to the last of them."""

from dataclasses import replace
from typing import Any

import pytest

from berth.base.db import Database
from berth.core import catalog, clusters, events, instances, volumes
from berth.core.clusters import Cluster, SharedVolume
from berth.core.clusters.ordering import split
from berth.core.driver import Catalogue
from berth.core.errors import Conflict, Forbidden, InsufficientCredits, Invalid, NoCapacity, NotFound
from berth.core.events import Actor
from berth.core.instances import Contract
from tests import clustering, make, queueing
from tests.conftest import FakeClock
from tests.core.books import assert_exact, rows
from tests.world import truth


@pytest.fixture
def by(db: Database) -> Actor:
    clustering.shop(db)
    return make.project(db, credit="1000").by


def _available(db: Database, by: Actor) -> bool:
    return db.read_now(catalog.is_cluster_available, by, clustering.NAME, location="FIN-03")


def _free(db: Database, kind: str) -> int:
    return truth.free_units(db)[f"{kind}@FIN-03"]


def _order(db: Database, by: Actor, **members: Any) -> Cluster:
    return clustering.ordered(db, by, **members)


def test_an_order_makes_a_host_and_workers_whose_prices_add_up(db: Database, by: Actor) -> None:
    cluster = _order(db, by)
    view = clustering.now(db, cluster)
    prices = [worker.price for worker in view.workers]
    assert view.jump_host.price == 0
    assert view.jump_host.instance_type == clustering.JUMP_HOST
    assert prices == [31_920_001, 31_920_000]
    assert sum(prices) == view.price == make.micros(clustering.PRICE)
    assert [worker.instance_type for worker in view.workers] == [clustering.WORKER] * 2
    assert (_free(db, clustering.WORKER), _free(db, clustering.JUMP_HOST)) == (2, 3)
    home = view.volumes[0]
    assert (home.name, home.type, home.size_gb) == ("team", "NVMe_Shared_Cluster", 100)
    assert {each.instance_id: each.mount_path for each in home.attachments} == {
        member.id: "/home" for member in (view.jump_host, *view.workers)
    }
    assert sum(truth.held(db, member.id) for member in (view.jump_host, *view.workers)) == 10_640_000
    assert_exact(db)


@pytest.mark.parametrize(("price", "workers"), [(0, 1), (1, 3), (63_840_001, 2), (100, 7), (999_999, 64)])
def test_shares_of_a_price_add_up_and_differ_by_no_more_than_one(price: int, workers: int) -> None:
    shares = split(price, workers)
    assert (len(shares), sum(shares)) == (workers, price)
    assert max(shares) - min(shares) <= 1


def test_members_are_in_no_list_of_instances_and_not_counted(db: Database, by: Actor) -> None:
    _order(db, by)
    page = db.read_now(instances.list_page, by, status=None, after=None, limit=10)
    versions = db.read_now(instances.list_versions, by, status=None, after=None, limit=10)
    assert (page.rows, page.total, versions.rows) == ([], 0, [])
    listed = db.read_now(clusters.list_page, by, status=None, after=None, limit=10)
    assert [view.cluster.hostname for view in listed.rows] == ["trainer"]
    assert listed.total == 1


def test_another_project_sees_nothing_of_it(db: Database, by: Actor) -> None:
    cluster = _order(db, by)
    other = make.project(db).by
    with pytest.raises(NotFound):
        db.read_now(clusters.get, other, cluster.id)
    with pytest.raises(NotFound):
        db.write_now(clusters.discontinue, other, cluster.id, make.RULES)
    assert db.read_now(clusters.list_page, other, status=None, after=None, limit=10).rows == []


def test_whoever_may_only_read_orders_and_ends_nothing(db: Database, by: Actor) -> None:
    cluster = _order(db, by)
    reader = make.allowed(by, "deployments:read", "volumes:write", "ssh_keys:write", "catalog:read")
    with pytest.raises(Forbidden):
        _order(db, reader)
    with pytest.raises(Forbidden):
        db.write_now(clusters.discontinue, reader, cluster.id, make.RULES)


@pytest.mark.parametrize(
    ("members", "code", "field"),
    [
        ({"cluster_type": "16X"}, "invalid_field", "cluster_type"),
        ({"location": "ICE-99"}, "invalid_field", "location"),
        ({"image": "ubuntu-24.04"}, "image_incompatible", "image"),
        ({"image": "nothing"}, "invalid_field", "image"),
        ({"hostname": ""}, "invalid_field", "hostname"),
        ({"hostname": "x" * 241}, "invalid_field", "hostname"),
        ({"description": "x" * 1001}, "invalid_field", "description"),
        ({"ssh_key_ids": []}, "missing_field", "ssh_key_ids"),
        ({"shared_volume": SharedVolume("a b", 100)}, "invalid_field", "shared_volume.name"),
        ({"shared_volume": SharedVolume("team", 1)}, "invalid_field", "shared_volume.size"),
        ({"shared_volume": SharedVolume("team", 10**6)}, "invalid_field", "shared_volume.size"),
        ({"existing_volumes": ["01KN9CJ280GB83ZJF5ACWSTQRP"]}, "invalid_field", "existing_volumes"),
        ({"contract": Contract.SPOT}, "invalid_field", "contract"),
        ({"startup_script_id": "nothing"}, "invalid_field", "startup_script_id"),
    ],
)
def test_what_means_nothing_is_refused_by_name_and_nothing_is_kept(
    db: Database, by: Actor, members: dict[str, Any], code: str, field: str
) -> None:
    key = make.ssh_key(db, by)
    spec = replace(clustering.spec([key.id]), **members)
    with pytest.raises(Invalid) as refusal:
        db.write_now(clusters.order, by, spec, make.RULES)
    assert (refusal.value.code, refusal.value.details.get("field")) == (code, field)
    _assert_nothing(db)


def _assert_nothing(db: Database) -> None:
    for table in ("clusters", "instances", "claims", "holds", "volumes", "attachments"):
        assert rows(db, f"SELECT COUNT(*) FROM {table}") == [(0,)], table


def test_without_a_unit_for_every_member_nothing_is_taken(db: Database) -> None:
    clustering.shop(db, workers=1)
    by = make.project(db, credit="1000").by
    assert not _available(db, by)
    with pytest.raises(NoCapacity):
        _order(db, by)
    _assert_nothing(db)


def test_without_a_unit_for_the_host_nothing_is_taken(db: Database) -> None:
    clustering.shop(db, jump_hosts=0)
    by = make.project(db, credit="1000").by
    assert not _available(db, by)
    with pytest.raises(NoCapacity):
        _order(db, by)
    _assert_nothing(db)


def test_a_cluster_takes_units_as_long_as_it_is_said_to_be_available(db: Database, by: Actor) -> None:
    made = []
    while _available(db, by):
        made.append(_order(db, by))
    assert len(made) == 2
    with pytest.raises(NoCapacity):
        _order(db, by)


def test_units_that_are_owed_to_those_who_wait_are_no_cluster_s(db: Database, by: Actor) -> None:
    waiting = make.project(db, credit="1000").by
    queueing.waiting(db, waiting, instance_type=clustering.WORKER, location="FIN-03", is_auto=True)
    assert _available(db, by)
    make_fewer = clustering.offers(workers=2)
    make.catalogue(
        db,
        *make_fewer,
        images=clustering.images(),
        volume_types=clustering.volume_types(),
        cluster_types=[clustering.cluster_type()],
    )
    assert not _available(db, by)
    with pytest.raises(NoCapacity):
        _order(db, by)


@pytest.mark.parametrize(("credit", "is_enough"), [("10", True), ("9.99", False)])
def test_the_minimum_is_asked_of_the_whole(db: Database, credit: str, is_enough: bool) -> None:
    clustering.shop(db)
    rules = replace(make.RULES, minimum_balance=make.micros("10"), min_runway_minutes=0)
    by = make.project(db, credit=credit).by
    if is_enough:
        cluster = clustering.ordered(db, by, rules=rules)
        assert clustering.now(db, cluster).price == make.micros(clustering.PRICE)
        return
    with pytest.raises(InsufficientCredits):
        clustering.ordered(db, by, rules=rules)
    _assert_nothing(db)


def test_the_time_that_credit_lasts_is_asked_of_the_whole(db: Database) -> None:
    clustering.shop(db)
    rules = replace(make.RULES, min_runway_minutes=60)
    with pytest.raises(InsufficientCredits):
        clustering.ordered(db, make.project(db, credit="63").by, rules=rules)
    cluster = clustering.ordered(db, make.project(db, credit="64").by, rules=rules)
    assert clustering.now(db, cluster).price == make.micros(clustering.PRICE)


def test_shared_volumes_that_exist_come_along_and_others_are_refused(db: Database, by: Actor) -> None:
    shared = make.volume(db, "detached", by, kind="NVMe_Shared_Cluster", location="FIN-03")
    cluster = _order(db, by, existing_volumes=[shared.id])
    assert cluster.volume_ids[1:] == (shared.id,)
    assert len(make.volume_now(db, shared).attachments) == 3
    alone = make.volume(db, "detached", by, kind="NVMe", location="FIN-03")
    with pytest.raises(Invalid):
        _order(db, by, existing_volumes=[alone.id])
    small = make.volume(db, "detached", by, kind="HDD_Shared", location="FIN-03")
    with pytest.raises(Conflict) as refusal:
        _order(db, by, existing_volumes=[small.id])
    assert refusal.value.code == "in_use"


def test_where_no_storage_for_clusters_is_sold_another_that_can_be_shared_is_taken(db: Database) -> None:
    make.catalogue(
        db,
        *clustering.offers(),
        images=clustering.images(),
        volume_types=clustering.volume_types(name="NVMe_Shared"),
        cluster_types=[clustering.cluster_type()],
    )
    by = make.project(db, credit="1000").by
    assert clustering.now(db, _order(db, by)).volumes[0].type == "NVMe_Shared"


def test_a_long_term_takes_its_share_off_every_worker(db: Database, by: Actor) -> None:
    cluster = _order(db, by, contract=Contract.LONG_TERM, long_term_period="1_MONTH")
    view = clustering.now(db, cluster)
    assert view.price < make.micros(clustering.PRICE) * 93 // 100
    terms = [db.read_now(instances.term, worker) for worker in view.workers]
    assert sum(term.list_price for term in terms if term is not None) == make.micros(clustering.PRICE)
    assert view.jump_host.contract is Contract.PAY_AS_YOU_GO


def test_the_long_terms_of_clusters_are_their_own(db: Database, by: Actor) -> None:
    month = make.RULES.periods[0]
    rules = replace(make.RULES, cluster_periods=(replace(month, code="OURS", discount_percentage=50),))
    with pytest.raises(Invalid) as refusal:
        clustering.ordered(db, by, rules=rules, contract=Contract.LONG_TERM, long_term_period=month.code)
    assert refusal.value.details["field"] == "long_term_period"
    cluster = clustering.ordered(db, by, rules=rules, contract=Contract.LONG_TERM)
    assert [worker.price for worker in clustering.now(db, cluster).workers] == [15_960_001, 15_960_000]


def test_the_catalogue_says_who_sells_which_clusters_and_forgets_what_is_not_sold(
    db: Database, by: Actor
) -> None:
    (sold,) = db.read_now(catalog.list_cluster_types, by)
    assert (sold.name, sold.location, sold.worker_type, sold.worker_count) == (
        clustering.NAME,
        "FIN-03",
        clustering.WORKER,
        2,
    )
    assert sold.details == (("InfiniBand", "3200 Gbit/s"),)
    assert db.read_now(catalog.find_cluster_type, by, clustering.NAME) == sold
    assert db.read_now(catalog.find_cluster_type, by, "16X") is None
    images = db.read_now(catalog.cluster_images, by, cluster_type=clustering.NAME)
    assert [image.slug for image in images] == [clustering.IMAGE]
    with pytest.raises(NotFound):
        db.read_now(catalog.cluster_images, by, cluster_type="16X")
    available = db.read_now(catalog.cluster_availability, by)
    assert [(place.location.code, place.types) for place in available] == [("FIN-03", [clustering.NAME])]
    clustering_gone = Catalogue(clustering.offers(), clustering.images(), clustering.volume_types())
    db.write_now(
        lambda tx: catalog.refresh(tx, make.PROVIDER, clustering_gone, listed_at=tx.now, margin_percent=0)
    )
    assert db.read_now(catalog.list_cluster_types, by) == []


@pytest.mark.parametrize("workers", [0, 65])
def test_a_kind_of_cluster_that_cannot_be_is_not_taken_in(db: Database, workers: int) -> None:
    make.catalogue(db, *clustering.offers(), cluster_types=[clustering.cluster_type(workers=workers)])
    assert db.read_now(catalog.list_cluster_types, make.project(db).by) == []


def test_every_change_is_an_event_of_the_cluster(db: Database, by: Actor, clock: FakeClock) -> None:
    cluster = _order(db, by)
    clock.advance(seconds=10)
    db.write_now(clusters.discontinue, by, cluster.id, make.RULES)
    told = db.read_now(events.list_for, by, cluster.id)
    assert [(event.type, event.sequence) for event in told] == [
        ("cluster.ordered", 1),
        ("cluster.deleting", 2),
    ]


def test_a_home_is_made_no_smaller_by_its_cluster_s_end(db: Database, by: Actor) -> None:
    cluster = _order(db, by)
    home = clustering.now(db, cluster).volumes[0]
    with pytest.raises(Conflict):
        db.write_now(volumes.trash, by, home.id)

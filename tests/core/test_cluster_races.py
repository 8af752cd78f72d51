"""Clusters when everybody does it at once: nothing is half taken, begun twice, or waits for ever."""

import threading
from collections.abc import Callable
from functools import partial

from berth.base.db import Database, Tx
from berth.core import catalog, clusters, instances
from berth.core.clusters import Cluster
from berth.core.driver import Catalogue
from berth.core.errors import NoCapacity
from tests import clustering, make, queueing
from tests.conftest import FakeClock
from tests.core.books import assert_exact, rows
from tests.core.together import failed, succeeded, together
from tests.world import truth

_LIMIT_S = 60
_OVERLAP_S = 0.25


def _ready(db: Database, cluster: Cluster) -> None:
    """Every member has come as far as it can by itself."""
    view = clustering.now(db, cluster)
    for member in (view.jump_host, *view.workers):
        made = make.provisioned(db, member)
        make.seen(db, made, instances.reachable, make.sighting(made))


def test_clusters_and_instances_ordered_at_once_take_each_unit_once(db: Database) -> None:
    clustering.shop(db, workers=5, jump_hosts=5)
    customers = [make.project(db, credit="100000") for _ in range(3)]
    work: list[Callable[[], object]] = []
    for customer in customers:
        key = make.ssh_key(db, customer.by)
        whole = clustering.spec([key.id])
        alone = make.spec([key.id], instance_type=clustering.WORKER, location="FIN-03")
        host = make.spec([key.id], instance_type=clustering.JUMP_HOST, location="FIN-03")
        work += [partial(db.write_now, clusters.order, customer.by, whole, make.RULES)] * 2
        work += [
            partial(db.write_now, instances.order, customer.by, one, make.RULES) for one in (alone, host)
        ]
    sold = Catalogue(
        clustering.offers(workers=5, jump_hosts=5),
        clustering.images(),
        clustering.volume_types(),
        [clustering.cluster_type()],
    )

    def refresh() -> object:
        return db.write_now(
            lambda tx: catalog.refresh(tx, make.PROVIDER, sold, listed_at=tx.now, margin_percent=0)
        )

    outcomes = together([*work, refresh, refresh])
    failed(outcomes, NoCapacity)
    made = [outcome for outcome in succeeded(outcomes) if isinstance(outcome, Cluster)]
    assert rows(db, "SELECT COUNT(*) FROM clusters") == [(len(made),)]
    assert (
        rows(
            db,
            "SELECT cluster_id FROM instances WHERE cluster_id IS NOT NULL GROUP BY 1 HAVING COUNT(*) <> 3",
        )
        == []
    )
    claims: dict[str, int] = dict(
        rows(
            db,
            "SELECT o.instance_type, COUNT(c.subject) FROM offers o LEFT JOIN claims c ON c.offer_id = o.id GROUP BY 1",
        )
    )
    assert truth.free_units(db) == {f"{kind}@FIN-03": 5 - claimed for kind, claimed in claims.items()}
    assert_exact(db)


def test_a_cluster_that_several_look_at_begins_once(db: Database, clock: FakeClock) -> None:
    clustering.shop(db)
    by = make.project(db, credit="1000").by
    cluster = clustering.ordered(db, by)
    _ready(db, cluster)
    attend = partial(db.write_now, clusters.attend, cluster.id, make.RULES)
    outcomes = together([attend] * 6)
    assert [outcome for outcome in outcomes if outcome is not None] == [clustering.now(db, cluster).cluster]
    assert rows(db, "SELECT COUNT(*), COUNT(DISTINCT started_at) FROM segments") == [(3, 1)]
    assert clustering.now(db, cluster).cluster.status.value == "running"
    clock.advance(seconds=700)
    end = partial(db.write_now, clusters.discontinue, by, cluster.id, make.RULES)
    failed(together([end, attend, end, attend, end]))
    assert rows(db, "SELECT COUNT(*) FROM events WHERE type = 'cluster.deleting'") == [(1,)]
    assert_exact(db)


def test_a_cluster_that_is_given_up_as_it_begins_has_begun_or_not(db: Database) -> None:
    clustering.shop(db)
    by = make.project(db, credit="100000").by
    for _ in range(2):
        cluster = clustering.ordered(db, by)
        _ready(db, cluster)
        attend = partial(db.write_now, clusters.attend, cluster.id, make.RULES)
        end = partial(db.write_now, clusters.discontinue, by, cluster.id, make.RULES)
        failed(together([attend, end, attend]))
        view = clustering.now(db, cluster)
        members = (view.jump_host, *view.workers)
        assert {member.status.value for member in members} == {"deleting"}
        assert {member.first_running_at for member in members} == {view.cluster.first_running_at}
        assert rows(db, "SELECT 1 FROM segments WHERE ended_at IS NULL") == []
    assert_exact(db)


def test_a_cluster_that_is_started_again_stands_in_nobodys_way(db: Database) -> None:
    """It takes the lines of its types before its first unit, as orders do: neither has to begin anew."""
    clustering.shop(db)
    by = make.project(db, credit="100000").by
    cluster = clustering.ordered(db, by)
    _ready(db, cluster)
    db.write_now(clusters.attend, cluster.id, make.RULES)
    view = clustering.now(db, cluster)
    for member in (view.jump_host, *view.workers):
        db.write_now(instances.cut_off, by.project, member.id, make.RULES, reason="insufficient_credits")
        make.seen(db, member, instances.stopped, releases_hardware=True)
    members = {each.offer_id: each.instance_type for each in (view.jump_host, *view.workers)}
    first, last = sorted(members)  # the order in which units are taken
    queueing.waiting(db, by, instance_type=members[last], location="FIN-03", is_auto=True)
    runs: list[str] = []
    has_lines = threading.Event()

    def order(tx: Tx) -> None:
        runs.append("order")
        for kind in sorted((clustering.WORKER, clustering.JUMP_HOST)):
            catalog.lock_line(tx, kind)
        has_lines.set()
        threading.Event().wait(_OVERLAP_S)
        catalog.claim(tx, catalog.known_offer(tx, first), "another", in_turn=True)

    def start(tx: Tx) -> None:
        runs.append("start")
        instances.resume(tx, by.project, view.jump_host.id)

    def follow() -> None:
        has_lines.wait(_LIMIT_S)
        db.write_now(start)

    failed(together([partial(db.write_now, order), follow]))
    assert sorted(runs) == ["order", "start"]
    assert [each.wanted.value for each in clustering.now(db, cluster).workers] == ["running"] * 2

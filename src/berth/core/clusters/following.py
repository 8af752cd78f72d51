"""The verbs of the loop that watches over clusters: what becomes of the whole when something becomes of a part."""

from collections.abc import Sequence
from dataclasses import replace

from berth.base.db import Tx
from berth.core import events, instances
from berth.core.billing import Rules
from berth.core.clusters import service, states, store
from berth.core.clusters.model import Cluster, Status
from berth.core.clusters.states import Outlook, Step
from berth.core.clusters.writing import move
from berth.core.instances import FAILED, Instance

_ACTOR = "loop:clusters"


def unsettled(tx: Tx, *, after_id: str = "", limit: int) -> tuple[Sequence[str], str | None]:
    """Ids of clusters that `attend` would change, among the next `limit` by id, and after which to look on."""
    clusters = store.unended(tx, after_id=after_id, limit=limit)
    members = instances.of_clusters(tx, [cluster.id for cluster in clusters])
    found = [
        cluster.id
        for cluster in clusters
        if states.follow(cluster, members[cluster.id]).step is not Step.NOTHING
    ]
    return found, clusters[-1].id if len(clusters) == limit else None


def attend(tx: Tx, cluster_id: str, rules: Rules) -> Cluster | None:
    """Brings the cluster in line with its members, and them with it. Safe to repeat; None when there was nothing to do."""
    cluster = store.lock_any(tx, cluster_id)
    if cluster is None:
        return None
    members = instances.of_cluster(tx, cluster_id, lock=True)
    outlook = states.follow(cluster, members)
    if outlook.step is Step.NOTHING:
        return None
    return _take(tx, cluster, members, outlook, rules)


def _take(tx: Tx, cluster: Cluster, members: Sequence[Instance], outlook: Outlook, rules: Rules) -> Cluster:
    by = events.system(cluster.project, _ACTOR)
    if outlook.step is Step.END:
        is_free = cluster.first_running_at is None
        reason = outlook.reason or instances.because("cluster_ended")
        return service.end(tx, by, cluster, members, rules, reason=reason, is_free=is_free)
    if outlook.step is Step.FAIL:
        for member in members:
            if member.status not in FAILED:
                instances.dismiss(
                    tx, by, member, rules, reason=instances.because("cluster_failed"), is_free=True
                )
        return move(tx, by, cluster, outlook.status, outlook.reason)
    if outlook.step is Step.MUSTER:
        instances.muster(tx, members, bills_boot=rules.bills_boot)
        cluster = replace(cluster, first_running_at=tx.now)
    if outlook.status is Status.DISCONTINUED:
        cluster = replace(cluster, discontinued_at=tx.now)
    return move(tx, by, cluster, outlook.status, outlook.reason)

"""The verbs a customer has of a cluster: look, discontinue."""

from collections.abc import Sequence
from dataclasses import replace

from berth.base.db import Tx
from berth.base.paging import After, Page
from berth.core import instances, volumes
from berth.core.billing import Rules
from berth.core.clusters import store
from berth.core.clusters.model import Cluster, Status, View, Wanted
from berth.core.clusters.writing import move
from berth.core.errors import NotFound
from berth.core.events import Actor
from berth.core.instances import Instance


def get(tx: Tx, by: Actor, cluster_id: str) -> View:
    """Raises NotFound, also for another project's. What is discontinued is found as long as its row is kept."""
    by.may("deployments:read")
    return view(tx, _existing(store.find(tx, by.project, cluster_id)))


def list_page(tx: Tx, by: Actor, *, status: Status | None, after: After | None, limit: int) -> Page[View]:
    """Newest first. Without `status` all but the discontinued."""
    by.may("deployments:read")
    rows = store.page(tx, by.project, status=status, after_row=after, limit=limit + 1)
    members = instances.of_clusters(tx, [row.id for row in rows[:limit]])
    shown = [_view(tx, row, members[row.id]) for row in rows[:limit]]
    return Page(shown, len(rows) > limit, store.total(tx, by.project, status=status))


def view(tx: Tx, cluster: Cluster) -> View:
    """With its members and volumes as they are now."""
    return _view(tx, cluster, instances.of_cluster(tx, cluster.id))


def discontinue(tx: Tx, by: Actor, cluster_id: str, rules: Rules) -> Cluster:
    """Accepts its end: the clocks of all members stop now, and its volumes are kept. Twice is once. Raises NotFound.

    One that never ran costs what cancelling an instance costs, and its new volume ends with it.
    """
    by.may("deployments:write")
    cluster = _existing(store.find(tx, by.project, cluster_id, lock=True))
    if cluster.wanted is Wanted.DISCONTINUED:
        return cluster
    return end(tx, by, cluster, instances.of_cluster(tx, cluster.id, lock=True), rules, reason=None)


def end(
    tx: Tx,
    by: Actor,
    cluster: Cluster,
    members: Sequence[Instance],
    rules: Rules,
    *,
    reason: str | None,
    is_free: bool = False,
) -> Cluster:
    """Ends all that is left of it; it and its members are locked. `reason` says why, where it was not its owner."""
    for member in members:
        instances.dismiss(tx, by, member, rules, reason=reason, is_free=is_free)
    ending = replace(cluster, wanted=Wanted.DISCONTINUED)
    return move(tx, by, ending, Status.DELETING, reason)


def _view(tx: Tx, cluster: Cluster, members: Sequence[Instance]) -> View:
    found = [volumes.find(tx, volume_id) for volume_id in cluster.volume_ids]
    return View(
        cluster,
        next(member for member in members if member.id == cluster.jump_host_id),
        [member for member in members if member.id != cluster.jump_host_id],
        [volume for volume in found if volume is not None],
    )


def _existing(found: Cluster | None) -> Cluster:
    if found is None:
        raise NotFound("cluster_not_found", "Cluster not found.")
    return found

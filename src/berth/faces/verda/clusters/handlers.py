"""Clusters: translate, one verb, translate."""

from collections.abc import Sequence

from berth.base.db import Tx
from berth.base.paging import After
from berth.core import catalog, clusters, instances
from berth.core.catalog import ClusterType
from berth.core.clusters import Status as Seen
from berth.core.clusters import View
from berth.core.errors import Invalid, NotFound
from berth.core.tags import Kind
from berth.faces.face import Call
from berth.faces.verda import tagging, words
from berth.faces.verda.catalogue.wire import Availability, CurrencyQuery
from berth.faces.verda.clusters import translate, wire

_PAGE = 100
_PAGES = 20
"""Of a list that this API does not page."""
_NO_CLUSTER = ("cluster_not_found", "Invalid cluster id")


def list_cluster_types(tx: Tx, call: Call) -> list[wire.ClusterType]:
    query: CurrencyQuery = call.query
    cheapest: dict[str, ClusterType] = {}
    for sold in catalog.list_cluster_types(tx, call.by):
        known = cheapest.get(sold.name)
        if known is None or sold.price < known.price:
            cheapest[sold.name] = sold
    return [
        translate.cluster_type(
            sold,
            catalog.get_type(tx, call.by, sold.worker_type),
            [image.slug for image in catalog.cluster_images(tx, call.by, cluster_type=name)],
            query.currency,
            call.context.policy.eur_per_usd_micros,
        )
        for name, sold in sorted(cheapest.items())
    ]


def list_cluster_availability(tx: Tx, call: Call) -> list[Availability]:
    """Never empty where a location is asked for: clients take the first."""
    query: wire.ClusterAvailabilityQuery = call.query
    found = catalog.cluster_availability(tx, call.by, location=query.location_code)
    if not found and query.location_code is not None:
        return [Availability(location_code=query.location_code, availabilities=[])]
    return [Availability(location_code=each.location.code, availabilities=list(each.types)) for each in found]


def is_cluster_available(tx: Tx, call: Call) -> bool:
    query: wire.ClusterAvailabilityQuery = call.query
    name = call.parameters["cluster_type"]
    return catalog.is_cluster_available(tx, call.by, name, location=query.location_code)


def deploy_cluster(tx: Tx, call: Call) -> wire.DeployedCluster:
    request: wire.DeployClusterRequest = call.body
    try:
        made = clusters.order(tx, call.by, translate.order(request), call.context.rules)
    except Invalid as refusal:
        if (refusal.code, refusal.details.get("field")) == ("invalid_field", "image"):
            raise NotFound("image_not_found", refusal.message) from None
        raise
    tagging.put(tx, call, Kind.CLUSTER, made.id, request.tags)
    return wire.DeployedCluster(id=words.shown(made.id))


def list_clusters(tx: Tx, call: Call) -> list[wire.Cluster]:
    query: wire.ClustersQuery = call.query
    if query.status is None:
        return _shown_all(tx, call, _all(tx, call, None))
    found = [view for seen in sorted(translate.seen_as(query.status)) for view in _all(tx, call, seen)]
    found.sort(key=lambda view: (view.cluster.created_at, view.cluster.id), reverse=True)
    return [shown for shown in _shown_all(tx, call, found) if shown.status == query.status]


def get_cluster(tx: Tx, call: Call) -> wire.Cluster:
    return _shown_all(tx, call, [find(tx, call, call.parameters["id"])])[0]


def act_on_clusters(tx: Tx, call: Call) -> None:
    """All of them or none."""
    request: wire.ClusterActionsRequest = call.body
    if request.actions is not None:
        named = [each.id for each in request.actions]
    elif request.id is not None and request.action is not None:
        named = [request.id]
    else:
        raise Invalid("missing_field", "actions is required", field="actions")
    # In one order, so that two requests for the same clusters never wait for each other.
    for cluster_id in sorted({_cluster_id(each) for each in words.several(named, "actions")}):
        clusters.discontinue(tx, call.by, cluster_id, call.context.rules)


def find(tx: Tx, call: Call, shown_id: str) -> View:
    """The cluster that a path or body means. Raises NotFound."""
    return clusters.get(tx, call.by, _cluster_id(shown_id))


def _cluster_id(shown_id: str) -> str:
    return words.in_path(shown_id, NotFound(*_NO_CLUSTER))


def _all(tx: Tx, call: Call, status: Seen | None) -> list[View]:
    found: list[View] = []
    last: After | None = None
    for _ in range(_PAGES):
        page = clusters.list_page(tx, call.by, status=status, after=last, limit=_PAGE)
        found += page.rows
        if not page.has_more:
            break
        last = After(page.rows[-1].cluster.created_at, page.rows[-1].cluster.id)
    return found


def _shown_all(tx: Tx, call: Call, found: Sequence[View]) -> list[wire.Cluster]:
    tagged = tagging.of(tx, call, Kind.CLUSTER, [view.cluster.id for view in found])
    shown_s = call.context.policy.shown_provisioning_s
    return [
        translate.cluster(
            view,
            translate.status_of(view.cluster, tx.now, shown_s),
            instances.term(tx, view.workers[0]) if view.workers else None,
            tagged.get(view.cluster.id, ()),
            now=tx.now,
            shown_s=shown_s,
        )
        for view in found
    ]

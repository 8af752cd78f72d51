"""Clusters: several instances that are ordered, run and end as one, with a file system in common."""

from berth.core.clusters.following import attend, unsettled
from berth.core.clusters.model import Cluster, ClusterSpec, SharedVolume, Status, View, Wanted
from berth.core.clusters.ordering import order
from berth.core.clusters.service import discontinue, get, list_page, view

__all__ = [
    "Cluster",
    "ClusterSpec",
    "SharedVolume",
    "Status",
    "View",
    "Wanted",
    "attend",
    "discontinue",
    "get",
    "list_page",
    "order",
    "unsettled",
    "view",
]

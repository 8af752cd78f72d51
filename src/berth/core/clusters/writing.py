"""How a cluster's row is written: each change is recorded with it."""

from dataclasses import replace

from berth.base.db import Tx
from berth.core import events
from berth.core.clusters import store
from berth.core.clusters.model import Cluster, Status
from berth.core.events import Actor


def move(tx: Tx, by: Actor, cluster: Cluster, status: Status, reason: str | None) -> Cluster:
    """To another status, or the same for another reason."""
    is_new = status is not cluster.status
    changed = replace(
        cluster,
        status=status,
        status_reason=reason,
        status_changed_at=tx.now if is_new else cluster.status_changed_at,
        updated_at=tx.now,
        sequence=cluster.sequence + 1,
    )
    store.save(tx, changed)
    record(tx, by, changed, f"cluster.{status.value}", previous=cluster.status if is_new else None)
    return changed


def record(tx: Tx, by: Actor, cluster: Cluster, event: str, *, previous: Status | None = None) -> None:
    told: dict[str, object | None] = {
        "status": cluster.status.value,
        "previous_status": None if previous is None else previous.value,
        "reason": cluster.status_reason,
        "cluster_type": cluster.cluster_type,
        "hostname": cluster.hostname,
        "image": cluster.image,
        "location": cluster.location,
    }
    data = {name: value for name, value in told.items() if value is not None}
    events.record(tx, by, event, subject=cluster.id, sequence=cluster.sequence, data=data)

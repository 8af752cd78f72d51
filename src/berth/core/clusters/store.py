"""Statements of the clusters noun."""

import json

from berth.base.db import Row, Tx
from berth.base.paging import After
from berth.core.clusters.model import Cluster, Status, Wanted
from berth.core.instances import Contract

_COLUMNS = (
    "id",
    "project_id",
    "created_by",
    "hostname",
    "description",
    "cluster_type",
    "location",
    "provider",
    "image",
    "image_id",
    "os_name",
    "ssh_key_ids",
    "startup_script_id",
    "contract",
    "jump_host_id",
    "volume_ids",
    "status",
    "wanted",
    "status_reason",
    "status_changed_at",
    "created_at",
    "updated_at",
    "first_running_at",
    "discontinued_at",
    "sequence",
)
_CLUSTER = ", ".join(_COLUMNS)
_INSERT = f"INSERT INTO clusters ({_CLUSTER}) VALUES ({', '.join(':' + column for column in _COLUMNS)})"


def _cluster(row: Row) -> Cluster:
    return Cluster(
        *(
            *row[:11],
            tuple(json.loads(row[11])),
            row[12],
            Contract(row[13]),
            row[14],
            tuple(json.loads(row[15])),
            Status(row[16]),
            Wanted(row[17]),
            *row[18:],
        )
    )


def insert(tx: Tx, cluster: Cluster) -> None:
    tx.run(
        _INSERT,
        id=cluster.id,
        project_id=cluster.project,
        created_by=cluster.created_by,
        hostname=cluster.hostname,
        description=cluster.description,
        cluster_type=cluster.cluster_type,
        location=cluster.location,
        provider=cluster.provider,
        image=cluster.image,
        image_id=cluster.image_id,
        os_name=cluster.os_name,
        ssh_key_ids=json.dumps(list(cluster.ssh_key_ids)),
        startup_script_id=cluster.startup_script_id,
        contract=cluster.contract.value,
        jump_host_id=cluster.jump_host_id,
        volume_ids=json.dumps(list(cluster.volume_ids)),
        status=cluster.status.value,
        wanted=cluster.wanted.value,
        status_reason=cluster.status_reason,
        status_changed_at=cluster.status_changed_at,
        created_at=cluster.created_at,
        updated_at=cluster.updated_at,
        first_running_at=cluster.first_running_at,
        discontinued_at=cluster.discontinued_at,
        sequence=cluster.sequence,
    )


def save(tx: Tx, cluster: Cluster) -> None:
    """Writes all that changes."""
    tx.run(
        "UPDATE clusters SET status = :status, wanted = :wanted, status_reason = :reason,"
        " status_changed_at = :status_changed_at, updated_at = :updated_at,"
        " first_running_at = :first_running_at, discontinued_at = :discontinued_at, sequence = :sequence"
        " WHERE id = :id",
        id=cluster.id,
        status=cluster.status.value,
        wanted=cluster.wanted.value,
        reason=cluster.status_reason,
        status_changed_at=cluster.status_changed_at,
        updated_at=cluster.updated_at,
        first_running_at=cluster.first_running_at,
        discontinued_at=cluster.discontinued_at,
        sequence=cluster.sequence,
    )


def find(tx: Tx, project: str, cluster_id: str, *, lock: bool = False) -> Cluster | None:
    row = tx.one(
        f"SELECT {_CLUSTER} FROM clusters WHERE id = :id AND project_id = :project"
        + (tx.for_update if lock else ""),
        id=cluster_id,
        project=project,
    )
    return None if row is None else _cluster(row)


def lock_any(tx: Tx, cluster_id: str) -> Cluster | None:
    """Whoever's it is: for loops only."""
    row = tx.one(f"SELECT {_CLUSTER} FROM clusters WHERE id = :id" + tx.for_update, id=cluster_id)
    return None if row is None else _cluster(row)


def page(
    tx: Tx, project: str, *, status: Status | None, after_row: After | None, limit: int
) -> list[Cluster]:
    """Newest first."""
    condition, values = _condition(status)
    if after_row is not None:
        condition += " AND (created_at, id) < (:after_time, :after_id)"
        values |= {"after_time": after_row.time, "after_id": after_row.id}
    rows = tx.all(
        f"SELECT {_CLUSTER} FROM clusters WHERE project_id = :project AND {condition}"
        " ORDER BY created_at DESC, id DESC LIMIT :limit",
        project=project,
        limit=limit,
        **values,
    )
    return [_cluster(row) for row in rows]


def total(tx: Tx, project: str, *, status: Status | None) -> int:
    condition, values = _condition(status)
    row = tx.one(
        f"SELECT COUNT(*) FROM clusters WHERE project_id = :project AND {condition}",
        project=project,
        **values,
    )
    return 0 if row is None else row[0]


def unended(tx: Tx, *, after_id: str, limit: int) -> list[Cluster]:
    """Those that something may come of, by id: not what has ended, and not what failed and was left so."""
    rows = tx.all(
        f"SELECT {_CLUSTER} FROM clusters WHERE id > :after AND status <> 'discontinued'"
        " AND NOT (status IN ('error', 'no_capacity') AND first_running_at IS NULL AND wanted = 'running')"
        " ORDER BY id LIMIT :limit",
        after=after_id,
        limit=limit,
    )
    return [_cluster(row) for row in rows]


def _condition(status: Status | None) -> tuple[str, dict[str, object]]:
    if status is None:
        return "status <> 'discontinued'", {}
    return "status = :status", {"status": status.value}

"""Statements over the instances of one project, for whoever stops, starts or deletes all of them."""

from berth.base.db import Tx

# Those that are off, run, or will; `instances_live` holds them together with a few that failed.
_SPENDING = (
    "SELECT id FROM instances WHERE project_id = :project AND status <> 'deleted' AND id > :after AND"
    " (status IN ('ordered', 'provisioning') AND wanted <> 'deleted'"
    " OR status = 'running' AND NOT (wanted = 'offline' AND keeps_hardware = 0 AND COALESCE(status_reason, '') = :reason)"
    " OR status = 'offline' AND (wanted = 'running' OR is_reserved = 1 AND keeps_hardware = 1))"
    " ORDER BY id LIMIT :limit"
)


def spending(tx: Tx, project: str, *, reason: str, after_id: str, limit: int) -> list[str]:
    rows = tx.all(_SPENDING, project=project, reason=reason, after=after_id, limit=limit)
    return [row[0] for row in rows]


def pending_price(tx: Tx, project: str) -> int:
    """Per hour, of what was accepted and does not run yet."""
    row = tx.one(
        "SELECT CAST(COALESCE(SUM(price_micros_per_hour), 0) AS BIGINT) FROM instances WHERE project_id = :project"
        " AND status <> 'deleted' AND wanted = 'running'"
        " AND (status IN ('ordered', 'provisioning') OR status = 'offline' AND is_reserved = 0)",
        project=project,
    )
    return 0 if row is None else row[0]


def offline(tx: Tx, project: str, *, after_id: str, limit: int) -> list[str]:
    rows = tx.all(
        "SELECT id FROM instances WHERE project_id = :project AND status = 'offline' AND wanted = 'offline'"
        " AND id > :after ORDER BY id LIMIT :limit",
        project=project,
        after=after_id,
        limit=limit,
    )
    return [row[0] for row in rows]


def cut_off_for(tx: Tx, project: str, reason: str, *, after_id: str, limit: int) -> list[tuple[str, bool]]:
    rows = tx.all(
        "SELECT id, status FROM instances WHERE project_id = :project AND status IN ('running', 'offline')"
        " AND wanted = 'offline' AND is_session = 0 AND status_reason = :reason AND id > :after"
        " ORDER BY id LIMIT :limit",
        project=project,
        reason=reason,
        after=after_id,
        limit=limit,
    )
    return [(row[0], row[1] == "offline") for row in rows]

"""Statements of the notices noun."""

from collections.abc import Sequence

from berth.base import leases
from berth.base.clock import Instant
from berth.base.db import Row, Tx
from berth.core.notices.model import Notice, Status

_NOTICE = (
    "id, project_id, kind, email, subject_line, body, status, created_at, attempt, lease_token, finished_at,"
    " error"
)
_HELD = "id = :id AND lease_token = :token AND lease_expires_at > :now AND due_at IS NOT NULL"


def _notice(row: Row) -> Notice:
    return Notice(*(*row[:6], Status(row[6]), *row[7:]))


def contacts(tx: Tx, project: str, *, limit: int) -> list[str]:
    rows = tx.all(
        "SELECT email FROM contacts WHERE project_id = :project ORDER BY position LIMIT :limit",
        project=project,
        limit=limit,
    )
    return [row[0] for row in rows]


def replace_contacts(tx: Tx, project: str, emails: Sequence[str]) -> None:
    tx.run("DELETE FROM contacts WHERE project_id = :project", project=project)
    tx.run_many(
        "INSERT INTO contacts (project_id, email, position) VALUES (:project, :email, :position)",
        [{"project": project, "email": email, "position": place} for place, email in enumerate(emails)],
    )


def insert(tx: Tx, notice: Notice) -> None:
    tx.run(
        "INSERT INTO notices (id, project_id, kind, email, subject_line, body, status, created_at, due_at,"
        " attempt, lease_token, lease_expires_at) VALUES (:id, :project, :kind, :email, :subject_line, :body,"
        " :status, :now, :now, 0, 0, 0)",
        id=notice.id,
        project=notice.project,
        kind=notice.kind,
        email=notice.email,
        subject_line=notice.subject_line,
        body=notice.body,
        status=notice.status.value,
        now=tx.now,
    )


def count_waiting(tx: Tx, project: str, *, limit: int) -> int:
    """How many of a project's are not settled, up to `limit`."""
    row = tx.one(
        "SELECT COUNT(*) FROM (SELECT 1 FROM notices WHERE project_id = :project AND due_at IS NOT NULL"
        " LIMIT :limit) AS waiting",
        project=project,
        limit=limit,
    )
    return 0 if row is None else int(row[0])


def list_for(tx: Tx, project: str, *, limit: int) -> list[Notice]:
    rows = tx.all(
        f"SELECT {_NOTICE} FROM notices WHERE project_id = :project ORDER BY created_at DESC, id DESC LIMIT :limit",
        project=project,
        limit=limit,
    )
    return [_notice(row) for row in rows]


def lease_due(tx: Tx, *, until: Instant, limit: int) -> list[Notice]:
    """Takes what is due and nobody works on. A holder that dies leaves its rows due again when the lease ends."""
    rows = tx.all(
        # Materialized: PostgreSQL may otherwise run a locking subselect more than once, past its limit.
        "WITH due AS MATERIALIZED (SELECT id FROM notices WHERE due_at <= :now AND lease_expires_at <= :now"
        f" ORDER BY due_at LIMIT :limit{tx.skip_locked})"
        " UPDATE notices SET lease_token = lease_token + 1, lease_expires_at = :until, due_at = :until,"
        f" attempt = attempt + 1 WHERE id IN (SELECT id FROM due) RETURNING {_NOTICE}",
        now=tx.now,
        until=until,
        limit=limit,
    )
    return sorted(map(_notice, rows), key=lambda notice: notice.id)


def next_due(tx: Tx) -> Instant | None:
    """A row that is held is due when its lease ends."""
    row = tx.one(
        "SELECT MIN(CASE WHEN lease_expires_at > due_at THEN lease_expires_at ELSE due_at END) FROM notices"
        " WHERE due_at IS NOT NULL"
    )
    return None if row is None or row[0] is None else Instant(row[0])


def finish(tx: Tx, notice: Notice, status: Status, *, error: str | None) -> bool:
    """False when the lease is not the caller's any more."""
    return (
        tx.run(
            "UPDATE notices SET status = :status, error = :error, due_at = NULL, lease_expires_at = 0,"
            f" finished_at = :now WHERE {_HELD}",
            status=status.value,
            error=error,
            id=notice.id,
            token=notice.lease_token,
            now=tx.now,
        )
        == 1
    )


def postpone(tx: Tx, notice: Notice, *, due_at: Instant, attempt: int, error: str | None) -> bool:
    """False when the lease is not the caller's any more."""
    return (
        tx.run(
            "UPDATE notices SET due_at = :due_at, attempt = :attempt, error = :error, lease_expires_at = 0"
            f" WHERE {_HELD}",
            due_at=due_at,
            attempt=attempt,
            error=error,
            id=notice.id,
            token=notice.lease_token,
            now=tx.now,
        )
        == 1
    )


def renew_lease(tx: Tx, notice: Notice, *, until: Instant) -> bool:
    return leases.renew_row(tx, "notices", notice.id, notice.lease_token, until=until)


def give_back(tx: Tx, notice: Notice) -> None:
    leases.give_back_row(tx, "notices", notice.id, notice.lease_token)


def skip_due(tx: Tx, *, limit: int) -> int:
    rows = tx.all(
        "WITH due AS MATERIALIZED (SELECT id FROM notices WHERE due_at <= :now AND lease_expires_at <= :now"
        f" ORDER BY due_at LIMIT :limit{tx.skip_locked})"
        " UPDATE notices SET status = 'not_sent', due_at = NULL, finished_at = :now"
        " WHERE id IN (SELECT id FROM due) RETURNING id",
        now=tx.now,
        limit=limit,
    )
    return len(rows)


def release_leases(tx: Tx) -> None:
    tx.run(
        "UPDATE notices SET lease_expires_at = 0, lease_token = lease_token + 1, due_at = :now"
        " WHERE due_at IS NOT NULL AND lease_expires_at > :now",
        now=tx.now,
    )


def forget(tx: Tx, *, before: Instant, limit: int) -> int:
    return tx.run(
        "DELETE FROM notices WHERE id IN (SELECT id FROM notices WHERE finished_at < :before"
        " ORDER BY finished_at LIMIT :limit)",
        before=before,
        limit=limit,
    )

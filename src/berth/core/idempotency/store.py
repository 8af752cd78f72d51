"""Statements of the idempotency noun."""

from berth.base.clock import Instant
from berth.base.db import Row, Tx


def find(tx: Tx, project: str, lineage: str, key: str) -> Row | None:
    return tx.one(
        "SELECT fingerprint, status, body FROM idempotency_records WHERE project_id = :project"
        " AND lineage = :lineage AND key = :key AND expires_at > :now",
        project=project,
        lineage=lineage,
        key=key,
        now=tx.now,
    )


def upsert(
    tx: Tx,
    project: str,
    lineage: str,
    key: str,
    *,
    fingerprint: str,
    status: int,
    body: str,
    expires_at: Instant,
) -> bool:
    """False when somebody else's live record stands under the key."""
    return (
        tx.run(
            "INSERT INTO idempotency_records (project_id, lineage, key, fingerprint, status, body, created_at,"
            " expires_at) VALUES (:project, :lineage, :key, :fingerprint, :status, :body, :now, :expires_at)"
            " ON CONFLICT (project_id, lineage, key) DO UPDATE SET fingerprint = excluded.fingerprint,"
            " status = excluded.status, body = excluded.body, created_at = excluded.created_at,"
            " expires_at = excluded.expires_at WHERE idempotency_records.expires_at <= :now",
            project=project,
            lineage=lineage,
            key=key,
            fingerprint=fingerprint,
            status=status,
            body=body,
            now=tx.now,
            expires_at=expires_at,
        )
        == 1
    )


def amend(tx: Tx, project: str, lineage: str, key: str, *, fingerprint: str, status: int, body: str) -> None:
    tx.run(
        "UPDATE idempotency_records SET status = :status, body = :body WHERE project_id = :project"
        " AND lineage = :lineage AND key = :key AND fingerprint = :fingerprint",
        project=project,
        lineage=lineage,
        key=key,
        fingerprint=fingerprint,
        status=status,
        body=body,
    )


def delete_expired(tx: Tx, *, limit: int) -> int:
    return tx.run(
        "DELETE FROM idempotency_records WHERE (project_id, lineage, key) IN (SELECT project_id, lineage, key"
        " FROM idempotency_records WHERE expires_at <= :now LIMIT :limit)",
        now=tx.now,
        limit=limit,
    )

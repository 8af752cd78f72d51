"""Statements of the idempotency noun."""

from berth.base.clock import Instant
from berth.base.db import Row, Tx

_NEVER = Instant(2**62)
"""Later than any clock shows: what is pinned has no end yet."""


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
    kept_until: Instant,
    subject: str | None,
    is_minted: bool,
) -> bool:
    """False when somebody else's live record stands under the key. With a subject it stands until unpinned."""
    return (
        tx.run(
            "INSERT INTO idempotency_records (project_id, lineage, key, fingerprint, status, body, created_at,"
            " expires_at, kept_until, subject, is_minted) VALUES (:project, :lineage, :key, :fingerprint, :status,"
            " :body, :now, :expires_at, :kept_until, :subject, :is_minted)"
            " ON CONFLICT (project_id, lineage, key) DO UPDATE SET fingerprint = excluded.fingerprint,"
            " status = excluded.status, body = excluded.body, created_at = excluded.created_at,"
            " expires_at = excluded.expires_at, kept_until = excluded.kept_until, subject = excluded.subject,"
            " is_minted = excluded.is_minted WHERE idempotency_records.expires_at <= :now",
            project=project,
            lineage=lineage,
            key=key,
            fingerprint=fingerprint,
            status=status,
            body=body,
            now=tx.now,
            expires_at=kept_until if subject is None else _NEVER,
            kept_until=kept_until,
            subject=subject,
            is_minted=int(is_minted),
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


def delete(tx: Tx, project: str, lineage: str, key: str, *, fingerprint: str) -> None:
    tx.run(
        "DELETE FROM idempotency_records WHERE project_id = :project AND lineage = :lineage AND key = :key"
        " AND fingerprint = :fingerprint",
        project=project,
        lineage=lineage,
        key=key,
        fingerprint=fingerprint,
    )


def unpin(tx: Tx, subject: str) -> None:
    tx.run(
        "UPDATE idempotency_records SET expires_at = kept_until, subject = NULL WHERE subject = :subject",
        subject=subject,
    )


def find_minted(tx: Tx, project: str, lineage: str, fingerprint: str, *, since: Instant) -> str | None:
    row = tx.one(
        "SELECT subject FROM idempotency_records WHERE project_id = :project AND lineage = :lineage"
        " AND fingerprint = :fingerprint AND created_at >= :since AND is_minted = 1"
        " ORDER BY created_at DESC LIMIT 1",
        project=project,
        lineage=lineage,
        fingerprint=fingerprint,
        since=since,
    )
    return None if row is None else row[0]


def delete_expired(tx: Tx, *, limit: int) -> int:
    return tx.run(
        "DELETE FROM idempotency_records WHERE (project_id, lineage, key) IN (SELECT project_id, lineage, key"
        " FROM idempotency_records WHERE expires_at <= :now LIMIT :limit)",
        now=tx.now,
        limit=limit,
    )

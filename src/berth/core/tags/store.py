"""Statements of the tags noun."""

from berth.base.db import Row, Tx
from berth.core.tags.model import Kind, Tag

_TAG = "id, project_id, kind, subject, key, value, created_at"


def _tag(row: Row) -> Tag:
    return Tag(row[0], row[1], Kind(row[2]), *row[3:])


def insert(tx: Tx, tag: Tag) -> None:
    tx.run(
        f"INSERT INTO tags ({_TAG}) VALUES (:id, :project, :kind, :subject, :key, :value, :created_at)",
        id=tag.id,
        project=tag.project,
        kind=tag.kind.value,
        subject=tag.subject,
        key=tag.key,
        value=tag.value,
        created_at=tag.created_at,
    )


def of_thing(tx: Tx, subject: str, *, limit: int) -> list[Tag]:
    rows = tx.all(
        f"SELECT {_TAG} FROM tags WHERE subject = :subject ORDER BY key LIMIT :limit",
        subject=subject,
        limit=limit,
    )
    return [_tag(row) for row in rows]


def of_kind(tx: Tx, project: str, kind: Kind, *, limit: int) -> list[Tag]:
    """Those of the newest things first."""
    rows = tx.all(
        f"SELECT {_TAG} FROM tags WHERE project_id = :project AND kind = :kind"
        " ORDER BY subject DESC, key LIMIT :limit",
        project=project,
        kind=kind.value,
        limit=limit,
    )
    return [_tag(row) for row in rows]


def delete(tx: Tx, subject: str, key: str) -> bool:
    return tx.run("DELETE FROM tags WHERE subject = :subject AND key = :key", subject=subject, key=key) == 1

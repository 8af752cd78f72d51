"""Statements of the startup scripts noun."""

from berth.base.db import Row, Tx
from berth.core.scripts.model import Script

_SCRIPT = "id, project_id, name, script, created_at"


def _script(row: Row) -> Script:
    return Script(*row)


def insert(tx: Tx, script: Script) -> None:
    tx.run(
        f"INSERT INTO scripts ({_SCRIPT}) VALUES (:id, :project, :name, :script, :created_at)",
        id=script.id,
        project=script.project,
        name=script.name,
        script=script.text,
        created_at=script.created_at,
    )


def find(tx: Tx, project: str, script_id: str) -> Script | None:
    row = tx.one(
        f"SELECT {_SCRIPT} FROM scripts WHERE id = :id AND project_id = :project",
        id=script_id,
        project=project,
    )
    return None if row is None else _script(row)


def page(tx: Tx, project: str, *, skipped: int, limit: int) -> list[Script]:
    """Newest first."""
    rows = tx.all(
        f"SELECT {_SCRIPT} FROM scripts WHERE project_id = :project ORDER BY created_at DESC, id DESC"
        " LIMIT :limit OFFSET :skipped",
        project=project,
        limit=limit,
        skipped=skipped,
    )
    return [_script(row) for row in rows]


def count(tx: Tx, project: str) -> int:
    row = tx.one("SELECT COUNT(*) FROM scripts WHERE project_id = :project", project=project)
    return 0 if row is None else row[0]


def delete(tx: Tx, project: str, script_id: str) -> bool:
    deleted = tx.run(
        "DELETE FROM scripts WHERE id = :id AND project_id = :project", id=script_id, project=project
    )
    return deleted == 1

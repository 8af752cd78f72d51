"""Statements of the SSH keys noun."""

from berth.base.db import Row, Tx
from berth.core.keys.model import SshKey

_KEY = (
    "id, project_id, name, public_key, COALESCE(shown_fingerprint, fingerprint), key_type, created_at,"
    " CASE WHEN shown_fingerprint IS NULL THEN 0 ELSE 1 END"
)


def _key(row: Row) -> SshKey:
    return SshKey(*(*row[:7], bool(row[7])))


def insert(tx: Tx, key: SshKey) -> bool:
    """False when the project has this key already.

    What is kept verbatim may repeat: in the column that refuses repeats it has its id.
    """
    return (
        tx.run(
            "INSERT INTO ssh_keys (id, project_id, name, public_key, fingerprint, shown_fingerprint, key_type,"
            " created_at) VALUES (:id, :project, :name, :public_key, :fingerprint, :shown, :key_type, :created_at)"
            " ON CONFLICT (project_id, fingerprint) DO NOTHING",
            id=key.id,
            project=key.project,
            name=key.name,
            public_key=key.public_key,
            fingerprint=key.id if key.is_verbatim else key.fingerprint,
            shown=key.fingerprint if key.is_verbatim else None,
            key_type=key.key_type,
            created_at=key.created_at,
        )
        == 1
    )


def find(tx: Tx, project: str, key_id: str) -> SshKey | None:
    row = tx.one(
        f"SELECT {_KEY} FROM ssh_keys WHERE id = :id AND project_id = :project", id=key_id, project=project
    )
    return None if row is None else _key(row)


def find_by_fingerprint(tx: Tx, project: str, fingerprint: str) -> SshKey | None:
    row = tx.one(
        f"SELECT {_KEY} FROM ssh_keys WHERE project_id = :project AND fingerprint = :fingerprint",
        project=project,
        fingerprint=fingerprint,
    )
    return None if row is None else _key(row)


def list_keys(tx: Tx, project: str, *, limit: int) -> list[SshKey]:
    rows = tx.all(
        f"SELECT {_KEY} FROM ssh_keys WHERE project_id = :project ORDER BY created_at DESC, id DESC LIMIT :limit",
        project=project,
        limit=limit,
    )
    return [_key(row) for row in rows]


def delete(tx: Tx, project: str, key_id: str) -> bool:
    return (
        tx.run("DELETE FROM ssh_keys WHERE id = :id AND project_id = :project", id=key_id, project=project)
        == 1
    )

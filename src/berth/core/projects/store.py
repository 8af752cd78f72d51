"""Statements of the projects noun."""

import json

from berth.base.clock import Instant
from berth.base.db import Row, Tx
from berth.core.projects.model import ApiKey, Project

_KEY = (
    "id, project_id, name, prefix, scopes, lineage, description, created_by, created_at, last_used_at,"
    " expires_at, revoked_at"
)


def _project(row: Row) -> Project:
    return Project(*row)


def _key(row: Row) -> ApiKey:
    return ApiKey(*(*row[:4], frozenset(json.loads(row[4])), *row[5:]))


def insert_project(tx: Tx, project: Project) -> bool:
    """False when the name is taken."""
    return (
        tx.run(
            "INSERT INTO projects (id, name, created_at) VALUES (:id, :name, :created_at)"
            " ON CONFLICT (name) DO NOTHING",
            id=project.id,
            name=project.name,
            created_at=project.created_at,
        )
        == 1
    )


def find_project(tx: Tx, name: str) -> Project | None:
    row = tx.one("SELECT id, name, created_at FROM projects WHERE name = :name", name=name)
    return None if row is None else _project(row)


def list_projects(tx: Tx, *, after_name: str, limit: int) -> list[tuple[Project, int]]:
    rows = tx.all(
        "SELECT p.id, p.name, p.created_at, a.balance_micros FROM projects p JOIN accounts a ON a.id = p.id"
        " WHERE p.name > :after ORDER BY p.name LIMIT :limit",
        after=after_name,
        limit=limit,
    )
    return [(_project(row[:3]), row[3]) for row in rows]


def insert_key(tx: Tx, key: ApiKey, secret_hash: str) -> None:
    tx.run(
        "INSERT INTO api_keys (id, project_id, name, prefix, secret_hash, scopes, lineage, description,"
        " created_by, created_at, expires_at) VALUES (:id, :project, :name, :prefix, :secret_hash, :scopes,"
        " :lineage, :description, :created_by, :created_at, :expires_at)",
        id=key.id,
        project=key.project,
        name=key.name,
        prefix=key.prefix,
        secret_hash=secret_hash,
        scopes=json.dumps(sorted(key.scopes)),
        lineage=key.lineage,
        description=key.description,
        created_by=key.created_by,
        created_at=key.created_at,
        expires_at=key.expires_at,
    )


def find_key_by_hash(tx: Tx, secret_hash: str) -> ApiKey | None:
    row = tx.one(f"SELECT {_KEY} FROM api_keys WHERE secret_hash = :hash", hash=secret_hash)
    return None if row is None else _key(row)


def find_key(tx: Tx, project: str, key_id: str) -> ApiKey | None:
    row = tx.one(
        f"SELECT {_KEY} FROM api_keys WHERE id = :id AND project_id = :project",
        id=key_id,
        project=project,
    )
    return None if row is None else _key(row)


def list_keys(tx: Tx, project: str, *, limit: int) -> list[ApiKey]:
    rows = tx.all(
        f"SELECT {_KEY} FROM api_keys WHERE project_id = :project AND revoked_at IS NULL"
        " AND (expires_at IS NULL OR expires_at > :now) ORDER BY created_at DESC, id DESC LIMIT :limit",
        project=project,
        now=tx.now,
        limit=limit,
    )
    return [_key(row) for row in rows]


def lock_project(tx: Tx, project: str) -> None:
    tx.one("SELECT 1 FROM projects WHERE id = :id" + tx.for_update, id=project)


def revoke_key(tx: Tx, key_id: str, at: Instant) -> None:
    tx.run("UPDATE api_keys SET revoked_at = :at WHERE id = :id AND revoked_at IS NULL", id=key_id, at=at)


def touch_key(tx: Tx, key_id: str, *, not_since: Instant) -> None:
    tx.run(
        "UPDATE api_keys SET last_used_at = :now"
        " WHERE id = :id AND (last_used_at IS NULL OR last_used_at < :not_since)",
        id=key_id,
        now=tx.now,
        not_since=not_since,
    )


def insert_client(tx: Tx, client_id: str, project: str, secret_hash: str) -> None:
    tx.run(
        "INSERT INTO oauth_clients (id, project_id, secret_hash, created_at)"
        " VALUES (:id, :project, :secret_hash, :now)",
        id=client_id,
        project=project,
        secret_hash=secret_hash,
        now=tx.now,
    )


def keep(tx: Tx, key: str, value: str) -> str:
    """The value kept under `key` for the whole installation; the first one written stays."""
    tx.run(
        "INSERT INTO installation (key, value) VALUES (:key, :value) ON CONFLICT (key) DO NOTHING",
        key=key,
        value=value,
    )
    row = tx.one("SELECT value FROM installation WHERE key = :key", key=key)
    return value if row is None else str(row[0])

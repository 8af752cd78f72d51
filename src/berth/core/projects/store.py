"""Statements of the projects noun."""

import json

from berth.base.clock import Instant
from berth.base.db import Row, Tx
from berth.core.projects.model import ApiKey, OAuthClient, Preferences, Project

_KEY = (
    "id, project_id, name, prefix, scopes, lineage, description, created_by, created_at, last_used_at,"
    " expires_at, revoked_at, allowed_cidrs, last_used_ip, rotated_from, rotated_to"
)


def _project(row: Row) -> Project:
    return Project(*row)


def _key(row: Row) -> ApiKey:
    return ApiKey(
        *(*row[:4], frozenset(json.loads(row[4])), *row[5:12], tuple(json.loads(row[12])), *row[13:])
    )


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
        " created_by, created_at, expires_at, allowed_cidrs, rotated_from) VALUES (:id, :project, :name,"
        " :prefix, :secret_hash, :scopes, :lineage, :description, :created_by, :created_at, :expires_at,"
        " :allowed_cidrs, :rotated_from)",
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
        allowed_cidrs=json.dumps(key.allowed_cidrs),
        rotated_from=key.rotated_from,
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


def list_keys(tx: Tx, project: str, *, ended_since: Instant, limit: int) -> list[ApiKey]:
    """Newest first: the active ones, and those that ended after `ended_since`."""
    rows = tx.all(
        f"SELECT {_KEY} FROM api_keys WHERE project_id = :project"
        " AND (revoked_at IS NULL OR revoked_at > :ended_since)"
        " AND (expires_at IS NULL OR expires_at > :ended_since) ORDER BY created_at DESC, id DESC LIMIT :limit",
        project=project,
        ended_since=ended_since,
        limit=limit,
    )
    return [_key(row) for row in rows]


def count_active(tx: Tx, project: str, *, with_rotated: bool) -> int:
    rotated = "" if with_rotated else " AND rotated_to IS NULL"
    row = tx.one(
        "SELECT COUNT(*) FROM api_keys WHERE project_id = :project AND revoked_at IS NULL"
        f" AND (expires_at IS NULL OR expires_at > :now){rotated}",
        project=project,
        now=tx.now,
    )
    return row[0] if row else 0


def lock_project(tx: Tx, project: str) -> None:
    tx.one("SELECT 1 FROM projects WHERE id = :id" + tx.for_update, id=project)


def find_preferences(tx: Tx, project: str) -> Preferences | None:
    row = tx.one("SELECT unique_active_hostname FROM projects WHERE id = :id", id=project)
    return None if row is None else Preferences(unique_active_hostname=bool(row[0]))


def set_preferences(tx: Tx, project: str, *, unique_active_hostname: bool) -> None:
    tx.run(
        "UPDATE projects SET unique_active_hostname = :unique WHERE id = :id",
        id=project,
        unique=int(unique_active_hostname),
    )


def update_key(tx: Tx, key: ApiKey) -> None:
    """Writes what can change of a key that exists."""
    tx.run(
        "UPDATE api_keys SET name = :name, scopes = :scopes, description = :description,"
        " expires_at = :expires_at, revoked_at = :revoked_at, allowed_cidrs = :allowed_cidrs,"
        " rotated_to = :rotated_to WHERE id = :id",
        id=key.id,
        name=key.name,
        scopes=json.dumps(sorted(key.scopes)),
        description=key.description,
        expires_at=key.expires_at,
        revoked_at=key.revoked_at,
        allowed_cidrs=json.dumps(key.allowed_cidrs),
        rotated_to=key.rotated_to,
    )


def touch_key(tx: Tx, key_id: str, address: str | None, *, not_since: Instant) -> None:
    tx.run(
        "UPDATE api_keys SET last_used_at = :now, last_used_ip = :address"
        " WHERE id = :id AND (last_used_at IS NULL OR last_used_at < :not_since)",
        id=key_id,
        now=tx.now,
        address=address,
        not_since=not_since,
    )


def delete_ended(tx: Tx, before: Instant, *, limit: int) -> int:
    return sum(
        tx.run(
            f"DELETE FROM api_keys WHERE id IN (SELECT id FROM api_keys WHERE {column} <= :before LIMIT :limit)",
            before=before,
            limit=limit,
        )
        for column in ("revoked_at", "expires_at")
    )


def count_requests(tx: Tx, window_at: Instant, project: str, route: str, count: int) -> int:
    """What it comes to with `count` more."""
    row = tx.one(
        "INSERT INTO request_counts (window_at, project_id, route, count)"
        " VALUES (:window_at, :project, :route, :count) ON CONFLICT (window_at, project_id, route)"
        " DO UPDATE SET count = request_counts.count + excluded.count RETURNING count",
        window_at=window_at,
        project=project,
        route=route,
        count=count,
    )
    return row[0] if row else count


def forget_requests(tx: Tx, before: Instant, *, limit: int) -> int:
    return tx.run(
        "DELETE FROM request_counts WHERE (window_at, project_id, route) IN (SELECT window_at, project_id,"
        " route FROM request_counts WHERE window_at < :before LIMIT :limit)",
        before=before,
        limit=limit,
    )


_CLIENT = "id, project_id, created_at, revoked_at"


def insert_client(tx: Tx, client: OAuthClient, secret_hash: str) -> None:
    tx.run(
        f"INSERT INTO oauth_clients ({_CLIENT}, secret_hash)"
        " VALUES (:id, :project, :created_at, :revoked_at, :secret_hash)",
        id=client.id,
        project=client.project,
        created_at=client.created_at,
        revoked_at=client.revoked_at,
        secret_hash=secret_hash,
    )


def find_client(tx: Tx, client_id: str) -> tuple[OAuthClient, str] | None:
    """The client and the hash of its secret."""
    row = tx.one(f"SELECT {_CLIENT}, secret_hash FROM oauth_clients WHERE id = :id", id=client_id)
    return None if row is None else (OAuthClient(*row[:4]), row[4])


def list_clients(tx: Tx, project: str, *, limit: int) -> list[OAuthClient]:
    """Newest first, those that were revoked included."""
    rows = tx.all(
        f"SELECT {_CLIENT} FROM oauth_clients WHERE project_id = :project"
        " ORDER BY created_at DESC, id DESC LIMIT :limit",
        project=project,
        limit=limit,
    )
    return [OAuthClient(*row) for row in rows]


def count_clients(tx: Tx, project: str) -> int:
    """Those that still work."""
    row = tx.one(
        "SELECT COUNT(*) FROM oauth_clients WHERE project_id = :project AND revoked_at IS NULL",
        project=project,
    )
    return 0 if row is None else row[0]


def revoke_client(tx: Tx, client_id: str) -> None:
    tx.run("UPDATE oauth_clients SET revoked_at = :now WHERE id = :id", id=client_id, now=tx.now)


def keep(tx: Tx, key: str, value: str) -> str:
    """The value kept under `key` for the whole installation; the first one written stays."""
    tx.run(
        "INSERT INTO installation (key, value) VALUES (:key, :value) ON CONFLICT (key) DO NOTHING",
        key=key,
        value=value,
    )
    row = tx.one("SELECT value FROM installation WHERE key = :key", key=key)
    return value if row is None else str(row[0])

"""Statements of the events noun."""

import json
from collections.abc import Mapping

from berth.base.db import Row, Tx
from berth.core.events.model import Event

_encode = json.JSONEncoder(separators=(",", ":")).encode
_EVENT = "seq, id, project_id, type, subject, sequence, actor, data, created_at, address, request_id"


def _event(row: Row) -> Event:
    return Event(*(*row[:7], json.loads(row[7]), *row[8:]))


def insert(
    tx: Tx,
    *,
    event_id: str,
    project: str,
    event_type: str,
    subject: str,
    sequence: int,
    actor: str,
    address: str | None,
    request_id: str | None,
    data: Mapping[str, object],
) -> None:
    tx.run(
        "INSERT INTO events (id, project_id, type, subject, sequence, actor, address, request_id, data,"
        " created_at) VALUES (:id, :project, :type, :subject, :sequence, :actor, :address, :request_id, :data,"
        " :now)",
        id=event_id,
        project=project,
        type=event_type,
        subject=subject,
        sequence=sequence,
        actor=actor,
        address=address,
        request_id=request_id,
        data=_encode(data) if data else "{}",
        now=tx.now,
    )


def next_sequence(tx: Tx, subject: str) -> int:
    row = tx.one("SELECT MAX(sequence) FROM events WHERE subject = :subject", subject=subject)
    return 1 + (row[0] or 0 if row else 0)


def list_for(tx: Tx, project: str, subject: str, *, after_sequence: int, limit: int) -> list[Event]:
    rows = tx.all(
        f"SELECT {_EVENT} FROM events WHERE subject = :subject AND project_id = :project AND sequence > :after"
        " ORDER BY sequence LIMIT :limit",
        subject=subject,
        project=project,
        after=after_sequence,
        limit=limit,
    )
    return [_event(row) for row in rows]

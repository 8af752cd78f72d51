"""Statements over sessions, what was seen of their use, and the observer's key."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict

from berth.base.clock import Instant
from berth.base.db import Row, Tx
from berth.base.money import Micros
from berth.core.instances import Instance
from berth.core.sessions import states
from berth.core.sessions.model import (
    LaunchMode,
    RetryScope,
    Sample,
    Session,
    Status,
    StoragePolicy,
    Watch,
    Workload,
)

_COLUMNS = (
    "instance_id",
    "project_id",
    "consumer_id",
    "provider",
    "offer_id",
    "workload_type",
    "reservation_hours",
    "expires_at",
    "idle_threshold_minutes",
    "storage_policy",
    "launch_mode",
    "model_id",
    "quantization",
    "template_hash_id",
    "template_name",
    "disk_gb",
    "auto_retry",
    "max_retries",
    "retry_scope",
    "retry_count",
    "failed_offers",
    "failed_hosts",
    "first_price_micros_per_hour",
    "token_hash",
    "heartbeat_at",
    "heartbeat_idle_s",
    "sample",
    "signal_at",
    "idle_since",
)
_SESSION = ", ".join(f"s.{column}" for column in _COLUMNS)
_WRITTEN = (*_COLUMNS[:24], "is_active", "created_at")
_INSERT = (
    f"INSERT INTO sessions ({', '.join(_WRITTEN)}) VALUES ({', '.join(':' + name for name in _WRITTEN)})"
    " ON CONFLICT DO NOTHING"
)
_CONDITIONS: Mapping[Status, str] = {
    Status.PENDING: "i.status = 'ordered'",
    Status.PROVISIONING: "(i.status = 'provisioning' OR (i.status = 'offline' AND i.wanted = 'running'))",
    Status.RUNNING: "i.status = 'running' AND i.wanted = 'running'",
    Status.STOPPING: "(i.status = 'deleting' OR (i.status = 'running' AND i.wanted <> 'running')"
    " OR (i.status = 'offline' AND i.wanted <> 'running' AND i.ends_off = 0))",
    Status.STOPPED: "(i.status = 'deleted' OR (i.status = 'offline' AND i.wanted <> 'running' AND i.ends_off = 1))",
    Status.FAILED: "i.status IN ('error', 'failed_no_capacity')",
}
"""As `states.status_of`."""
_STANDS = (
    f"({_CONDITIONS[Status.PENDING]} OR {_CONDITIONS[Status.PROVISIONING]} OR {_CONDITIONS[Status.RUNNING]})"
)

_LEFT = "(i.status = 'offline' AND i.wanted = 'offline' AND i.ends_off = 0)"
"""Off, with a disk that nobody is to keep: it is still to be ended."""


def session_of(row: Row, instance: Instance) -> Session:
    (kept, watched) = row[:24], row[24:]
    launch_mode = LaunchMode(kept[10])
    port = None
    if launch_mode is LaunchMode.ENTRYPOINT and instance.launch is not None and instance.first_running_at:
        port = instance.ports.get(instance.launch.ports[0]) if instance.launch.ports else None
    return Session(
        id=instance.id,
        instance=instance,
        consumer_id=kept[2],
        offer_id=kept[4],
        workload_type=Workload(kept[5]),
        reservation_hours=kept[6],
        expires_at=Instant(kept[7]),
        idle_threshold_minutes=kept[8],
        storage_policy=StoragePolicy(kept[9]),
        launch_mode=launch_mode,
        model_id=kept[11],
        quantization=kept[12],
        template_hash_id=kept[13],
        template_name=kept[14],
        disk_gb=kept[15],
        auto_retry=bool(kept[16]),
        max_retries=kept[17],
        retry_scope=RetryScope(kept[18]),
        retry_count=kept[19],
        failed_offers=tuple(json.loads(kept[20])),
        failed_hosts=tuple(json.loads(kept[21])),
        first_price=Micros(kept[22]),
        token_hash=kept[23],
        watch=Watch(watched[0], watched[1], _sample(watched[2]), watched[3], watched[4]),
        status=states.status_of(instance),
        failure=states.outcome_of(instance),
        error=states.error_of(instance),
        api_port=port,
    )


def _sample(text: str | None) -> Sample | None:
    return None if text is None else Sample(**json.loads(text))


def insert(tx: Tx, session: Session) -> bool:
    """False where another active one of the same consumer has the offer."""
    written = tx.run(
        _INSERT,
        instance_id=session.id,
        project_id=session.instance.project,
        consumer_id=session.consumer_id,
        provider=session.instance.provider,
        offer_id=session.offer_id,
        workload_type=session.workload_type.value,
        reservation_hours=session.reservation_hours,
        expires_at=session.expires_at,
        idle_threshold_minutes=session.idle_threshold_minutes,
        storage_policy=session.storage_policy.value,
        launch_mode=session.launch_mode.value,
        model_id=session.model_id,
        quantization=session.quantization,
        template_hash_id=session.template_hash_id,
        template_name=session.template_name,
        disk_gb=session.disk_gb,
        auto_retry=int(session.auto_retry),
        max_retries=session.max_retries,
        retry_scope=session.retry_scope.value,
        retry_count=session.retry_count,
        failed_offers=json.dumps(session.failed_offers),
        failed_hosts=json.dumps(session.failed_hosts),
        first_price_micros_per_hour=session.first_price,
        token_hash=session.token_hash,
        is_active=1,
        created_at=tx.now,
    )
    return written == 1


def find(tx: Tx, session_id: str, *, lock: bool = False) -> Row | None:
    """The row, for `session_of`."""
    suffix = tx.for_update if lock else ""
    return tx.one(f"SELECT {_SESSION} FROM sessions s WHERE s.instance_id = :id" + suffix, id=session_id)


def page(
    tx: Tx,
    project: str,
    *,
    consumer_id: str | None,
    status: Status | None,
    provider: str | None,
    limit: int,
) -> list[Row]:
    """Newest first."""
    conditions, values = ["s.project_id = :project"], dict[str, object](project=project, limit=limit)
    if consumer_id is not None:
        conditions.append("s.consumer_id = :consumer")
        values["consumer"] = consumer_id
    if provider is not None:
        conditions.append("s.provider = :provider")
        values["provider"] = provider
    if status is not None:
        conditions.append(_CONDITIONS[status])
    return tx.all(
        f"SELECT {_SESSION} FROM sessions s JOIN instances i ON i.id = s.instance_id"
        f" WHERE {' AND '.join(conditions)} ORDER BY s.created_at DESC, s.instance_id DESC LIMIT :limit",
        **values,
    )


def counts(tx: Tx) -> list[tuple[str, str, int]]:
    """How many of all projects' sessions that have not ended there are, by provider and status."""
    rows = tx.all(
        "SELECT i.provider, CASE"
        + "".join(f" WHEN {condition} THEN '{status.value}'" for status, condition in _CONDITIONS.items())
        + " END, COUNT(*) FROM sessions s JOIN instances i ON i.id = s.instance_id WHERE i.status <> 'deleted'"
        f" AND ({_STANDS} OR {_CONDITIONS[Status.STOPPING]}) GROUP BY 1, 2 ORDER BY 1, 2"
    )
    return [(row[0], row[1], row[2]) for row in rows]


def retire(tx: Tx, *, limit: int) -> int:
    """Those that go on no longer stand in nobody's way. Not yet what is still to be ended: it would be lost sight of."""
    return tx.run(
        "UPDATE sessions SET is_active = 0 WHERE instance_id IN (SELECT s.instance_id FROM sessions s"
        f" JOIN instances i ON i.id = s.instance_id WHERE s.is_active = 1 AND NOT {_STANDS}"
        f" AND NOT {_LEFT} LIMIT :limit)",
        limit=limit,
    )


def retire_twins(tx: Tx, project: str, consumer_id: str, offer_id: str) -> None:
    """As `retire`, of one consumer and offer."""
    tx.run(
        "UPDATE sessions SET is_active = 0 WHERE project_id = :project AND consumer_id = :consumer"
        " AND offer_id = :offer AND is_active = 1 AND instance_id IN (SELECT i.id FROM instances i"
        f" WHERE i.id = sessions.instance_id AND NOT {_STANDS} AND NOT {_LEFT})",
        project=project,
        consumer=consumer_id,
        offer=offer_id,
    )


def find_twin(tx: Tx, project: str, consumer_id: str, offer_id: str) -> str | None:
    """The id of the session with which this consumer has that offer."""
    row = tx.one(
        "SELECT s.instance_id FROM sessions s JOIN instances i ON i.id = s.instance_id"
        " WHERE s.project_id = :project AND s.consumer_id = :consumer AND s.offer_id = :offer"
        f" AND s.is_active = 1 AND {_STANDS}",
        project=project,
        consumer=consumer_id,
        offer=offer_id,
    )
    return None if row is None else row[0]


def make_way(tx: Tx, project: str, consumer_id: str, offer_id: str) -> bool:
    """Retires what no longer stands in the way of another session of that consumer with the offer; False: one does."""
    retire_twins(tx, project, consumer_id, offer_id)
    row = tx.one(
        "SELECT 1 FROM sessions WHERE project_id = :project AND consumer_id = :consumer AND offer_id = :offer"
        " AND is_active = 1",
        project=project,
        consumer=consumer_id,
        offer=offer_id,
    )
    return row is None


def move(
    tx: Tx,
    session_id: str,
    *,
    provider: str,
    offer_id: str,
    retry_count: int,
    failed_offers: Sequence[str],
    failed_hosts: Sequence[str],
) -> None:
    tx.run(
        "UPDATE sessions SET provider = :provider, offer_id = :offer, retry_count = :count,"
        " failed_offers = :offers, failed_hosts = :hosts WHERE instance_id = :id",
        id=session_id,
        provider=provider,
        offer=offer_id,
        count=retry_count,
        offers=json.dumps(failed_offers),
        hosts=json.dumps(failed_hosts),
    )


def note_failed(tx: Tx, session_id: str, failed_offers: Sequence[str]) -> None:
    tx.run(
        "UPDATE sessions SET failed_offers = :offers WHERE instance_id = :id",
        id=session_id,
        offers=json.dumps(failed_offers),
    )


def prolong(tx: Tx, session_id: str, *, expires_at: Instant, reservation_hours: int) -> None:
    tx.run(
        "UPDATE sessions SET expires_at = :expires_at, reservation_hours = :hours WHERE instance_id = :id",
        id=session_id,
        expires_at=expires_at,
        hours=reservation_hours,
    )


def watch(tx: Tx, session_id: str, seen: Watch) -> None:
    tx.run(
        "UPDATE sessions SET heartbeat_at = :heartbeat_at, heartbeat_idle_s = :idle_s, sample = :sample,"
        " signal_at = :signal_at, idle_since = :idle_since WHERE instance_id = :id",
        id=session_id,
        heartbeat_at=seen.heartbeat_at,
        idle_s=seen.heartbeat_idle_s,
        sample=None if seen.sample is None else json.dumps(asdict(seen.sample)),
        signal_at=seen.signal_at,
        idle_since=seen.idle_since,
    )


def lease_samples(tx: Tx, *, before: Instant, limit: int) -> list[str]:
    """Takes those that are to be looked at over SSH: nobody else does before their next turn."""
    rows = tx.all(
        "WITH due AS MATERIALIZED (SELECT s.instance_id FROM sessions s JOIN instances i ON i.id = s.instance_id"
        " WHERE s.is_active = 1 AND s.idle_threshold_minutes > 0 AND s.launch_mode = 'ssh'"
        f" AND {_CONDITIONS[Status.RUNNING]} AND (s.sampled_at IS NULL OR s.sampled_at <= :before)"
        " ORDER BY COALESCE(s.sampled_at, 0), s.instance_id LIMIT :limit)"
        " UPDATE sessions SET sampled_at = :now WHERE instance_id IN (SELECT instance_id FROM due)"
        " AND (sampled_at IS NULL OR sampled_at <= :before) RETURNING instance_id",
        before=before,
        now=tx.now,
        limit=limit,
    )
    return sorted(row[0] for row in rows)


def cpu_used(tx: Tx, session_id: str) -> int | None:
    row = tx.one("SELECT cpu_used_us FROM sessions WHERE instance_id = :id", id=session_id)
    return None if row is None else row[0]


def set_cpu_used(tx: Tx, session_id: str, used_us: int | None) -> None:
    tx.run("UPDATE sessions SET cpu_used_us = :used WHERE instance_id = :id", id=session_id, used=used_us)


def watched(tx: Tx, provider: str, *, first_id: str, last_id: str, limit: int) -> list[str]:
    """Running ones at `provider` that end when idle, between two ids, both included."""
    rows = tx.all(
        "SELECT s.instance_id FROM sessions s JOIN instances i ON i.id = s.instance_id"
        " WHERE s.is_active = 1 AND s.idle_threshold_minutes > 0 AND i.provider = :provider"
        f" AND s.instance_id >= :first AND s.instance_id <= :last AND {_CONDITIONS[Status.RUNNING]}"
        " ORDER BY s.instance_id LIMIT :limit",
        provider=provider,
        first=first_id,
        last=last_id,
        limit=limit,
    )
    return [row[0] for row in rows]


def unsettled(tx: Tx, *, born_before: Instant, limit: int) -> list[str]:
    """Those that are off and keep nothing, and those that are older than any may be."""
    rows = tx.all(
        "SELECT s.instance_id FROM sessions s JOIN instances i ON i.id = s.instance_id WHERE s.is_active = 1"
        f" AND ({_LEFT} OR (s.created_at <= :born_before AND {_STANDS})) ORDER BY s.instance_id LIMIT :limit",
        born_before=born_before,
        limit=limit,
    )
    return [row[0] for row in rows]


def find_observer(tx: Tx, name: str) -> tuple[str, str] | None:
    """The public line, and the sealed private half."""
    row = tx.one("SELECT public_key, sealed FROM observers WHERE name = :name", name=name)
    return None if row is None else (row[0], row[1])


def keep_observer(tx: Tx, name: str, public_line: str, sealed: str) -> tuple[str, str]:
    """Keeps it unless there is one; returns the one that is there."""
    tx.run(
        "INSERT INTO observers (name, public_key, sealed) VALUES (:name, :public, :sealed)"
        " ON CONFLICT (name) DO NOTHING",
        name=name,
        public=public_line,
        sealed=sealed,
    )
    kept = find_observer(tx, name)
    assert kept is not None
    return kept

"""Statements over instances, their counts, and orphans."""

import json
from collections.abc import Collection, Sequence
from dataclasses import asdict
from functools import lru_cache

from berth.base import leases
from berth.base.clock import Instant, after
from berth.base.db import Row, Tx
from berth.base.paging import After
from berth.core.instances import launching
from berth.core.instances.model import Contract, Instance, Specs, Status, Version, Wanted

_COLUMNS = (
    "id",
    "project_id",
    "created_by",
    "hostname",
    "description",
    "instance_type",
    "location",
    "image",
    "image_id",
    "image_slug",
    "os_name",
    "ssh_user",
    "specs",
    "os_volume_name",
    "os_volume_gb",
    "ssh_key_ids",
    "ssh_public_keys",
    "startup_script",
    "price_micros_per_hour",
    "cost_micros_per_hour",
    "offer_id",
    "provider",
    "tried_offers",
    "volume_ids",
    "handle",
    "status",
    "wanted",
    "status_reason",
    "status_changed_at",
    "restart_wanted",
    "keeps_hardware",
    "is_reserved",
    "ip",
    "ssh_port",
    "created_at",
    "updated_at",
    "first_running_at",
    "deleted_at",
    "create_sent_at",
    "deadline_at",
    "missing_since",
    "sequence",
    "due_at",
    "lease_token",
    "is_spot",
    "contract",
    "startup_script_id",
    "attempt",
    "cluster_id",
    "ready_at",
    "private_ip",
    "boot_volume_id",
    "is_session",
    "ends_off",
    "launch",
    "ports",
    "boot_timeout_s",
    "logins_refused",
    "is_metered",
)
_INSTANCE = ", ".join(_COLUMNS)
_VERSION = ", ".join(Version._fields)
_STATUSES = {status.value: status for status in Status}
_WANTED = {wanted.value: wanted for wanted in Wanted}
_CONTRACTS = {contract.value: contract for contract in Contract}
_INSERT = f"INSERT INTO instances ({_INSTANCE}) VALUES ({', '.join(':' + column for column in _COLUMNS)})"


# What is kept as JSON is the same text in thousands of rows, and a page of a list reads fifty of them.
@lru_cache(4096)
def _specs(text: str) -> Specs:
    return Specs(**json.loads(text))


@lru_cache(4096)
def _list(text: str) -> tuple[str, ...]:
    return tuple(json.loads(text))


def _instance(row: Row) -> Instance:
    return Instance(
        *(
            *row[:12],
            _specs(row[12]),
            *row[13:15],
            _list(row[15]),
            _list(row[16]),
            *row[17:22],
            _list(row[22]),
            _list(row[23]),
            row[24],
            _STATUSES[row[25]],
            _WANTED[row[26]],
            *row[27:29],
            *(bool(flag) for flag in row[29:32]),
            *row[32:44],
            bool(row[44]),
            _CONTRACTS[row[45]],
            *row[46:52],
            bool(row[52]),
            bool(row[53]),
            *launching.read(row[54]),
            launching.read_ports(row[55]),
            *row[56:58],
            bool(row[58]),
        )
    )


@lru_cache(4096)
def _specs_text(specs: Specs) -> str:
    return json.dumps(asdict(specs), separators=(",", ":"))


@lru_cache(4096)
def _list_text(values: tuple[str, ...]) -> str:
    return json.dumps(values, separators=(",", ":"))


def json_list(values: Sequence[str]) -> str:
    return _list_text(tuple(values))


def insert(tx: Tx, instance: Instance) -> None:
    tx.run(
        _INSERT,
        id=instance.id,
        project_id=instance.project,
        created_by=instance.created_by,
        hostname=instance.hostname,
        description=instance.description,
        instance_type=instance.instance_type,
        location=instance.location,
        image=instance.image,
        image_id=instance.image_id,
        image_slug=instance.image_slug,
        os_name=instance.os_name,
        ssh_user=instance.ssh_user,
        specs=_specs_text(instance.specs),
        os_volume_name=instance.os_volume_name,
        os_volume_gb=instance.os_volume_gb,
        ssh_key_ids=json_list(instance.ssh_key_ids),
        ssh_public_keys=json_list(instance.ssh_public_keys),
        startup_script=instance.startup_script,
        price_micros_per_hour=instance.price,
        cost_micros_per_hour=instance.cost,
        offer_id=instance.offer_id,
        provider=instance.provider,
        tried_offers=json_list(instance.tried_offers),
        volume_ids=json_list(instance.volume_ids),
        handle=instance.handle,
        status=instance.status.value,
        wanted=instance.wanted.value,
        status_reason=instance.status_reason,
        status_changed_at=instance.status_changed_at,
        restart_wanted=int(instance.is_restart_wanted),
        keeps_hardware=int(instance.keeps_hardware),
        is_reserved=int(instance.is_reserved),
        ip=instance.ip,
        ssh_port=instance.ssh_port,
        created_at=instance.created_at,
        updated_at=instance.updated_at,
        first_running_at=instance.first_running_at,
        deleted_at=instance.deleted_at,
        create_sent_at=instance.create_sent_at,
        deadline_at=instance.deadline_at,
        missing_since=instance.missing_since,
        sequence=instance.sequence,
        due_at=instance.due_at,
        lease_token=instance.lease_token,
        is_spot=int(instance.is_spot),
        contract=instance.contract.value,
        startup_script_id=instance.startup_script_id,
        attempt=instance.attempt,
        cluster_id=instance.cluster_id,
        ready_at=instance.ready_at,
        private_ip=instance.private_ip,
        boot_volume_id=instance.boot_volume_id,
        is_session=int(instance.is_session),
        ends_off=int(instance.ends_off),
        launch=launching.written(instance.launch, instance.environment),
        ports=launching.written_ports(instance.ports),
        boot_timeout_s=instance.boot_timeout_s,
        logins_refused=instance.logins_refused,
        is_metered=int(instance.is_metered),
    )
    if instance.cluster_id is None:
        count(tx, instance.project, instance.status, 1)


@lru_cache(256)
def _update(columns: tuple[str, ...]) -> str:
    assignments = ", ".join(f"{column} = :{column}" for column in columns)
    return f"UPDATE instances SET {assignments} WHERE id = :id"


def update(tx: Tx, instance_id: str, **columns: object) -> None:
    """Writes the named columns."""
    tx.run(_update(tuple(columns)), id=instance_id, **columns)


def count(tx: Tx, project: str, status: Status, change: int) -> None:
    """Keeps the numbers that lists show: counting rows would cost more than reading a page."""
    tx.run(
        "INSERT INTO instance_counts (project_id, status, count) VALUES (:project, :status, :change)"
        " ON CONFLICT (project_id, status) DO UPDATE SET count = instance_counts.count + :change",
        project=project,
        status=status.value,
        change=change,
    )


def count_move(tx: Tx, instance: Instance, status: Status) -> None:
    """It goes to `status`; always in one order, so that two such moves never deadlock.

    Members of clusters are not in lists, and not counted.
    """
    if instance.cluster_id is not None:
        return
    for changed, change in sorted([(instance.status, -1), (status, 1)]):
        count(tx, instance.project, changed, change)


def total(tx: Tx, project: str, status: Status | None) -> int:
    """How many of one status, or of all but the deleted."""
    condition = "status <> 'deleted'" if status is None else "status = :status"
    row = tx.one(
        "SELECT CAST(COALESCE(SUM(count), 0) AS BIGINT) FROM instance_counts WHERE project_id = :project"
        f" AND {condition}",
        project=project,
        **({} if status is None else {"status": status.value}),
    )
    return 0 if row is None else row[0]


def find(tx: Tx, project: str, instance_id: str, *, lock: bool = False) -> Instance | None:
    row = tx.one(
        f"SELECT {_INSTANCE} FROM instances WHERE id = :id AND project_id = :project"
        + (tx.for_update if lock else ""),
        id=instance_id,
        project=project,
    )
    return None if row is None else _instance(row)


def find_active(tx: Tx, project: str, hostname: str) -> str | None:
    """The id of an instance with that hostname that somebody may be using."""
    row = tx.one(
        "SELECT id FROM instances WHERE project_id = :project AND hostname = :hostname"
        " AND status IN ('ordered', 'provisioning', 'running', 'offline') LIMIT 1",
        project=project,
        hostname=hostname,
    )
    return None if row is None else row[0]


def ssh_keys_in_use(tx: Tx, project: str, *, limit: int) -> list[tuple[str, ...]]:
    """The SSH keys of each of the newest instances that are not deleted."""
    rows = tx.all(
        "SELECT ssh_key_ids FROM instances WHERE project_id = :project AND status <> 'deleted'"
        " ORDER BY created_at DESC, id DESC LIMIT :limit",
        project=project,
        limit=limit,
    )
    return [_list(row[0]) for row in rows]


def find_any(tx: Tx, instance_id: str, *, lock: bool = True) -> Instance | None:
    """Whoever's it is: for loops only."""
    suffix = tx.for_update if lock else ""
    row = tx.one(f"SELECT {_INSTANCE} FROM instances WHERE id = :id" + suffix, id=instance_id)
    return None if row is None else _instance(row)


def page(
    tx: Tx, project: str, *, status: Status | None, after_row: After | None, limit: int
) -> list[Instance]:
    """Newest first."""
    return [_instance(row) for row in _page(tx, _INSTANCE, project, status, after_row, limit)]


def page_of_versions(
    tx: Tx, project: str, *, status: Status | None, after_row: After | None, limit: int
) -> list[Version]:
    """As `page`, without what cannot change."""
    return [Version._make(row) for row in _page(tx, _VERSION, project, status, after_row, limit)]


def _page(
    tx: Tx, columns: str, project: str, status: Status | None, after_row: After | None, limit: int
) -> list[Row]:
    conditions = [
        "project_id = :project",
        "cluster_id IS NULL",
        "status <> 'deleted'" if status is None else "status = :status",
    ]
    values: dict[str, object] = {"project": project, "limit": limit}
    if status is not None:
        values["status"] = status.value
    if after_row is not None:
        conditions.append("(created_at, id) < (:after_time, :after_id)")
        values |= {"after_time": after_row.time, "after_id": after_row.id}
    return tx.all(
        f"SELECT {columns} FROM instances WHERE {' AND '.join(conditions)}"
        " ORDER BY created_at DESC, id DESC LIMIT :limit",
        **values,
    )


def _listed(name: str, values: Collection[str]) -> tuple[str, dict[str, object]]:
    """What stands between the brackets of an IN, and its values: one statement for each number of them."""
    names: dict[str, object] = {f"{name}_{number}": value for number, value in enumerate(sorted(values))}
    return ", ".join(f":{key}" for key in names) or "NULL", names


def of_project(
    tx: Tx, project: str, *, statuses: Collection[Status], after_id: str, limit: int
) -> list[Instance]:
    """By id, which is the order they were ordered in."""
    listed, names = _listed("status", [status.value for status in statuses])
    rows = tx.all(
        f"SELECT {_INSTANCE} FROM instances WHERE project_id = :project AND id > :after"
        f" AND status IN ({listed}) ORDER BY id LIMIT :limit",
        project=project,
        after=after_id,
        limit=limit,
        **names,
    )
    return [_instance(row) for row in rows]


def of_clusters(tx: Tx, cluster_ids: Collection[str], *, lock: bool = False) -> list[Instance]:
    """Their members by id: in the order they were ordered in, and locked in the order that everybody locks them in."""
    listed, names = _listed("cluster", cluster_ids)
    suffix = tx.for_update if lock else ""
    rows = tx.all(
        f"SELECT {_INSTANCE} FROM instances WHERE cluster_id IN ({listed}) ORDER BY id{suffix}", **names
    )
    return [_instance(row) for row in rows]


def of_ids(tx: Tx, instance_ids: Collection[str]) -> list[Instance]:
    listed, names = _listed("instance", instance_ids)
    return [
        _instance(row) for row in tx.all(f"SELECT {_INSTANCE} FROM instances WHERE id IN ({listed})", **names)
    ]


def rehouse(tx: Tx, instance: Instance) -> None:
    """Writes what changes with the type and the price alone: the rest is written with every step."""
    update(
        tx,
        instance.id,
        instance_type=instance.instance_type,
        location=instance.location,
        image=instance.image,
        image_id=instance.image_id,
        image_slug=instance.image_slug,
        os_name=instance.os_name,
        specs=_specs_text(instance.specs),
        price_micros_per_hour=instance.price,
        is_spot=int(instance.is_spot),
        launch=launching.written(instance.launch, instance.environment),
    )


def lease_due(tx: Tx, *, limit: int, seconds: int, providers: Collection[str]) -> list[Instance]:
    """Takes what is due and nobody works on. A holder that dies leaves its rows due again when the lease ends."""
    until = after(tx.now, seconds=seconds)
    listed, names = _listed("provider", providers)
    rows = tx.all(
        # Materialized: PostgreSQL may otherwise run a locking subselect more than once, past its limit.
        "WITH due AS MATERIALIZED (SELECT id FROM instances WHERE due_at <= :now AND lease_expires_at <= :now"
        f" AND provider IN ({listed}) ORDER BY due_at LIMIT :limit{tx.skip_locked})"
        " UPDATE instances SET lease_token = lease_token + 1, lease_expires_at = :until, due_at = :until,"
        f" attempt = attempt + 1 WHERE id IN (SELECT id FROM due) RETURNING {_INSTANCE}",
        now=tx.now,
        until=until,
        limit=limit,
        **names,
    )
    return [_instance(row) for row in rows]


def renew_lease(tx: Tx, id_: str, token: int, *, until: Instant) -> bool:
    return leases.renew_row(tx, "instances", id_, token, until=until)


def give_back(tx: Tx, id_: str, token: int) -> None:
    leases.give_back_row(tx, "instances", id_, token)


def release_leases(tx: Tx) -> None:
    tx.run(
        "UPDATE instances SET lease_expires_at = 0, lease_token = lease_token + 1, due_at = :now"
        " WHERE due_at IS NOT NULL AND lease_expires_at > :now",
        now=tx.now,
    )


def next_due(tx: Tx, *, providers: Collection[str]) -> Instant | None:
    """When somebody can take a row next: one that is held is not due before its lease ends."""
    listed, names = _listed("provider", providers)
    row = tx.one(
        "SELECT due_at FROM instances WHERE due_at IS NOT NULL AND lease_expires_at <= :now"
        f" AND provider IN ({listed}) ORDER BY due_at LIMIT 1",
        now=tx.now,
        **names,
    )
    if row is None or row[0] > tx.now:
        row = tx.one(
            "SELECT MIN(CASE WHEN lease_expires_at > due_at THEN lease_expires_at ELSE due_at END)"
            f" FROM instances WHERE due_at IS NOT NULL AND provider IN ({listed})",
            **names,
        )
    return None if row is None or row[0] is None else Instant(row[0])


def at_provider(tx: Tx, provider: str, *, after_id: str, limit: int) -> list[Instance]:
    """Instances that exist, or may exist, at `provider`, by id."""
    rows = tx.all(
        f"SELECT {_INSTANCE} FROM instances WHERE provider = :provider AND id > :after AND status <> 'deleted'"
        " AND (handle IS NOT NULL OR create_sent_at IS NOT NULL) ORDER BY id LIMIT :limit",
        provider=provider,
        after=after_id,
        limit=limit,
    )
    return [_instance(row) for row in rows]


def mark_listed(tx: Tx, provider: str) -> Instant | None:
    """Notes a complete listing now; returns when the one before was."""
    row = tx.one("SELECT listed_at FROM providers WHERE name = :name" + tx.for_update, name=provider)
    tx.run(
        "INSERT INTO providers (name, listed_at) VALUES (:name, :now)"
        " ON CONFLICT (name) DO UPDATE SET listed_at = excluded.listed_at",
        name=provider,
        now=tx.now,
    )
    return None if row is None or row[0] is None else Instant(row[0])

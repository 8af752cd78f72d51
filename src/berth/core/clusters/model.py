"""A cluster: one row, and the instances that are its members."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from berth.base.clock import Instant
from berth.base.money import Micros
from berth.core.instances import Contract, Extension, Instance
from berth.core.volumes import Volume


class Status(StrEnum):
    """What follows from its members: see `states.follow`."""

    PROVISIONING = "provisioning"
    RUNNING = "running"
    OFFLINE = "offline"
    ERROR = "error"
    NO_CAPACITY = "no_capacity"
    DELETING = "deleting"
    DISCONTINUED = "discontinued"


class Wanted(StrEnum):
    RUNNING = "running"
    DISCONTINUED = "discontinued"


@dataclass(frozen=True, slots=True)
class SharedVolume:
    """The volume that is made for a cluster, and mounted as `/home` by all its members."""

    name: str
    size_gb: int


@dataclass(frozen=True, slots=True)
class ClusterSpec:
    """What a customer asks for."""

    cluster_type: str
    image: str
    """A cluster image, by id or slug."""
    hostname: str
    """Of the host that the workers are reached from; theirs are the same with `-1`, `-2` and so on."""
    location: str
    ssh_key_ids: Sequence[str]
    shared_volume: SharedVolume
    description: str = ""
    existing_volumes: Sequence[str] = ()
    """Shared volumes, which all members have besides."""
    startup_script: str | None = None
    """Every member runs it at its first boot."""
    startup_script_id: str | None = None
    contract: Contract = Contract.PAY_AS_YOU_GO
    long_term_period: str | None = None
    extension: Extension = Extension.AUTO_RENEW


@dataclass(frozen=True, slots=True)
class Cluster:
    id: str
    project: str
    created_by: str
    hostname: str
    description: str
    cluster_type: str
    location: str
    provider: str
    image: str
    """As the customer named it."""
    image_id: str
    os_name: str
    ssh_key_ids: Sequence[str]
    startup_script_id: str | None
    contract: Contract
    """As it was ordered; each worker's own says what it is now."""
    jump_host_id: str
    volume_ids: Sequence[str]
    """The volumes of all its members, the one that is their home first."""
    status: Status
    wanted: Wanted
    status_reason: str | None
    status_changed_at: Instant
    created_at: Instant
    updated_at: Instant
    first_running_at: Instant | None
    """Since when it was whole for the first time: before that it costs nothing."""
    discontinued_at: Instant | None
    sequence: int


@dataclass(frozen=True, slots=True)
class View:
    """A cluster with all that belongs to it; what a customer is shown."""

    cluster: Cluster
    jump_host: Instance
    workers: Sequence[Instance]
    volumes: Sequence[Volume]
    """The one mounted as `/home` first."""

    @property
    def price(self) -> Micros:
        """Per hour, of all members."""
        return Micros(self.jump_host.price + sum(worker.price for worker in self.workers))

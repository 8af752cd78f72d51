"""Clusters on the wire, member for member."""

from decimal import Decimal
from typing import Annotated, Literal

from msgspec import Meta, Struct

from berth.faces.verda.catalogue.wire import Text
from berth.faces.verda.wire import Cpu, Currency, Gpu, Id, Ids, Memory, NewTags, Size, Status, Tag

Extension = Literal["auto_renew", "pay_as_you_go", "end_contract"]
ClusterContract = Literal["LONG_TERM", "PAY_AS_YOU_GO"]


class ClusterAvailabilityQuery(Struct, kw_only=True):
    location_code: Text | None = None


class ClustersQuery(Struct, kw_only=True):
    status: Status | None = None
    """Without it, all that are not discontinued."""


class ClusterType(Struct, kw_only=True):
    id: str
    model: str
    name: str
    cluster_type: str
    cpu: Cpu
    gpu: Gpu
    gpu_memory: Memory
    memory: Memory
    price_per_hour: str
    """For all of it."""
    currency: Currency
    manufacturer: str
    node_details: list[dict[str, str]]
    """Each of one member."""
    supported_os: list[str]


class NewSharedVolume(Struct, kw_only=True):
    name: str
    size: Size


class ExistingVolume(Struct, kw_only=True):
    id: Id


class DeployClusterRequest(Struct, kw_only=True):
    cluster_type: Text
    image: Text
    hostname: str
    description: str
    location_code: Text
    shared_volume: NewSharedVolume
    """Mounted as /home by every node."""
    ssh_key_ids: Ids | None = None
    startup_script_id: Id | None = None
    contract: ClusterContract | None = None
    existing_volumes: Annotated[list[ExistingVolume], Meta(max_length=64)] | None = None
    long_term_period: Text | None = None
    """With LONG_TERM, the code of a period; without it the shortest."""
    extension_settings: Extension | None = None
    """With LONG_TERM, what follows at its end. It counts before the next three, which are deprecated."""
    auto_rental_extension: bool | None = None
    auto_rent_extension: bool | None = None
    turn_to_pay_as_you_go: bool | None = None
    tags: NewTags | None = None


class DeployedCluster(Struct, kw_only=True):
    id: str


class ClusterAction(Struct, kw_only=True):
    id: Id
    action: Literal["discontinue"]


class ClusterActionsRequest(Struct, kw_only=True):
    """With `actions`, or with the members of one."""

    actions: Annotated[list[ClusterAction], Meta(max_length=100)] | None = None
    id: Id | None = None
    action: Literal["discontinue"] | None = None


class WorkerNode(Struct, kw_only=True):
    id: str
    hostname: str
    public_ip: str | None
    private_ip: str
    """Empty while there is none: one client wants text."""
    ssh_port: int | None
    """At its public address."""
    status: Status


class ClusterVolume(Struct, kw_only=True):
    id: str
    name: str
    mount_point: str
    size_in_gigabytes: int


class Cluster(Struct, kw_only=True):
    id: str
    ip: str | None
    """Of the host that the workers are reached from."""
    ssh_port: int | None
    """Where it differs from 22, the address alone does not lead to it."""
    ssh_user: str
    status: Status
    created_at: str
    cpu: Cpu
    gpu: Gpu
    gpu_memory: Memory
    memory: Memory
    hostname: str
    description: str
    location: str
    price_per_hour: Decimal
    """For all of it."""
    cluster_type: str
    image: str
    """As it was sent."""
    os_name: str
    startup_script_id: str | None
    ssh_key_ids: list[str]
    contract: ClusterContract
    extension_settings: Extension | None
    auto_rental_extension: bool | None
    turn_to_pay_as_you_go: bool | None
    long_term_period: str | None
    worker_nodes: list[WorkerNode]
    shared_volumes: list[ClusterVolume]
    """The one mounted as /home first."""
    tags: list[Tag]

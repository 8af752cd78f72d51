"""Deployments on the wire, member for member."""

from decimal import Decimal
from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from berth.faces.huddle.wire import Id, Limit, Name, Status

Action = Literal["start", "stop", "restart", "delete"]
Fate = Literal["detach", "trash", "purge"]
Ids = Annotated[tuple[Id, ...], Meta(max_length=64)]
Doomed = Ids | Literal["all"] | None


class DeploymentsQuery(Struct, kw_only=True):
    status: Status | None = None
    cursor: str | None = None
    limit: Limit = 20


class EventsQuery(Struct, kw_only=True):
    after: Annotated[int, Meta(ge=0, le=2**62)] = 0
    limit: Limit = 100


class OsVolumeRequest(Struct, kw_only=True):
    name: str = "boot"
    size: int | None = None


class AutoDelete(Struct, kw_only=True):
    """What ends a deployment by itself: whichever comes first."""

    at: str | None = None
    max_spend_usd: Decimal | None = None
    """Of its own bill, in all."""
    idle_minutes: int | None = None
    """How long it may do nothing."""


class DeployedVolume(Struct, kw_only=True):
    """A data volume to be made with the deployment, where that is."""

    name: str
    size: int
    type: Name = "NVMe"
    on_deployment_delete: Fate = "detach"


class DeployRequest(Struct, kw_only=True):
    cluster_type: Name
    image: Name
    hostname: str
    ssh_key_ids: list[Id]
    location: Name
    description: str | None = None
    os_volume: OsVolumeRequest | None = None
    volumes: Annotated[list[DeployedVolume], Meta(max_length=64)] | None = None
    existing_volumes: Ids | None = None
    auto_delete: AutoDelete | None = None


class ActionRequest(Struct, kw_only=True):
    action: Literal["start", "stop", "restart", "reboot", "delete"]
    keep_reserved: bool = False
    """With stop: the hardware stays yours, and is charged."""
    delete_volumes: Doomed = ()
    """With delete: the data volumes that go to the trash with it, or `all`; the others are kept."""


class DeleteDeploymentQuery(Struct, kw_only=True):
    delete_volumes: str | None = None
    """`all`, or ids with commas between them."""


class DeleteDeploymentRequest(Struct, kw_only=True):
    delete_volumes: Doomed = ()


class KeptVolume(Struct, kw_only=True):
    """A data volume that goes on costing while the deployment is off, or deleted."""

    id: str
    name: str
    size: int
    type: str
    hourly_cost: Decimal


class Specs(Struct, kw_only=True):
    gpu_model: str | None
    gpu_count: int
    gpu_vram_gb: int
    total_vram_gb: int
    vcpu_count: int
    ram_gb: int
    storage_gb: int
    price_per_hr: Decimal
    currency: Literal["USD"] = "USD"


class OsVolume(Struct, kw_only=True):
    name: str
    size: int


class Billing(Struct, kw_only=True):
    """What a deployment costs. Lists leave out what changes by the second."""

    started_at: str | None
    price_per_hr: Decimal
    billed_seconds: int | UnsetType = UNSET
    charged_usd: Decimal | UnsetType = UNSET
    accrued_usd: Decimal | UnsetType = UNSET
    total_usd: Decimal | UnsetType = UNSET
    charging: bool
    """Whether the clock runs now."""
    charging_reason: Literal["hardware_reserved"] | None
    """Why it runs while the deployment is offline."""


class Deployment(Struct, kw_only=True):
    id: str
    provider_id: str | None
    hostname: str
    cluster_type: str
    image: str
    image_id: str
    os_name: str
    location: str
    status: Status
    status_reason: str | None
    status_changed_at: str
    ssh_user: str
    ssh_key_ids: list[str]
    ip: str | None
    ssh_port: int | None
    ssh_command: str | None
    specs: Specs
    volumes: list[str]
    """Ids of its data volumes."""
    volumes_kept: list[KeptVolume] | UnsetType = UNSET
    """In the answers to stop and delete: what still costs."""
    os_volume: OsVolume
    description: str
    resource_type: Literal["cluster"] = "cluster"
    billing: Billing
    actions: list[Action]
    pending_action: Action | None
    auto_delete: AutoDelete | None
    expires_at: str | None
    """When it ends by itself, as far as that is known."""
    ip_may_change: bool
    """A start after a stop may find another address."""
    is_simulated: bool
    created_at: str
    updated_at: str


class Event(Struct, kw_only=True):
    id: str
    type: str
    sequence: int
    deployment_id: str
    status: str | None
    previous_status: str | None
    reason: str | None
    stops_at: str | UnsetType = UNSET
    """When it ends, in an announcement of that."""
    evicts_at: str | UnsetType = UNSET
    """When its provider takes it away, in a notice of that."""
    created_at: str

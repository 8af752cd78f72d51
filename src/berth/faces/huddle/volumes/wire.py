"""Volumes and volume types on the wire, member for member."""

from decimal import Decimal
from typing import Annotated, Literal

from msgspec import Meta, Struct, field

from berth.faces.huddle.wire import Id, Limit, Name

VolumeStatus = Literal["ordered", "attaching", "attached", "detached", "deleted"]
Fate = Literal["detach", "trash", "purge"]
Ids = Annotated[list[Id], Meta(max_length=64)]


class VolumesQuery(Struct, kw_only=True):
    status: VolumeStatus | None = None
    location: Name | None = None
    type: Name | None = None
    attached: bool | None = None
    deployment_id: Id | None = None
    cursor: str | None = None
    limit: Limit = 20


class VolumeRequest(Struct, kw_only=True):
    name: str
    size: int
    type: Name
    location: Name
    instance_id: Id | None = None
    instance_ids: Ids | None = None
    deployment_id: Id | None = None
    on_deployment_delete: Fate = "detach"


class VolumeActionRequest(Struct, kw_only=True):
    action: Literal["attach", "detach", "resize", "rename", "restore", "delete", "purge"]
    deployment_id: Id | None = None
    instance_id: Id | None = None
    size: int | None = None
    name: str | None = None


class DeleteVolumeQuery(Struct, kw_only=True):
    permanent: bool = False


class DeleteVolumeRequest(Struct, kw_only=True):
    is_permanent: bool = False


class Mount(Struct, kw_only=True):
    """Where the volume appears in the deployment."""

    device: str | None
    path: str
    fstab: str | None


class Volume(Struct, kw_only=True):
    id: str
    name: str
    size: int
    type: str
    location: str
    status: VolumeStatus
    pending_action: Literal["attach", "detach", "resize", "delete", "purge"] | None
    status_reason: str | None
    is_os_volume: bool
    instance_id: str | None
    instance_ids: list[str]
    deployment_id: str | None
    contract: Literal["hourly"] = "hourly"
    hourly_cost: Decimal = field(name="base_hourly_cost")
    monthly_price: Decimal
    currency: Literal["USD"] = "USD"
    mount: Mount | None
    on_deployment_delete: Fate
    actions: list[str]
    deleted_at: str | None
    purge_at: str | None
    is_permanently_deleted: bool
    created_at: str
    updated_at: str


class VolumePrice(Struct, kw_only=True):
    price_per_month_per_gb: Decimal
    cps_per_gb: Decimal
    currency: Literal["usd"] = "usd"


class VolumeType(Struct, kw_only=True):
    type: str
    price: VolumePrice
    is_shared_fs: bool
    burst_bandwidth: int
    continuous_bandwidth: int
    internal_network_speed: int
    iops: str
    throughput_gbps: int
    min_size_gb: int
    max_size_gb: int
    locations: list[str]
    attachable_hot: bool
    max_attachments: int

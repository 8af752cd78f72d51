"""Volumes on the wire, member for member: those that live, and those that were deleted, which say when."""

from decimal import Decimal
from typing import Annotated, Literal

from msgspec import Meta, Struct, field

from berth.faces.verda.catalogue.wire import Text, VolumeTypeName
from berth.faces.verda.wire import Currency, Id, Ids, NewTags, Size, Status, Tag

VolumeStatus = Literal[
    "ordered",
    "attached",
    "attaching",
    "detached",
    "deleted",
    "cloning",
    "detaching",
    "deleting",
    "restoring",
    "created",
    "exported",
    "canceled",
    "canceling",
]
VolumeAction = Literal[
    "attach",
    "detach",
    "delete",
    "rename",
    "resize",
    "restore",
    "clone",
    "cancel",
    "create",
    "export",
    "transfer",
]
InstanceIds = Annotated[list[Id], Meta(max_length=100)]


class VolumesQuery(Struct, kw_only=True):
    status: VolumeStatus | None = None
    """Without it, all that are not deleted."""


class NewVolumeRequest(Struct, kw_only=True):
    type: VolumeTypeName
    name: str
    size: Size
    location_code: Text
    instance_id: Id | None = None
    instance_ids: InstanceIds | None = None
    tags: NewTags | None = None


class VolumeActionRequest(Struct, kw_only=True):
    action: VolumeAction
    id: Ids
    size: Size | None = None
    instance_id: Id | None = None
    instance_ids: InstanceIds | None = None
    name: str | None = None
    type: Text | None = None
    is_permanent: bool | None = None
    location_code: Text | None = None


class DeleteVolumeRequest(Struct, kw_only=True):
    is_permanent: bool | None = None


class Host(Struct, kw_only=True):
    """An instance that has a volume."""

    id: str
    auto_rental_extension: bool | None
    ip: str | None
    instance_type: str
    status: Status
    os_volume_id: str | None
    hostname: str


class LongTerm(Struct, kw_only=True):
    end_date: str
    long_term_period: str
    discount_percentage: int
    auto_rental_extension: bool
    next_period_price: Decimal
    current_period_price: Decimal


class _Volume(Struct, kw_only=True):
    id: str
    instance_id: str | None
    instances: list[Host]
    name: str
    created_at: str
    status: VolumeStatus
    size: int
    is_os_volume: bool
    target: str | None
    type: str
    location: str
    ssh_key_ids: list[str]
    contract: str
    hourly_cost: Decimal = field(name="base_hourly_cost")
    monthly_price: Decimal
    currency: Currency = "usd"
    tags: list[Tag]


class Volume(_Volume, kw_only=True):
    pseudo_path: str | None
    create_directory_command: str | None
    mount_command: str | None
    filesystem_to_fstab_command: str | None
    long_term: LongTerm | None


class DeletedVolume(_Volume, kw_only=True):
    deleted_at: str
    is_permanently_deleted: bool

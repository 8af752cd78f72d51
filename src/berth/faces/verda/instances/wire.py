"""Instances on the wire, member for member."""

from decimal import Decimal
from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from berth.faces.verda.catalogue.wire import Text, VolumeTypeName
from berth.faces.verda.wire import Cpu, Gpu, Id, Ids, Memory, NewTags, Size, Status, Storage, Tag

Contract = Literal["LONG_TERM", "PAY_AS_YOU_GO", "SPOT"]
Pricing = Literal["DYNAMIC_PRICE", "FIXED_PRICE"]
OnSpotDiscontinue = Literal["keep_detached", "move_to_trash", "delete_permanently"]
Action = Literal[
    "boot",
    "start",
    "shutdown",
    "delete",
    "discontinue",
    "hibernate",
    "configure_spot",
    "force_shutdown",
    "delete_stuck",
    "deploy",
    "transfer",
]


class InstancesQuery(Struct, kw_only=True):
    status: Status | None = None
    """Without it, all that are not discontinued."""


class NewOsVolume(Struct, kw_only=True):
    name: str
    size: Size
    on_spot_discontinue: OnSpotDiscontinue | None = None


class NewDataVolume(Struct, kw_only=True):
    name: str
    size: Size
    type: VolumeTypeName
    on_spot_discontinue: OnSpotDiscontinue | None = None


class DeployRequest(Struct, kw_only=True):
    instance_type: Text
    image: Text
    """Of an operating system its `image_type` or id, or the id of a detached OS volume to boot from."""
    hostname: str
    description: str
    location_code: Text
    ssh_key_ids: Ids | None = None
    startup_script_id: Id | None = None
    os_volume: NewOsVolume | None = None
    volumes: Annotated[list[NewDataVolume], Meta(max_length=64)] | None = None
    existing_volumes: Ids | None = None
    is_spot: bool | None = None
    contract: Contract | None = None
    long_term_period: Text | None = None
    """With LONG_TERM, the code of a period; without it the shortest."""
    extension_settings: Literal["auto_renew", "pay_as_you_go", "end_contract"] | None = None
    """With LONG_TERM, what follows at its end."""
    coupon: Text | None = None
    """None is known here: whatever is sent changes nothing."""
    pricing: Pricing | None = None
    """Prices are fixed, whatever is sent."""
    tags: NewTags | None = None


class InstanceActionRequest(Struct, kw_only=True):
    action: Action
    id: Ids
    volume_ids: Ids | None = None
    """With delete: the volumes to be deleted as well; without it the OS volume, and with none of them none."""
    delete_permanently: bool | None = None
    """Whether those named in `volume_ids` are gone at once."""


class InstanceActionResult(Struct, kw_only=True):
    instanceId: str  # noqa: N815 - as it is sent
    action: Action
    status: Literal["success", "error"]
    error: str | UnsetType = UNSET
    statusCode: int | UnsetType = UNSET  # noqa: N815 - as it is sent


class Instance(Struct, kw_only=True):
    id: str
    ip: str | None
    status: Status
    created_at: str
    cpu: Cpu
    gpu: Gpu
    gpu_memory: Memory
    memory: Memory
    storage: Storage
    ssh_port: int | None
    """Where it differs from 22, the address alone does not lead to it."""
    ssh_user: str
    hostname: str
    description: str
    location: str
    price_per_hour: Decimal
    is_spot: bool
    instance_type: str
    image: str
    """As it was sent."""
    os_name: str
    startup_script_id: str | None
    ssh_key_ids: list[str]
    os_volume_id: str | None
    jupyter_token: str | None
    contract: Contract
    pricing: Pricing
    volume_ids: list[str]
    """The OS volume among them."""
    tags: list[Tag]

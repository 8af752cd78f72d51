"""The waitlist on the wire, member for member."""

from decimal import Decimal
from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from berth.faces.huddle.deployments.wire import AutoDelete, DeployedVolume, OsVolume
from berth.faces.huddle.wire import Name

Place = Annotated[str, Meta(pattern=r"^[A-Za-z0-9._:+-]{0,128}$")]
"""A location; nothing, or null: any."""

Status = Literal["waiting", "notified", "deploying", "fulfilled", "failed", "cancelled", "expired"]

BlockedReason = Literal[
    "insufficient_credits",
    "image_unavailable",
    "ssh_key_missing",
    "price_above_max",
    "quota",
    "account_suspended",
]


class EntriesQuery(Struct, kw_only=True):
    status: Status | None = None


class JoinRequest(Struct, kw_only=True):
    cluster_type: Name
    location: Place | None = None
    auto_deploy: bool = False
    config: dict[str, Any] | None = None
    """With auto_deploy: what a deploy takes. cluster_type and location default to the entry's own."""
    max_price_per_hr: Decimal | None = None
    expires_at: str | None = None


class ChangeRequest(Struct, kw_only=True):
    """Members that are absent stay as they are."""

    cluster_type: Name | UnsetType = UNSET
    location: Place | UnsetType | None = UNSET
    auto_deploy: bool | UnsetType = UNSET
    config: dict[str, Any] | UnsetType | None = UNSET
    max_price_per_hr: Decimal | UnsetType | None = UNSET
    expires_at: str | UnsetType | None = UNSET


class Config(Struct, kw_only=True):
    hostname: str
    image: str
    ssh_key_ids: list[str]
    location: str | None
    description: str
    os_volume: OsVolume | None
    volumes: list[DeployedVolume]
    existing_volumes: list[str]
    auto_delete: AutoDelete | None


class Entry(Struct, kw_only=True):
    id: str
    cluster_type: str
    location: str | None
    status: Status
    auto_deploy: bool
    config: Config | None
    max_price_per_hr: Decimal | None
    position: int | None
    ahead: int | None
    blocked_reason: BlockedReason | None
    notified_count: int
    notified_at: str | None
    claim_expires_at: str | None
    deployment_id: str | None
    attempts: int
    last_error: str | None
    expires_at: str
    created_at: str
    updated_at: str

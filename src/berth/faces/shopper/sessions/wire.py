"""Sessions on the wire, member for member. Members that are `UNSET` are left out."""

from decimal import Decimal
from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

Status = Literal["pending", "provisioning", "running", "stopping", "stopped", "failed"]
_LONG = 2**31 - 1
_Number = Annotated[int, Meta(ge=-_LONG, le=_LONG)]
"""What lies outside what a member may be is said by core, together with all else that is wrong."""


class CreateRequest(Struct, kw_only=True):
    """What is missing is told by core, all of it at once: that is why nothing is required here."""

    consumer_id: str | None = None
    """Required."""
    offer_id: str | None = None
    """Required."""
    workload_type: str | None = None
    """Required."""
    reservation_hours: _Number | None = None
    """Required: 1 to 12."""
    idle_threshold_minutes: _Number | None = None
    """0: it does not end when it is idle."""
    storage_policy: str | None = None
    """`preserve`; anything else means `destroy`."""
    launch_mode: str | None = None
    """`entrypoint`; anything else means `ssh`."""
    docker_image: str | None = None
    model_id: str | None = None
    exposed_ports: list[_Number] | None = None
    """Its own server is asked at the first whether it runs; at 8000 where there is none."""
    quantization: str | None = None
    disk_gb: _Number | None = None
    """0: as much as is recommended."""
    template_hash_id: str | None = None
    auto_retry: bool | None = None
    max_retries: _Number | None = None
    retry_scope: str | None = None
    on_start_cmd: str | None = None
    ssh_timeout_minutes: _Number | None = None
    """1 to 30; 0: by image."""


class ExtendRequest(Struct, kw_only=True):
    additional_hours: _Number | None = None
    """Required: 1 to 12."""


class HeartbeatRequest(Struct, kw_only=True):
    agent_token: str
    idle_seconds: Annotated[int, Meta(ge=0, le=_LONG)] = 0


class SessionsQuery(Struct, kw_only=True):
    consumer_id: str = ""
    status: Status | None = None
    provider: str = ""
    limit: Annotated[int, Meta(ge=1)] | None = None


class Session(Struct, kw_only=True):
    id: str
    consumer_id: str
    provider: str
    gpu_type: str
    gpu_count: int
    status: Status
    error: str | UnsetType = UNSET
    ssh_host: str | UnsetType = UNSET
    ssh_port: int | UnsetType = UNSET
    ssh_user: str | UnsetType = UNSET
    launch_mode: str | UnsetType = UNSET
    api_endpoint: str | UnsetType = UNSET
    api_port: int | UnsetType = UNSET
    model_id: str | UnsetType = UNSET
    template_hash_id: str | UnsetType = UNSET
    template_name: str | UnsetType = UNSET
    workload_type: str
    reservation_hours: int
    price_per_hour: Decimal
    disk_gb: int | UnsetType = UNSET
    created_at: str
    expires_at: str
    auto_retry: bool | UnsetType = UNSET
    retry_count: int | UnsetType = UNSET
    failed_offers: str | UnsetType = UNSET
    """Offer ids, with commas between them."""


class Sessions(Struct, kw_only=True):
    sessions: list[Session]
    count: int


class Created(Struct, kw_only=True):
    """The key and the token are told in the first answer and nowhere else; a replay has a `note` instead."""

    session: Session
    ssh_private_key: str | UnsetType = UNSET
    agent_token: str | UnsetType = UNSET
    """What a program in the session sends with its heartbeats."""
    retries_attempted: int | UnsetType = UNSET
    note: str | UnsetType = UNSET


class Told(Struct, kw_only=True):
    message: str
    session_id: str


class Extended(Told, kw_only=True):
    new_expires_at: str


class Heard(Told, kw_only=True):
    status: Status
    expires_at: str


class Heartbeat(Struct, kw_only=True):
    received_at: str
    idle_seconds: int


class Use(Struct, kw_only=True):
    """What was seen last; null where nobody can say."""

    sampled_at: str
    gpu_percent: int | None
    cpu_percent: int | None
    disk_free_gb: int | None


class Diagnostics(Struct, kw_only=True):
    session_id: str
    status: Status
    provider: str
    gpu_type: str
    gpu_count: int
    ssh_host: str
    ssh_port: int
    ssh_user: str
    launch_mode: str
    api_endpoint: str
    created_at: str
    expires_at: str
    uptime: str
    time_to_expiry: str
    ssh_available: bool
    note: str
    idle_threshold_minutes: int
    """0: it does not end when it is idle."""
    idle_since: str | None
    """Since when nothing was seen to happen."""
    last_heartbeat: Heartbeat | None
    last_use: Use | None

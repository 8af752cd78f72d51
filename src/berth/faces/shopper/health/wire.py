"""Health on the wire."""

from typing import Literal

from msgspec import Struct


class Services(Struct, kw_only=True):
    lifecycle: Literal["running", "stopped"]
    inventory: Literal["ok"]
    ready: Literal["true", "false"]
    """Text, as clients of this API know it."""


class Health(Struct, kw_only=True):
    status: Literal["ok", "unavailable"]
    timestamp: str
    services: Services


class Ready(Struct, kw_only=True):
    ready: bool
    timestamp: str

"""What an operator decides about the sandbox; read from settings by the parts list and passed in."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from berth.core.driver import Place

THIS_HOST = Place(code="LOCAL-01", name="This host", country_code="ZZ")


@dataclass(frozen=True, slots=True)
class SandboxConfig:
    """One sandbox provider. `state_dir` belongs to it alone and must not lie on an overlay file system."""

    state_dir: Path
    install_id: str
    simulate: bool = False
    """Offer a pretended catalogue of GPU types instead of what this host has."""
    listen_host: str = "127.0.0.1"
    advertise_ip: str | None = None
    """The address that customers are told, where it differs from `listen_host`."""
    first_port: int = 22000
    last_port: int = 22999
    network: Literal["none", "host"] = "none"
    """`host` lets instances reach this host's loopback, the control plane and each other."""
    location: Place = THIS_HOST
    volume_medium: Literal["NVMe", "HDD"] = "NVMe"
    """What the disk below `state_dir` is sold as."""
    volume_micros_per_gb_month: int = 200_000
    stop_grace_s: float = 3.0
    """How long programs in an instance have between SIGTERM and SIGKILL."""

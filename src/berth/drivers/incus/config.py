"""What an operator decides about own hosts; read from settings by the parts list and passed in."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from berth.core.driver import Place

ALL_HOSTS = Place("HOSTS-01", "Own hosts", "ZZ")
"""Where members are that no location names, when there are no locations at all."""


@dataclass(frozen=True, slots=True)
class TypeSold:
    """A line of the price list."""

    name: str
    vcpu_count: int
    ram_gb: int
    price_micros_per_hour: int
    gpu_model: str | None = None
    gpu_count: int = 0
    gpu_vram_gb: int = 0
    gpu_matches: str = ""
    """Words that the card's product or model has; empty: those of `gpu_model`."""
    gpu_name: str = ""
    disk_gb: int = 0
    description: str = ""
    spot_price_micros_per_hour: int | None = None
    is_virtual_machine: bool = False
    boot_timeout_s: int = 300


@dataclass(frozen=True, slots=True)
class Location:
    place: Place
    members: frozenset[str]


@dataclass(frozen=True, slots=True)
class ImageSold:
    """An image of the cluster, as customers order it."""

    alias: str
    """Its alias at the cluster."""
    name: str
    os_name: str
    os_version: str | None = None
    category: str = "linux"
    ssh_user: str = "root"
    is_default: bool = False
    min_disk_gb: int = 10
    cuda_version: str | None = None
    has_docker: bool = False
    gpu_models: Sequence[str] | None = None


@dataclass(frozen=True, slots=True)
class IncusConfig:
    """One server or cluster. With `addresses` it is reached over HTTPS, else through `socket`."""

    types: Sequence[TypeSold]
    images: Sequence[ImageSold]
    locations: Sequence[Location] = ()
    socket: Path = Path("/var/lib/incus/unix.socket")
    addresses: Sequence[str] = ()
    """Of several members, `https://…:8443` each: any serves the whole API."""
    certificate: Path | None = None
    """Ours, which the cluster trusts; PEM."""
    key: Path | None = None
    """Of `certificate`; PEM."""
    server_fingerprint: str = ""
    """SHA-256 of the cluster's certificate, as hexadecimal digits: the name in it proves nothing."""
    project: str = "default"
    pool: str = "default"
    public_addresses: Mapping[str, str] = field(default_factory=dict)
    """What customers connect to, by member, where that is not its own address."""
    ssh: Literal["proxy", "address"] = "proxy"
    """`proxy`: a port of the member; `address`: the instance's own address, port 22."""
    first_port: int = 20_000
    last_port: int = 29_999
    volume_type: str = "NVMe"
    volume_micros_per_gb_month: int = 200_000
    reserved_ram_gb: int = 2
    """What each member keeps for itself."""
    nvidia_runtime: bool = True
    """Whether containers with GPUs get the host's NVIDIA libraries."""
    timeout_s: float = 20.0
    """For one request."""
    operation_s: float = 50.0
    """For what a request set going."""

    def location_of(self, member: str) -> Place | None:
        """Where a member is; None for one that is not sold."""
        if not self.locations:
            return ALL_HOSTS
        return next((each.place for each in self.locations if member in each.members), None)

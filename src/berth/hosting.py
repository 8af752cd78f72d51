"""The settings of own hosts, and what the driver makes of them."""

from pathlib import Path
from typing import Annotated, Literal

import msgspec

from berth.base import money
from berth.core.driver import Place
from berth.drivers.incus import ImageSold, IncusConfig, Location, TypeSold

Port = Annotated[int, msgspec.Meta(ge=1, le=65535)]
Count = Annotated[int, msgspec.Meta(ge=1, le=100_000)]


class IncusType(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A line of the price list of own hosts."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=64, pattern=r"\A[A-Za-z0-9._-]+\Z")]
    """What it is sold as, such as `1H100.80S.30V`."""
    vcpu_count: Count
    """Processors."""
    ram_gb: Count
    """Memory."""
    usd_per_hour: str
    """Price of an hour, in dollars."""
    gpu_model: str | None = None
    """Such as `H100`; none for a type without GPUs."""
    gpu_count: Annotated[int, msgspec.Meta(ge=0, le=64)] = 0
    """Cards of an instance."""
    gpu_vram_gb: Annotated[int, msgspec.Meta(ge=0, le=100_000)] = 0
    """Memory of one card."""
    gpu_matches: str = ""
    """Words that the card's name has, where those of `gpu_model` fit others too, such as `A100 SXM4 80GB`."""
    gpu_name: str = ""
    """One card as price trackers write it, such as `H100 SXM5 80GB`."""
    disk_gb: Annotated[int, msgspec.Meta(ge=0, le=100_000)] = 0
    """What is shown as its storage."""
    description: str = ""
    """For customers."""
    spot_usd_per_hour: str | None = None
    """Price of one that may be taken away; none: cost plus margin, which is none are sold."""
    is_virtual_machine: bool = False
    """Whether it is a virtual machine, where KVM is real, of an image with cloud-init; else a container."""
    boot_timeout_s: Annotated[int, msgspec.Meta(ge=10, le=7200)] = 300
    """Seconds from its creation to a reachable SSH server."""


class IncusLocation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where members of the cluster are."""

    code: Annotated[str, msgspec.Meta(min_length=1, max_length=32, pattern=r"\A[A-Z0-9-]+\Z")]
    """What customers order by, such as `HEL-01`."""
    name: str
    """What people read."""
    country_code: Annotated[str, msgspec.Meta(pattern=r"\A[A-Z]{2}\Z")]
    """Two letters."""
    members: tuple[str, ...]
    """Names of the members there."""


class IncusImage(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An image of the cluster, as it is sold."""

    alias: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
    """Its alias at the cluster, and what customers order by."""
    name: str
    """What people read."""
    os_name: str = "Debian 12"
    """The system."""
    os_version: str | None = None
    """Its version."""
    category: str = "debian"
    """What it is listed with."""
    ssh_user: Annotated[str, msgspec.Meta(pattern=r"\A[a-z_][a-z0-9_-]{0,31}\Z")] = "root"
    """Who logs in."""
    is_default: bool = False
    """Whether it is what an order gets that names none."""
    min_disk_gb: Count = 10
    """The smallest boot disk that it fits on."""
    cuda_version: str | None = None
    """What it comes with."""
    has_docker: bool = False
    """Whether Docker is in it."""
    gpu_models: tuple[str, ...] | None = None
    """Boots only on types with one of these GPUs; none: on every type."""


def _debian() -> tuple[IncusImage, ...]:
    return (IncusImage("debian-12", "Debian 12", os_version="12", is_default=True),)


class Incus(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Own hosts: one Incus server, or a cluster. Sold once there is a price list: `[[incus.types]]`."""

    types: tuple[IncusType, ...] = ()
    """The price list."""
    locations: tuple[IncusLocation, ...] = ()
    """Where members are; without any, all are in one."""
    images: tuple[IncusImage, ...] = msgspec.field(default_factory=_debian)
    """What can be booted."""
    socket: Path = Path("/var/lib/incus/unix.socket")
    """How Incus is reached on this host, where `addresses` says nothing."""
    addresses: tuple[str, ...] = ()
    """`https://…:8443` of several members; any that answers will do."""
    certificate: Path | None = None
    """PEM file of the certificate that the cluster trusts for `project`."""
    key: Path | None = None
    """PEM file of its key."""
    server_fingerprint: str = ""
    """SHA-256 of the cluster's certificate, as `incus info` shows it."""
    project: Annotated[str, msgspec.Meta(min_length=1, max_length=63)] = "default"
    """Project of Incus that is ours."""
    pool: Annotated[str, msgspec.Meta(min_length=1, max_length=63)] = "default"
    """Storage pool for disks and volumes."""
    public_addresses: dict[str, str] = {}
    """By member, what customers connect to, where it is not the member's own address."""
    ssh: Literal["proxy", "address"] = "proxy"
    """Whether SSH is reached at a port of the member, or at the instance's own address."""
    first_port: Port = 20000
    """First TCP port of members for instances' SSH servers."""
    last_port: Port = 29999
    """Last TCP port of members for instances' SSH servers."""
    volume_type: str = "NVMe"
    """What the pool is sold as, for volumes."""
    volume_usd_per_gb_month: str = "0.2"
    """Price of one GB of volume for a month of 730 hours, in dollars."""
    reserved_ram_gb: Annotated[int, msgspec.Meta(ge=0, le=10_000)] = 2
    """Memory that each member keeps for itself."""
    nvidia_runtime: bool = True
    """Whether containers with GPUs get the NVIDIA libraries of their host."""


def config_of(chosen: Incus) -> IncusConfig:
    """What the driver is told. Raises ValueError, with the setting's name, for what does not go together."""
    _check(chosen)
    return IncusConfig(
        types=tuple(_type(sold) for sold in chosen.types),
        images=tuple(
            ImageSold(
                alias=image.alias,
                name=image.name,
                os_name=image.os_name,
                os_version=image.os_version,
                category=image.category,
                ssh_user=image.ssh_user,
                is_default=image.is_default,
                min_disk_gb=image.min_disk_gb,
                cuda_version=image.cuda_version,
                has_docker=image.has_docker,
                gpu_models=image.gpu_models,
            )
            for image in chosen.images
        ),
        locations=tuple(
            Location(Place(each.code, each.name, each.country_code), frozenset(each.members))
            for each in chosen.locations
        ),
        socket=chosen.socket,
        addresses=chosen.addresses,
        certificate=chosen.certificate,
        key=chosen.key,
        server_fingerprint=chosen.server_fingerprint,
        project=chosen.project,
        pool=chosen.pool,
        public_addresses=chosen.public_addresses,
        ssh=chosen.ssh,
        first_port=chosen.first_port,
        last_port=chosen.last_port,
        volume_type=chosen.volume_type,
        volume_micros_per_gb_month=_price("volume_usd_per_gb_month", chosen.volume_usd_per_gb_month),
        reserved_ram_gb=chosen.reserved_ram_gb,
        nvidia_runtime=chosen.nvidia_runtime,
    )


def _check(chosen: Incus) -> None:
    if any(not address.startswith("https://") for address in chosen.addresses):
        raise ValueError("incus.addresses: each must begin with https://")
    needed = {
        "certificate": chosen.certificate,
        "key": chosen.key,
        "server_fingerprint": chosen.server_fingerprint,
    }
    for member, value in needed.items():
        if chosen.addresses and not value:
            raise ValueError(f"incus.{member}: must be set when incus.addresses is")
    if chosen.first_port > chosen.last_port:
        raise ValueError("incus.first_port: must not lie above incus.last_port")
    members = [name for each in chosen.locations for name in each.members]
    for what, names in (
        ("types", [sold.name for sold in chosen.types]),
        ("images", [image.alias for image in chosen.images]),
        ("locations", [each.code for each in chosen.locations]),
        ("locations: members", members),
    ):
        if len(names) != len(set(names)):
            raise ValueError(f"incus.{what}: two have one name")
    for sold in chosen.types:
        if sold.is_virtual_machine and chosen.ssh != "address":
            raise ValueError(
                f"incus.types: {sold.name}: a virtual machine is reached at its own address (incus.ssh)"
            )
        if (sold.gpu_model is not None) != (sold.gpu_count > 0):
            raise ValueError(
                f"incus.types: {sold.name}: neither gpu_model nor gpu_count goes without the other"
            )


def _type(sold: IncusType) -> TypeSold:
    spot = sold.spot_usd_per_hour
    return TypeSold(
        name=sold.name,
        vcpu_count=sold.vcpu_count,
        ram_gb=sold.ram_gb,
        price_micros_per_hour=_price(f"types: {sold.name}: usd_per_hour", sold.usd_per_hour),
        gpu_model=sold.gpu_model,
        gpu_count=sold.gpu_count,
        gpu_vram_gb=sold.gpu_vram_gb,
        gpu_matches=sold.gpu_matches,
        gpu_name=sold.gpu_name,
        disk_gb=sold.disk_gb,
        description=sold.description,
        spot_price_micros_per_hour=None
        if spot is None
        else _price(f"types: {sold.name}: spot_usd_per_hour", spot),
        is_virtual_machine=sold.is_virtual_machine,
        boot_timeout_s=sold.boot_timeout_s,
    )


def _price(member: str, text: str) -> money.Micros:
    try:
        price = money.from_usd(text)
    except ValueError as error:
        raise ValueError(f"incus.{member}: {error}") from error
    if price <= 0:
        raise ValueError(f"incus.{member}: must be more than 0")
    return price

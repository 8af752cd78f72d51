"""The driver port: what Berth asks of every provider, and what a provider may answer.

A driver turns these verbs into one provider's calls and holds no truth of its own: whatever it
returns is what the provider says now. It raises nothing but the `DriverError` kinds below, each
named for what the caller does next; anything else is a bug and is not caught.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from berth.base.clock import Instant


class DriverError(Exception):
    """A provider did not do what was asked. `str(error)` is for the operator's log.

    `reason` is a sentence that the customer may read; it names no provider internals.
    """

    def __init__(self, message: str, *, reason: str | None = None) -> None:
        super().__init__(message)
        self.reason = reason


class NoCapacity(DriverError):
    """Nothing was created and this offer has nothing left: try another offer."""


class RateLimited(DriverError):
    """Nothing happened: wait `retry_after_s` seconds, then try again."""

    def __init__(self, message: str, *, retry_after_s: float, reason: str | None = None) -> None:
        super().__init__(message, reason=reason)
        self.retry_after_s = retry_after_s


class Unreachable(DriverError):
    """Nothing happened, the request never took effect: try again."""


class OutcomeUnknown(DriverError):
    """It may have happened: look for our label before trying again. A timeout on create is this."""


class BadCredentials(DriverError):
    """The provider does not accept our account: an operator must act; nothing is known to be gone."""


class Refused(DriverError):
    """Nothing happened and the same request will be refused again."""


class NotSupported(DriverError):
    """This driver cannot do that; its `abilities` said so."""


_NO_VOLUMES = "this provider sells no volumes"


class Power(StrEnum):
    """What the provider says an instance is doing."""

    CREATING = "creating"
    RUNNING = "running"
    STOPPED = "stopped"
    STOPPING = "stopping"
    DELETING = "deleting"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Label:
    """Written into the provider's own label so that our instances are found again, and only ours."""

    install_id: str
    instance_id: str

    def __str__(self) -> str:
        return f"berth-{self.install_id}-{self.instance_id}"

    @classmethod
    def parse(cls, text: str) -> "Label | None":
        """The label in `text`, or None when it is not one of any Berth's."""
        parts = text.split("-")
        if len(parts) != 3 or parts[0].lower() != "berth" or not all(parts):  # noqa: PLR2004
            return None
        return cls(parts[1], parts[2].upper())


@dataclass(frozen=True, slots=True)
class Abilities:
    """What a driver can do, as facts that core and faces may rely on."""

    stop: bool = True
    """Instances can be stopped and started again with their disk."""
    stop_releases_hardware: bool = True
    """A plain stop gives the hardware back and ends the provider's bill; False: it stays reserved and billed."""
    stop_keeps_hardware: bool = False
    """Hardware can be kept through a stop where a plain one would give it back."""
    ip_may_change: bool = False
    """What was stopped and gave its hardware back may come up at another address."""
    restart: bool = True
    counts_units: bool = True
    """How many free units an offer has is a count; False: the provider only says that there are some."""
    reports_use: bool = False
    """Sightings say how busy an instance is."""
    volumes: bool = False
    """Data volumes can be made, attached, detached, resized and destroyed."""
    volumes_attach_live: bool = False
    """A volume can be attached to and detached from an instance that runs."""
    places_volumes: bool = True
    """A volume appears where its mount says; False: where the provider, or the instance's own system, puts it."""
    clones_volumes: bool = False
    """A volume can be made as a copy of another."""
    clones_live: bool = False
    """Also one that is attached to an instance that runs."""
    keeps_disks: bool = False
    """The boot disk of a destroyed instance can stay, as a volume that another instance boots from."""
    startup_script: bool = True
    appears_within_s: int = 0
    """How long after the create call ended a new instance may be missing from `inspect` and `list_own`.

    0: what is not there when the call has ended, or our process has, will never be. Nothing that is asked
    over a network can promise that.
    """
    limits: Sequence[str] = ()
    """Which per-instance limits are really enforced here: of `memory`, `cpu`, `processes`, `disk`."""
    notes: Sequence[str] = ()
    """Sentences an operator must read, such as how far instances are isolated from each other."""


@dataclass(frozen=True, slots=True)
class Hardware:
    """One instance type as sold: what an instance of it gets."""

    name: str
    """The type's name, for example `1H100.80S.30V`. Never parsed: read the members."""
    gpu_model: str | None
    gpu_count: int
    gpu_vram_gb: int
    """Memory of one GPU."""
    vcpu_count: int
    ram_gb: int
    storage_gb: int
    description: str = ""
    manufacturer: str = ""
    gpu_name: str = ""
    """One of its GPUs as price trackers write it, for example `H100 SXM5 80GB`; empty where it has none."""
    p2p: str | None = None
    """How fast its GPUs speak to each other, for example `600 GB/s`."""
    best_for: Sequence[str] = ()
    deploy_warning: str | None = None
    """What a customer should know before ordering it."""
    boot_timeout_s: int = 600
    """How long from create to a reachable SSH server before we give up."""


@dataclass(frozen=True, slots=True)
class Place:
    """A location as customers see it."""

    code: str
    name: str
    country_code: str


@dataclass(frozen=True, slots=True)
class ProviderOffer:
    """Something the provider would sell now."""

    provider_offer_id: str
    """The provider's own name for it, unique at the provider and stable between listings."""
    hardware: Hardware
    place: Place
    cost_micros_per_hour: int
    """What the provider charges us, for the whole instance."""
    price_micros_per_hour: int | None
    """What the customer pays when the driver knows (own hosts: the operator's list); None: cost plus margin."""
    free_units: int
    """How many more instances could be created, those that exist already left out."""
    is_simulated: bool = False
    """True when the hardware is pretended, for demonstrations and tests."""
    spot_price_micros_per_hour: int | None = None
    """What the customer pays for one that may be taken away at any time; None: cost plus margin, or none are sold."""
    spot_cost_micros_per_hour: int | None = None
    """What the provider charges us for such a one; None: as much as for another where they have a price, else none are sold."""
    spot_free_units: int | None = None
    """How many more of them could be created; None: they come out of `free_units`."""


@dataclass(frozen=True, slots=True)
class ProviderClusterType:
    """Several instances sold as one: workers of one type, and a host to reach them from."""

    name: str
    """For example `16H200`. Never parsed: read the members."""
    place: Place
    worker_offer_id: str
    """The offer, by `provider_offer_id`, that each worker is an instance of."""
    worker_count: int
    jump_host_offer_id: str
    price_micros_per_hour: int
    """What the customer pays for all of it."""
    description: str = ""
    details: Sequence[tuple[str, str]] = ()
    """What its nodes have, name and value, for example `("InfiniBand", "3200 Gbit/s")`."""


@dataclass(frozen=True, slots=True)
class ProviderImage:
    """An operating system image that the provider can boot."""

    slug: str
    """The provider's name for it, stable, for example `ubuntu-22.04-cuda-12.4-cluster`."""
    name: str
    category: str
    os_name: str
    ssh_user: str
    details: Sequence[str] = ()
    is_default: bool = False
    is_cluster: bool = False
    os_version: str | None = None
    cuda_version: str | None = None
    driver_version: str | None = None
    has_docker: bool = False
    min_os_volume_gb: int = 10
    gpu_models: Sequence[str] | None = None
    """Boots only on types with one of these GPUs; None: on every type, CPU types included."""
    size_gb: int | None = None
    """What it takes of the disk at first."""
    arch: str = "x86_64"
    min_driver: str | None = None
    """The oldest GPU driver of a host that it works with."""
    deprecated_at: int | None = None
    """Since when it is not advised, in microseconds since the epoch; it can still be ordered until `removed_at`."""
    removed_at: int | None = None
    known_id: str | None = None
    """The id that clients of the provider hold fast, as an id of ours; a new image takes it unless another has it."""


@dataclass(frozen=True, slots=True)
class ProviderVolumeType:
    """A kind of storage as the provider sells it in one location."""

    name: str
    """For example `NVMe`, `HDD_Shared`."""
    place: Place
    cost_micros_per_gb_month: int
    """What the provider charges us for one GB and a month of 730 hours."""
    price_micros_per_gb_month: int | None
    """What the customer pays when the driver knows; None: cost plus margin."""
    min_size_gb: int = 10
    max_size_gb: int = 10_240
    is_shared: bool = False
    """Can be attached to several instances at once."""
    max_attachments: int = 1
    attaches_live: bool = False
    """Can be attached to and detached from an instance that runs."""
    iops: str = ""
    burst_bandwidth_mb_s: int = 0
    continuous_bandwidth_mb_s: int = 0
    internal_network_speed_mb_s: int = 0
    throughput_gbps: int = 0
    is_simulated: bool = False
    """True when the storage is pretended to be of this kind, for demonstrations and tests."""


@dataclass(frozen=True, slots=True)
class Catalogue:
    """All that a provider would sell now, sold-out offers included with `free_units` 0."""

    offers: Sequence[ProviderOffer]
    images: Sequence[ProviderImage]
    volume_types: Sequence[ProviderVolumeType] = ()
    cluster_types: Sequence[ProviderClusterType] = ()


@dataclass(frozen=True, slots=True)
class Mount:
    """A volume as an instance sees it."""

    volume_handle: str
    name: str
    """Names the place it is mounted at, `/mnt/<name>`; unique among the volumes of one instance."""
    path: str | None = None
    """Where it is mounted instead, for example `/home`."""


@dataclass(frozen=True, slots=True)
class CreateOrder:
    """Everything a provider needs to make one instance. It travels with its label."""

    label: Label
    provider_offer_id: str
    hardware: Hardware
    hostname: str
    image_slug: str
    ssh_user: str
    location: str
    ssh_public_keys: Sequence[str]
    os_volume_gb: int
    startup_script: str | None = None
    environment: dict[str, str] = field(default_factory=dict)
    mounts: Sequence[Mount] = ()
    """Volumes that exist at this provider and are attached from the first boot on."""
    is_spot: bool = False
    """It may be taken away at any time, and is cheaper for that."""
    disk_label: Label | None = None
    """What its boot disk is found by among the volumes, should that outlive it; its second part is our volume's id."""
    boot_volume: str | None = None
    """The handle of a volume to boot from, where `abilities.keeps_disks`: `image_slug` says what it was made from."""


@dataclass(frozen=True, slots=True)
class Sighting:
    """One instance as its provider describes it now."""

    label: Label | None
    """Ours if we made it; None when the provider's label is nobody's we know."""
    handle: str
    """The provider's own id."""
    power: Power
    ip: str | None = None
    ssh_port: int | None = None
    ssh_user: str | None = None
    reason: str | None = None
    """Why it failed, in words the customer may read."""
    ssh_host_key_fingerprint: str | None = None
    private_ip: str | None = None
    """Where instances of the same project reach it, if they do."""
    disk_handle: str | None = None
    """The provider's id of its boot disk, where that can outlive it."""
    use_percent: int | None = None
    """How busy its GPUs are, or, where it has none or nobody can say, its processors (100: one of them), rounded down.

    0 is idle, None unknown. In listings only as good as is cheap.
    """
    evicts_at: Instant | None = None
    """When the provider will take it away, as far as it has said so: spot capacity, or maintenance of its host."""


@dataclass(frozen=True, slots=True)
class Listing:
    """What the provider says exists. Only a complete listing can prove absence."""

    sightings: Sequence[Sighting]
    is_complete: bool


@dataclass(frozen=True, slots=True)
class VolumeOrder:
    """Everything a provider needs to make one volume."""

    label: Label
    """Its second part is our volume's id."""
    name: str
    type: str
    size_gb: int
    location: str
    source: str | None = None
    """The handle of the volume to copy, where `abilities.clones_volumes`; None: it begins empty."""


@dataclass(frozen=True, slots=True)
class VolumeSighting:
    """One volume as its provider describes it now."""

    label: Label | None
    handle: str
    size_gb: int
    attached_to: frozenset[str] = frozenset()
    """Handles of instances."""
    is_ready: bool = True
    """False while it is being copied."""


@dataclass(frozen=True, slots=True)
class VolumeListing:
    """What the provider says exists. Only a complete listing can prove absence."""

    sightings: Sequence[VolumeSighting]
    is_complete: bool


class Driver(Protocol):
    """One provider. Every verb may raise any `DriverError`; every verb is safe to repeat.

    `create` and `create_volume` made twice with one label makes one instance. `start`, `stop` and `destroy` return once the
    provider accepted; what became of it is read with `inspect`. Destroying what is gone succeeds. `destroy`
    detaches the instance's volumes and keeps them.
    """

    @property
    def abilities(self) -> Abilities: ...

    async def catalogue(self) -> Catalogue:
        """All that could be bought now, and the images that can be booted."""

    async def create(self, order: CreateOrder) -> Sighting:
        """Makes the instance, or finds the one that already carries the order's label."""

    async def inspect(self, label: Label, handle: str | None) -> Sighting | None:
        """The instance now, by handle or, while that is unknown, by label. None: certainly gone."""

    async def list_own(self, install_id: str) -> Listing:
        """Everything at the provider that carries `install_id`."""

    async def start(self, handle: str, order: CreateOrder | None = None) -> None:
        """Switches it on. Raises NoCapacity where it gave its hardware back and others have that now.

        `order` is what it was made with and has now, for a provider that has to make the machine again: one whose stop
        can only release by giving it away.
        """

    async def stop(self, handle: str, *, release: bool = True) -> None:
        """Switches it off. With `release` its hardware is given back and the provider's bill ends, disk and handle kept,
        also that of one that is off already; without, the hardware stays its own where `abilities` say that it can.

        A provider whose own stop keeps billing releases by its other means, for example by deleting the machine and
        keeping its disk. What was released is still inspected and listed as stopped, and `start` brings it back.
        """

    async def restart(self, handle: str) -> None: ...

    async def destroy(self, handle: str, *, keep_disk: bool = False) -> None:
        """Ends the instance. With `keep_disk`, where `abilities` say that it can, its boot disk stays as a volume.

        Such a volume goes by the `disk_handle` of the instance's sightings and is labelled as its order said.
        """

    async def create_volume(self, order: VolumeOrder) -> VolumeSighting:
        """Makes the volume, or finds the one that already carries the order's label.

        What `WithoutVolumes` says is said by every provider that sells none.
        """

    async def inspect_volume(self, label: Label, handle: str | None) -> VolumeSighting | None:
        """The volume now, by handle or, while that is unknown, by label. None: certainly gone."""

    async def list_own_volumes(self, install_id: str) -> VolumeListing:
        """Every volume at the provider that carries `install_id`."""

    async def attach_volume(self, instance_handle: str, mount: Mount) -> None:
        """Makes the volume's content appear in the instance; it is there when this returns, also after a restart.

        Raises Refused where the instance runs and the type is not `attaches_live`, or the volume is elsewhere.
        """

    async def detach_volume(self, instance_handle: str, volume_handle: str) -> None:
        """Takes the volume from the instance, its content kept. Detaching what is not attached succeeds."""

    async def resize_volume(self, handle: str, size_gb: int) -> None:
        """Grows the volume; at that size already, nothing happens. Raises Refused for less than it has."""

    async def destroy_volume(self, handle: str) -> None:
        """Ends the volume and its content. Destroying what is gone succeeds; Refused while it is attached."""

    async def close(self) -> None:
        """Lets go of connections. Instances stay as they are."""


class WithoutVolumes:
    """What a provider that sells no volumes answers to the verbs of volumes."""

    async def create_volume(self, order: VolumeOrder) -> VolumeSighting:  # noqa: ARG002
        raise NotSupported(_NO_VOLUMES)

    async def inspect_volume(self, label: Label, handle: str | None) -> VolumeSighting | None:  # noqa: ARG002
        raise NotSupported(_NO_VOLUMES)

    async def list_own_volumes(self, install_id: str) -> VolumeListing:  # noqa: ARG002
        return VolumeListing((), is_complete=True)

    async def attach_volume(self, instance_handle: str, mount: Mount) -> None:  # noqa: ARG002
        raise NotSupported(_NO_VOLUMES)

    async def detach_volume(self, instance_handle: str, volume_handle: str) -> None:  # noqa: ARG002
        raise NotSupported(_NO_VOLUMES)

    async def resize_volume(self, handle: str, size_gb: int) -> None:  # noqa: ARG002
        raise NotSupported(_NO_VOLUMES)

    async def destroy_volume(self, handle: str) -> None:  # noqa: ARG002
        raise NotSupported(_NO_VOLUMES)

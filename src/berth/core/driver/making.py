"""What a provider is asked to make, and what it says that it has."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from berth.base.clock import Instant
from berth.core.driver.selling import Hardware


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
class Mount:
    """A volume as an instance sees it."""

    volume_handle: str
    name: str
    """Names the place it is mounted at, `/mnt/<name>`; unique among the volumes of one instance."""
    path: str | None = None
    """Where it is mounted instead, for example `/home`."""


@dataclass(frozen=True, slots=True)
class Launch:
    """How a container is started, where `abilities.containers`. Without one: the order's image, entered over SSH."""

    image: str | None = None
    """What is pulled, for example `vllm/vllm-openai:latest`; None: what the order's image or the template says."""
    template: str | None = None
    """Hash id of the provider's template to start from; what is said here goes before what that says."""
    arguments: Sequence[str] = ()
    """Of the image's own command, where `is_entrypoint`."""
    ports: Sequence[int] = ()
    """TCP ports inside that are to be reached from outside, besides that of SSH."""
    is_entrypoint: bool = False
    """The image's own command runs, and there is no SSH server; False: one is there, whatever else runs."""
    bid_micros_per_hour: int | None = None
    """What is bid for an interruptible one; None: it is not interruptible."""


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
    launch: Launch | None = None


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
    ports: Mapping[int, int] = field(default_factory=dict)
    """Where the ports of `Launch.ports` are reached at `ip`, by the port inside."""
    created_at: Instant | None = None
    """Since when it exists, as far as the provider says so."""
    cost_micros_per_hour: int | None = None
    """What the provider charges us for it now, as far as it says so."""
    running_for_us: int | None = None
    """For how many microseconds it has been running, and been charged to us as such, as far as the provider says so."""
    is_unreachable: bool = False
    """Its host is not heard from, so that `power` is what was last known. It is neither gone nor certain to run.

    In listings; `inspect` raises Unreachable.
    """


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

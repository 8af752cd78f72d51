"""The verbs of every driver, and what each says that it can do."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from berth.core.driver.failures import NotSupported
from berth.core.driver.making import (
    CreateOrder,
    Label,
    Listing,
    Mount,
    Sighting,
    VolumeListing,
    VolumeOrder,
    VolumeSighting,
)
from berth.core.driver.selling import Catalogue, ProviderTemplate

_NO_VOLUMES = "this provider sells no volumes"


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
    containers: bool = False
    """An instance is a container of any image that can be pulled: `CreateOrder.launch` says of which and how."""
    templates: bool = False
    """The provider keeps templates that an instance can be started from."""
    appears_within_s: int = 0
    """How long after the create call ended a new instance may be missing from `inspect` and `list_own`.

    0: what is not there when the call has ended, or our process has, will never be. Nothing that is asked
    over a network can promise that.
    """
    finishes_creates: bool = False
    """What a create that broke off left is being created for good, until the same create is made again and finishes it."""
    limits: Sequence[str] = ()
    """Which per-instance limits are really enforced here: of `memory`, `cpu`, `processes`, `disk`."""
    notes: Sequence[str] = ()
    """Sentences an operator must read, such as how far instances are isolated from each other."""


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

    async def templates(self) -> Sequence[ProviderTemplate]:
        """Those that an instance can be started from; none where `abilities` name no templates."""

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


@runtime_checkable
class Telling(Protocol):
    """A provider that says by itself when something changed there."""

    def changes(self) -> AsyncIterator[None]:
        """One of nothing for each change: a reason to look earlier, never instead of looking. Raises any DriverError."""


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


class WithoutTemplates:
    """What a provider that keeps no templates answers when asked for them."""

    async def templates(self) -> Sequence[ProviderTemplate]:
        return ()

"""A volume: storage that outlives the instances it is attached to."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from berth.base.clock import Instant
from berth.base.money import Micros
from berth.core.driver import Label


class Status(StrEnum):
    """What a customer is told. It follows from the rest of the row: see `states.status_of`."""

    ORDERED = "ordered"
    CLONING = "cloning"
    """Ordered as a copy of another, and not whole yet."""
    ATTACHING = "attaching"
    ATTACHED = "attached"
    DETACHED = "detached"
    DELETED = "deleted"


class Wanted(StrEnum):
    """What its owner asked for last."""

    KEPT = "kept"
    TRASHED = "trashed"
    """Deleted, and there until it is purged."""
    PURGED = "purged"


class Fate(StrEnum):
    """What becomes of a volume when an instance that it is attached to is deleted."""

    DETACH = "detach"
    TRASH = "trash"
    PURGE = "purge"


class Link(StrEnum):
    """How far an attachment is, and whose work it is."""

    BOOT = "boot"
    """It is there from the instance's first boot on: the instance's own creation attaches it."""
    ATTACHING = "attaching"
    ATTACHED = "attached"
    DETACHING = "detaching"
    LEAVING = "leaving"
    """The instance ends, and its end detaches the volume."""


class Action(StrEnum):
    ATTACH = "attach"
    DETACH = "detach"
    RESIZE = "resize"
    RENAME = "rename"
    RESTORE = "restore"
    DELETE = "delete"
    PURGE = "purge"


@dataclass(frozen=True, slots=True)
class Attachment:
    """One instance that has, gets or leaves a volume."""

    volume_id: str
    instance_id: str
    mount_name: str
    """Mounted at `/mnt/<mount_name>`; unique among the volumes of one instance."""
    link: Link
    created_at: Instant
    mount_path: str | None = None
    """Mounted there instead."""

    @property
    def path(self) -> str:
        """Where the instance finds it."""
        return self.mount_path or f"/mnt/{self.mount_name}"


@dataclass(frozen=True, slots=True)
class NewVolume:
    """What a customer asks for."""

    name: str
    size_gb: int
    type: str
    fate: Fate = Fate.DETACH
    eviction_fate: Fate = Fate.DETACH
    """What becomes of it when its provider takes the instance away."""
    mount_path: str | None = None
    """Where it is mounted, for example `/home`; None: at `/mnt/<name>`."""


@dataclass(frozen=True, slots=True)
class Origin:
    """What a boot disk was made from: what it boots, whatever becomes of the image."""

    image_id: str
    image_slug: str
    os_name: str
    ssh_user: str


@dataclass(frozen=True, slots=True)
class Host:
    """An instance, as far as a volume needs to know it."""

    instance_id: str
    location: str
    provider: str
    is_on: bool
    """It runs, or is about to."""


@dataclass(frozen=True, slots=True)
class Filter:
    """Which volumes to list. Absent members do not filter; the deleted are listed only by their status."""

    statuses: frozenset[Status] | None = None
    location: str | None = None
    type: str | None = None
    is_attached: bool | None = None
    instance_id: str | None = None


@dataclass(frozen=True, slots=True)
class Volume:
    id: str
    project: str
    created_by: str
    name: str
    type: str
    location: str
    provider: str
    size_gb: int
    """What it has; while it grows, what it had."""
    wanted_size_gb: int
    is_shared: bool
    max_attachments: int
    attaches_live: bool
    """Can be attached to and detached from an instance that runs."""
    price_micros_per_gb_month: int
    """Frozen when it was ordered."""
    cost_micros_per_gb_month: int
    os_of: str | None
    """The instance whose boot disk it is, which it comes with and is paid for with; kept once that is gone with it."""
    born_with: str | None
    """The instance that it was ordered with, until that runs for the first time: so long it costs nothing."""
    fate: Fate
    """Of a boot disk: what its instance's end does to it, decided when that end is asked for."""
    handle: str | None
    """The provider's id for it; None while nothing is known to exist there."""
    status: Status
    wanted: Wanted
    status_reason: str | None
    created_at: Instant
    updated_at: Instant
    deleted_at: Instant | None
    purge_at: Instant | None
    """When what is in the trash ends."""
    gone_at: Instant | None
    """When its provider confirmed that nothing is left."""
    create_sent_at: Instant | None
    """Since when something may exist at the provider; None while certainly nothing does."""
    missing_since: Instant | None
    """Since when the provider no longer lists it."""
    sequence: int
    due_at: Instant | None
    lease_token: int
    attempt: int
    is_bootable: bool = False
    """It is, was or can be the boot disk of an instance."""
    origin: Origin | None = None
    """What it boots, where it is bootable."""
    eviction_fate: Fate = Fate.DETACH
    cloning_from: str | None = None
    """The volume that it is being made a copy of; None once it is whole."""
    attachments: Sequence[Attachment] = ()

    def label(self, install_id: str) -> Label:
        return Label(install_id, self.id)

    @property
    def is_os_volume(self) -> bool:
        return self.is_bootable

    @property
    def is_boot_disk(self) -> bool:
        """Whether it goes with an instance: what is done about it is done about that."""
        return self.os_of is not None

    @property
    def may_exist(self) -> bool:
        """Whether something of it is, or might be, at the provider."""
        return self.handle is not None or self.create_sent_at is not None

    @property
    def is_unresolved(self) -> bool:
        """Whether a create was sent and nobody knows what became of it."""
        return self.handle is None and self.create_sent_at is not None

    @property
    def is_growing(self) -> bool:
        """Whether it was told to grow and nobody knows yet whether it has."""
        return self.handle is not None and self.cloning_from is None and self.wanted_size_gb > self.size_gb

    @property
    def is_permanently_deleted(self) -> bool:
        """Nothing brings it back."""
        return self.wanted is Wanted.PURGED and self.status is Status.DELETED

    @property
    def instance_ids(self) -> Sequence[str]:
        if self.os_of is not None:
            return () if self.status is Status.DELETED else (self.os_of,)
        return tuple(attachment.instance_id for attachment in self.attachments)

    @property
    def price_micros_per_month(self) -> Micros:
        """Of 730 hours; nothing for the boot disk of an instance, which is paid for with that."""
        if self.os_of is not None:
            return Micros(0)
        return Micros(self.price_micros_per_gb_month * self.size_gb)


@dataclass(frozen=True, slots=True)
class Orphan:
    """A volume at a provider that carries our label and that no row accounts for."""

    provider: str
    handle: str
    volume_id: str
    first_seen_at: Instant

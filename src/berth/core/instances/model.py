"""An instance: one row, whatever each face calls it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from berth.base.clock import HOUR, Instant
from berth.base.money import Micros
from berth.core.driver import Label, Launch
from berth.core.volumes import Fate, NewVolume

OS_VOLUME_NAME = "boot"
"""What a boot disk is called where its owner does not say."""


class Status(StrEnum):
    """What we have seen."""

    ORDERED = "ordered"
    PROVISIONING = "provisioning"
    RUNNING = "running"
    OFFLINE = "offline"
    ERROR = "error"
    FAILED_NO_CAPACITY = "failed_no_capacity"
    DELETING = "deleting"
    DELETED = "deleted"


class Wanted(StrEnum):
    """What its owner asked for last."""

    RUNNING = "running"
    OFFLINE = "offline"
    DELETED = "deleted"


class Action(StrEnum):
    START = "start"
    STOP = "stop"
    RESTART = "restart"
    DELETE = "delete"


class Contract(StrEnum):
    """How an instance is paid for."""

    PAY_AS_YOU_GO = "pay_as_you_go"
    LONG_TERM = "long_term"
    SPOT = "spot"


class Extension(StrEnum):
    """What becomes of a long-term instance when its term ends."""

    AUTO_RENEW = "auto_renew"
    """A new term of the same length begins, at the same price."""
    PAY_AS_YOU_GO = "pay_as_you_go"
    """It goes on at the list price of its order."""
    END_CONTRACT = "end_contract"
    """It is deleted."""


@dataclass(frozen=True, slots=True)
class Term:
    """What a long-term instance is bound to."""

    instance_id: str
    period: str
    """The code of the operator's period, as it was when it was ordered."""
    period_name: str
    unit_name: str
    unit_value: int
    discount_percentage: int
    extension: Extension
    list_price: Micros
    """Per hour, what it pays when it is no longer bound."""
    ordered_at: Instant
    """When the first term began."""
    number: int
    """From 1: which term runs."""
    started_at: Instant
    ends_at: Instant


@dataclass(frozen=True, slots=True)
class Eviction:
    """The end of a spot instance, as it was announced."""

    instance_id: str
    evicts_at: Instant
    sentence: str | None
    """Why, in words for its owner."""


@dataclass(frozen=True, slots=True)
class Specs:
    """The hardware as it was ordered; later changes to the catalogue do not reach it."""

    gpu_model: str | None
    gpu_count: int
    gpu_vram_gb: int
    vcpu_count: int
    ram_gb: int
    storage_gb: int
    is_simulated: bool


@dataclass(frozen=True, slots=True)
class AutoDelete:
    """What ends an instance by itself: whichever comes first."""

    at: Instant | None = None
    max_spend: Micros | None = None
    """Of its own bill, in all."""
    idle_s: int | None = None
    """How long it may do nothing."""


@dataclass(frozen=True, slots=True)
class Reservation:
    """An instance that ends by itself."""

    instance_id: str
    wanted: AutoDelete
    idle_since: Instant | None
    """Since when it was seen to do nothing."""
    stops_at: Instant | None
    """The end that its owner was told of."""


@dataclass(frozen=True, slots=True)
class OrderSpec:
    """What a customer asks for."""

    instance_type: str
    image: str
    """An image, by id or slug, or the id of a detached boot disk of the same location."""
    hostname: str
    ssh_key_ids: Sequence[str]
    location: str
    description: str = ""
    os_volume_name: str = OS_VOLUME_NAME
    os_volume_gb: int | None = None
    os_volume_eviction_fate: Fate = Fate.DETACH
    """What becomes of the boot disk when the provider takes the instance away."""
    volumes: Sequence[NewVolume] = ()
    """Made for it, where it is."""
    existing_volumes: Sequence[str] = ()
    """Attached to it from its first boot on."""
    mount_paths: Mapping[str, str] = field(default_factory=dict)
    """Where existing volumes are mounted, by their id; not named: at `/mnt/<name>`."""
    startup_script: str | None = None
    startup_script_id: str | None = None
    """One that the project keeps, in place of `startup_script`."""
    auto_delete: AutoDelete | None = None
    is_spot: bool = False
    """It may be taken away at any time, at a lower price."""
    contract: Contract | None = None
    """None: spot if `is_spot`, else pay as you go."""
    long_term_period: str | None = None
    """The code of an enabled period; None: the shortest."""
    extension: Extension = Extension.AUTO_RENEW


@dataclass(frozen=True, slots=True)
class Instance:
    id: str
    project: str
    created_by: str
    hostname: str
    description: str
    instance_type: str
    location: str
    image: str
    """As the customer named it."""
    image_id: str
    image_slug: str
    os_name: str
    ssh_user: str
    specs: Specs
    os_volume_name: str
    os_volume_gb: int
    ssh_key_ids: Sequence[str]
    ssh_public_keys: Sequence[str]
    startup_script: str | None
    price: Micros
    """Per hour, frozen when it was ordered."""
    cost: Micros
    """What the provider charges us per hour."""
    offer_id: str
    provider: str
    tried_offers: Sequence[str]
    volume_ids: Sequence[str]
    """The data volumes that it has, or is to have."""
    handle: str | None
    """The provider's id for it; None while nothing is known to exist there."""
    status: Status
    wanted: Wanted
    status_reason: str | None
    status_changed_at: Instant
    is_restart_wanted: bool
    keeps_hardware: bool
    """What the last stop is to do with the hardware: keep it, claimed and billed, or give it back."""
    is_reserved: bool
    """Off, with hardware that is still claimed for it."""
    ip: str | None
    ssh_port: int | None
    created_at: Instant
    updated_at: Instant
    first_running_at: Instant | None
    deleted_at: Instant | None
    create_sent_at: Instant | None
    """Since when something may exist at the provider; None while certainly nothing does."""
    deadline_at: Instant | None
    """When waiting for a reachable SSH server ends."""
    missing_since: Instant | None
    """Since when the provider no longer lists it."""
    sequence: int
    due_at: Instant | None
    lease_token: int
    is_spot: bool
    contract: Contract
    startup_script_id: str | None
    """Where `startup_script` was copied from; that may be deleted since."""
    attempt: int
    """Steps since the last change of status: what the next delay is worked out from."""
    cluster_id: str | None = None
    """The cluster that it is a member of: it comes, runs and ends with that."""
    ready_at: Instant | None = None
    """Since when a member of a cluster that does not run yet could run."""
    private_ip: str | None = None
    """Where instances of the same project reach it, where its provider says so."""
    boot_volume_id: str | None = None
    """The volume that it was ordered to boot from, in the place of a new boot disk."""
    is_session: bool = False
    """It was taken as one offer, for a time: it ends with its session, is placed again only as that says, pays to the
    second and no minimum, and runs once somebody can log in, or, by `launch`, once its own server answers.
    """
    ends_off: bool = False
    """Its end by itself switches it off and keeps its disk."""
    launch: Launch | None = None
    """How its container is started; None where it is none, or is started as usual."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Of that container."""
    ports: Mapping[int, int] = field(default_factory=dict)
    """Where the ports of `launch` are reached at `ip`, by the port inside."""
    boot_timeout_s: int | None = None
    """How long it may take to run; None: as long as its type may."""
    logins_refused: int = 0
    """How often in a row its SSH server answered and let nobody in, while it was booting."""
    is_metered: bool = False
    """A session whose provider says since when it runs: it pays by the provider's clock, which we pay by too."""

    def label(self, install_id: str) -> Label:
        return Label(install_id, self.id)

    @property
    def may_exist(self) -> bool:
        """Whether something of it is, or might be, at the provider."""
        return self.handle is not None or self.create_sent_at is not None


class Version(NamedTuple):
    """All that can change of what a customer sees of an instance: equal versions look the same."""

    id: str
    created_at: Instant
    updated_at: Instant
    sequence: int
    status: str
    wanted: str
    restart_wanted: int
    keeps_hardware: int
    is_reserved: int
    status_reason: str | None
    handle: str | None
    ip: str | None
    ssh_port: int | None
    ssh_user: str
    volume_ids: str


@dataclass(frozen=True, slots=True)
class Orphan:
    """Something at a provider that carries our label and that no row accounts for."""

    provider: str
    handle: str
    instance_id: str
    first_seen_at: Instant
    began_at: Instant
    """Since when it exists, as far as its provider says so, or else was first seen."""
    cost_per_hour: Micros | None = None
    """What its provider charges us for it; None: nobody knows."""
    is_new: bool = False
    """It was seen for the first time."""

    def cost(self, now: Instant) -> Micros:
        """What it has cost until `now`, rounded half up."""
        return Micros(((self.cost_per_hour or 0) * max(0, now - self.began_at) + HOUR // 2) // HOUR)

"""What the provider of tests is made of: machines, disks, and what is to go wrong."""

from dataclasses import dataclass, field

from berth.base.clock import Instant
from berth.core.driver import Label, Power

VOLUME_VERBS = (
    "create_volume",
    "inspect_volume",
    "list_own_volumes",
    "attach_volume",
    "detach_volume",
    "resize_volume",
    "destroy_volume",
)
VERBS = (
    "catalogue",
    "templates",
    "create",
    "inspect",
    "list_own",
    "start",
    "stop",
    "restart",
    "destroy",
    *VOLUME_VERBS,
)


@dataclass
class Machine:
    """One machine as the provider keeps it. `until` is when what it is doing now has been done."""

    handle: str
    label: Label | None
    offer: str
    ip: str
    made_at: Instant
    power: Power
    until: Instant
    answers_at: Instant
    """From when on its SSH server answers."""
    is_kept: bool
    """Whether it keeps its hardware while it is off."""
    disk: "Disk | None" = None
    """What it boots from, where that can outlive it."""
    keeps_disk: bool = False
    """Whether that stays when it is gone."""
    use_percent: int | None = 70
    """How busy it is while it runs."""
    becomes: Power | None = Power.RUNNING
    """What it is when that is done; None: gone."""
    ports: dict[int, int] = field(default_factory=dict)
    """Where ports inside are reached."""
    use: str | None = None
    """What somebody who logs in and asks how busy it is reads; None: it cannot be asked."""
    evicts_at: Instant | None = None
    """When it is taken away, as its provider has announced."""
    cost_per_hour: int | None = None
    """Micro-dollars; with it the provider says in listings what it costs, and since when it is there."""


@dataclass
class Disk:
    """One volume as the provider keeps it."""

    handle: str
    label: Label | None
    size_gb: int
    attaches_live: bool
    made_at: Instant
    attached_to: set[str] = field(default_factory=set)
    """Handles of machines."""
    ready_at: Instant = Instant(0)
    """When it is whole."""
    copied_from: str | None = None


@dataclass
class Fault:
    """Makes calls of one verb fail: `before` they take effect, or `after`, so that only the answer is lost."""

    verb: str
    error: BaseException | None
    """None: the answer is wrong. `inspect` and `inspect_volume` then say None for what is there."""
    is_after: bool = False
    times: int = 1

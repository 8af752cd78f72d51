"""What a loop may touch: the database, the providers, the clock, the mail server, and a way to see whether SSH answers."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from berth.base.clock import Clock, Instant
from berth.base.db import Database
from berth.core import webhooks
from berth.core.billing import Rules
from berth.core.driver import Driver
from berth.core.waitlist import Rules as WaitingRules

Probe = Callable[[str, int, float], Awaitable[bool]]
"""(ip, port, seconds to wait) → whether an SSH server answered."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long the loops wait, in seconds."""

    call_s: float = 60.0
    """For one call to a provider; a create that takes longer has an unknown outcome."""
    step_s: float = 100.0
    """For one step of one instance or volume, all of its calls together."""
    lease_s: int = 30
    """Until others take up what a process began and did not come back to: a lease is renewed while work goes on."""
    probe_s: float = 1.0
    """For an SSH banner within one step."""
    retry_first_s: float = 0.1
    retry_most_s: float = 15.0
    orphan_grace_s: int = 300
    """Between reporting an orphan and destroying it."""
    missing_grace_s: int = 60
    """How young an instance may be so that its absence from a listing proves nothing."""


@dataclass(frozen=True, slots=True)
class Letter:
    """What one attempt of a delivery sends."""

    url: str
    headers: Mapping[str, str]
    body: bytes


Post = Callable[[Letter], Awaitable[webhooks.Outcome]]
"""Makes one attempt; whatever the receiver does is an outcome, never an exception."""


@dataclass(frozen=True, slots=True)
class Courier:
    """What delivering to webhooks takes."""

    post: Post
    render: webhooks.Render
    pepper: bytes
    """Opens the webhooks' secrets."""
    rules: webhooks.Rules = field(default_factory=webhooks.Rules)


@dataclass(frozen=True, slots=True)
class Mail:
    """The server that takes our e-mail."""

    host: str
    port: int
    sender: str
    """Address that e-mail comes from."""
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    tls: Literal["starttls", "tls", "none"] = "starttls"
    """`starttls` and `tls` send nothing to a server whose certificate does not prove its name."""
    ca_file: Path | None = None
    """Authorities to trust besides the system's."""
    timeout_s: float = 20.0
    """For each answer of the server."""

    @property
    def domain(self) -> str:
        return self.sender.rpartition("@")[2]


@dataclass(frozen=True, slots=True)
class World:
    db: Database
    clock: Clock
    drivers: Mapping[str, Driver]
    install_id: str
    holder: str
    """This process, as leases name it."""
    probe: Probe
    courier: Courier
    rules: Rules = field(default_factory=Rules)
    waiting: WaitingRules = field(default_factory=WaitingRules)
    patience: Patience = field(default_factory=Patience)
    margins: Mapping[str, int] = field(default_factory=dict)
    """Percent put on a provider's cost where the driver names no price."""
    mail: Mail | None = None
    """None: nobody is told anything by e-mail."""
    poke: Callable[[str], None] = lambda _loop: None
    unfinished: list[Callable[[], Awaitable[object]]] = field(default_factory=list)
    """Gives back the leases of work that was cut off when the process was told to end."""


@dataclass(frozen=True, slots=True)
class Report:
    """What one tick did."""

    done: int = 0
    has_more: bool = False
    """There was more than one tick takes: come again at once."""
    wake_at: Instant | None = None
    """When the next thing is due, if sooner than the period."""
    notes: tuple[str, ...] = ()

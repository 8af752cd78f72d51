"""What a loop may touch: the database, the providers, the clock, the mail server, and a way to see whether SSH answers."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Literal

from berth.base.clock import Clock, Instant
from berth.base.db import Database
from berth.base.login import Answer, Outcome
from berth.base.meters import Meters
from berth.base.readiness import Readiness
from berth.core import sessions, webhooks
from berth.core.billing import Rules
from berth.core.catalog.inventory import Shelf
from berth.core.driver import Driver
from berth.core.waitlist import Rules as WaitingRules

Probe = Callable[[str, int, float], Awaitable[bool]]
"""(ip, port, seconds to wait) → whether an SSH server answered."""

Login = Callable[[str, int, str, str, float], Awaitable[Answer]]
"""(ip, port, user, command, seconds) → what came of logging in with the observer's key and running the command."""
Health = Callable[[str, int, float], Awaitable[bool]]
"""(ip, port, seconds) → whether `GET /health` there shows a server that is alive."""


async def _nobody_logs_in(_ip: str, _port: int, _user: str, _command: str, _seconds: float) -> Answer:
    return Answer(Outcome.UNREACHABLE)


async def _nothing_is_healthy(_ip: str, _port: int, _seconds: float) -> bool:
    return False


@dataclass(frozen=True, slots=True)
class Patience:
    """How long the loops wait, in seconds."""

    call_s: float = 60.0
    """For one call to a provider; a create that takes longer has an unknown outcome."""
    step_s: float = 100.0
    """For one step of one instance or volume, all of its calls together."""
    lease_s: int = 30
    """Until others take up what a process began and did not come back to: a lease is renewed while work goes on."""
    catalogue_s: float = 30.0
    """For all of what a provider sells."""
    probe_s: float = 1.0
    """For an SSH banner within one step."""
    login_s: float = 10.0
    """For a login and its command, or an answer over HTTP."""
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
    periods: Mapping[str, int] = field(default_factory=dict)
    """Seconds between two looks at what a provider sells; those that are not named are due whenever the loop wakes."""
    asking: set[str] = field(default_factory=set)
    """Providers that this process asks what they sell just now."""
    mail: Mail | None = None
    """None: nobody is told anything by e-mail."""
    poke: Callable[[str], None] = lambda _loop: None
    unfinished: list[Callable[[], Awaitable[object]]] = field(default_factory=list)
    """Gives back the leases of work that was cut off when the process was told to end."""
    login: Login = _nobody_logs_in
    health: Health = _nothing_is_healthy
    session_rules: sessions.Rules = field(default_factory=sessions.Rules)
    dice: Random = field(default_factory=Random)
    """Draws among what is equally good."""
    meters: Meters = field(default_factory=Meters)
    """Where what happens is counted."""
    readiness: Readiness = field(default_factory=Readiness)
    """Told of each provider that was looked at as a whole."""
    shelf: Shelf = field(default_factory=Shelf)
    """Where the inventory is put for the faces."""


@dataclass(frozen=True, slots=True)
class Report:
    """What one tick did."""

    done: int = 0
    has_more: bool = False
    """There was more than one tick takes: come again at once."""
    wake_at: Instant | None = None
    """When the next thing is due, if sooner than the period."""
    notes: tuple[str, ...] = ()
